//! What every plane of Sealock stands on: who somebody is ([`identity`]), whether they may
//! ([`policy`]), what happened ([`audit`]), bytes nobody may see ([`secret`]), names as they stand in
//! certificates ([`name`]) and in the vault ([`secret_name`]), JSON with one reading ([`json`]), keys that are none
//! ([`ed25519`]), networks ([`network`]), spans and the clock ([`clock`], [`span`]).
//!
//! Nothing here does I/O, reads the environment or needs an async runtime. Time is a parameter.

pub mod audit;
pub mod clock;
pub mod ed25519;
pub mod identity;
pub mod imported_name;
pub mod issuer_name;
pub mod json;
pub mod name;
pub mod network;
pub mod policy;
pub mod secret;
pub mod secret_name;
pub mod span;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use identity::{Identity, IdentityKind, TrustDomain};
pub use imported_name::{ImportedName, ImportedNameError};
pub use issuer_name::{IssuerName, IssuerNameError};
pub use name::{DnsName, SubjectName};
pub use network::{Network, NoNetwork};
pub use secret::SecretBytes;
pub use secret_name::{SecretName, SecretNameError};
