//! What happens on the engine, as a stream.

use std::collections::HashMap;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};

use crate::error::{self, Subject};
use crate::{Engine, EngineError};

/// The kinds of event that deliveries follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A container's first process has been started.
    Started,
    /// A container's first process has ended.
    Died,
    /// A container was removed.
    Destroyed,
    /// A container has a new name.
    Renamed,
    /// A container was attached to a network.
    NetworkConnected,
    /// A container was detached from a network.
    NetworkDisconnected,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which container, by its full id.
    pub container: String,
    /// When, on the engine's clock, in nanoseconds since the Unix epoch. Passing it to
    /// [`Engine::events`] continues there (this event comes once more).
    pub at: i64,
}

impl Engine {
    /// Events from now on, or from `since` (nanoseconds since the Unix epoch; the engine keeps the
    /// last 256 events only) and then on. The stream ends with exactly one error, which is
    /// [`EngineError::EventsEnded`] when the engine closed it. Connecting again is the caller's.
    pub fn events(
        &self,
        since: Option<i64>,
    ) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        let mut filters = HashMap::new();
        filters.insert("type", vec!["container", "network"]);
        filters.insert("event", vec!["start", "die", "destroy", "rename", "connect", "disconnect"]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(since) = since {
            let (seconds, rest) =
                (since.div_euclid(1_000_000_000), since.rem_euclid(1_000_000_000));
            options = options.since(&format!("{seconds}.{rest:09}"));
        }
        let url = self.url.clone();
        let messages = match self.docker() {
            Ok(docker) => docker.events(Some(options.build())),
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let read = messages.map(move |message| match message {
            Ok(message) => Ok(understand(message)),
            // A connection that breaks in the stream is how an engine that is killed looks.
            Err(
                bollard::errors::Error::HyperResponseError { .. }
                | bollard::errors::Error::IOError { .. },
            ) => Err(EngineError::EventsEnded),
            Err(error) => Err(error::translate("events", Subject::None, &url, error)),
        });
        let ended = stream::iter([Err(EngineError::EventsEnded)]);
        read.chain(ended)
            .scan(false, |failed, item| {
                let next = (!*failed).then_some(item);
                *failed = matches!(next, Some(Err(_)));
                std::future::ready(next)
            })
            .filter_map(|item| std::future::ready(item.transpose()))
            .boxed()
    }
}

fn understand(message: EventMessage) -> Option<EngineEvent> {
    let actor = message.actor?;
    let kind = match (message.typ?, message.action?.as_str()) {
        (EventMessageTypeEnum::CONTAINER, "start") => EventKind::Started,
        (EventMessageTypeEnum::CONTAINER, "die") => EventKind::Died,
        (EventMessageTypeEnum::CONTAINER, "destroy") => EventKind::Destroyed,
        (EventMessageTypeEnum::CONTAINER, "rename") => EventKind::Renamed,
        (EventMessageTypeEnum::NETWORK, "connect") => EventKind::NetworkConnected,
        (EventMessageTypeEnum::NETWORK, "disconnect") => EventKind::NetworkDisconnected,
        _ => return None,
    };
    let container = match kind {
        EventKind::NetworkConnected | EventKind::NetworkDisconnected => {
            actor.attributes?.remove("container")?
        }
        _ => actor.id?,
    };
    Some(EngineEvent { kind, container, at: message.time_nano? })
}
