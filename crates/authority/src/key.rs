//! Keys: the four kinds that the authority makes, public keys that others bring, and the signing keys
//! of its own certificates.
//!
//! Invariants: private keys exist here as aws-lc-rs objects (which wipe themselves) or as
//! [`SecretBytes`]; nothing in this module writes one anywhere. PKCS#8 is always version 1, which every
//! OpenSSL and GnuTLS reads (version 2 for Ed25519 is refused by OpenSSL 3.0).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use sealock_core::SecretBytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::device::{self, DeviceError, InDevice};
use crate::lint;

/// Why a key could not be made, read or used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not the name of a key type.
    #[error("`{0}` is not a key type (p256, p384, ed25519 or rsa3072)")]
    Type(String),
    /// The random generator or the key generation failed.
    #[error("a {0} key could not be made")]
    Generate(KeyType),
    /// Not a private key of a kind that the authority uses.
    #[error("the private key cannot be read: not PKCS#8 with a P-256, P-384, Ed25519 or RSA key")]
    Unreadable,
}

/// The kinds of key that the authority makes, for itself and for leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on P-256 with SHA-256. The default: small, fast, understood by everything.
    #[default]
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// Ed25519. Not understood by browsers and some appliances.
    Ed25519,
    /// RSA with 3,072 bits. Slow to make (a tenth of a second and more); for clients that know no curves.
    Rsa3072,
}

impl KeyType {
    /// All of them, in the order in which help texts name them.
    pub const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa3072];

    /// The name as settings, labels and flags have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa3072 => "rsa3072",
        }
    }

    fn signature_algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa3072 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for KeyType {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| KeyError::Type(text.chars().take(40).collect()))
    }
}

/// What kind of public key somebody brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublicKeyKind {
    /// A point on P-256.
    P256,
    /// A point on P-384.
    P384,
    /// An Ed25519 key.
    Ed25519,
    /// An RSA key of so many bits, 2,048 or more.
    Rsa(u32),
}

impl From<KeyType> for PublicKeyKind {
    fn from(kind: KeyType) -> Self {
        match kind {
            KeyType::P256 => Self::P256,
            KeyType::P384 => Self::P384,
            KeyType::Ed25519 => Self::Ed25519,
            KeyType::Rsa3072 => Self::Rsa(3072),
        }
    }
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => formatter.write_str("p256"),
            Self::P384 => formatter.write_str("p384"),
            Self::Ed25519 => formatter.write_str("ed25519"),
            Self::Rsa(bits) => write!(formatter, "rsa{bits}"),
        }
    }
}

/// A public key that a certificate can be made for: made here, or checked when it was read from a CSR.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: PublicKeyKind,
    /// The content of `subjectPublicKey`: point, 32 bytes, or `RSAPublicKey`.
    bytes: Vec<u8>,
}

impl PublicKey {
    /// A key whose bytes were checked to be of this kind.
    pub(crate) fn new(kind: PublicKeyKind, bytes: Vec<u8>) -> Self {
        Self { kind, bytes }
    }

    /// What kind of key it is.
    pub fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// Whether keys of this kind encrypt (RSA) and so may have the `keyEncipherment` usage.
    pub(crate) fn enciphers(&self) -> bool {
        matches!(self.kind, PublicKeyKind::Rsa(_))
    }

    /// Whether keys of this kind agree on others (ECDH) and so may have the `keyAgreement` usage.
    pub(crate) fn agrees(&self) -> bool {
        matches!(self.kind, PublicKeyKind::P256 | PublicKeyKind::P384)
    }

    /// The content of `subjectPublicKey`.
    pub(crate) fn subject_public_key(&self) -> &[u8] {
        &self.bytes
    }

    /// The key identifier: the first 160 bits of the SHA-256 of `subjectPublicKey` (RFC 7093 §2, method 1).
    pub fn identifier(&self) -> [u8; 20] {
        identifier(&self.bytes)
    }

    /// The DER of `SubjectPublicKeyInfo`.
    pub fn to_spki_der(&self) -> Vec<u8> {
        self.subject_public_key_info()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identifier = data_encoding::HEXLOWER.encode(&self.identifier());
        write!(formatter, "PublicKey({} {identifier})", self.kind)
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind {
            PublicKeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            PublicKeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            PublicKeyKind::Ed25519 => &rcgen::PKCS_ED25519,
            PublicKeyKind::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

pub(crate) fn identifier(subject_public_key: &[u8]) -> [u8; 20] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, subject_public_key);
    let mut first = [0; 20];
    first.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    first
}

/// A new key: its public half, and the private one as PKCS#8 (version 1).
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) public: PublicKey,
    pub(crate) pkcs8: SecretBytes,
}

