//! Which issuer a question is about: by the hashes of its name and its key (RFC 6960 §4.1.1).

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use sealock_core::Timestamp;
use x509_cert::certificate::Certificate;
use x509_cert::der::asn1::{Any, Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::CertId;

use crate::asn1;
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, Reason, Revocation};
use crate::serial::Serial;
use crate::state::IssuerRecord;

const SHA1_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// How issuers are named in a request. SHA-1 is what nearly all clients use; it only names here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(super) const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    pub(super) fn of(id: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.id() == *id)
    }

    pub(super) fn id(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => SHA1_ID,
            Self::Sha256 => SHA256_ID,
            Self::Sha384 => SHA384_ID,
            Self::Sha512 => SHA512_ID,
        }
    }

    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }
}

/// How a question names an issuer: by which hash, and whether the algorithm's parameters are absent or NULL. Both are
/// in use, and clients look for their own in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Naming {
    pub(super) hash: Hash,
    pub(super) bare: bool,
}

impl Naming {
    /// As most clients do.
    pub(super) const USUAL: Self = Self { hash: Hash::Sha1, bare: false };

    /// All that there are.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Hash::ALL.into_iter().flat_map(|hash| [true, false].map(|bare| Self { hash, bare }))
    }

    /// `None` for other hashes, and for parameters that say something: they would be a stranger's words in an
    /// answer of ours.
    pub(super) fn of(algorithm: &AlgorithmIdentifierOwned) -> Option<Self> {
        let hash = Hash::of(&algorithm.oid)?;
        match &algorithm.parameters {
            None => Some(Self { hash, bare: true }),
            Some(parameters) if *parameters == Any::from(Null) => Some(Self { hash, bare: false }),
            Some(_) => None,
        }
    }

    fn algorithm(self) -> AlgorithmIdentifierOwned {
        let parameters = (!self.bare).then(|| Null.into());
        AlgorithmIdentifierOwned { oid: self.hash.id(), parameters }
    }
}

/// How one issuer is named.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub(super) id: IssuerId,
    /// When and why all that it has signed is revoked, if it is itself.
    pub(super) revoked: Option<(Timestamp, Reason)>,
    /// In the order of [`Hash::ALL`]: of the name, of the key.
    names: [(Vec<u8>, Vec<u8>); 4],
}

impl Issuer {
    pub(super) fn of(record: &IssuerRecord) -> Result<Self, AuthorityError> {
        let certificate =
            Certificate::from_der(&record.der.0).map_err(asn1::encode)?.tbs_certificate;
        let name = certificate.subject.to_der().map_err(asn1::encode)?;
        let key = certificate.subject_public_key_info.subject_public_key.raw_bytes();
        let names = Hash::ALL.map(|hash| (hash.digest(&name), hash.digest(key)));
        let revoked = record.revoked.map(|Revocation { at, reason }| (at, reason));
        Ok(Self { id: record.id, revoked, names })
    }

    /// Whether a question is about a certificate of this issuer.
    pub(super) fn is_meant(&self, naming: Naming, id: &CertId) -> bool {
        let (name, key) = self.named(naming.hash);
        id.issuer_name_hash.as_bytes() == name && id.issuer_key_hash.as_bytes() == key
    }

    /// The name of a certificate of this issuer, made from what we know: an answer has nothing of a stranger's in it.
    pub(super) fn name_of(&self, naming: Naming, serial: Serial) -> Result<CertId, AuthorityError> {
        let (name, key) = self.named(naming.hash);
        Ok(CertId {
            hash_algorithm: naming.algorithm(),
            issuer_name_hash: OctetString::new(name).map_err(asn1::encode)?,
            issuer_key_hash: OctetString::new(key).map_err(asn1::encode)?,
            serial_number: asn1::serial(serial)?,
        })
    }

    fn named(&self, hash: Hash) -> (&[u8], &[u8]) {
        let [sha1, sha256, sha384, sha512] = &self.names;
        let (name, key) = match hash {
            Hash::Sha1 => sha1,
            Hash::Sha256 => sha256,
            Hash::Sha384 => sha384,
            Hash::Sha512 => sha512,
        };
        (name, key)
    }
}
