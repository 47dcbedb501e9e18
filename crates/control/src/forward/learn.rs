//! Which services there are, as the broker knows them: followed as it changes, and gone on with while the broker is away.

use std::sync::Arc;
use std::time::Duration;

use sealock_core::TrustDomain;
use sealock_net::Shutdown;
use sealock_traffic::forwarder::{Directory, Forwarder, Hop, Service};
use sealock_traffic::registry::{Line, Listed, Listing};

use super::Link;
use crate::error::{ErrorCode, ServiceError};
use crate::guard::spread;

/// A broker says something every five seconds; one that is silent for longer is not there.
const SILENCE: Duration = Duration::from_secs(15);
/// Before the first try again, and the most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) struct Learner {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) broker: Link,
    /// What is written down here, which wins.
    pub(super) own: Directory,
    /// The broker speaks of services of ours and of no others.
    pub(super) domain: TrustDomain,
}

impl Learner {
    pub(super) async fn run(self, shutdown: Shutdown) {
        let (mut pause, mut known) = (PAUSES.0, None);
        loop {
            let mut heard = false;
            let ended = tokio::select! {
                () = shutdown.triggered() => return,
                ended = self.once(&mut known, &mut heard) => ended,
            };
            match ended {
                Ok(()) => tracing::debug!("the directory has ended"),
                Err(error) => {
                    tracing::warn!(%error, causes = ?error.causes, hint = error.hint, "no directory from the broker");
                }
            }
            pause = if heard { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(spread(pause)) => {}
            }
        }
    }

    async fn once(
        &self,
        known: &mut Option<Listing>,
        heard: &mut bool,
    ) -> Result<(), ServiceError> {
        let mut lines = self.broker.services().await?;
        loop {
            let line = tokio::time::timeout(SILENCE, lines.next()).await.map_err(|_| {
                ServiceError::new(ErrorCode::Timeout, "the broker has fallen silent")
            })?;
            let Some(line) = line else { return Ok(()) };
            let line = Line::read(&line?).ok_or_else(|| {
                ServiceError::new(ErrorCode::Fault, "the broker's directory cannot be read")
                    .hint("broker and Forwarder are of different versions")
            })?;
            *heard = true;
            let Line::Services(listing) = line else { continue };
            let listing = listing.after(known.as_ref());
            if known.as_ref().is_none_or(|known| known.services != listing.services) {
                self.take(&listing);
            }
            *known = Some(listing);
        }
    }

    /// In force when this returns. What cannot be used keeps nothing else away.
    fn take(&self, listing: &Listing) {
        let ours = |listed: &&Listed| *listed.service.trust_domain() == self.domain;
        let learnt = listing.services.iter().filter(ours).map(service).collect();
        let (directory, unusable) = self.own.clone().with_learnt(learnt);
        for error in unusable {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a service of the broker's is left out"
            );
        }
        match self.forwarder.replace(directory) {
            Ok(()) => {
                tracing::info!(services = listing.services.len(), "the directory of services")
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the services of the broker cannot be called: whom to trust is said by --identity"
                );
            }
        }
    }
}

fn service(listed: &Listed) -> Service {
    Service {
        name: listed.service.name().to_owned(),
        audience: listed.service.clone(),
        aliases: listed.hosts.clone(),
        instances: listed.addresses.clone(),
        hop: listed.tls.clone().map_or(Hop::Tls, Hop::TlsAs),
    }
}
