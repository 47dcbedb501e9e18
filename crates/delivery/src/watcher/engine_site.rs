//! The real engine and the real carriers behind the watcher's traits.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sealock_core::Clock;
use sealock_engine::{Container, Engine, EngineError, EngineEvent};
use sealock_transfer::plan::Shape;

use super::ports::{
    Contents, Delivered, Held, Host, Parcel, ParcelFile, Place, Site, SiteError, with_causes,
};
use crate::carriers::{CarrierChoice, CarrierError, Silent, direct};
use crate::labels::Reload;
use crate::reload::{ReloadError, reload};
use crate::send::{SendError, SendRequest, send};
use crate::sources::Source;
use crate::verify::{Question, Seen, VerifyError, look};

/// How much of a certificate is read back: a leaf and a few intermediates.
const CERTIFICATE_LIMIT: u64 = 256 * 1024;

/// What the watcher needs, done by an [`Engine`].
#[derive(Debug, Clone)]
pub struct EngineSite {
    engine: Engine,
    clock: Arc<dyn Clock>,
    reload_deadline: Duration,
}

impl EngineSite {
    /// On this engine. `reload_deadline` is how long a reload command may take.
    pub fn new(engine: Engine, clock: Arc<dyn Clock>, reload_deadline: Duration) -> Self {
        Self { engine, clock, reload_deadline }
    }
}

impl Host for EngineSite {
    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, EngineError>> {
        self.engine.running_ids().boxed()
    }

    fn inspect(&self, container: String) -> BoxFuture<'_, Result<Container, EngineError>> {
        async move { self.engine.inspect(&container).await }.boxed()
    }

    fn events(&self, since: Option<i64>) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        self.engine.events(since)
    }
}

impl Site for EngineSite {
    fn deliver(
        &self,
        container: Arc<Container>,
        parcel: Parcel,
    ) -> BoxFuture<'_, Result<Delivered, SiteError>> {
        let request = SendRequest {
            sources: sources(parcel.contents),
            container: container.id.clone(),
            destination: parcel.path.to_string(),
            carrier: CarrierChoice::Auto,
            owner: parcel.owner,
            mode: None,
            memory_only: parcel.memory_only,
            after: None,
        };
        async move {
            let sent = send(&self.engine, self.clock.as_ref(), request, &Silent).await;
            let receipt = sent.map_err(|error| of_send(&error))?;
            Ok(Delivered { changed: receipt.changed, replaced_previous: receipt.replaced })
        }
        .boxed()
    }

    fn held(
        &self,
        container: Arc<Container>,
        place: Place,
    ) -> BoxFuture<'_, Result<Held, SiteError>> {
        async move {
            if !self.engine.is_local() {
                return Ok(Held::Unknown);
            }
            let read = move || look_and_heal(&container, &place);
            match tokio::task::spawn_blocking(read).await {
                Ok(Ok(held)) => Ok(held),
                Ok(Err(CarrierError::Stopped { .. })) => Err(SiteError::Gone),
                Ok(Err(error)) => {
                    tracing::debug!(error = %with_causes(&error), "not looked into the container");
                    Ok(Held::Unknown)
                }
                Err(_) => Ok(Held::Unknown),
            }
        }
        .boxed()
    }

    fn reload(
        &self,
        container: Arc<Container>,
        how: Reload,
    ) -> BoxFuture<'_, Result<(), SiteError>> {
        async move {
            match reload(&self.engine, &container.id, &how, self.reload_deadline).await {
                Ok(()) => Ok(()),
                Err(ReloadError::Engine(error)) => Err(of_engine(&error)),
                Err(error) => Err(failed(&error, None)),
            }
        }
        .boxed()
    }

    fn look(
        &self,
        container: Arc<Container>,
        question: Question,
    ) -> BoxFuture<'_, Result<Seen, SiteError>> {
        async move {
            match look(&self.engine, &container, question).await {
                Ok(seen) => Ok(seen),
                Err(VerifyError::Engine(error)) => Err(of_engine(&error)),
                Err(error) => Err(failed(&error, None)),
            }
        }
        .boxed()
    }
}

fn sources(contents: Contents) -> Vec<Source> {
    let source = |ParcelFile { name, mode, content }: ParcelFile| Source::Content {
        name: name.to_owned(),
        mode,
        content,
    };
    match contents {
        Contents::Folder(files) => files.into_iter().map(source).collect(),
        Contents::File { mode, content } => vec![Source::OneFile { mode, content }],
    }
}

fn look_and_heal(container: &Container, place: &Place) -> Result<Held, CarrierError> {
    let (path, file, limit) = match place {
        Place::Certificate { path, layout } => {
            (path, format!("{path}/{}", layout.certificate()), CERTIFICATE_LIMIT)
        }
        // Its content is the service's business: that it is there is all that is looked for.
        Place::Secret { path } | Place::Trust { path } => (path, path.to_string(), 0),
    };
    let Some(content) = direct::read_file(container, &file, limit)? else {
        return Ok(Held::Nothing);
    };
    let (held, shape) = match place {
        Place::Certificate { .. } => (Held::Certificate(content), Shape::Folder),
        Place::Secret { .. } | Place::Trust { .. } => (Held::File, Shape::File),
    };
    // A delivery that was killed may have left a half-written version with a key or secret in it.
    if let Err(error) = direct::heal(container, path.as_str(), shape) {
        tracing::warn!(path = %path, error = %with_causes(&error), "leftovers not removed");
    }
    Ok(held)
}

fn failed(error: &dyn std::error::Error, hint: Option<&str>) -> SiteError {
    SiteError::Failed { reason: with_causes(error), hint: hint.map(str::to_owned) }
}

fn of_engine(error: &EngineError) -> SiteError {
    match error {
        EngineError::NoSuchContainer { .. }
        | EngineError::NotRunning { .. }
        | EngineError::Paused { .. } => SiteError::Gone,
        // An answer that is late for this container is this container's trouble.
        EngineError::Deadline { .. } => failed(error, error.hint()),
        away if away.is_away() => SiteError::EngineAway,
        other => failed(other, other.hint()),
    }
}

fn of_send(error: &SendError) -> SiteError {
    if let SendError::Carrier { source, .. } = error
        && source.is_on_disk()
    {
        return SiteError::OnDisk { reason: with_causes(error) };
    }
    let engine = match error {
        SendError::Container { source, .. } => Some(source),
        SendError::Carrier { source: CarrierError::Engine(source), .. } => Some(source),
        SendError::Carrier { source: CarrierError::Stopped { .. }, .. } => {
            return SiteError::Gone;
        }
        _ => None,
    };
    match engine.map(of_engine) {
        Some(SiteError::Failed { .. }) | None => failed(error, error.hint()),
        Some(other) => other,
    }
}