impl NewKey {
    /// Makes a key.
    pub(crate) fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Generate(kind);
        let (public_kind, public, pkcs8) = match kind {
            KeyType::P256 | KeyType::P384 => {
                let (algorithm, public_kind) = if kind == KeyType::P256 {
                    (&ECDSA_P256_SHA256_ASN1_SIGNING, PublicKeyKind::P256)
                } else {
                    (&ECDSA_P384_SHA384_ASN1_SIGNING, PublicKeyKind::P384)
                };
                let pair = EcdsaKeyPair::generate(algorithm).map_err(failed)?;
                let document = pair.to_pkcs8v1().map_err(failed)?;
                (public_kind, pair.public_key().as_ref().to_vec(), document.as_ref().to_vec())
            }
            KeyType::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                let document = pair.to_pkcs8v1().map_err(failed)?;
                let public = pair.public_key().as_ref().to_vec();
                (PublicKeyKind::Ed25519, public, document.as_ref().to_vec())
            }
            KeyType::Rsa3072 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(failed)?;
                let document: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                let public = pair.public_key().as_ref().to_vec();
                (PublicKeyKind::Rsa(3072), public, document.as_ref().to_vec())
            }
        };
        Ok(Self { public: PublicKey::new(public_kind, public), pkcs8: SecretBytes::new(pkcs8) })
    }
}

/// A key of the authority's own certificates, ready to sign. Built once, used by many threads.
pub(crate) struct AuthorityKey {
    pair: Pair,
    kind: KeyType,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    /// Not here: whoever has it is asked.
    Device(Box<InDevice>),
}

/// Why there is no signature.
#[derive(Debug, Error)]
pub(crate) enum SignError {
    /// The library failed.
    #[error("the signature failed")]
    Failed,
    /// The device did not sign.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl From<aws_lc_rs::error::Unspecified> for SignError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Failed
    }
}

impl AuthorityKey {
    /// A key that a device has.
    pub(crate) fn in_device(key: InDevice) -> Self {
        Self { kind: key.kind, pair: Pair::Device(Box::new(key)) }
    }

    /// Reads PKCS#8. Any RSA size from 2,048 bits counts as the RSA kind.
    pub(crate) fn from_pkcs8(pkcs8: &SecretBytes) -> Result<Self, KeyError> {
        let der = pkcs8.expose();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Ok(Self { pair: Pair::Ecdsa(pair), kind: KeyType::P256 });
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der) {
            return Ok(Self { pair: Pair::Ecdsa(pair), kind: KeyType::P384 });
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self { pair: Pair::Ed25519(pair), kind: KeyType::Ed25519 });
        }
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Unreadable)?;
        Ok(Self { pair: Pair::Rsa(Box::new(pair)), kind: KeyType::Rsa3072 })
    }

    /// What kind of key it is.
    pub(crate) fn kind(&self) -> KeyType {
        self.kind
    }

    /// The key identifier of the public half.
    pub(crate) fn identifier(&self) -> [u8; 20] {
        identifier(self.der_bytes())
    }

    /// A signature over `message`: ECDSA in ASN.1 form, Ed25519, or RSA PKCS#1 v1.5 with SHA-256.
    pub(crate) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signed)?;
                Ok(signed)
            }
            Pair::Device(key) => Ok(key.sign(message)?),
        }
    }
}

impl fmt::Debug for AuthorityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AuthorityKey({}, redacted)", self.kind)
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Device(key) => key.public.subject_public_key(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.kind.signature_algorithm()
    }
}

impl SigningKey for AuthorityKey {
    /// What rcgen has signed is certificates, and none is that breaks a rule.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let announced = lint::announced();
        lint::refuse(lint::before_signing(message, &self.identifier(), announced.as_ref()))?;
        self.signature(message).map_err(|error| match error {
            SignError::Failed => rcgen::Error::RingUnspecified,
            SignError::Device(error) => {
                device::keep(error);
                rcgen::Error::RemoteKeyError
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_made_read_back_and_signs() {
        for kind in KeyType::ALL {
            let made = NewKey::generate(kind).unwrap();
            let read = AuthorityKey::from_pkcs8(&made.pkcs8).unwrap();
            assert_eq!(read.kind, kind);
            assert_eq!(read.der_bytes(), made.public.bytes, "{kind}");
            assert_eq!(read.identifier(), made.public.identifier());
            assert!(!read.signature(b"message").unwrap().is_empty());
            assert_eq!(kind.as_str().parse::<KeyType>(), Ok(kind));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [&b""[..], b"0", b"-----BEGIN PRIVATE KEY-----"] {
            assert_eq!(
                AuthorityKey::from_pkcs8(&SecretBytes::new(bad.to_vec())).err(),
                Some(KeyError::Unreadable)
            );
        }
        assert!("p521".parse::<KeyType>().is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let made = NewKey::generate(KeyType::P256).unwrap();
        assert!(format!("{made:?}").contains("redacted"));
        let read = AuthorityKey::from_pkcs8(&made.pkcs8).unwrap();
        assert_eq!(format!("{read:?}"), "AuthorityKey(p256, redacted)");
    }
}
