//! The watcher: labelled certificates and secrets into running containers, renewed, and seen to be served.
//!
//! # The way of a certificate
//!
//! Labels are parsed ([`crate::labels`]), the source asks policy and issues, the site puts the files
//! into the container as one versioned folder, the service is told if it may have loaded an earlier
//! version, and a handshake must show the new serial within the grace time. Otherwise: an alarm.
//!
//! # The way of a secret
//!
//! The same way, with the vault in the authority's place: the source asks policy and reads, and the site
//! puts one file there, on a file system in memory unless a label allows a disk. Where the vault has
//! another version than the container, it comes anew, and the service is told. Nothing that is made of a
//! value is kept: records, status, audit and logs name versions.
//!
//! # Key stores
//!
//! What reads no PEM has stores beside it, in the same folder, so they change with it. Their password may be a secret of
//! the vault: it is read on the way, before anything is issued, and its version is remembered; another version makes
//! another delivery. Who makes the stores is the source.
//!
//! # Reconciling
//!
//! What is done is derived in every round from labels, delivery records, policy epoch, trust bundle and
//! time ([`entry::Entry::step`]); events of the engine only make a round come sooner. So downtime of
//! the watcher or of the engine, lost events and a SIGKILL at any moment come to the same: the next
//! round does what is missing. A certificate that was issued and not delivered has left no key
//! anywhere; it is followed by a new one. A secret that was put there and not recorded is put there once
//! more, which changes nothing but that the service is told.
//!
//! # What an attacker controls
//!
//! Whoever creates containers controls labels, names and aliases; whoever is inside one controls its
//! files, what its commands print and what its port serves. Labels are requests, policy grants. What a
//! container does can make its own certificate fail, never another's: tasks are bounded in number and
//! time, and looks at services have places of their own.

mod alarms;
mod book;
mod deliver_certificate;
mod deliver_secret;
mod deliver_trust;
mod denial;
mod effects;
mod engine_site;
mod entry;
mod outcome;
mod password;
mod ports;
mod proof;
mod record;
mod secret;
mod settings;
mod settle;
mod snapshot;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod wanted;
mod work;

use std::sync::Arc;

use parking_lot::Mutex;
use sealock_core::{Clock, ImportedName, Timestamp};
use sealock_store::{Journal, StoreError};
use thiserror::Error;
use tokio::sync::Notify;

pub use book::container_facts;
pub use engine_site::EngineSite;
pub use ports::{
    CertificateSource, Contents, Current, Delivered, DeliveredCertificate, DeliveredSecret, Held,
    Host, Parcel, ParcelFile, Place, Publisher, Refusal, SecretSource, Site, SiteError, StoreFile,
    Trust, WantedCertificate, WantedPublication, WantedSecret, WantedStores, WantedTrust,
    WantedTrustStore,
};
pub use settings::{SCOPE_LABEL, WatcherSettings};
pub use status::{
    Alarm, AlarmKind, CertificateStatus, Counters, DeliveryState, SecretStatus, TrustStatus,
    VerifyState,
};

use book::Book;
use entry::World;
use record::Remembered;

use crate::labels::Kind;

/// What the watcher cannot do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatcherError {
    /// What was remembered cannot be read.
    #[error("the delivery records cannot be read")]
    Records(#[from] StoreError),
    /// There is no such labelled certificate.
    #[error("container {container} has no labelled certificate {certificate}")]
    NoSuchCertificate {
        /// The container as it was named.
        container: String,
        /// The certificate as it was named.
        certificate: String,
    },
}

