//! Gatekeepers and Forwarders that labels ask for: helper containers (sidecars) in the network of the labelled one, made,
//! started and owned by `up`.
//!
//! ```text
//! labels (sealock.guard.…) → strict parser → policy: may this container be guarded as that service?
//!   → our own program as an image → a confined container in its network → its id is written down
//!   → started → attested by that id: it acts for its service → certificate by the delivery plane → it listens
//! ```
//!
//! What is done is derived in every round from what there is ([`plan`]): labels, containers, records, policy. Events of
//! the engine only make a round come sooner. So a SIGKILL at any moment is healed by the next round: what was made and not
//! written down is removed, what was written down and not started is started, and what is as it should be is left alone,
//! with the calls that run through it. At an orderly end sidecars stay: calls go on while `up` is away.
//!
//! **What an attacker controls:** the labels, name, networks and life of their own containers, and containers that look
//! like a sidecar. A label gives no identity that policy does not grant. A sidecar is recognised by its id, which nobody
//! chooses; whatever only carries its labels is nobody, and is removed. The Gatekeeper acts as the service; the Forwarder
//! as the container itself, so that being a service's Gatekeeper gives nobody the right to call as that service.

mod image;
mod listening;
mod plan;
mod record;
mod spec;
mod status;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sealock_engine::{Engine, EngineError, EngineEvent};
use sealock_net::Shutdown;

pub(crate) use record::SidecarRecords;
pub(crate) use status::Shown;

use crate::service::Service;
use work::Work;

/// A round comes at least this often.
const LONGEST: Duration = Duration::from_secs(30);
/// While something is on its way, or was refused by the engine.
const SOON: Duration = Duration::from_millis(500);
/// Events that come together make one round.
const TOGETHER: Duration = Duration::from_millis(50);
/// Before the engine's events are asked for again.
const AGAIN: Duration = Duration::from_secs(1);

type Events = BoxStream<'static, Result<EngineEvent, EngineError>>;

/// Looks after the sidecars of one engine.
pub(crate) struct Sidecars {
    service: Arc<Service>,
    engine: Engine,
    work: Work,
}

impl Sidecars {
    /// Of this engine. `workload` is the socket for containers, without which a sidecar is nobody. What there is to be seen
    /// goes to `shown`.
    pub(crate) fn new(
        service: &Arc<Service>,
        engine: &Engine,
        workload: Option<PathBuf>,
        shown: Arc<ArcSwap<Shown>>,
    ) -> Self {
        let work = Work::new(Arc::clone(service), engine.clone(), workload, shown);
        Self { service: Arc::clone(service), engine: engine.clone(), work }
    }

    /// Rounds until the shutdown signal. Sidecars stay.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut changes = self.service.changes();
        let mut events: Option<Events> = None;
        loop {
            // Asked for before anything is looked at, so that nothing is missed in between.
            let following = events.get_or_insert_with(|| self.engine.events(None));
            let began = tokio::time::Instant::now();
            let round = tokio::select! {
                () = shutdown.triggered() => return,
                round = self.work.round() => round,
            };
            let pause = match round {
                Ok(settled) => {
                    if settled {
                        LONGEST
                    } else {
                        SOON
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, causes = ?error.causes, "a round of sidecars failed");
                    AGAIN
                }
            };
            // What takes long is not done all the time.
            let rest = began.elapsed().max(TOGETHER);
            let lost = tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(pause) => false,
                _ = changes.changed() => false,
                event = following.next() => !matches!(event, Some(Ok(_))),
            };
            if lost {
                events = None;
            }
            let rest = if lost { AGAIN } else { rest };
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(rest) => {}
            }
            if let Some(following) = &mut events {
                while let Some(Some(Ok(_))) =
                    futures_util::FutureExt::now_or_never(following.next())
                {}
            }
        }
    }
}
