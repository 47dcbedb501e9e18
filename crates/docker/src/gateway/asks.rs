//! Everything that a request wants, one question each.

use std::collections::BTreeMap;

use sealock_core::policy::{Action, ObjectFacts, Resource};
use serde_json::{Value, json};

use super::Ask;
use super::content::Content;
use super::mentions::Mentions;
use super::resources::{Named, named_container};
use crate::body::HostMount;
use crate::route::Routed;

/// The questions of a request, of which each has to be answered with yes.
pub(super) fn asks(
    routed: &Routed,
    named: &[Named],
    mentions: &Mentions,
    content: &Content,
) -> Vec<Ask> {
    let action = routed.action();
    let context = context(routed, content);
    let mut resources: Vec<Resource> = named.iter().map(|named| named.resource.clone()).collect();
    resources.extend(made(routed));
    let mut asks: Vec<Ask> = settled(routed, resources)
        .into_iter()
        .map(|resource| Ask { action, resource: content.named(resource), context: context.clone() })
        .collect();
    along(routed, mentions, &context, &mut asks);
    asks.extend(content.mounts().iter().map(mount));
    asks
}

fn context(routed: &Routed, content: &Content) -> BTreeMap<String, Value> {
    let mut context = content.context();
    if let Some(version) = routed.version() {
        context.insert("apiVersion".to_owned(), Value::String(version.to_string()));
    }
    let mut flag = |name: &str, parameter: &str| {
        context.insert(name.to_owned(), Value::Bool(routed.bool(parameter)));
    };
    match routed.action() {
        Action::DockerContainerAttach | Action::DockerContainerAttachWebsocket => {
            flag("stdin", "stdin");
        }
        Action::DockerContainerDelete => {
            flag("force", "force");
            flag("volumes", "v");
        }
        Action::DockerImageDelete | Action::DockerVolumeDelete => flag("force", "force"),
        _ => {}
    }
    context
}

/// What is asked along with the operation itself: about what its body names, and what it makes by the way.
fn along(
    routed: &Routed,
    mentions: &Mentions,
    context: &BTreeMap<String, Value>,
    asks: &mut Vec<Ask>,
) {
    let action = routed.action();
    let nothing = || -> BTreeMap<String, Value> {
        [("risks", json!([])), ("unknownFields", json!([]))]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    };
    let mut ask = |action, resource: &Resource, context| {
        asks.push(Ask { action, resource: resource.clone(), context });
    };
    match action {
        // The other end of the same connection.
        Action::DockerNetworkConnect | Action::DockerNetworkDisconnect => {
            for container in &mentions.containers {
                ask(action, &container.resource, context.clone());
            }
        }
        Action::DockerContainerCreate => {
            if let Some(image) = &mentions.image {
                ask(Action::DockerImageRun, &image.resource, BTreeMap::new());
            }
            for network in &mentions.networks {
                ask(Action::DockerNetworkConnect, &network.resource, nothing());
            }
            for name in mentions.new_volumes() {
                let facts = ObjectFacts { name: name.to_owned(), ..ObjectFacts::default() };
                ask(Action::DockerVolumeCreate, &Resource::DockerVolume(facts), nothing());
            }
        }
        // The operation is about the engine or about a container; the names it gives are another matter.
        Action::DockerImageBuild | Action::DockerImageCommit => {
            for name in routed.new_images() {
                let named = Resource::DockerImage(name.facts());
                ask(Action::DockerImageTag, &named, BTreeMap::new());
            }
        }
        _ => {}
    }
}

/// Some operations are about the engine whatever they name, or about one kind of object only.
fn settled(routed: &Routed, mut resources: Vec<Resource>) -> Vec<Resource> {
    match routed.action() {
        // The archive is of several images; who may read them all may read each.
        Action::DockerImageGetAll
        | Action::DockerImageBuild
        | Action::DockerImageLoad
        | Action::DockerPluginPrivileges => return vec![Resource::DockerEngine],
        // About the container that it is made of.
        Action::DockerImageCommit => {
            resources.retain(|resource| matches!(resource, Resource::Container(_)));
        }
        _ => {}
    }
    if resources.is_empty() {
        resources.push(Resource::DockerEngine);
    }
    resources
}

/// What the request makes, by the name that it gives.
fn made(routed: &Routed) -> Vec<Resource> {
    match routed.action() {
        Action::DockerContainerCreate => {
            let name = routed.text("name").unwrap_or_default();
            vec![Resource::Container(named_container(name))]
        }
        // Their names are in the body.
        Action::DockerNetworkCreate => vec![Resource::DockerNetwork(ObjectFacts::default())],
        Action::DockerVolumeCreate => vec![Resource::DockerVolume(ObjectFacts::default())],
        Action::DockerServiceCreate => vec![object("service")],
        Action::DockerSecretCreate => vec![object("secret")],
        Action::DockerConfigCreate => vec![object("config")],
        Action::DockerPluginCreate => vec![object("plugin")],
        Action::DockerImageTag | Action::DockerImageImport => {
            let names = routed.new_images().iter();
            let names: Vec<_> = names.map(|name| Resource::DockerImage(name.facts())).collect();
            if names.is_empty() {
                return vec![Resource::DockerImage(sealock_core::policy::ImageFacts::default())];
            }
            names
        }
        _ => Vec::new(),
    }
}

fn object(kind: &str) -> Resource {
    Resource::DockerObject { kind: kind.to_owned(), name: String::new() }
}

fn mount(mount: &HostMount) -> Ask {
    let mut context = BTreeMap::from([("readOnly".to_owned(), Value::Bool(mount.read_only))]);
    if let Some(propagation) = &mount.propagation {
        context.insert("propagation".to_owned(), Value::String(propagation.clone()));
    }
    let resource = Resource::HostPath(mount.path.clone());
    Ask { action: Action::DockerMount, resource, context }
}
