//! Certificates that another authority signs: the company's own.
//!
//! # The way of such a certificate
//!
//! [`Authority::request`](crate::Authority::request) makes a key, which stays here sealed, and a CSR, which goes out.
//! What comes back, in whatever order, is a pile of certificates. [`Authority::import`](crate::Authority::import) finds
//! the leaf for the key in it, builds the chain up to a root that is known, and checks both; only then it takes them,
//! in one commit. From two thirds of a certificate's life on there is a next key and a next CSR
//! ([`Authority::request_renewals`](crate::Authority::request_renewals)); the old certificate is served until the
//! next is here.
//!
//! # Invariants
//!
//! - A refusal changes nothing: what was served goes on being served, what waits goes on waiting.
//! - Key and record change in one commit. A key that no record names any more is removed in the commit that drops it.
//! - The roots of others ([`Anchor`]) are for what is handed out. The authority's own doors never ask for them: they
//!   use [`Authority::trust_bundle`](crate::Authority::trust_bundle), which has our roots only.
//!
//! # What an attacker controls
//!
//! Every byte of the pile. It is read by x509-parser and checked by [`assemble`], which does no I/O and whose work is
//! bounded: so many certificates, so deep a chain, so many ways tried.

mod anchor;
mod assemble;
mod csr;
mod error;
mod fuzz;
mod import;
mod known;
mod listed;
mod operate;
mod own;
mod record;
mod renew;
mod subject;
#[cfg(test)]
pub(crate) mod testing;

pub use anchor::{Anchor, AnchorError};
pub use assemble::{Assembled, Expected, MOST_CERTIFICATES, assemble};
pub use error::ImportError;
pub use fuzz::fuzz;
pub use import::{Imported, MOST_IN_HEAP, Pile};
pub use listed::ImportedCertificate;
pub use operate::{RequestError, Requested, Standing, Waiting};
pub use own::{is_own_root, roots_above};
pub use record::{Held, Wishes};
pub use renew::RENEWAL_SHARE;
pub use subject::{Subject, SubjectError};

pub(crate) use assemble::{AssembledAuthority, Foreign, assemble_authority, permitted_below};
pub(crate) use csr::authority_csr;
pub(crate) use known::Known;
pub(crate) use own::is_own_subject;

/// The subject of a certificate (DER), readable.
pub(crate) fn subject_of(der: &[u8]) -> String {
    Foreign::read(der).map(|one| one.subject_text).unwrap_or_default()
}

/// The subject of a certificate (DER) as DER, and readable.
pub(crate) fn subject_der_of(der: &[u8]) -> Option<(Vec<u8>, String)> {
    Foreign::read(der).ok().map(|one| (one.subject, one.subject_text))
}

/// The subjects of a pile, a few of them, readable.
pub(crate) fn subjects_in(pile: &[Vec<u8>]) -> Vec<String> {
    let subjects = pile.iter().map(|der| subject_of(der)).filter(|text| !text.is_empty());
    subjects.take(5).collect()
}

/// The public key of a certificate (DER), as DER of `SubjectPublicKeyInfo`.
pub(crate) fn spki_of(der: &[u8]) -> Option<Vec<u8>> {
    Foreign::read(der).ok().map(|one| one.spki)
}

/// The public keys (DER of `SubjectPublicKeyInfo`) that a pile has certificates for; what cannot be read is left out.
pub(crate) fn keys_in(pile: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let looked_at = pile.iter().take(MOST_CERTIFICATES);
    looked_at.filter_map(|der| Foreign::read(der).ok()).map(|one| one.spki).collect()
}
