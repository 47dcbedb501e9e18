//! `cert report`: the whole inventory as one answer. Its JSON is documented in `docs/guides/inventory.md`; what changes
//! the meaning of a field raises [`InventoryReport::FORMAT`].

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::CertificateReport;

/// The inventory, and what has to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryReport {
    /// The shape: [`InventoryReport::FORMAT`].
    pub format: u32,
    /// When it was made.
    pub made: Timestamp,
    /// The release that made it.
    pub version: String,
    /// The name under which all identities live.
    pub trust_domain: String,
    /// How many there are, by state; of the whole inventory.
    pub totals: Totals,
    /// How many there are, by key; of the certificates below.
    pub keys: Vec<KeyTotal>,
    /// The CA certificates that are in use, the active ones first.
    pub issuers: Vec<IssuerReport>,
    /// The certificates: valid ones, soonest to expire first; then revoked, replaced and expired ones.
    pub certificates: Vec<ReportedCertificate>,
    /// How many certificates are not among them.
    pub left_out: u64,
    /// What needs a person.
    pub to_do: Vec<ToDo>,
    /// What is not in it, and why.
    pub notes: Vec<String>,
}

impl InventoryReport {
    /// The shape of the answer.
    pub const FORMAT: u32 = 1;
}

/// Certificates by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All of them.
    pub all: u64,
    /// In force, and the newest of their line.
    pub valid: u64,
    /// In force, but renewed by another.
    pub replaced: u64,
    /// Revoked, expired or not.
    pub revoked: u64,
    /// No longer in force, and not yet removed.
    pub expired: u64,
    /// Of all of these, how many another authority has signed.
    #[serde(default)]
    pub imported: u64,
}

/// What an inventory says of a certificate that another authority has signed, beside what it says of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedReport {
    /// Its whole subject, readable.
    pub subject: String,
    /// Who has signed it, readable.
    pub issuer: String,
    /// The root at which its chain ends, as `trust add` has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The containers that have it by label.
    pub containers: Vec<String>,
    /// When its successor is asked for.
    pub renewal_due: Timestamp,
}

/// Certificates with keys of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTotal {
    /// As in a certificate's `key`: `p256`, `rsa3072`.
    pub key: String,
    /// `ECDSA`, `Ed25519` or `RSA`.
    pub algorithm: String,
    /// The length of the key.
    pub bits: u32,
    /// How many.
    pub certificates: u64,
}

/// A CA certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerReport {
    /// Its id.
    pub id: String,
    /// `root` or `intermediate`.
    pub kind: String,
    /// The subject, readable.
    pub subject: String,
    /// The kind of its key.
    pub key: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Whether it is the one that is used now.
    pub active: bool,
    /// Whether its key is on this host.
    pub key_here: bool,
    /// How many certificates it has signed that have not expired.
    pub in_force: u64,
    /// When it was revoked, if it was: then none of those is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl IssuerReport {
    /// `active`, `retired`, or that and why it was revoked.
    pub fn state(&self) -> String {
        match (&self.reason, self.active) {
            (Some(reason), _) => format!("revoked ({reason})"),
            (None, true) => "active".to_owned(),
            (None, false) => "retired".to_owned(),
        }
    }
}

/// A certificate of the report: as `cert list --json` has it, and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedCertificate {
    /// As in a list.
    #[serde(flatten)]
    pub certificate: CertificateReport,
    /// `ECDSA`, `Ed25519` or `RSA`.
    pub algorithm: String,
    /// The length of its key.
    pub bits: u32,
    /// Seconds from when the report was made until it ends; less than 0: since it has ended.
    pub seconds_left: i64,
    /// The container that it is named for: what is delivered by label is called `CONTAINER/LABEL`.
    pub container: Option<String>,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDo {
    /// What kind: `expires`, `key`, `intermediate-ends`, `root-ends`, or the name of an alarm.
    pub kind: String,
    /// Of what.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
