//! Prunes in somebody's own view: the engine is told to remove only what has their label.

use hyper::StatusCode;
use sealock_core::policy::Action;

use super::Guard;
use super::answer::Failure;
use super::lookup::{ListedContainer, Lookup};
use super::view::View;
use crate::filters::{Filters, IMAGE_OWNER_LABEL, OWNER_LABEL};
use crate::route::Routed;

/// The same request, about somebody's own objects only.
///
/// A container may have the label from its image, and then is not theirs; the engine cannot tell. So nothing
/// is pruned as long as there is one.
pub(super) async fn narrowed<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    routed: Routed,
) -> Result<Routed, Failure> {
    if !view.is_own() {
        return Ok(routed);
    }
    let key = match routed.action() {
        Action::DockerContainerPrune | Action::DockerNetworkPrune | Action::DockerVolumePrune => {
            OWNER_LABEL
        }
        Action::DockerImagePrune => IMAGE_OWNER_LABEL,
        // The last few of a list are the last few of one's own.
        Action::DockerContainerList if routed.int("limit").is_some_and(|limit| limit > 0) => {
            OWNER_LABEL
        }
        _ => return Ok(routed),
    };
    let owned = routed.filters().owned_by(key, view.me());
    let owned = owned.map_err(|error| Failure::new(StatusCode::FORBIDDEN, error.to_string()))?;
    if routed.action() == Action::DockerContainerPrune {
        all_are_own(lookup, view).await?;
    }
    routed.with_filters(owned).ok_or_else(|| Failure::bad("this takes no filters"))
}

async fn all_are_own<G: Guard>(lookup: &Lookup, view: &View<'_, G>) -> Result<(), Failure> {
    let filters = Filters::default().with_label(OWNER_LABEL, view.me()).to_string();
    let query = percent_encoding::utf8_percent_encode(&filters, percent_encoding::NON_ALPHANUMERIC);
    let target = format!("/containers/json?all=1&filters={query}");
    let listed: Vec<ListedContainer> = lookup.get(&target).await?.unwrap_or_default();
    for container in listed {
        if lookup.owner(container.labels.as_ref(), &container.image_id).await?.is_none() {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                "a container of somebody else has your label from its image, so a prune cannot tell it from yours; remove yours one by one",
            ));
        }
    }
    Ok(())
}
