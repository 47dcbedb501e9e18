//! The private certificate authority: a root, an issuing intermediate, and an inventory of everything
//! that they ever signed.
//!
//! # The way of a certificate
//!
//! [`Authority::issue`] lints the [`Order`], checks each name against the constraints of the
//! authority's own chain, makes or takes the key, signs, and commits the inventory's entries together
//! with the audit event in one durable transaction. Only then is [`Issued`] handed out. Policy has
//! decided before; this crate asks no policy.
//!
//! # Invariants
//!
//! - All of the authority's own state is one record, and comes to be in one commit with its sealed keys:
//!   there is one authority or none, whatever is killed and whoever starts at the same time.
//! - Nothing is handed out that is not in the inventory and in the audit log. No serial is used twice.
//! - Private keys of leaves are never stored. Those of the authority reach the store only sealed.
//! - No certificate is signed that its own chain would make invalid: constraints, life and path length
//!   are checked before.
//! - A rotation has an overlap: see [`Authority::rotate`].
//!
//! # Life times
//!
//! Certificates begin [`BACKDATE`] before they are issued, for verifiers whose clock is behind. A root
//! lives ten years, an intermediate one, a leaf as long as asked but never longer than its issuer: an order
//! beyond that is an error, not a shorter certificate. [`Authority::maintain`] replaces the intermediate
//! when two thirds of its life are over, so at any time about four months can be ordered; after that, if the
//! root key was taken away, a person has to bring it.
//!
//! # For example
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use sealock_authority::{Authority, CreateOptions, KeySource, KeyType, Order, Usages};
//! use sealock_core::audit::Actor;
//! use sealock_core::{Clock, SubjectName, SystemClock};
//! use sealock_store::{Journal, Keyring, NewProtection, SqliteStore};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let store = SqliteStore::open(&folder.path().join("state.db"), Arc::clone(&clock))?;
//! let journal = Journal::open(Arc::new(store), clock)?;
//! let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File)?;
//! let me = Actor { who: "uid:0".into(), request: "example".into(), decision: None };
//!
//! let options = CreateOptions::new("corp.example".parse()?);
//! let authority = Authority::create(journal, Arc::new(keyring), &options, &me)?;
//! let order = Order {
//!     name: "web".into(),
//!     identity: Some("spiffe://corp.example/service/web".parse()?),
//!     names: vec![SubjectName::dns("web.corp.example")?],
//!     usages: Usages::SERVER,
//!     profile: None,
//!     ttl: Duration::from_secs(24 * 3600),
//!     key: KeySource::Generate(KeyType::P256),
//!     issuer: None,
//! };
//! let issued = authority.issue(&order, &me)?;
//! assert!(issued.tls_crt().starts_with("-----BEGIN CERTIFICATE-----"));
//! assert_eq!(authority.show("web")?.summary.serial, issued.serial);
//! # Ok(())
//! # }
//! ```
//!
//! # Certificates of others
//!
//! Where the company has its own CA, [`imported`] makes key and CSR, and takes what comes back. A CA of ours may be under
//! the company's root, too: [`Authority::request_issuer`], [`Authority::import_issuer`].
//!
//! # Keys in a device
//!
//! The keys of root and intermediates may be in an HSM ([`KeyDevice`]); what the authority says of one that does not
//! answer is an error, and nothing is recorded. Its other keys (audit signer, OCSP responders) stay in the store.
//!
//! # What an attacker controls
//!
//! CSRs, byte for byte ([`parse_csr`]). Names and usages of orders, within what policy grants. The
//! store's content, if they can write to the state folder: sealed keys then do not open, and the audit
//! chain does not verify.

mod asn1;
mod authority;
mod certificate;
mod chain;
mod constraints;
mod crl;
mod csr;
mod der;
mod device;
mod error;
pub mod imported;
mod inventory;
mod issue;
mod issued;
mod issuers;
mod key;
mod lint;
mod lists;
mod make;
mod migrate;
mod ocsp;
mod order;
mod own;
mod pem;
mod profile;
mod publication;
mod query;
mod revoke;
mod revoke_ca;
mod root_key;
mod rotate;
mod serial;
mod signer;
mod state;
mod witness;

pub use authority::{Authority, BACKDATE, CreateOptions, INTERMEDIATE_LIFE, ROOT_LIFE};
pub use constraints::{Constraint, ConstraintError, DirectoryName, NameConstraints, Violation};
pub use crl::Crl;
pub use csr::{Csr, CsrError, parse_csr};
pub use device::{
    DeviceError, DeviceKeyId, DevicePublic, KeyAt, KeyDevice, KeyHome, KeyParts, LeftKey,
};
pub use error::AuthorityError;
pub use inventory::{
    CertDetail, CertState, CertSummary, IssuerId, IssuerIdError, ListFilter, Listed, Reason,
    ReasonError, Tally,
};
pub use issue::{Exactly, Renewal};
pub use issued::{Issued, OwnCertificate};
pub use issuers::{
    ImportedIssuer, IssuerError, IssuerHeld, IssuerStanding, IssuerWaiting, IssuerWishes,
    RequestedIssuer,
};
pub use key::{KeyError, KeyType, PublicKey, PublicKeyKind};
pub use lint::LintError;
pub use migrate::{MigrateTo, Migrated};
pub use ocsp::{
    LARGEST as LARGEST_OCSP, MOST as MOST_OCSP, OcspAnswer, OcspError, OcspRequest, Published,
    from_path as ocsp_from_path, fuzz as fuzz_ocsp,
};
pub use order::{KeySource, MOST_NAMES, Order, OrderError, Usages};
pub use own::{OwnProfile, OwnProfiles};
pub use profile::{NameKind, OWN as OWN_PROFILES, Profile, ProfileError};
pub use publication::{OCSP_LIFE, PRESIGNED, Publication};
pub use query::{CaInfo, IssuerInfo, KeyWhere};
pub use revoke::RevokeOutcome;
pub use revoke_ca::CaRevoked;
pub use root_key::RootKeyFile;
pub use rotate::{Maintained, RETENTION, Rotate, Rotated};
pub use serial::{Serial, SerialError};
pub use signer::AuditSigner;
pub use state::IssuerKind;
