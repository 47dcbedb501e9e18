//! What the watcher needs of others, as small traits: `control` gives certificates and secrets, the engine
//! and the carriers do the rest. Tests put fakes here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sealock_core::policy::ContainerFacts;
use sealock_core::{ImportedName, IssuerName, SecretBytes, SecretName, SubjectName, Timestamp};
use sealock_engine::{Container, EngineError, EngineEvent};
use thiserror::Error;

use sealock_transfer::landing::Owner;

use crate::labels::{
    ContainerPath, KeyType, LabelName, Layout, Reload, StoreFormat, TrustFormat, Usages,
};
use crate::verify::{Question, Seen};

/// A certificate that labels ask for; policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedCertificate {
    /// The container, with its own names.
    pub container: ContainerFacts,
    /// The certificate's name within the container.
    pub certificate: LabelName,
    /// The subject names; never empty, unless it is imported.
    pub names: Vec<SubjectName>,
    /// The certificate of another authority that is wanted in place of one of ours.
    pub imported: Option<ImportedName>,
    /// Who is to sign it, where that is said.
    pub issuer: Option<IssuerName>,
    /// The files that the container gets: what stands in them may depend on it.
    pub layout: Layout,
    /// What it is for, where no profile says that.
    pub usages: Usages,
    /// The certificate profile.
    pub profile: Option<LabelName>,
    /// How long it is to live; `None` leaves it to the profile.
    pub ttl: Option<Duration>,
    /// The kind of key.
    pub key_type: KeyType,
    /// The files that are to be there beside those of PEM.
    pub stores: Option<WantedStores>,
    /// The serial that it takes the place of, when this is a renewal.
    pub replaces: Option<String>,
    /// The request id, the same in all audit events of this delivery.
    pub request: String,
}

/// What a certificate is wanted as, besides PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedStores {
    /// In these formats.
    pub formats: BTreeSet<StoreFormat>,
    /// The password of the stores among them. `None` wants one made: the same whenever this container asks for this
    /// certificate, in a file beside the stores.
    pub password: Option<SecretBytes>,
}

/// A trust bundle that is wanted as a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTrustStore {
    /// In this format.
    pub format: TrustFormat,
    /// The roots, DER.
    pub anchors: Vec<Vec<u8>>,
    /// Its password. `None` stands for the one that everybody knows.
    pub password: Option<SecretBytes>,
}

/// One file in another format than PEM.
#[derive(Debug, Clone)]
pub struct StoreFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// Whether it is for those only who may read the key.
    pub private: bool,
    /// What is in it.
    pub content: SecretBytes,
}

/// A certificate that was issued or imported, ready to be delivered. The key of one that was issued exists nowhere else.
#[derive(Debug, Clone)]
pub struct DeliveredCertificate {
    /// The serial in hex.
    pub serial: String,
    /// When it ends.
    pub not_after: Timestamp,
    /// How often it was imported until now; `None` of one that was issued here.
    pub version: Option<u64>,
    /// Leaf, then intermediates (PEM).
    pub tls_crt: Vec<u8>,
    /// The private key (PEM).
    pub tls_key: SecretBytes,
    /// The roots to trust (PEM).
    pub ca_crt: Vec<u8>,
    /// Key, leaf, intermediates, root (PEM).
    pub bundle_pem: SecretBytes,
    /// What else was wanted.
    pub stores: Vec<StoreFile>,
}

/// A secret that labels ask for; policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSecret {
    /// The container, with its own names.
    pub container: ContainerFacts,
    /// Which secret of the vault.
    pub secret: SecretName,
    /// The secret's name within the container.
    pub name: LabelName,
    /// The request id, the same in all audit events of this delivery.
    pub request: String,
}

/// The trust bundle, as labels ask for it; policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTrust {
    /// The container, with its own names.
    pub container: ContainerFacts,
    /// The bundle's name within the container.
    pub name: LabelName,
    /// The file inside the container.
    pub path: ContainerPath,
    /// The request id, the same in all audit events of this delivery.
    pub request: String,
}

/// A secret that was read, ready to be delivered.
#[derive(Debug, Clone)]
pub struct DeliveredSecret {
    /// Its version.
    pub version: u64,
    /// Its value.
    pub value: SecretBytes,
}

