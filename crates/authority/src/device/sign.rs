//! Signatures of a device: made there, put into the form that certificates have, and verified.

use std::cell::Cell;
use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::der::Encode;
use x509_cert::der::asn1::UintRef;

use super::{DeviceError, KeyAt, Shared};
use crate::der::{SEQUENCE, element};
use crate::key::{KeyType, PublicKey};

/// The DER of `DigestInfo` before a SHA-256 (RFC 8017 §9.2, note 1).
const SHA256_INFO: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

thread_local! {
    /// rcgen asks for a signature in the middle of its work and has no room for an error of ours.
    static FAILED: Cell<Option<DeviceError>> = const { Cell::new(None) };
}

/// Why the device did not sign for rcgen, on this thread since it was asked last.
pub(crate) fn taken() -> Option<DeviceError> {
    FAILED.take()
}

/// Keeps that for whoever asked rcgen for a certificate.
pub(crate) fn keep(error: DeviceError) {
    FAILED.set(Some(error));
}

/// A key that is in a device.
pub(crate) struct InDevice {
    pub(crate) device: Shared,
    pub(crate) at: KeyAt,
    pub(crate) kind: KeyType,
    /// As the authority's certificate has it.
    pub(crate) public: PublicKey,
}

impl fmt::Debug for InDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "InDevice({:?})", self.at)
    }
}

impl InDevice {
    /// A signature over `message` in the form that certificates have it, and that holds.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, DeviceError> {
        let device = self.device.as_ref().ok_or_else(DeviceError::none)?;
        let digest = |algorithm| digest::digest(algorithm, message).as_ref().to_vec();
        let data = match self.kind {
            KeyType::P256 => digest(&digest::SHA256),
            KeyType::P384 => digest(&digest::SHA384),
            KeyType::Ed25519 => message.to_vec(),
            KeyType::Rsa3072 => [SHA256_INFO, &digest(&digest::SHA256)].concat(),
        };
        let raw = device.sign(&self.at, self.kind, data)?;
        let wrong = || DeviceError::faulty("the HSM has made a signature that is wrong");
        let signed = match self.kind {
            KeyType::P256 => ecdsa(&raw, 32).ok_or_else(wrong)?,
            KeyType::P384 => ecdsa(&raw, 48).ok_or_else(wrong)?,
            KeyType::Ed25519 | KeyType::Rsa3072 => raw,
        };
        let algorithm: &'static dyn VerificationAlgorithm = match self.kind {
            KeyType::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            KeyType::P384 => &signature::ECDSA_P384_SHA384_ASN1,
            KeyType::Ed25519 => &signature::ED25519,
            KeyType::Rsa3072 => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, self.public.subject_public_key())
            .verify(message, &signed)
            .map_err(|_| wrong())?;
        Ok(signed)
    }
}

/// `r || s` as `ECDSA-Sig-Value` (RFC 3279 §2.2.3).
fn ecdsa(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    if raw.len() != 2 * size {
        return None;
    }
    let (r, s) = raw.split_at(size);
    let number = |bytes| UintRef::new(bytes).and_then(|number| number.to_der()).ok();
    Some(element(SEQUENCE, &[number(r)?, number(s)?].concat()))
}
