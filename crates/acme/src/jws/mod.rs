//! Signed requests: JWS in the flattened JSON form (RFC 7515 §7.2.2), as RFC 8555 §6.2 narrows it.
//!
//! Three kinds: what comes as the body of a request ([`Request`]); inside of one, what a new account key signs
//! ([`KeyChange`], §7.3.5), and what binds an account to one that is known elsewhere ([`Binding`], §7.3.4).
//!
//! Of the protected header `alg`, `url`, `nonce`, `jwk` and `kid` are read. Whatever would make a reader fetch, trust
//! or read something else (`jku`, `x5u`, `x5c`, `b64`, `crit`) is refused by name; others are passed over (RFC 7515
//! §4).
//!
//! **What an attacker controls:** every byte. Nothing of a [`Request`] is to be believed before [`Request::verify`];
//! `kid` and `jwk` say only by which key to verify. What an inner JWS says was checked when there is one.

mod binding;
mod fault;
mod flattened;
mod key_change;

pub use binding::{Binding, MINIMUM_MAC_KEY, MacAlgorithm};
pub use fault::JwsFault;
pub use key_change::KeyChange;

use sealock_core::json;

use self::flattened::Flattened;
use crate::jwk::{Algorithm, Jwk};

/// The longest body of a request, in bytes.
pub const MAXIMUM_REQUEST: usize = 64 * 1024;

/// The longest nonce that is looked at, in characters.
pub const MAXIMUM_NONCE: usize = 128;

/// The longest `url` and the longest `kid`, in bytes.
pub const MAXIMUM_URL: usize = 2048;

/// The media type of a request (RFC 8555 §6.2); what comes as another is refused with 415.
pub const CONTENT_TYPE: &str = "application/jose+json";

/// Who has signed a request, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The key is in the request: for a new account, and to revoke a certificate by its own key.
    Jwk(Jwk),
    /// The URL of an account: everything else.
    Kid(String),
}

/// A request of which nothing is verified yet.
#[derive(Debug)]
pub struct Request {
    flattened: Flattened,
    algorithm: Algorithm,
    nonce: String,
    signer: Signer,
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not of this form, whoever has signed it. A missing nonce is one of the faults.
    pub fn read(body: &[u8]) -> Result<Self, JwsFault> {
        if body.len() > MAXIMUM_REQUEST {
            return Err(JwsFault::TooLong);
        }
        let members = json::read(body).map_err(JwsFault::Json)?;
        let mut flattened = Flattened::read(members)?;
        // First, because whoever has another algorithm has a key to match, which we could not read.
        let algorithm = Algorithm::of_name(&flattened.header.alg);
        let algorithm = algorithm.ok_or(JwsFault::BadSignatureAlgorithm)?;
        let nonce = flattened.header.nonce.take().ok_or(JwsFault::NoNonce)?;
        let signer = match (flattened.header.jwk.take(), flattened.header.kid.take()) {
            (Some(jwk), None) => Signer::Jwk(Jwk::from_members(jwk).map_err(JwsFault::Key)?),
            (None, Some(kid)) => Signer::Kid(kid),
            (Some(_), Some(_)) => return Err(JwsFault::TwoSigners),
            (None, None) => return Err(JwsFault::NoSigner),
        };
        Ok(Self { flattened, algorithm, nonce, signer })
    }

    /// By which key it is to be verified.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// `nonce`: base64url, at most [`MAXIMUM_NONCE`] characters.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// `url`.
    pub fn url(&self) -> &str {
        &self.flattened.header.url
    }

    /// `alg`.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What was signed.
    pub fn payload(&self) -> &[u8] {
        &self.flattened.payload
    }

    /// Whether it only asks for a resource (RFC 8555 §6.3): the payload is empty, which `{}` is not.
    pub fn is_post_as_get(&self) -> bool {
        self.flattened.payload.is_empty()
    }

    /// Whether it is meant for the resource at which it came (RFC 8555 §6.4).
    ///
    /// # Errors
    /// [`JwsFault::OtherUrl`].
    pub fn expect_url(&self, url: &str) -> Result<(), JwsFault> {
        if self.url() == url { Ok(()) } else { Err(JwsFault::OtherUrl) }
    }

    /// Whether this key has signed it. One that brings its own key is good under no other.
    ///
    /// # Errors
    /// [`JwsFault::AlgorithmMismatch`] and [`JwsFault::BadSignature`].
    pub fn verify(&self, key: &Jwk) -> Result<(), JwsFault> {
        if matches!(&self.signer, Signer::Jwk(own) if own != key) {
            return Err(JwsFault::BadSignature);
        }
        self.flattened.verify(self.algorithm, key)
    }
}

#[cfg(test)]
mod tests;
