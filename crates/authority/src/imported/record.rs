//! What is remembered of a certificate that another authority signs. One record for each name, written as a whole;
//! keys are entries of their own, sealed.

use aws_lc_rs::digest::{Context, SHA256};
use sealock_core::{ImportedName, SubjectName, Timestamp};
use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::key::KeyType;
use crate::order::Usages;
use crate::pem;
use crate::state::Der;

/// The layout that this program reads and writes.
pub(super) const FORMAT: u32 = 1;
pub(super) const RECORDS: &str = "imported/cert/";
const KEYS: &str = "imported/key/";

/// What is wanted of the other authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Its subject.
    pub subject: Subject,
    /// Its names.
    pub names: Vec<SubjectName>,
    /// What it is for.
    pub usages: Usages,
    /// The kind of its key.
    pub key_type: KeyType,
    /// Where it is asked for by protocol, as the settings call it; otherwise a person has it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

/// A certificate's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) format: u32,
    pub(super) wishes: Wishes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<Pending>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
    /// That it ends without a successor was told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) alarmed: bool,
}

/// A CSR that is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) since: Timestamp,
    pub(super) key: KeyRef,
    pub(super) csr: Der,
    /// Made because the certificate that is served nears its end.
    pub(super) renewal: bool,
}

/// Which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRef {
    /// SHA-256 of the public key, in hex.
    pub(super) id: String,
    /// The public key.
    pub(super) spki: Der,
}

/// The certificate that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// When it was imported.
    pub imported: Timestamp,
    /// Its serial number, in hex.
    pub serial: String,
    /// SHA-256 of the DER, in hex.
    pub fingerprint: String,
    /// Its subject, readable.
    pub subject: String,
    /// Who signed it, readable.
    pub issuer: String,
    /// Its names.
    pub names: Vec<SubjectName>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    pub(super) key: KeyRef,
    pub(super) leaf: Der,
    pub(super) intermediates: Vec<Der>,
    pub(super) root: Der,
}

impl Held {
    /// The leaf, then the intermediates, in PEM.
    pub fn tls_crt(&self) -> String {
        let all = std::iter::once(&self.leaf).chain(&self.intermediates);
        all.map(|der| pem::encode("CERTIFICATE", &der.0)).collect()
    }

    /// The known root at which the chain ends, in PEM.
    pub fn root_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.root.0)
    }

    /// Whether this certificate (DER) is in the chain, leaf and root included.
    pub fn has(&self, der: &[u8]) -> bool {
        self.ders().any(|one| one == der)
    }

    /// The certificate itself (DER).
    pub fn leaf(&self) -> &[u8] {
        &self.leaf.0
    }

    /// A number for just this chain, whenever and however often it was imported: a count would begin again when the name is
    /// forgotten, and whoever has the first of one count would not get the first of the next.
    pub fn version(&self) -> u64 {
        let mut digest = Context::new(&SHA256);
        for der in self.ders() {
            digest.update(&der.len().to_be_bytes());
            digest.update(der);
        }
        let digest = digest.finish();
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        // Numbers of JSON are whole up to here.
        u64::from_be_bytes(first) >> 11
    }

    pub(super) fn ders(&self) -> impl Iterator<Item = &[u8]> {
        let between = self.intermediates.iter().map(|der| der.0.as_slice());
        std::iter::once(self.leaf.0.as_slice()).chain(between).chain([self.root.0.as_slice()])
    }
}

impl KeyRef {
    pub(super) fn of(spki: &[u8]) -> Self {
        Self { id: crate::query::fingerprint(spki), spki: Der(spki.to_vec()) }
    }

    /// The name of the key's entry, which is also what its seal binds.
    pub(super) fn entry(&self, name: &ImportedName) -> String {
        format!("{KEYS}{name}/{}", self.id)
    }
}

/// Where a record is.
pub(super) fn place(name: &ImportedName) -> Vec<u8> {
    format!("{RECORDS}{name}").into_bytes()
}
