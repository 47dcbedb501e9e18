//! OCSP (RFC 6960, with the profile of RFC 5019): whether a certificate is revoked, asked one by one.
//!
//! # Who answers
//!
//! For each intermediate a responder with a key and a certificate of its own, which that intermediate has
//! signed (RFC 6960 §4.2.2.2). It lives for weeks and is replaced in time. Roots have none, since a root's
//! key may be elsewhere: whether an intermediate is revoked, the root's list says.
//!
//! # Answers are made in advance
//!
//! An answer to the usual question (one certificate, no nonce) is made once, kept in memory and in the
//! store, and made anew when half of its life is over. A revocation makes the new answer in its own commit.
//! What is stored can be given out without any key, so a locked authority answers until `nextUpdate`.
//! Several certificates in one request, and nonces where they are wanted, cost a signature each time.
//!
//! # What an attacker controls
//!
//! Every byte of a request: at most [`LARGEST`] of them and [`MOST`] certificates. A certificate that is not
//! in the inventory is answered `unauthorized` (RFC 5019 §2.2.3), which costs no signature and no memory.

mod answers;
mod cache;
mod issuers;
mod locked;
mod request;
mod responder;
mod response;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use sealock_core::Timestamp;

pub(crate) use answers::Answers;
pub use locked::Published;
pub use request::{LARGEST, MOST, OcspError, OcspRequest, from_path, fuzz};
pub(crate) use responder::LIFE as RESPONDER_LIFE;

/// An answer as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// DER of `OCSPResponse`.
    pub der: Arc<[u8]>,
    /// From when until when it is good, where it is about a certificate and may be kept (RFC 5019 §6.2).
    pub good: Option<(Timestamp, Timestamp)>,
}

impl OcspAnswer {
    /// The request is not one.
    pub fn malformed() -> Self {
        Self::error(1)
    }

    /// It went wrong here.
    pub fn internal_error() -> Self {
        Self::error(2)
    }

    /// Not now: the authority is locked and has no answer in store.
    pub fn try_later() -> Self {
        Self::error(3)
    }

    /// Not ours to say.
    pub fn unauthorized() -> Self {
        Self::error(6)
    }

    /// A response without response bytes: SEQUENCE of one ENUMERATED (RFC 6960 §4.2.1).
    fn error(status: u8) -> Self {
        Self { der: Arc::new([0x30, 3, 0x0a, 1, status]), good: None }
    }
}
