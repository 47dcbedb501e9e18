//! A secret on its way: it is read, and its file is put into the container. Its value lives here only,
//! between the two.

use std::sync::Arc;

use sealock_core::policy::ContainerFacts;
use sealock_engine::Container;
use tokio::time::timeout;

use super::denial::{Basis, Ground};
use super::entry::{Entry, Reason, World};
use super::outcome::{Arrived, Goods, ReadSecret};
use super::password::refused;
use super::ports::{Contents, Parcel, Refusal, SecretSource, Site, SiteError, WantedSecret};
use super::settings::WatcherSettings;
use super::work::{Done, late, request_id, started_at};
use crate::labels::{Kind, SecretRequest};

#[derive(Debug)]
pub(super) struct SecretDelivery {
    container: Arc<Container>,
    wanted: WantedSecret,
    request: SecretRequest,
    started_at: String,
    digest: String,
    basis: Basis,
}

impl SecretDelivery {
    pub(super) fn new(
        entry: &Entry,
        request: &SecretRequest,
        facts: ContainerFacts,
        world: &World<'_>,
    ) -> Self {
        Self {
            container: Arc::clone(&entry.container),
            wanted: WantedSecret {
                container: facts,
                secret: request.secret.clone(),
                name: request.name.clone(),
                request: request_id(),
            },
            request: request.clone(),
            started_at: started_at(&entry.container),
            digest: entry.wanted.digest.clone(),
            basis: entry.basis(world),
        }
    }

    pub(super) async fn perform(
        self,
        source: &dyn SecretSource,
        site: &dyn Site,
        settings: &WatcherSettings,
    ) -> Done {
        let Self { container, wanted, request: label, started_at, digest, basis } = self;
        let (secret, request) = (wanted.secret.clone(), wanted.request.clone());
        let read = match timeout(settings.deliver_deadline, source.read(wanted)).await {
            Ok(Ok(read)) => read,
            Ok(Err(refusal)) => return refused(refusal, Ground::Policy(basis), &request),
            Err(_) => return Done::Failed(late("the reading of the secret")),
        };
        let hint = no_disk(&label);
        let parcel = Parcel {
            path: label.path,
            owner: label.owner,
            contents: Contents::File { mode: label.mode, content: read.value },
            memory_only: !label.on_disk,
            request: request.clone(),
        };
        let sent = timeout(settings.deliver_deadline, site.deliver(container, parcel)).await;
        let goods = Goods::Secret(ReadSecret { secret, version: read.version, basis });
        match sent.unwrap_or_else(|_| Err(late("the delivery"))) {
            Ok(delivered) => {
                Done::Delivered(Arrived { started_at, wanted: digest, delivered, request, goods })
            }
            Err(SiteError::OnDisk { reason }) => {
                let reason = Reason { text: reason, hint: Some(hint) };
                Done::Denied { reason, ground: Ground::Place { started_at }, request }
            }
            Err(error) => Done::Failed(error),
        }
    }
}

/// A question of policy about a secret that was delivered before, or is the password of what was.
#[derive(Debug)]
pub(super) struct SecretQuestion {
    wanted: WantedSecret,
    basis: Basis,
}

impl SecretQuestion {
    /// `None` when there is no secret in it.
    pub(super) fn new(entry: &Entry, facts: ContainerFacts, world: &World<'_>) -> Option<Self> {
        let wanted = WantedSecret {
            container: facts,
            secret: entry.wanted.reads()?.clone(),
            name: entry.key.name.clone(),
            request: request_id(),
        };
        Some(Self { wanted, basis: entry.basis(world) })
    }

    pub(super) async fn perform(
        self,
        source: &dyn SecretSource,
        settings: &WatcherSettings,
    ) -> Done {
        let request = self.wanted.request.clone();
        let answer = timeout(settings.deliver_deadline, source.allowed(self.wanted)).await;
        let answer = answer.unwrap_or_else(|_| {
            let reason = "policy did not answer in time".to_owned();
            Err(Refusal::Unavailable { reason, hint: None })
        });
        Done::Asked { answer, basis: self.basis, request }
    }
}

/// What to do about a secret that would reach a disk.
fn no_disk(label: &SecretRequest) -> String {
    let folder = match label.path.folder() {
        "/run/sealock/secrets" => "/run/sealock",
        other => other,
    };
    format!(
        "mount a tmpfs there, such as docker run --tmpfs {folder}, or allow the disk: \
         {}{}.on-disk=allowed",
        Kind::Secret.prefix(),
        label.name
    )
}
