//! What the authority is: its own certificates and how they follow one another. One record, written as a
//! whole, so that there is never half an authority.
//!
//! The record holds nothing secret. Keys are entries of their own, sealed by the keyring before they get
//! to the store; the seal binds the entry's name, so two keys cannot be swapped.

use sealock_core::{IssuerName, Timestamp, TrustDomain};
use serde::{Deserialize, Serialize};

use crate::constraints::NameConstraints;
use crate::device::KeyAt;
use crate::inventory::{CertState, CertSummary, IssuerId, Revocation};
use crate::issuers::{Line, Under};
use crate::key::KeyType;
use crate::serial::Serial;

/// The record's place in the store.
pub(crate) const STATE: &[u8] = b"ca/state";
/// The layout that this program reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// The authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) format: u32,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) created: Timestamp,
    pub(crate) key_type: KeyType,
    #[serde(default)]
    pub(crate) crl_url: Option<String>,
    #[serde(default)]
    pub(crate) name_constraints: NameConstraints,
    /// The active root.
    pub(crate) root: IssuerId,
    /// The active intermediate.
    pub(crate) intermediate: IssuerId,
    /// All CA certificates that there ever were, oldest first.
    pub(crate) issuers: Vec<IssuerRecord>,
    pub(crate) signer: SignerRecord,
    /// The issuers under roots of others, by name; their certificates are among `issuers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<Line>,
}

/// Root or intermediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// Self-signed, trusted by everybody who has the bundle.
    Root,
    /// Signs the leaves.
    Intermediate,
}

/// One CA certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuerRecord {
    pub(crate) id: IssuerId,
    pub(crate) kind: IssuerKind,
    /// 1 for the first of its kind.
    pub(crate) number: u16,
    /// The root above an intermediate; a root names itself.
    pub(crate) parent: IssuerId,
    pub(crate) serial: Serial,
    pub(crate) key_type: KeyType,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) der: Der,
    /// A root certified by the root before it, for those who trust only that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bridge: Option<Der>,
    /// Where its key is.
    #[serde(flatten)]
    pub(crate) key: KeyPlace,
    /// Since when it signs no more certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retired: Option<Timestamp>,
    /// When the last leaf below it expires; known some time after it retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_leaf: Option<Timestamp>,
    /// That and why it was revoked. Whatever it has signed is as good as revoked with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<Revocation>,
    /// Of one that somebody else has signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) under: Option<Box<Under>>,
}

/// Where the key of a CA is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredPlace", into = "StoredPlace")]
pub(crate) enum KeyPlace {
    /// Sealed in the store.
    Store,
    /// Not on this host, or nowhere any more.
    Elsewhere,
    /// In a device.
    Device(KeyAt),
}

impl KeyPlace {
    /// Whether it can sign, by itself or by a device.
    pub(crate) fn is_usable(&self) -> bool {
        *self != Self::Elsewhere
    }
}

/// The same as records have it. Programs before there were devices read one that is in a device as one that is
/// elsewhere, and records of theirs have no `device`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredPlace {
    key_here: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<KeyAt>,
}

impl From<StoredPlace> for KeyPlace {
    fn from(stored: StoredPlace) -> Self {
        match stored {
            StoredPlace { key_here: true, .. } => Self::Store,
            StoredPlace { device: Some(at), .. } => Self::Device(at),
            StoredPlace { .. } => Self::Elsewhere,
        }
    }
}

impl From<KeyPlace> for StoredPlace {
    fn from(place: KeyPlace) -> Self {
        match place {
            KeyPlace::Store => Self { key_here: true, device: None },
            KeyPlace::Elsewhere => Self { key_here: false, device: None },
            KeyPlace::Device(at) => Self { key_here: false, device: Some(at) },
        }
    }
}

impl IssuerRecord {
    /// Whether leaves below it may still be in use.
    pub(crate) fn in_use(&self, now: Timestamp) -> bool {
        self.retired.is_none() || self.last_leaf.is_none_or(|last| now <= last)
    }

    /// What messages call it.
    pub(crate) fn title(&self) -> String {
        if let Some(under) = &self.under {
            return format!("issuer {}", under.line);
        }
        match self.kind {
            IssuerKind::Root => format!("root {}", self.number),
            IssuerKind::Intermediate => format!("intermediate {}", self.number),
        }
    }
}

/// The audit signer's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignerRecord {
    pub(crate) id: IssuerId,
    pub(crate) der: Der,
}

/// DER; in JSON as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Der(pub(crate) Vec<u8>);

impl TryFrom<String> for Der {
    type Error = data_encoding::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        data_encoding::BASE64.decode(text.as_bytes()).map(Self)
    }
}

impl From<Der> for String {
    fn from(der: Der) -> Self {
        data_encoding::BASE64.encode(&der.0)
    }
}

