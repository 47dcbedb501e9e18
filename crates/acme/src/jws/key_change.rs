//! The inner JWS of a change of keys.

use sealock_core::json;

use super::fault::JwsFault;
use super::flattened::Flattened;
use crate::jwk::{Algorithm, Jwk};

/// What the new key of an account has signed (RFC 8555 §7.3.5): that it wants to be the account's.
#[derive(Debug, Clone)]
pub struct KeyChange {
    key: Jwk,
    payload: Vec<u8>,
}

impl KeyChange {
    /// Reads the payload of a request that was verified under the old key. `url` is that of the request.
    ///
    /// # Errors
    /// It is not of the form, for another resource, or not signed by the key that it brings.
    pub fn read(payload: &[u8], url: &str) -> Result<Self, JwsFault> {
        let members = json::read(payload).map_err(JwsFault::Json)?;
        let mut inner = Flattened::read(members)?;
        inner.expect_inner(url)?;
        let algorithm = Algorithm::of_name(&inner.header.alg);
        let algorithm = algorithm.ok_or(JwsFault::BadSignatureAlgorithm)?;
        if inner.header.kid.is_some() {
            return Err(JwsFault::InnerKey);
        }
        let jwk = inner.header.jwk.take().ok_or(JwsFault::InnerKey)?;
        let key = Jwk::from_members(jwk).map_err(JwsFault::Key)?;
        inner.verify(algorithm, &key)?;
        Ok(Self { key, payload: inner.payload })
    }

    /// The new key, which has signed.
    pub fn key(&self) -> &Jwk {
        &self.key
    }

    /// What it has signed: which account, and the old key.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}
