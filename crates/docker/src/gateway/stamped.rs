//! What the gateway puts on everything that is made through it: the owner, and policy's defaults.

use std::collections::BTreeMap;

use hyper::StatusCode;
use sealock_core::policy::{Action, Defaults};

use super::Guard;
use super::answer::Failure;
use super::content::Content;
use super::view::View;
use crate::body::{Stamp, is_plain_change};
use crate::filters::{IMAGE_OWNER_LABEL, OWNER_LABEL};
use crate::route::Routed;

/// Stamps the content of an operation that makes something, and holds an update to the limits that the
/// stamp would have set. In a view of one's own what is made is one's own.
pub(super) fn stamp<G: Guard>(
    view: &View<'_, G>,
    action: Action,
    content: &mut Content,
) -> Result<(), Failure> {
    let owner_label = match action {
        Action::DockerContainerCreate
        | Action::DockerNetworkCreate
        | Action::DockerVolumeCreate
        | Action::DockerServiceCreate
        | Action::DockerServiceUpdate => OWNER_LABEL,
        Action::DockerImageBuild | Action::DockerImageCommit => IMAGE_OWNER_LABEL,
        Action::DockerContainerUpdate => {
            // The limits are those of a create; whoever may update only is held to them as well.
            let limits = view.guard().defaults(view.client, Action::DockerContainerCreate);
            return within(content, &limits);
        }
        _ => return Ok(()),
    };
    let mut defaults = view.guard().defaults(view.client, action);
    if action == Action::DockerImageBuild {
        // Its steps are containers that nobody asks for one by one.
        let labels = std::mem::take(&mut defaults.labels);
        let steps = view.guard().defaults(view.client, Action::DockerContainerCreate);
        defaults = Defaults { labels, ..defaults.and(&steps) };
    }
    let Defaults { mut labels, no_new_privileges, memory, pids, nano_cpus } = defaults;
    if view.is_stamped() {
        labels.insert(owner_label.to_owned(), view.me().to_owned());
        if owner_label == IMAGE_OWNER_LABEL {
            // Of whatever the image was made of; containers made of it have an owner of their own.
            labels.insert(OWNER_LABEL.to_owned(), String::new());
        }
    }
    if action == Action::DockerImageBuild && view.is_own() {
        // What a build leaves behind belongs to nobody.
        content.set_query("rm", "1");
        content.set_query("forcerm", "1");
    }
    let stamp = Stamp { labels, no_new_privileges, memory, pids_limit: pids, nano_cpus };
    if stamp == Stamp::default() { Ok(()) } else { content.stamp(&stamp) }
}

/// The labels of what is made along with something else.
pub(super) fn own_labels<G: Guard>(view: &View<'_, G>) -> BTreeMap<String, String> {
    let mut labels = view.guard().defaults(view.client, Action::DockerVolumeCreate).labels;
    labels.insert(OWNER_LABEL.to_owned(), view.me().to_owned());
    labels
}

/// The query of an import, whose archive says nothing of labels, with a change that sets them.
pub(super) fn import<G: Guard>(
    view: &View<'_, G>,
    routed: &Routed,
) -> Result<Option<Vec<(String, String)>>, Failure> {
    if routed.action() != Action::DockerImageImport || !view.is_stamped() {
        return Ok(None);
    }
    if !routed.texts("changes").iter().all(|change| is_plain_change(change)) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "the changes of an import may set no labels here: it gets the label of whoever makes it",
        ));
    }
    let mut pairs = routed.pairs();
    pairs.push((
        "changes".to_owned(),
        format!("LABEL {IMAGE_OWNER_LABEL}={} {OWNER_LABEL}=\"\"", view.me()),
    ));
    Ok(Some(pairs))
}

fn within(content: &Content, limits: &Defaults) -> Result<(), Failure> {
    let all =
        [("memory", limits.memory), ("pidsLimit", limits.pids), ("nanoCpus", limits.nano_cpus)];
    for (name, limit) in all {
        let Some(limit) = limit else { continue };
        if content.limit(name).is_some_and(|asked| asked > limit) {
            return Err(Failure::denied(format!(
                "policy's limit of {name} is {limit}; ask for no more"
            )));
        }
    }
    // One of the two changes what the other means.
    let shares = ["CpuPeriod", "CpuQuota"].map(|key| content.number(key).unwrap_or(0));
    if limits.nano_cpus.is_some() && shares.iter().any(|share| *share != 0) {
        return Err(Failure::denied(
            "policy limits the processor time; say it by NanoCpus (docker update --cpus)",
        ));
    }
    let swap = content.number("MemorySwap").unwrap_or(0);
    if limits.memory.is_some_and(|limit| swap > limit.saturating_mul(2)) {
        return Err(Failure::denied("policy's limit of memory with swap is twice that of memory"));
    }
    Ok(())
}
