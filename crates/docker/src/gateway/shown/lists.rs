//! Lists without what is not there for somebody.

use sealock_core::policy::{Action, ContainerFacts, Resource};
use serde::Deserialize;
use serde_json::Value;

use super::super::Guard;
use super::super::answer::Failure;
use super::super::lookup::{ListedContainer, ListedImage, Lookup, NamedObject};
use super::super::view::View;
use super::{Kind, redact, unreadable};

/// Leaves in a list what this client is shown.
pub(super) async fn narrow<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    kind: Kind,
    value: &mut Value,
) -> Result<(), Failure> {
    match kind {
        Kind::Containers => containers(lookup, view, value).await,
        Kind::Images => retain(view, value, image),
        Kind::Networks => networks(view, value),
        Kind::Volumes => member(value, "Volumes").map_or(Ok(()), |all| retain(view, all, volume)),
        Kind::Usage => usage(lookup, view, value).await,
        Kind::Others(kind) => others(view, kind, value),
    }
}

/// A network without who is in it.
pub(super) fn without_containers(network: &mut Value) {
    for key in ["Containers", "Services", "Peers"] {
        if let Some(there) = network.get_mut(key).filter(|there| there.is_object()) {
            *there = Value::Object(serde_json::Map::new());
        }
    }
}

fn member<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    value.get_mut(key).filter(|there| !there.is_null())
}

fn items(value: &mut Value) -> Result<&mut Vec<Value>, Failure> {
    value.as_array_mut().ok_or_else(unreadable)
}

fn read<'v, T: Deserialize<'v>>(value: &'v Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|_| unreadable())
}

async fn containers<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    value: &mut Value,
) -> Result<(), Failure> {
    let all = items(value)?;
    let mut kept = Vec::with_capacity(all.len());
    for mut item in all.drain(..) {
        let listed: ListedContainer = read(&item)?;
        let owner = lookup.owner(listed.labels.as_ref(), &listed.image_id).await?;
        let resource = Resource::Container(ContainerFacts { owner, ..listed.facts() });
        if !view.shows(&resource) {
            continue;
        }
        if !view.guard().permits(view.client, Action::DockerSeeLabels, Some(&resource)) {
            redact::all_labels(&mut item);
        }
        kept.push(item);
    }
    *all = kept;
    Ok(())
}

/// Leaves in what is shown; what cannot be read is an error, and nothing is shown.
fn retain<G: Guard>(
    view: &View<'_, G>,
    value: &mut Value,
    resource: impl Fn(&Value) -> Result<Resource, Failure>,
) -> Result<(), Failure> {
    let mut failure = None;
    items(value)?.retain(|item| match resource(item) {
        Ok(resource) => view.shows(&resource),
        Err(error) => {
            failure = Some(error);
            false
        }
    });
    failure.map_or(Ok(()), Err)
}

fn image(item: &Value) -> Result<Resource, Failure> {
    Ok(Resource::DockerImage(read::<ListedImage>(item)?.facts()))
}

fn volume(item: &Value) -> Result<Resource, Failure> {
    Ok(Resource::DockerVolume(read::<NamedObject>(item)?.volume_facts()))
}

fn network(item: &Value) -> Result<Resource, Failure> {
    Ok(Resource::DockerNetwork(read::<NamedObject>(item)?.facts()))
}

fn networks<G: Guard>(view: &View<'_, G>, value: &mut Value) -> Result<(), Failure> {
    retain(view, value, network)?;
    for item in items(value)? {
        if !view.owns(&network(item)?) {
            without_containers(item);
        }
    }
    Ok(())
}

/// What takes how much of the disk. Records of the build cache belong to nobody.
async fn usage<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    value: &mut Value,
) -> Result<(), Failure> {
    if let Some(all) = member(value, "Containers") {
        containers(lookup, view, all).await?;
    }
    if let Some(all) = member(value, "Images") {
        retain(view, all, image)?;
    }
    if let Some(all) = member(value, "Volumes") {
        retain(view, all, volume)?;
    }
    if view.is_own() {
        if let Some(all) = member(value, "BuildCache") {
            items(all)?.clear();
        }
        // Newer engines have the same once more, by kind.
        for key in ["ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"] {
            if let Some(members) = value.as_object_mut() {
                members.remove(key);
            }
        }
    }
    Ok(())
}

/// Of a swarm, or plugins: by name, or by id.
fn others<G: Guard>(view: &View<'_, G>, kind: &str, value: &mut Value) -> Result<(), Failure> {
    let resource = |item: &Value| {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let name = text(item.pointer("/Spec/Name"))
            .or_else(|| text(item.get("Name")))
            .or_else(|| text(item.get("ID").or_else(|| item.get("Id"))))
            .unwrap_or_default();
        Resource::DockerObject { kind: kind.to_owned(), name }
    };
    retain(view, value, |item| Ok(resource(item)))?;
    for item in items(value)? {
        let about = resource(item);
        redact::object(view, Some(&about), item);
    }
    Ok(())
}
