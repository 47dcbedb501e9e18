//! What is remembered of issuers under roots of others. It is part of the authority's one record.

use sealock_core::{IssuerName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::device::KeyAt;
use crate::imported::Subject;
use crate::inventory::IssuerId;
use crate::key::KeyType;
use crate::state::{Der, KeyPlace};

/// The CA certificates of one name, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: IssuerName,
    /// The subject that is asked for.
    pub(crate) subject: Subject,
    /// The kind of the next key.
    pub(crate) key_type: KeyType,
    /// A CSR that is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Pending>,
    /// A CSR that is out for the key that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anew: Option<Anew>,
    /// Which of the authority's issuers signs for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<IssuerId>,
    /// Somebody has said that it is not to be chosen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disabled: bool,
}

/// A CSR that is out. Its key is sealed where the authority's other keys are, by its id, or in a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) since: Timestamp,
    pub(crate) id: IssuerId,
    /// The public key.
    pub(crate) spki: Der,
    pub(crate) csr: Der,
    /// Where the key is, if it is in a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<KeyAt>,
}

impl Pending {
    /// Where its key is.
    pub(crate) fn place(&self) -> KeyPlace {
        self.device.clone().map_or(KeyPlace::Store, KeyPlace::Device)
    }
}

/// A CSR for the key that signs, since what it has ends: whoever signs it gives it another certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anew {
    pub(crate) since: Timestamp,
    pub(crate) csr: Der,
}

/// What a CA certificate has that somebody else has signed, beside what our own have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Under {
    /// Whose it is.
    pub(crate) line: IssuerName,
    /// Its serial number, in hex: up to 20 octets, unlike ours.
    pub(crate) serial: String,
    /// When the first certificate for this key was imported.
    pub(crate) since: Timestamp,
    /// When this chain was.
    pub(crate) imported: Timestamp,
    /// Its subject, readable.
    pub(crate) subject: String,
    /// That of the root.
    pub(crate) root_subject: String,
    /// From it up to the root, both not among them; nearest first.
    pub(crate) between: Vec<Der>,
    /// What leads those to a root who know another known one only; not part of the chain above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bridges: Vec<Der>,
    /// The known root at which the chain ends.
    pub(crate) root: Der,
    /// How many CAs it may have below it, where it says so. None is ever made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path_length: Option<u32>,
    /// What the chain permits below it.
    pub(crate) server: bool,
    pub(crate) client: bool,
    pub(crate) ocsp: bool,
    /// These a record of before does not say: then the certificates do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<bool>,
}
