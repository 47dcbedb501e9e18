//! What fails on our own side: keys, key sets, and claims that must not be signed.

use aws_lc_rs::error::KeyRejected;
use sealock_core::json::JsonFault;
use thiserror::Error;

use super::header::Algorithm;
use super::jwks::{MAXIMUM_KEY_SET, MAXIMUM_KEYS};
use super::verify::MAXIMUM_TOKEN;

/// Why a key or a token could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The random source or the library failed.
    #[error("cannot generate a key for {0}")]
    Generate(Algorithm),
    /// Not a PKCS#8 key of this algorithm.
    #[error("the private key is not a PKCS#8 key for {algorithm}")]
    Import {
        /// What it should be for.
        algorithm: Algorithm,
        /// What the library says.
        #[source]
        source: KeyRejected,
    },
    /// The library failed.
    #[error("cannot write the private key {kid} as PKCS#8")]
    Export {
        /// The key.
        kid: String,
    },
    /// The library failed.
    #[error("cannot sign with the key {kid}")]
    Sign {
        /// The key.
        kid: String,
    },
    /// A claim with which no one would take the token.
    #[error("no token is made with this claim {claim:?}: {reason}")]
    Claim {
        /// Its name.
        claim: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than [`MAXIMUM_TOKEN`] bytes.
    #[error("the token would be longer than {MAXIMUM_TOKEN} bytes")]
    TooLong,
}

impl TokenError {
    /// What a person can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Import { .. } => {
                Some("ES256 needs a P-256 key, EdDSA an Ed25519 key, both as PKCS#8 DER")
            }
            Self::TooLong => Some("shorten the names of issuer, audience and client"),
            _ => None,
        }
    }
}

/// Why a key set was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// More than [`MAXIMUM_KEY_SET`] bytes.
    #[error("the key set is longer than {MAXIMUM_KEY_SET} bytes")]
    TooLong,
    /// No JSON to us.
    #[error("the key set is refused: {0}")]
    Json(JsonFault),
    /// `keys` is missing, or is no array.
    #[error("the key set has no array of keys")]
    NoKeys,
    /// More than [`MAXIMUM_KEYS`].
    #[error("the key set has more than {MAXIMUM_KEYS} keys")]
    TooMany,
    /// One key is refused.
    #[error("key {number} is refused: {fault}")]
    Key {
        /// Which one, from 1.
        number: usize,
        /// Why.
        fault: KeyFault,
    },
    /// Two keys have the same `kid`.
    #[error("key {number} has the kid of one before it")]
    SameKid {
        /// Which one, from 1.
        number: usize,
    },
}

impl KeySetError {
    /// What a person can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Key { fault: KeyFault::Private, .. } => {
                Some("a private key was published: make a new one, and give out only public keys")
            }
            Self::Json(_) | Self::NoKeys => Some(
                "a JWK Set is wanted: of a broker at /oauth/jwks; of a client its public keys, or PEM",
            ),
            _ => None,
        }
    }
}

/// Why one JWK was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// No JSON object.
    #[error("it is not a JSON object of its form")]
    Form,
    /// A member that only private or symmetric keys have.
    #[error("it holds a private or symmetric key")]
    Private,
    /// `kty` and `crv` that are not EC and P-256, or OKP and Ed25519.
    #[error("it is neither of EC on P-256 nor of OKP on Ed25519")]
    Kind,
    /// `use` is not `sig`, or `key_ops` is there and not exactly `verify`.
    #[error("it is for another use than to check signatures")]
    Use,
    /// `alg` does not belong to the curve.
    #[error("its alg does not belong to its curve")]
    Algorithm,
    /// `kid` is missing, empty, too long or has control characters.
    #[error("its kid is missing, empty, too long, or has control characters")]
    Kid,
    /// Coordinates that are not 32 bytes each; no point of P-256; one of Ed25519 that fits everybody's signatures. (Other
    /// bytes that are no point of Ed25519 fit none.)
    #[error("its coordinates are not a point of its curve")]
    Point,
}
