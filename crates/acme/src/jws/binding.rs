//! The inner JWS that binds an account to an external one.

use aws_lc_rs::hmac;
use sealock_core::SecretBytes;
use sealock_core::json::Members;

use super::fault::JwsFault;
use super::flattened::Flattened;
use crate::jwk::Jwk;

/// The shortest key of an external account, in bytes. RFC 7518 §3.2 wants as many as the hash has; 128 random bits
/// are not guessed either.
pub const MINIMUM_MAC_KEY: usize = 16;

/// How a binding is authenticated (RFC 7518 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl MacAlgorithm {
    /// All of them, as an error lists them.
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];

    /// The value of `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    const fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Hs256 => hmac::HMAC_SHA256,
            Self::Hs384 => hmac::HMAC_SHA384,
            Self::Hs512 => hmac::HMAC_SHA512,
        }
    }
}

/// What whoever asks for an account has authenticated with the key of an external one (RFC 8555 §7.3.4): the new
/// account's public key. Nothing of it is to be believed before [`Binding::verify`].
#[derive(Debug)]
pub struct Binding {
    flattened: Flattened,
    algorithm: MacAlgorithm,
    kid: String,
}

impl Binding {
    /// Reads the object `externalAccountBinding`.
    ///
    /// # Errors
    /// It is not of the form, whoever has made it.
    pub fn from_members(members: Members) -> Result<Self, JwsFault> {
        let mut flattened = Flattened::read(members)?;
        let algorithm = MacAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == flattened.header.alg)
            .ok_or(JwsFault::BindingAlgorithm)?;
        let kid = match (flattened.header.jwk.take(), flattened.header.kid.take()) {
            (None, Some(kid)) => kid,
            _ => return Err(JwsFault::BindingKid),
        };
        Ok(Self { flattened, algorithm, kid })
    }

    /// The name of the external account, by which its key is looked up.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether it was made with this key, over the account's key, for the resource of the outer request.
    ///
    /// # Errors
    /// The first rule that does not hold. The MAC is compared in constant time, and before what it is over.
    pub fn verify(&self, key: &SecretBytes, account: &Jwk, url: &str) -> Result<(), JwsFault> {
        if key.len() < MINIMUM_MAC_KEY {
            return Err(JwsFault::BindingWeakKey);
        }
        self.flattened.expect_inner(url)?;
        let key = hmac::Key::new(self.algorithm.hmac(), key.expose());
        hmac::verify(&key, &self.flattened.signed, &self.flattened.signature)
            .map_err(|_| JwsFault::BindingMac)?;
        let bound = Jwk::from_json(&self.flattened.payload).map_err(JwsFault::Key)?;
        if bound == *account { Ok(()) } else { Err(JwsFault::BindingPayload) }
    }
}
