//! What a request is about, as policy sees it; and the request that is forwarded in its place.

use hyper::StatusCode;
use sealock_core::policy::{Action, ContainerFacts, ObjectFacts, Resource};

use super::answer::Failure;
use super::lookup::Lookup;
use crate::route::image_name::ImageName;
use crate::route::{Object, Reference, Routed};

/// Something that a request names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) resource: Resource,
    /// As the request calls it.
    pub(super) said: String,
    /// Whether the engine has it, and it is there for the client.
    pub(super) is_there: bool,
    /// What it really is, where that is hidden from the client.
    pub(super) hidden: Option<Resource>,
    /// What it would be if the engine did not have it.
    unknown: Resource,
    /// Another word for it than its kind's: an exec is asked for as its container.
    word: Option<&'static str>,
}

impl Named {
    pub(super) fn new(resource: Option<Resource>, unknown: Resource, said: String) -> Self {
        let is_there = resource.is_some();
        let resource = resource.unwrap_or_else(|| unknown.clone());
        Self { resource, said, is_there, hidden: None, unknown, word: None }
    }

    /// Makes it the same as if the engine did not have it, for policy too: so nobody can tell.
    pub(super) fn hide(&mut self) {
        self.is_there = false;
        self.hidden = Some(std::mem::replace(&mut self.resource, self.unknown.clone()));
    }

    /// What the engine answers of something that it does not have.
    pub(super) fn absent(&self) -> Failure {
        let said = &self.said;
        let text = match (&self.resource, self.word) {
            (_, Some(word)) => format!("No such {word}: {said}"),
            (Resource::Container(_), _) => format!("No such container: {said}"),
            (Resource::DockerImage(_), _) => {
                let short = said.strip_prefix("docker.io/").unwrap_or(said);
                let short = short.strip_prefix("library/").unwrap_or(short);
                format!("No such image: {short}")
            }
            (Resource::DockerNetwork(_), _) => format!("network {said} not found"),
            (Resource::DockerVolume(_), _) => format!("get {said}: no such volume"),
            (Resource::DockerObject { kind, .. }, _) => format!("{kind} {said} not found"),
            _ => format!("no such object: {said}"),
        };
        Failure::new(StatusCode::NOT_FOUND, text)
    }
}

/// What the path and the query of a request name, and the request with it named by its id: what was decided on,
/// whatever a name stands for meanwhile.
pub(super) struct About {
    pub(super) named: Vec<Named>,
    pub(super) routed: Routed,
}

/// Asks the engine what the objects are that the request names.
///
/// What the engine does not have is still a resource, by its name alone: whoever may not touch the object is
/// told so and not whether it is there, and the others get the engine's own word for it.
pub(super) async fn about(lookup: &Lookup, routed: Routed) -> Result<About, Failure> {
    let mut named = Vec::new();
    let mut id = None;
    let mut pinned = None;
    for object in routed.objects() {
        let said = object.name();
        named.push(match object {
            Object::Container(name) | Object::Checkpoint { container: name, .. } => {
                let facts = lookup.container(name).await?;
                id = facts.as_ref().and_then(|facts| Reference::parse(&facts.id).ok());
                let unknown = Resource::Container(named_container(name.as_str()));
                Named::new(facts.map(Resource::Container), unknown, name.to_string())
            }
            Object::Exec(exec) => {
                let facts = lookup.container_of_exec(exec).await?;
                let unknown = Resource::Container(named_container(exec.as_str()));
                let named = Named::new(facts.map(Resource::Container), unknown, said);
                Named { word: Some("exec instance"), ..named }
            }
            Object::Network(name) => {
                let named = network(lookup, name).await?;
                if let (true, Resource::DockerNetwork(facts)) = (named.is_there, &named.resource) {
                    pinned = Some(facts.id.clone());
                }
                named
            }
            Object::Volume(name) => {
                let facts = lookup.volume(name).await?.map(|volume| volume.facts);
                let unknown = Resource::DockerVolume(unknown(name));
                Named::new(facts.map(Resource::DockerVolume), unknown, said)
            }
            Object::Image(name) => {
                let (named, id) = image(lookup, name, routed.action()).await?;
                // A name in its long form is never taken for the beginning of an id.
                pinned = id.filter(|_| name.is_id());
                named
            }
            other => {
                let kind = other.kind().to_owned();
                let resource = Resource::DockerObject { kind, name: other.name() };
                Named::new(Some(resource.clone()), resource, said)
            }
        });
    }
    let routed = match (id, pinned) {
        (Some(id), _) => routed.with_container(&id),
        (None, Some(id)) => routed.with_id(&id),
        (None, None) => routed,
    };
    Ok(About { named, routed })
}

/// The same without asking the engine, for what policy permits whatever it is about.
pub(super) fn unasked(routed: Routed) -> About {
    let named = routed.objects().iter().map(|object| {
        let name = object.name();
        let of = |name: &str| ObjectFacts { name: name.to_owned(), ..ObjectFacts::default() };
        let resource = match object {
            Object::Container(_) | Object::Checkpoint { .. } | Object::Exec(_) => {
                Resource::Container(named_container(&name))
            }
            Object::Network(_) => Resource::DockerNetwork(of(&name)),
            Object::Volume(_) => Resource::DockerVolume(of(&name)),
            Object::Image(image) => Resource::DockerImage(image.facts()),
            other => Resource::DockerObject { kind: other.kind().to_owned(), name: name.clone() },
        };
        Named::new(Some(resource.clone()), resource, name)
    });
    About { named: named.collect(), routed }
}

/// A network by name, id or prefix.
pub(super) async fn network(lookup: &Lookup, name: &Reference) -> Result<Named, Failure> {
    let facts = lookup.network(name).await?;
    let unknown = Resource::DockerNetwork(unknown(name));
    Ok(Named::new(facts.map(Resource::DockerNetwork), unknown, name.to_string()))
}

/// With the image's whole id.
async fn image(
    lookup: &Lookup,
    name: &ImageName,
    action: Action,
) -> Result<(Named, Option<String>), Failure> {
    let unknown = Resource::DockerImage(name.facts());
    // What is pulled or looked for in a registry is another image than the one that is here.
    if matches!(action, Action::DockerImageCreate | Action::DockerDistributionInspect) {
        return Ok((Named::new(Some(unknown.clone()), unknown, name.to_string()), None));
    }
    let (facts, id) = lookup.image_with_id(name).await?.unzip();
    Ok((Named::new(facts.map(Resource::DockerImage), unknown, name.to_string()), id))
}

pub(super) fn named_container(name: &str) -> ContainerFacts {
    ContainerFacts { name: name.to_owned(), ..ContainerFacts::default() }
}

fn unknown(name: &Reference) -> ObjectFacts {
    ObjectFacts { name: name.to_string(), ..ObjectFacts::default() }
}
