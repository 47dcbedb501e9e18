//! Issuing CAs under the roots of others, beside our own intermediate.
//!
//! # The way of such an issuer
//!
//! [`Authority::request_issuer`](crate::Authority::request_issuer) makes a key, which stays here sealed, and a CSR for a
//! CA. What comes back is a pile of certificates; [`Authority::import_issuer`](crate::Authority::import_issuer) finds the
//! CA's certificate for the key in it and the chain up to a root that is known, and checks both. From then on orders may
//! name it ([`Order::issuer`](crate::Order)), and it has revocation lists and an OCSP responder as our own intermediate
//! has: they are made by the same code, for it stands among the authority's issuers.
//!
//! A name stands for a line of CA certificates, as "the intermediate" does: a new certificate for the same key takes the
//! chain's place, a new key takes the line over, and the one before is kept up until its last leaf has expired.
//!
//! # Invariants
//!
//! - Key, CSR and line change in one commit with the authority's state; a refusal changes nothing.
//! - No certificate is signed that any CA of the chain would make invalid: constraints, lives and purposes of each count.
//! - What such an issuer signs carries no identity of ours: doors of ours are opened by our own roots alone.
//!
//! # What an attacker controls
//!
//! Every byte of the pile, and with a hostile company's CA everything that its certificates say. They are read as those
//! of [`imported`](crate::imported) are, with the same bounds.

mod error;
mod import;
mod operate;
mod record;
mod renew;
mod signing;
mod standing;
#[cfg(test)]
mod tests;

pub use error::IssuerError;
pub use import::ImportedIssuer;
pub use operate::{IssuerWishes, RequestedIssuer};
pub(crate) use record::{Line, Under};
pub(crate) use signing::{CaSigner, key_identifier};
pub use standing::{IssuerHeld, IssuerStanding, IssuerWaiting};