/// What there is of a secret, or of a certificate that another authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Current {
    /// This version.
    Version(u64),
    /// A certificate whose CSR is out, and nothing to serve yet.
    Waiting,
    /// None: never set, deleted or expired.
    Gone,
    /// That cannot be found out now.
    Unknown,
}

/// Why no certificate was issued, or no secret read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Policy (or the authority's own constraints) says no, or there is no such secret. Asked again only
    /// when policy, trust, the secret's version or labels change.
    #[error("{reason}")]
    Denied {
        /// Why, for people.
        reason: String,
        /// What would allow it: a Cedar rule.
        hint: Option<String>,
    },
    /// It could not be issued this time. Asked again after a while.
    #[error("{reason}")]
    Unavailable {
        /// Why, for people.
        reason: String,
        /// What a person may do about it.
        hint: Option<String>,
    },
}

/// What certificates are checked against now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Changes when the bundle does.
    pub digest: String,
    /// The roots, DER.
    pub anchors: Vec<Vec<u8>>,
}

/// Where certificates come from: policy and authority, put together by `control`.
pub trait CertificateSource: Send + Sync {
    /// Asks policy, then the authority. What is returned is durable in the inventory.
    fn request(
        &self,
        wanted: WantedCertificate,
    ) -> BoxFuture<'_, Result<DeliveredCertificate, Refusal>>;

    /// The epoch of the loaded policy. Cheap: it is asked in every round.
    fn policy_epoch(&self) -> u64;

    /// The trust bundle of now. Cheap: it is asked in every round.
    fn trust(&self) -> Arc<Trust>;

    /// Whether the CA that has signed the certificate with this serial was revoked: then it is replaced at once, however
    /// much of its life is left. Cheap: it is asked in every round for every labelled certificate.
    fn is_below_revoked(&self, _serial: &str) -> bool {
        false
    }

    /// What there is of a certificate that another authority signs. As cheap as [`SecretSource::current`], for the
    /// same reason.
    fn imported(&self, name: &ImportedName) -> Current;

    /// Whether a certificate of ours that was delivered is revoked, by its serial in hex. Cheap: it is asked in every
    /// round for every labelled certificate.
    fn is_revoked(&self, serial: &str) -> bool;

    /// The names of such a certificate as it is served now; none where there is none.
    fn imported_names(&self, name: &ImportedName) -> Vec<SubjectName>;

    /// Asks policy whether a container may have the trust bundle put into it.
    fn may_have_trust(&self, wanted: WantedTrust) -> BoxFuture<'_, Result<(), Refusal>>;

    /// The trust bundle as a store. The same roots under the same password are the same bytes.
    fn trust_store(&self, wanted: WantedTrustStore) -> BoxFuture<'_, Result<SecretBytes, Refusal>>;

    /// A secret's value as the password of a store, where it can be one. Cheap.
    fn store_password(&self, value: &SecretBytes) -> Result<SecretBytes, Refusal>;
}

/// A delivered certificate whose labels ask that it be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPublication {
    /// The container, with its own names.
    pub container: ContainerFacts,
    /// The certificate's name within the container.
    pub certificate: LabelName,
    /// The serial that was delivered last, in hex.
    pub serial: String,
    /// Its name among those that other authorities sign, where it is one of them.
    pub imported: Option<ImportedName>,
    /// In which directory of the settings.
    pub directory: LabelName,
}

/// Where delivered certificates are published. Whatever becomes of that, no delivery waits for it.
pub trait Publisher: Send + Sync {
    /// All that is delivered now and asks for it. Cheap, and waits for nothing: it is called in every round.
    fn keep(&self, delivered: Vec<WantedPublication>);
}

