//! Keys that are in a device (an HSM): what the authority asks of it, and what it makes of the answers.
//!
//! # Invariants
//!
//! - A signature of the device's is used only after it was verified here, against the public key that the authority's
//!   own certificate has: a device that is faulty, or lies, brings no bad certificate into the inventory.
//! - What the device is to hold is written down before it is made (`unwanted`), and that note goes in the very commit
//!   that makes the state point to it. So whatever is killed, a key that nobody needs is known, and is removed later.
//! - The device is not asked when the authority is opened: lists, answers and everything else that needs no key of
//!   its own is there without it.

mod parts;
mod sign;
pub(crate) mod unwanted;

use std::fmt;
use std::sync::Arc;

use sealock_core::SecretBytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::KeyType;

pub(crate) use parts::{parts, pkcs8, public_key};
pub(crate) use sign::{InDevice, keep, taken};
pub use unwanted::LeftKey;

/// Why a device did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct DeviceError {
    /// In a line.
    pub message: String,
    /// Why, where there is more to say.
    pub hint: String,
    /// Whether the same may work later, without anybody changing anything here.
    pub may_pass: bool,
}

impl DeviceError {
    /// The state says that a key is in a device, and the settings name none.
    pub(crate) fn none() -> Self {
        Self {
            message: "the key is in an HSM, and the settings name none".into(),
            hint: "set hsm.module and hsm.token".into(),
            may_pass: false,
        }
    }

    /// What it says is no public key of the kind that it was asked for.
    pub(crate) fn public_key() -> Self {
        Self::faulty("the HSM has made a key whose public half is none")
    }

    /// What it gave out is another key than the certificate's.
    pub(crate) fn other_key() -> Self {
        Self::faulty("the HSM has given out another key than that of the certificate")
    }

    fn faulty(message: &str) -> Self {
        Self {
            message: message.into(),
            hint: "nothing was recorded; have the HSM and its module looked at".into(),
            may_pass: false,
        }
    }
}

/// The id of a key in its device (`CKA_ID`); hex as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceKeyId(Vec<u8>);

impl DeviceKeyId {
    /// One that nobody has.
    pub(crate) fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut id = vec![0; 16];
        aws_lc_rs::rand::fill(&mut id)?;
        Ok(Self(id))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for DeviceKeyId {
    type Error = data_encoding::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).map(Self)
    }
}

impl From<DeviceKeyId> for String {
    fn from(id: DeviceKeyId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for DeviceKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// Where a key is: the token's serial number, and the id there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyAt {
    /// The token's serial number.
    pub token: String,
    /// The key's id.
    pub id: DeviceKeyId,
}

/// A private key in its parts.
///
/// Curves: the private value (the seed of Ed25519), then the public point as `subjectPublicKey` has it. RSA (RFC 8017
/// §3.2): modulus, public exponent, private exponent, two primes, two exponents, coefficient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyParts {
    /// What kind of key.
    pub kind: KeyType,
    /// Big-endian numbers, or the two parts of a curve's key.
    pub parts: Vec<SecretBytes>,
}

/// A public key as a device tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePublic {
    /// Curves: the point. RSA: the modulus.
    pub value: Vec<u8>,
    /// RSA: the exponent.
    pub exponent: Vec<u8>,
}

/// A device that keeps keys, and signs with them. Its answers are a stranger's: nothing that it says is believed that
/// can be checked.
///
/// Every method blocks for as long as the device takes, and has an end of its own.
pub trait KeyDevice: fmt::Debug + Send + Sync {
    /// The serial number of the token that is there now.
    fn token(&self) -> Result<String, DeviceError>;

    /// Makes a key that never leaves the device.
    fn generate(
        &self,
        kind: KeyType,
        id: &DeviceKeyId,
        label: &str,
    ) -> Result<DevicePublic, DeviceError>;

    /// Puts a key into the device; `extractable`: it may leave it again, encrypted.
    fn import(
        &self,
        key: &KeyParts,
        id: &DeviceKeyId,
        label: &str,
        extractable: bool,
    ) -> Result<(), DeviceError>;

    /// Signs: ECDSA a digest, RSA a `DigestInfo` (RFC 8017 §9.2), Ed25519 the message. Gives ECDSA as `r || s`.
    fn sign(&self, key: &KeyAt, kind: KeyType, data: Vec<u8>) -> Result<Vec<u8>, DeviceError>;

    /// The key, where the device lets it go.
    fn export(&self, key: &KeyAt, kind: KeyType, public: &[u8]) -> Result<KeyParts, DeviceError>;

    /// Whether a private key is there.
    fn holds(&self, key: &KeyAt) -> Result<bool, DeviceError>;

    /// Destroys a key. One that is not there is no error.
    fn remove(&self, key: &KeyAt) -> Result<(), DeviceError>;
}

/// Where new keys are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyHome {
    /// Sealed in the store.
    #[default]
    Store,
    /// In the device.
    Device,
}

/// The device, if there is one.
pub(crate) type Shared = Option<Arc<dyn KeyDevice>>;
