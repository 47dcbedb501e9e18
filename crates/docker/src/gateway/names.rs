//! Names that somebody gives, where they see their own objects only. Names are one space for all: nobody may take
//! one from somebody else, and nobody may have one by which the engine would find them instead of somebody else.
//!
//! What the engine finds first differs by the kind of object, but for all of them a name comes before the prefix
//! of an id. So a name that is the prefix of another's id is taken.

use hyper::StatusCode;
use sealock_core::policy::{Action, ContainerFacts, Resource};

use super::Guard;
use super::answer::Failure;
use super::lookup::Lookup;
use super::view::View;
use crate::route::image_name::ImageName;
use crate::route::{Object, Reference, Routed};

/// The container that a new one's name leads to now. It is asked for while the engine looks for what the request is
/// about, and used when policy has permitted that.
pub(super) async fn taken_by<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    routed: &Routed,
) -> Result<Option<ContainerFacts>, Failure> {
    let names_container =
        matches!(routed.action(), Action::DockerContainerCreate | Action::DockerContainerRename);
    match reference(routed.text("name")) {
        Some(reference) if names_container && view.is_own() => lookup.container(&reference).await,
        _ => Ok(None),
    }
}

/// Whether what the request makes may have its name; `in_body` is the name of a network or volume, `source` what gets
/// another name, `container` what [`taken_by`] found.
pub(super) async fn are_free<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    routed: &Routed,
    in_body: Option<&str>,
    source: Option<&Resource>,
    container: Option<ContainerFacts>,
) -> Result<(), Failure> {
    if !view.is_own() {
        return Ok(());
    }
    one_tag(routed)?;
    match (routed.action(), in_body) {
        (Action::DockerContainerCreate | Action::DockerContainerRename, _) => {
            let Some(reference) = reference(routed.text("name")) else { return Ok(()) };
            // One of the same name the engine refuses itself.
            let taken = container.is_some_and(|found| found.name != reference.as_str());
            free(!taken, "container", reference.as_str())
        }
        (Action::DockerNetworkCreate, Some(name)) => {
            let Some(reference) = reference(Some(name)) else { return Ok(()) };
            // The engine would make a second one, and then find neither.
            free(lookup.network(&reference).await?.is_none(), "network", name)
        }
        (Action::DockerVolumeCreate, Some(name)) => {
            let Some(reference) = reference(Some(name)) else { return Ok(()) };
            // For one that is there the engine answers with what it is.
            let found = lookup.volume(&reference).await?;
            let is_own = found.is_none_or(|found| view.owns(&Resource::DockerVolume(found.facts)));
            free(is_own, "volume", name)
        }
        (Action::DockerImageTag, _) if !source.is_some_and(|source| view.owns(source)) => {
            Err(Failure::denied(
                "only images of your own can be given a name; pull, or commit, one first",
            ))
        }
        _ => images(lookup, view, routed).await,
    }
}

fn free(is_free: bool, kind: &str, name: &str) -> Result<(), Failure> {
    if is_free {
        return Ok(());
    }
    let text = format!("Conflict. The {kind} name \"{name}\" is already in use; choose another");
    Err(Failure::new(StatusCode::CONFLICT, text))
}

/// A name by which the engine could find something. Others it refuses, or nothing can be called so.
fn reference(name: Option<&str>) -> Option<Reference> {
    let name = name?;
    Reference::parse(name.strip_prefix('/').unwrap_or(name)).ok()
}

async fn images<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    routed: &Routed,
) -> Result<(), Failure> {
    let pulled = routed.objects().iter().filter_map(|object| match object {
        Object::Image(name) if routed.action() == Action::DockerImageCreate => Some((name, true)),
        _ => None,
    });
    let given = routed.new_images().iter().map(|name| (name, false));
    for (name, is_pulled) in pulled.chain(given) {
        may_be_given(lookup, view, &name.clone().or_latest(), is_pulled).await?;
    }
    Ok(())
}

/// Whether an image may get this name.
pub(super) async fn may_be_given<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    name: &ImageName,
    is_pulled: bool,
) -> Result<(), Failure> {
    if let Some(facts) = lookup.image(name).await? {
        // What nobody owns came from a registry, and may come from there again.
        let is_free = is_pulled && facts.owner.is_none();
        if !is_free && !view.owns(&Resource::DockerImage(facts)) {
            return Err(taken(name));
        }
    }
    // `cafe` would be found before the image whose id begins so.
    let last = name.repository();
    let last = last.as_deref().and_then(|path| path.strip_prefix("docker.io/library/"));
    if let Some(id) = last.and_then(|path| ImageName::parse(path).ok())
        && id.is_id()
        && lookup.image(&id).await?.is_some()
        && lookup.image(name).await?.is_none()
    {
        return Err(taken(name));
    }
    Ok(())
}

fn taken(name: &ImageName) -> Failure {
    Failure::denied(format!(
        "the name {name} belongs to an image that is not yours; choose another"
    ))
}

/// A name without a tag is refused where it stands for all tags of a repository: they may be of different
/// owners.
fn one_tag(routed: &Routed) -> Result<(), Failure> {
    let many = routed.objects().iter().any(|object| match object {
        Object::Image(name) => !name.is_id() && name.tag().is_none() && name.digest().is_none(),
        _ => false,
    });
    if many { Err(Failure::bad("name one image, with its tag: name:tag")) } else { Ok(()) }
}

/// Containers and images by whose age a list is cut off: they have to be there for the client.
pub(super) async fn bounds_are_there<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    routed: &Routed,
) -> Result<(), Failure> {
    let of_containers = routed.action() == Action::DockerContainerList;
    if !view.is_own() || !(of_containers || routed.action() == Action::DockerImageList) {
        return Ok(());
    }
    let filters = routed.filters();
    let queries = ["since", "before"].into_iter().filter_map(|name| routed.text(name));
    let bounds = queries.chain(filters.values("since")).chain(filters.values("before"));
    for bound in bounds {
        let (resource, kind) = if of_containers {
            let found = match Reference::parse(bound) {
                Ok(reference) => lookup.container(&reference).await?,
                Err(_) => None,
            };
            (found.map(Resource::Container), "container")
        } else {
            let found = match ImageName::parse(bound) {
                Ok(name) => lookup.image(&name.or_latest()).await?,
                Err(_) => None,
            };
            (found.map(Resource::DockerImage), "image")
        };
        if !resource.is_some_and(|resource| view.shows(&resource)) {
            return Err(Failure::new(StatusCode::NOT_FOUND, format!("No such {kind}: {bound}")));
        }
    }
    Ok(())
}