/// What the watcher is made of.
#[derive(Clone)]
pub struct WatcherParts {
    /// Policy and authority.
    pub source: Arc<dyn CertificateSource>,
    /// Policy and vault.
    pub secrets: Arc<dyn SecretSource>,
    /// Who publishes what was delivered.
    pub publisher: Arc<dyn Publisher>,
    /// The engine.
    pub host: Arc<dyn Host>,
    /// What is done in containers.
    pub site: Arc<dyn Site>,
    /// State and audit.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Follows the engine and keeps labelled certificates and secrets delivered, renewed and served.
pub struct Watcher {
    parts: WatcherParts,
    settings: WatcherSettings,
    book: Mutex<Book>,
    trust: Mutex<TrustSeen>,
    wake: Notify,
}

/// The trust bundle of the last round, and when it changed.
#[derive(Debug, Clone)]
struct TrustSeen {
    trust: Arc<Trust>,
    changed: Timestamp,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher that remembers what earlier ones delivered. It does nothing until it runs.
    ///
    /// # Errors
    /// [`WatcherError::Records`].
    pub fn new(parts: WatcherParts, settings: WatcherSettings) -> Result<Self, WatcherError> {
        let remembered = Remembered::load(parts.journal.store().as_ref())?;
        let trust = TrustSeen { trust: parts.source.trust(), changed: parts.clock.now() };
        Ok(Self {
            parts,
            settings,
            book: Mutex::new(Book::new(remembered)),
            trust: Mutex::new(trust),
            wake: Notify::new(),
        })
    }

    /// Follows the engine until `shutdown` resolves; what is under way then gets a moment to end.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        task::Run::new(self).until(shutdown).await;
    }

    /// Makes the next round come now: after a policy reload, a rotation, a change in the vault, or a change of
    /// the clock.
    pub fn poke(&self) {
        self.wake.notify_one();
    }

    /// Has a certificate renewed now. The container is named by name, id or the beginning of its id.
    ///
    /// # Errors
    /// [`WatcherError::NoSuchCertificate`].
    pub fn renew_now(&self, container: &str, certificate: &str) -> Result<(), WatcherError> {
        let mut book = self.book.lock();
        let named = |entry: &entry::Entry| {
            let id = &entry.key.container;
            let by_id = container.len() >= 12 && id.starts_with(container);
            (entry.container.name == container || by_id)
                && (entry.key.kind, entry.key.name.as_str()) == (Kind::Certificate, certificate)
        };
        let Some(entry) = book.entries.values_mut().find(|entry| named(entry)) else {
            let (container, certificate) = (container.to_owned(), certificate.to_owned());
            return Err(WatcherError::NoSuchCertificate { container, certificate });
        };
        entry.forced = true;
        entry.denied = None;
        entry.trouble.next = None;
        drop(book);
        self.poke();
        Ok(())
    }

    /// The certificates that are asked for and where they stand, by container and certificate.
    pub fn snapshot(&self) -> Vec<CertificateStatus> {
        let trust = self.trust_now();
        snapshot::certificates(&self.book.lock(), &self.world(&trust))
    }

    /// The secrets that are asked for and where they stand, by container and name.
    pub fn secrets(&self) -> Vec<SecretStatus> {
        let trust = self.trust_now();
        snapshot::secrets(&self.book.lock(), &self.world(&trust))
    }

    /// The trust bundles that are asked for and where they stand, by container and name.
    pub fn trusts(&self) -> Vec<TrustStatus> {
        let trust = self.trust_now();
        snapshot::trusts(&self.book.lock(), &self.world(&trust))
    }

    /// The running containers, by name, whose labels name this imported certificate.
    pub fn users_of(&self, name: &ImportedName) -> Vec<String> {
        let book = self.book.lock();
        let wanting = book.entries.values().filter(|it| it.wanted.imported() == Some(name));
        wanting.filter(|it| it.running()).map(|it| it.container.name.clone()).collect()
    }

    /// What needs a person.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.book.lock().alarms.values().cloned().collect()
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.book.lock().counters
    }

    fn trust_now(&self) -> TrustSeen {
        let now = self.parts.source.trust();
        let mut seen = self.trust.lock();
        if seen.trust.digest != now.digest {
            *seen = TrustSeen { trust: now, changed: self.parts.clock.now() };
        }
        seen.clone()
    }

    fn world<'a>(&'a self, trust: &'a TrustSeen) -> World<'a> {
        World {
            now: self.parts.clock.now(),
            policy_epoch: self.parts.source.policy_epoch(),
            trust: &trust.trust.digest,
            trust_changed: trust.changed,
            secrets: self.parts.secrets.as_ref(),
            source: self.parts.source.as_ref(),
            settings: &self.settings,
        }
    }
}
