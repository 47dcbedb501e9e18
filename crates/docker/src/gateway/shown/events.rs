//! The engine's events, one JSON object in a line, without those that are not for somebody.
//!
//! The stream has no task of its own: whoever reads it drives it, and when they leave it ends.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sealock_core::policy::{Action, ContainerFacts, ImageFacts, Resource};
use sealock_net::proxy::{UpstreamBody, UpstreamError};
use serde::Deserialize;
use serde_json::Value;

use super::super::answer::Narrowed;
use super::super::lookup::Lookup;
use super::super::view::View;
use super::super::{Client, Guard};
use crate::filters::{IMAGE_OWNER_LABEL, OWNER_LABEL};
use crate::route::Reference;

/// Bytes of one event. A container has all its labels in it.
const LONGEST: usize = 8 << 20;
/// Objects of which it is remembered whether they are shown, since the last event of one comes when it is gone.
const REMEMBERED: usize = 10_000;

/// What an event says of a container besides its labels.
const OWN_ATTRIBUTES: [&str; 12] = [
    "name",
    "image",
    "exitCode",
    "signal",
    "execID",
    "execDuration",
    "oldName",
    "comment",
    "destination",
    "driver",
    "propagation",
    "read/write",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    #[serde(default)]
    action: String,
    actor: Actor,
}

/// Of an exec, the engine tells the whole command.
fn without_commands(value: &mut Value) {
    for key in ["Action", "status"] {
        let Some(Value::String(text)) = value.get_mut(key) else { continue };
        if text.starts_with("exec_") {
            text.truncate(text.find(':').unwrap_or(text.len()));
        }
    }
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Option<std::collections::BTreeMap<String, String>>,
}

struct Stream<G> {
    body: UpstreamBody,
    /// What came of a line that is not over yet.
    begun: Vec<u8>,
    /// Lines that are to be looked at.
    lines: std::vec::IntoIter<Vec<u8>>,
    watcher: Watcher<G>,
}

struct Watcher<G> {
    lookup: Lookup,
    guard: Arc<G>,
    client: Client,
    known: HashMap<String, bool>,
}

/// The events that this client is shown.
pub(super) fn narrowed<G: Guard>(
    body: UpstreamBody,
    lookup: Lookup,
    guard: &Arc<G>,
    client: Client,
) -> StreamBody<Narrowed> {
    let watcher = Watcher { lookup, guard: Arc::clone(guard), client, known: HashMap::new() };
    let stream = Stream { body, begun: Vec::new(), lines: Vec::new().into_iter(), watcher };
    StreamBody::new(Box::pin(unfold(stream, step)))
}

type Piece = Result<Frame<Bytes>, UpstreamError>;

async fn step<G: Guard>(mut stream: Stream<G>) -> Option<(Piece, Stream<G>)> {
    loop {
        while let Some(line) = stream.lines.next() {
            if let Some(shown) = stream.watcher.shown(&line).await {
                return Some((Ok(Frame::data(shown)), stream));
            }
        }
        let data = match stream.body.frame().await? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some((Err(error), stream)),
        };
        stream.begun.extend_from_slice(&data);
        let mut lines: Vec<Vec<u8>> =
            stream.begun.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        stream.begun = lines.pop_if(|line| !line.ends_with(b"\n")).unwrap_or_default();
        // No engine says so much in one line: whatever it is, nobody is shown it.
        if stream.begun.len() > LONGEST {
            return None;
        }
        stream.lines = lines.into_iter();
    }
}

impl<G: Guard> Watcher<G> {
    /// The line as it is shown, if it is.
    async fn shown(&mut self, line: &[u8]) -> Option<Bytes> {
        let mut value: Value = serde_json::from_slice(line).ok()?;
        let event = Event::deserialize(&value).ok()?;
        let guard = Arc::clone(&self.guard);
        let client = self.client.clone();
        let view = View::new(&*guard, &client);
        if view.is_own() && !self.is_shown(&view, &event).await {
            return None;
        }
        if event.r#type == "container" {
            let container = Resource::Container(self.container(&event));
            if !guard.permits(&client, Action::DockerSeeEnvironment, Some(&container)) {
                without_commands(&mut value);
            }
            if !guard.permits(&client, Action::DockerSeeLabels, Some(&container))
                && let Some(Value::Object(all)) = value.pointer_mut("/Actor/Attributes")
            {
                all.retain(|key, _| OWN_ATTRIBUTES.contains(&key.as_str()));
            }
        }
        let mut text = value.to_string();
        text.push('\n');
        Some(Bytes::from(text))
    }

    async fn is_shown(&mut self, view: &View<'_, G>, event: &Event) -> bool {
        let attribute = |key: &str| event.actor.attributes.as_ref()?.get(key);
        let key = format!("{}/{}", event.r#type, event.actor.id);
        if event.r#type == "image" {
            // When it goes, its labels have gone before it.
            if event.action == "delete" {
                return self.known.get(&key).copied().unwrap_or(false);
            }
            let owner = attribute(IMAGE_OWNER_LABEL).cloned();
            let reference = attribute("name").unwrap_or(&event.actor.id).clone();
            let facts = ImageFacts { reference, owner, ..ImageFacts::default() };
            let shown = view.shows(&Resource::DockerImage(facts));
            self.remember(key, shown);
            return shown;
        }
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let Ok(reference) = Reference::parse(&event.actor.id) else { return false };
        let shown = match event.r#type.as_str() {
            "container" => {
                // Most events are of others; the engine need not be asked about them.
                let claimed = attribute(OWNER_LABEL).is_some_and(|owner| owner == view.me());
                if claimed {
                    let facts = self.lookup.container(&reference).await.ok().flatten();
                    facts.is_some_and(|facts| view.shows(&Resource::Container(facts)))
                } else {
                    view.shows(&Resource::Container(self.container(event)))
                }
            }
            // Who comes and goes in a network of everybody's is nobody's matter.
            "network" => {
                let facts = self.lookup.network(&reference).await.ok().flatten();
                facts.is_some_and(|facts| view.owns(&Resource::DockerNetwork(facts)))
            }
            "volume" => {
                let volume = self.lookup.volume(&reference).await.ok().flatten();
                volume.is_some_and(|volume| view.shows(&Resource::DockerVolume(volume.facts)))
            }
            _ => false,
        };
        self.remember(key, shown);
        shown
    }

    fn remember(&mut self, key: String, shown: bool) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(key, shown);
    }

    /// As the event has it; whose it is, an event does not tell.
    fn container(&self, event: &Event) -> ContainerFacts {
        let labels = event.actor.attributes.clone().unwrap_or_default();
        let text = |key: &str| labels.get(key).cloned().unwrap_or_default();
        ContainerFacts {
            id: event.actor.id.clone(),
            name: text("name"),
            image: text("image"),
            service: labels.get("com.docker.compose.service").cloned(),
            project: labels.get("com.docker.compose.project").cloned(),
            labels,
            ..ContainerFacts::default()
        }
    }
}