impl State {
    pub(crate) fn issuer(&self, id: IssuerId) -> Option<&IssuerRecord> {
        self.issuers.iter().find(|issuer| issuer.id == id)
    }

    pub(crate) fn of_kind(&self, kind: IssuerKind) -> impl Iterator<Item = &IssuerRecord> {
        self.issuers.iter().filter(move |issuer| issuer.kind == kind)
    }

    /// The intermediates below a root.
    pub(crate) fn below(&self, root: IssuerId) -> impl Iterator<Item = &IssuerRecord> {
        self.ours().filter(move |issuer| issuer.parent == root && issuer.id != root)
    }

    /// That the CA which has signed something was revoked.
    pub(crate) fn revocation_of(&self, issuer: IssuerId) -> Option<Revocation> {
        self.issuer(issuer)?.revoked
    }

    /// A certificate as it stands below its CA: below a revoked one, nothing is good.
    pub(crate) fn judged(&self, one: CertSummary) -> CertSummary {
        match self.revocation_of(one.issuer) {
            Some(revoked) => below_revoked(one, revoked),
            None => one,
        }
    }

    /// Those under our own roots.
    pub(crate) fn ours(&self) -> impl DoubleEndedIterator<Item = &IssuerRecord> {
        self.issuers.iter().filter(|issuer| issuer.under.is_none())
    }

    /// The line of this name.
    pub(crate) fn line(&self, name: &IssuerName) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == *name)
    }

    /// Puts a line in the place of the one of its name, in the order of names.
    pub(crate) fn put_line(&mut self, line: Line) {
        self.lines.retain(|other| other.name != line.name);
        let at = self.lines.partition_point(|other| other.name < line.name);
        self.lines.insert(at, line);
    }

    /// Puts an issuer in the place of the one with its id, or at the end.
    pub(crate) fn put_issuer(&mut self, record: IssuerRecord) {
        match self.issuers.iter_mut().find(|other| other.id == record.id) {
            Some(other) => *other = record,
            None => self.issuers.push(record),
        }
    }

    /// The number of the next of its kind.
    pub(crate) fn next_number(&self, kind: IssuerKind) -> u16 {
        self.of_kind(kind).map(|issuer| issuer.number).max().unwrap_or(0).saturating_add(1)
    }

    /// The roots to trust: the active one, then those whose leaves have not all expired, newest first.
    pub(crate) fn trusted_roots(&self, now: Timestamp) -> impl Iterator<Item = &IssuerRecord> {
        let active = self.issuer(self.root).into_iter();
        let retired = self.issuers.iter().rev().filter(move |issuer| {
            issuer.kind == IssuerKind::Root && issuer.id != self.root && issuer.in_use(now)
        });
        active.chain(retired)
    }
}

/// A certificate whose CA was revoked. What has ended, or was revoked by itself, stays what it was.
pub(crate) fn below_revoked(one: CertSummary, revoked: Revocation) -> CertSummary {
    if !matches!(one.state, CertState::Valid | CertState::Replaced) {
        return one;
    }
    CertSummary {
        state: CertState::Revoked,
        revoked_at: Some(revoked.at),
        reason: Some(revoked.reason),
        issuer_revoked: true,
        ..one
    }
}

/// The name of a key's entry, which is also what its seal binds.
pub(crate) fn key_name(id: IssuerId) -> String {
    format!("ca/key/{id}")
}

/// Where an issuer's delta CRL is.
pub(crate) fn delta_key(id: IssuerId) -> Vec<u8> {
    format!("ca/delta/{id}").into_bytes()
}

/// Is there while an issuer's lists lack a revocation that its device could not sign.
pub(crate) fn list_due_key(id: IssuerId) -> Vec<u8> {
    format!("ca/list-due/{id}").into_bytes()
}

/// Where an issuer's CRL is.
pub(crate) fn crl_key(id: IssuerId) -> Vec<u8> {
    format!("ca/crl/{id}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_were_written_and_from_before_there_were_devices() {
        let at = KeyAt { token: "0123".into(), id: "00ff".to_owned().try_into().unwrap() };
        for place in [KeyPlace::Store, KeyPlace::Elsewhere, KeyPlace::Device(at)] {
            let text = serde_json::to_string(&place).unwrap();
            assert_eq!(serde_json::from_str::<KeyPlace>(&text).unwrap(), place, "{text}");
        }
        let old = |text| serde_json::from_str::<KeyPlace>(text).unwrap();
        assert_eq!(old(r#"{"key_here":true}"#), KeyPlace::Store);
        assert_eq!(old(r#"{"key_here":false}"#), KeyPlace::Elsewhere);
        let text = r#"{"key_here":false,"device":{"token":"1","id":"xy"}}"#;
        assert!(serde_json::from_str::<KeyPlace>(text).is_err());
    }
}
