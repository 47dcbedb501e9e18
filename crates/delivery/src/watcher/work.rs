//! Doing what the book says: each task talks to the source, the engine or the container, with a
//! deadline, and comes back with what became of it. Keys live here only, between issue and delivery.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sealock_core::{SecretBytes, SubjectName, Timestamp};
use sealock_engine::Container;
use tokio::time::timeout;

use super::book::Book;
use super::entry::{Entry, Reason, Step, World};
use super::outcome::{Arrived, Holds, normal};
use super::ports::{
    CertificateSource, DeliveredCertificate, Held, Parcel, ParcelFile, Refusal, Site, SiteError,
    Trust, WantedCertificate,
};
use super::record::EntryKey;
use super::settings::WatcherSettings;
use sealock_transfer::landing::Owner;

use crate::labels::{ContainerPath, Endpoint, Layout, Reload};
use crate::verify::{Question, Seen, serial_of};

/// Something to do in a container, with all it takes.
#[derive(Debug)]
pub(super) enum Task {
    Deliver(Box<Delivery>),
    Check { container: Arc<Container>, path: ContainerPath, layout: Layout },
    Reload { container: Arc<Container>, how: Reload },
    Look { container: Arc<Container>, question: Question },
}

#[derive(Debug)]
pub(super) struct Delivery {
    container: Arc<Container>,
    wanted: WantedCertificate,
    path: ContainerPath,
    owner: Option<Owner>,
    mode: u32,
    layout: Layout,
    asked_at: Timestamp,
    started_at: String,
    digest: String,
    trust: String,
    policy_epoch: u64,
}