/// Where secrets come from: policy and vault, put together by `control`.
pub trait SecretSource: Send + Sync {
    /// Asks policy whether this container may read it, and reads it. Both are audited.
    fn read(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<DeliveredSecret, Refusal>>;

    /// What policy says now of a secret that the container has already. Nothing is read, so nothing is
    /// audited.
    fn allowed(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<(), Refusal>>;

    /// What there is of a secret. Cheap: it is asked in every round for every labelled secret, and while the
    /// watcher's own knowledge is locked, so it must not ask the watcher anything.
    fn current(&self, secret: &SecretName) -> Current;
}

/// The engine's view of its containers.
pub trait Host: Send + Sync {
    /// The ids of all running containers. One that cannot be inspected must not spoil it.
    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, EngineError>>;

    /// One container, running or not.
    fn inspect(&self, container: String) -> BoxFuture<'_, Result<Container, EngineError>>;

    /// Events from `since` (nanoseconds since the epoch) and then on; ends with an error.
    fn events(&self, since: Option<i64>) -> BoxStream<'static, Result<EngineEvent, EngineError>>;
}

/// One file of a [`Parcel`].
#[derive(Debug, Clone)]
pub struct ParcelFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// Its permissions.
    pub mode: u32,
    /// What is in it.
    pub content: SecretBytes,
}

/// What a parcel puts at its path.
#[derive(Debug, Clone)]
pub enum Contents {
    /// A folder of these files, that changes as a whole.
    Folder(Vec<ParcelFile>),
    /// One file.
    File {
        /// Its permissions.
        mode: u32,
        /// What is in it.
        content: SecretBytes,
    },
}

/// What is delivered into a container: it changes as a whole.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where to, inside the container.
    pub path: ContainerPath,
    /// Who owns it; the container's root when not given.
    pub owner: Option<Owner>,
    /// What is to be there.
    pub contents: Contents,
    /// Whether it may only be put on a file system in memory.
    pub memory_only: bool,
    /// The request id, the same in all audit events of this delivery.
    pub request: String,
}

/// A parcel that has arrived. What it holds is not told, not even as a digest: the content may be short
/// enough to be guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Whether the content differs from what was there.
    pub changed: bool,
    /// Whether an earlier version was there, which a running process may have loaded.
    pub replaced_previous: bool,
}

/// Where in a container something was delivered to, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A certificate's folder.
    Certificate {
        /// The folder.
        path: ContainerPath,
        /// What the files are called.
        layout: Layout,
    },
    /// A secret's file.
    Secret {
        /// The file.
        path: ContainerPath,
    },
    /// A trust bundle's file.
    Trust {
        /// The file.
        path: ContainerPath,
    },
}

/// What a container holds at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A certificate: the content of its file.
    Certificate(Vec<u8>),
    /// A file with a secret or a trust bundle.
    File,
    /// No such file.
    Nothing,
    /// It cannot be seen from here.
    Unknown,
}

/// Something that could not be done in a container.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SiteError {
    /// The container does not run any more; nobody's failure.
    #[error("the container does not run any more")]
    Gone,
    /// The engine is away; nothing the certificate can do about it.
    #[error("the engine is away")]
    EngineAway,
    /// Only memory would do, and the place is on a disk; so it is as long as the container is as it is.
    #[error("{reason}")]
    OnDisk {
        /// Why, for people.
        reason: String,
    },
    /// It was tried and failed. As text, causes included: it goes to status and audit only.
    #[error("{reason}")]
    Failed {
        /// What failed, for people.
        reason: String,
        /// What a person may do about it.
        hint: Option<String>,
    },
}

/// What is done in running containers.
pub trait Site: Send + Sync {
    /// Puts the parcel at its path, all of it or nothing.
    fn deliver(
        &self,
        container: Arc<Container>,
        parcel: Parcel,
    ) -> BoxFuture<'_, Result<Delivered, SiteError>>;

    /// Looks at what the container has at a place, and clears away what a killed delivery may have left
    /// beside it.
    fn held(
        &self,
        container: Arc<Container>,
        place: Place,
    ) -> BoxFuture<'_, Result<Held, SiteError>>;

    /// Tells the service that its files changed.
    fn reload(
        &self,
        container: Arc<Container>,
        how: Reload,
    ) -> BoxFuture<'_, Result<(), SiteError>>;

    /// Looks at what the service serves.
    fn look(
        &self,
        container: Arc<Container>,
        question: Question,
    ) -> BoxFuture<'_, Result<Seen, SiteError>>;
}

/// An error and its causes on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let next = current.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = current.source();
    }
    text
}
