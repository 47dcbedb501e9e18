//! Doing what the book says: each task talks to the source, the engine or the container, with a
//! deadline, and comes back with what became of it.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sealock_core::SubjectName;
use sealock_engine::Container;
use tokio::time::timeout;

use super::WatcherParts;
use super::book::Book;
use super::deliver_certificate::CertificateDelivery;
use super::deliver_secret::{SecretDelivery, SecretQuestion};
use super::deliver_trust::TrustDelivery;
use super::denial::{Basis, Ground};
use super::entry::{Reason, Step, World};
use super::outcome::{Arrived, Holds, normal};
use super::password::Sources;
use super::ports::{Held, Place, Refusal, Site, SiteError, Trust};
use super::record::EntryKey;
use super::settings::WatcherSettings;
use super::wanted::What;
use crate::labels::{Endpoint, Reload};
use crate::verify::{Question, Seen, serial_of};

/// Something to do in a container, with all it takes.
#[derive(Debug)]
pub(super) enum Task {
    Certificate(Box<CertificateDelivery>),
    Secret(Box<SecretDelivery>),
    Trust(Box<TrustDelivery>),
    Ask(Box<SecretQuestion>),
    Check { container: Arc<Container>, place: Place },
    Reload { container: Arc<Container>, how: Reload },
    Look { container: Arc<Container>, question: Question },
}

/// What became of a task.
#[derive(Debug)]
pub(super) enum Done {
    Delivered(Arrived),
    Denied { reason: Reason, ground: Ground, request: String },
    Asked { answer: Result<(), Refusal>, basis: Basis, request: String },
    Failed(SiteError),
    Checked { holds: Holds, started_at: String },
    Reloaded(Result<(), SiteError>),
    Looked(Result<Seen, SiteError>),
}

impl Task {
    /// The task for a step of an entry; `None` when the entry has gone meanwhile.
    pub(super) fn new(
        book: &Book,
        key: &EntryKey,
        step: Step,
        trust: &Trust,
        world: &World<'_>,
    ) -> Option<Self> {
        let entry = book.entries.get(key)?;
        let container = Arc::clone(&entry.container);
        let wanted = &entry.wanted;
        let facts = || Some(book.seats.get(&key.container)?.facts.clone());
        match step {
            Step::Wait(_) => None,
            Step::Check => Some(Self::Check { container, place: wanted.place() }),
            Step::Reload => Some(Self::Reload { container, how: wanted.reload().cloned()? }),
            Step::Look => {
                let What::Certificate(certificate) = &wanted.what else { return None };
                let endpoint = wanted.verify()?;
                let imported = certificate.request.imported.as_ref();
                let names = imported.map(|name| world.source.imported_names(name));
                let names = names.as_ref().unwrap_or(&certificate.names);
                let server_name = server_name(endpoint, names)?;
                let anchors = trust.anchors.iter().cloned().map(CertificateDer::from).collect();
                let since = std::time::Duration::from_secs(
                    u64::try_from(world.now.as_secs()).unwrap_or_default(),
                );
                let question = Question {
                    port: endpoint.port,
                    server_name,
                    anchors,
                    now: UnixTime::since_unix_epoch(since),
                    deadline: world.settings.look_deadline,
                };
                Some(Self::Look { container, question })
            }
            Step::Ask => Some(Self::Ask(Box::new(SecretQuestion::new(entry, facts()?, world)?))),
            Step::Deliver => Some(match &wanted.what {
                What::Certificate(certificate) => {
                    let delivery = CertificateDelivery::new(entry, certificate, facts()?, world);
                    Self::Certificate(Box::new(delivery))
                }
                What::Secret(secret) => {
                    Self::Secret(Box::new(SecretDelivery::new(entry, secret, facts()?, world)))
                }
                What::Trust(request) => {
                    let delivery = TrustDelivery::new(entry, request, facts()?, trust, world);
                    Self::Trust(Box::new(delivery))
                }
            }),
        }
    }

    pub(super) async fn perform(self, parts: &WatcherParts, settings: &WatcherSettings) -> Done {
        let (site, secrets) = (parts.site.as_ref(), parts.secrets.as_ref());
        let sources = Sources { secrets, certificates: parts.source.as_ref() };
        match self {
            Self::Certificate(delivery) => delivery.perform(sources, site, settings).await,
            Self::Secret(delivery) => delivery.perform(secrets, site, settings).await,
            Self::Trust(delivery) => delivery.perform(sources, site, settings).await,
            Self::Ask(question) => question.perform(secrets, settings).await,
            Self::Check { container, place } => check(container, place, site, settings).await,
            Self::Reload { container, how } => {
                // The command has its own deadline; this one is for an engine that hangs.
                let deadline = settings.reload_deadline * 2;
                let result = timeout(deadline, site.reload(container, how)).await;
                Done::Reloaded(result.unwrap_or_else(|_| Err(late("the reload"))))
            }
            Self::Look { container, question } => {
                let deadline = settings.look_deadline * 2;
                let result = timeout(deadline, site.look(container, question)).await;
                Done::Looked(result.unwrap_or_else(|_| Err(late("the look at the service"))))
            }
        }
    }
}

pub(super) fn late(what: &str) -> SiteError {
    SiteError::Failed { reason: format!("{what} did not end in time"), hint: None }
}

/// The name to ask the service for: the label's, or the first that the certificate has.
fn server_name(endpoint: &Endpoint, names: &[SubjectName]) -> Option<ServerName<'static>> {
    let first = names.iter().find_map(|name| match name {
        // Any name under a wildcard is as good as another.
        SubjectName::Dns(name) if name.is_wildcard() => {
            Some(name.as_str().replacen('*', "sealock-verify", 1))
        }
        SubjectName::Dns(name) => Some(name.to_string()),
        SubjectName::Ip(address) => Some(address.to_string()),
        SubjectName::Uri(_) | SubjectName::Email(_) => None,
    });
    let name = endpoint.server_name.as_ref().map(ToString::to_string).or(first)?;
    ServerName::try_from(name).ok()
}

async fn check(
    container: Arc<Container>,
    place: Place,
    site: &dyn Site,
    settings: &WatcherSettings,
) -> Done {
    let started_at = started_at(&container);
    let holds = match timeout(settings.deliver_deadline, site.held(container, place)).await {
        Ok(Ok(Held::Certificate(pem))) => {
            let leaf = CertificateDer::from_pem_slice(&pem).ok();
            let serial = leaf.and_then(|leaf| serial_of(&leaf));
            serial.map_or(Holds::Nothing, |serial| Holds::Serial(normal(&serial)))
        }
        Ok(Ok(Held::File)) => Holds::File,
        Ok(Ok(Held::Nothing)) => Holds::Nothing,
        Ok(Err(error @ (SiteError::Gone | SiteError::EngineAway))) => return Done::Failed(error),
        Ok(Ok(Held::Unknown) | Err(SiteError::Failed { .. } | SiteError::OnDisk { .. }))
        | Err(_) => Holds::Unknown,
    };
    Done::Checked { holds, started_at }
}

pub(super) fn started_at(container: &Container) -> String {
    container.started_at.as_ref().map(|start| start.as_str().to_owned()).unwrap_or_default()
}

/// A request id that is new: 64 random bits.
pub(super) fn request_id() -> String {
    let mut bytes = [0_u8; 8];
    // The generator of AWS-LC does not fail once the process runs; zeros would only be less unique.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("w-{}", data_encoding::HEXLOWER.encode(&bytes))
}