/// What became of a task.
#[derive(Debug)]
pub(super) enum Done {
    Delivered(Arrived),
    Denied { reason: Reason, policy_epoch: u64, trust: String, request: String },
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
        let request = &entry.wanted.request;
        match step {
            Step::Wait(_) => None,
            Step::Check => {
                Some(Self::Check { container, path: request.path.clone(), layout: request.layout })
            }
            Step::Reload => Some(Self::Reload { container, how: request.reload.clone()? }),
            Step::Look => {
                let server_name = server_name(request.verify.as_ref()?, &entry.wanted.names)?;
                let anchors = trust.anchors.iter().cloned().map(CertificateDer::from).collect();
                let since = std::time::Duration::from_secs(
                    u64::try_from(world.now.as_secs()).unwrap_or_default(),
                );
                let question = Question {
                    port: request.verify.as_ref()?.port,
                    server_name,
                    anchors,
                    now: UnixTime::since_unix_epoch(since),
                    deadline: world.settings.look_deadline,
                };
                Some(Self::Look { container, question })
            }
            Step::Deliver => {
                let facts = book.seats.get(&key.container)?.facts.clone();
                Some(Self::Deliver(Box::new(Delivery::new(entry, facts, trust, world))))
            }
        }
    }

    pub(super) async fn perform(
        self,
        source: &dyn CertificateSource,
        site: &dyn Site,
        settings: &WatcherSettings,
    ) -> Done {
        match self {
            Self::Deliver(delivery) => delivery.perform(source, site, settings).await,
            Self::Check { container, path, layout } => {
                check(container, path, layout, site, settings).await
            }
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

fn late(what: &str) -> SiteError {
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
    path: ContainerPath,
    layout: Layout,
    site: &dyn Site,
    settings: &WatcherSettings,
) -> Done {
    let started_at = started_at(&container);
    let holds = match timeout(settings.deliver_deadline, site.held(container, path, layout)).await {
        Ok(Ok(Held::Certificate(pem))) => {
            let leaf = CertificateDer::from_pem_slice(&pem).ok();
            let serial = leaf.and_then(|leaf| serial_of(&leaf));
            serial.map_or(Holds::Nothing, |serial| Holds::Serial(normal(&serial)))
        }
        Ok(Ok(Held::Nothing)) => Holds::Nothing,
        Ok(Err(error @ (SiteError::Gone | SiteError::EngineAway))) => return Done::Failed(error),
        Ok(Ok(Held::Unknown) | Err(SiteError::Failed { .. })) | Err(_) => Holds::Unknown,
    };
    Done::Checked { holds, started_at }
}

fn started_at(container: &Container) -> String {
    container.started_at.as_ref().map(|start| start.as_str().to_owned()).unwrap_or_default()
}

impl Delivery {
    fn new(
        entry: &Entry,
        facts: sealock_core::policy::ContainerFacts,
        trust: &Trust,
        world: &World<'_>,
    ) -> Self {
        let request = &entry.wanted.request;
        let wanted = WantedCertificate {
            container: facts,
            certificate: entry.key.certificate.clone(),
            names: entry.wanted.names.clone(),
            usages: request.usages,
            ttl: request.ttl,
            key_type: request.key_type,
            replaces: entry.record.as_ref().map(|record| record.serial.clone()),
            request: request_id(),
        };
        Self {
            container: Arc::clone(&entry.container),
            wanted,
            path: request.path.clone(),
            owner: request.owner.clone(),
            mode: request.mode,
            layout: request.layout,
            asked_at: world.now,
            started_at: started_at(&entry.container),
            digest: entry.wanted.digest.clone(),
            trust: trust.digest.clone(),
            policy_epoch: world.policy_epoch,
        }
    }

    async fn perform(
        self,
        source: &dyn CertificateSource,
        site: &dyn Site,
        settings: &WatcherSettings,
    ) -> Done {
        let request = self.wanted.request.clone();
        let asked = timeout(settings.deliver_deadline, source.request(self.wanted)).await;
        let certificate = match asked {
            Ok(Ok(certificate)) => certificate,
            Ok(Err(Refusal::Denied { reason, hint })) => {
                let reason = Reason { text: reason, hint };
                let (policy_epoch, trust) = (self.policy_epoch, self.trust);
                return Done::Denied { reason, policy_epoch, trust, request };
            }
            Ok(Err(Refusal::Unavailable { reason, hint })) => {
                return Done::Failed(SiteError::Failed { reason, hint });
            }
            Err(_) => return Done::Failed(late("the issue of the certificate")),
        };
        let (serial, not_after) = (certificate.serial.clone(), certificate.not_after);
        let files = files(certificate, self.layout, self.mode);
        let parcel = Parcel { path: self.path, owner: self.owner, files, request: request.clone() };
        let sent = timeout(settings.deliver_deadline, site.deliver(self.container, parcel)).await;
        match sent.unwrap_or_else(|_| Err(late("the delivery"))) {
            Ok(delivered) => Done::Delivered(Arrived {
                asked_at: self.asked_at,
                started_at: self.started_at,
                wanted: self.digest,
                trust: self.trust,
                serial,
                not_after,
                delivered,
                request,
            }),
            Err(error) => Done::Failed(error),
        }
    }
}

/// The folder's files. The mode of the label is for those that hold the key.
fn files(certificate: DeliveredCertificate, layout: Layout, mode: u32) -> Vec<ParcelFile> {
    let DeliveredCertificate { tls_crt, tls_key, ca_crt, bundle_pem, .. } = certificate;
    let file = |name, mode, content| ParcelFile { name, mode, content };
    let (ca, leaf) = (SecretBytes::new(ca_crt), SecretBytes::new(tls_crt));
    match layout {
        Layout::Tls => vec![
            file("bundle.pem", mode, bundle_pem),
            file("ca.crt", 0o444, ca),
            file(layout.certificate(), 0o444, leaf),
            file("tls.key", mode, tls_key),
        ],
        Layout::Docker => vec![
            file("ca.pem", 0o444, ca),
            file(layout.certificate(), 0o444, leaf),
            file("key.pem", mode, tls_key),
        ],
    }
}

/// A request id that is new: 64 random bits.
fn request_id() -> String {
    let mut bytes = [0_u8; 8];
    // The generator of AWS-LC does not fail once the process runs; zeros would only be less unique.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("w-{}", data_encoding::HEXLOWER.encode(&bytes))
}
