//! What the body of a request names: the image, networks, volumes and other containers of a container.
//!
//! They are looked up like what stands in the path. A volume that is there already has options of its own, which
//! count as if they stood in the request: whoever may mount a volume gets what it mounts.

use sealock_core::policy::{Action, ObjectFacts, Resource};

use super::Guard;
use super::answer::Failure;
use super::content::Content;
use super::lookup::Lookup;
use super::resources::{Named, named_container, network};
use super::view::View;
use crate::body::{Pinned, existing_volume};
use crate::route::Reference;
use crate::route::image_name::ImageName;

/// How many networks, containers and volumes a request may name.
const MOST: usize = 128;
/// Digits of a whole id.
const ID: usize = 64;

/// What a body names.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    pub(super) image: Option<Named>,
    /// The image's id, where the body has a name that may be given to another.
    pub(super) tagged: Option<String>,
    pub(super) networks: Vec<Named>,
    pub(super) containers: Vec<Named>,
    pub(super) volumes: Vec<Named>,
}

impl Mentions {
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Named> {
        let objects = self.networks.iter_mut().chain(&mut self.containers);
        // A volume that is not there is made; anything else has to be there.
        let old = |volume: &&mut Named| volume.is_there || volume.hidden.is_some();
        let volumes = self.volumes.iter_mut().filter(old);
        objects.chain(&mut self.image).chain(volumes)
    }

    /// Volumes that the engine would make along the way.
    pub(super) fn new_volumes(&self) -> impl Iterator<Item = &str> {
        let new = |volume: &&Named| !volume.is_there && volume.hidden.is_none();
        self.volumes.iter().filter(new).map(|volume| volume.said.as_str())
    }
}

/// Looks up what the body names, and adds to the content what comes of it.
pub(super) async fn mentions<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    action: Action,
    content: &mut Content,
) -> Result<Mentions, Failure> {
    let mut mentions = Mentions::default();
    let names = match action {
        Action::DockerContainerCreate
        | Action::DockerNetworkConnect
        | Action::DockerNetworkDisconnect
        | Action::DockerImageBuild
        | Action::DockerServiceCreate
        | Action::DockerServiceUpdate => content.names(),
        _ => return Ok(mentions),
    };
    let many = names.networks.len() + names.containers.len() + names.volumes.len();
    if many > MOST {
        return Err(Failure::bad(format!("a request names no more than {MOST} objects here")));
    }
    // Whoever may do all this on everything is not asked about each.
    let permits = |action| view.guard().permits(view.client, action, None);
    let free = !view.is_own() && permits(action);
    if !(free && permits(Action::DockerNetworkConnect)) {
        for name in names.networks {
            not_a_prefix(view, &name)?;
            let named = network(lookup, &reference(&name)?).await?;
            if let (true, Resource::DockerNetwork(facts)) = (view.is_own(), &named.resource)
                && named.is_there
            {
                content.pin_network(&name, &facts.id);
            }
            mentions.networks.push(named);
        }
    }
    if !free {
        for name in names.containers {
            let facts = lookup.container(&reference(&name)?).await?;
            match (&facts, action) {
                (Some(facts), Action::DockerNetworkConnect | Action::DockerNetworkDisconnect) => {
                    content.pin(Pinned::Container, &facts.id);
                }
                (Some(facts), Action::DockerContainerCreate) if view.is_own() => {
                    not_a_prefix(view, &name)?;
                    content.pin_joined(&name, &facts.id);
                }
                _ => not_a_prefix(view, &name)?,
            }
            let unknown = Resource::Container(named_container(&name));
            mentions.containers.push(Named::new(facts.map(Resource::Container), unknown, name));
        }
    }
    if action != Action::DockerContainerCreate {
        return Ok(mentions);
    }
    if !(free && permits(Action::DockerMount)) {
        for name in names.volumes {
            mentions.volumes.push(volume(lookup, view, name, content).await?);
        }
    }
    if !(free && permits(Action::DockerImageRun)) {
        image(lookup, view, content, &mut mentions).await?;
    }
    Ok(mentions)
}

async fn volume<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    name: String,
    content: &mut Content,
) -> Result<Named, Failure> {
    let found = lookup.volume(&reference(&name)?).await?;
    let unknown =
        Resource::DockerVolume(ObjectFacts { name: name.clone(), ..ObjectFacts::default() });
    let facts = match found {
        None => None,
        Some(volume) => {
            let resource = Resource::DockerVolume(volume.facts);
            if view.shows(&resource) {
                let (mounts, risks) = existing_volume(&volume.driver, &volume.options)
                    .map_err(|error| Failure::denied(format!("the volume {name}: {error}")))?;
                content.also(mounts, risks);
            }
            Some(resource)
        }
    };
    Ok(Named::new(facts, unknown, name))
}

async fn image<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    content: &mut Content,
    mentions: &mut Mentions,
) -> Result<(), Failure> {
    let Some(said) = content.image().map(str::to_owned) else { return Ok(()) };
    let name = ImageName::parse(&said)
        .map_err(|error| Failure::bad(format!("the image of the container: {error}")))?
        .or_latest();
    let found = lookup.image_with_id(&name).await?.map(|(facts, id)| {
        // A name of hexadecimal digits may stand for another image by the time the engine reads it.
        if view.is_own() && ImageName::parse(&said).is_ok_and(|name| name.is_id()) {
            content.pin(Pinned::Image, &id);
        } else {
            mentions.tagged = Some(id);
        }
        let labels = facts.labels.clone();
        (Resource::DockerImage(facts), labels)
    });
    if let Some((resource, labels)) = &found
        && view.shows(resource)
    {
        content.inherits(labels);
    }
    let unknown = Resource::DockerImage(name.facts());
    let resource = found.map(|(resource, _)| resource);
    mentions.image = Some(Named::new(resource, unknown, name.to_string()));
    Ok(())
}

/// The engine looks such a name up once more: it may be gone by then, and the beginning of another's id.
fn not_a_prefix<G: Guard>(view: &View<'_, G>, name: &str) -> Result<(), Failure> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if view.is_own() && name.len() < ID && name.bytes().all(is_hex) {
        return Err(Failure::bad(format!(
            "{name} may be the beginning of an id; say the whole id, or use a name that is not of hexadecimal digits only"
        )));
    }
    Ok(())
}

fn reference(name: &str) -> Result<Reference, Failure> {
    // The engine takes a leading slash before a container's name.
    let name = name.strip_prefix('/').unwrap_or(name);
    Reference::parse(name).map_err(|error| Failure::bad(error.to_string()))
}
