//! What is asked of and told about certificates that other authorities sign, and their roots.

use std::path::PathBuf;

use sealock_core::{SubjectName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{KeyType, Names, SecretBlob, Usages};

/// `cert request NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertRequest {
    /// What it is called here.
    pub name: String,
    /// Its subject (RFC 4514); by default the first DNS name as common name, and for code or e-mail otherwise the first
    /// address.
    pub subject: Option<String>,
    /// Its names.
    pub names: Names,
    /// What it is for: code alone, and e-mail not with a server.
    pub usages: Usages,
    /// The algorithm of its key.
    pub key_type: KeyType,
    /// Also where something else was asked for before: a new key, a new CSR.
    pub replace: bool,
    /// Where it is asked for by protocol, as the settings call it; otherwise a person has it signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

/// `cert import`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertImport {
    /// For which; otherwise for every request that a certificate is for.
    pub name: Option<String>,
    /// The certificates (DER in base64), in any order.
    pub certificates: Vec<String>,
    /// A private key that came along (PKCS#8).
    pub key: Option<SecretBlob>,
    /// Whether names that were not asked for are taken.
    pub accept_names: bool,
    /// Whether one is taken that ends earlier than what is served.
    pub accept_shorter: bool,
}

/// `trust add`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustAdd {
    /// The root (DER in base64).
    pub certificate: String,
    /// What it is called here.
    pub name: Option<String>,
    /// Also one that is not signed by itself.
    pub intermediate: bool,
}

/// A certificate that another authority signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestReport {
    /// What it is called.
    pub name: String,
    /// `waiting for signature`, `waiting for signature (renewal)`, `in use` or `expired`.
    pub state: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The subject that is asked for.
    pub subject: String,
    /// The names that are asked for.
    pub names: Vec<SubjectName>,
    /// Of `server`, `client`, `code` and `email`.
    pub usages: Vec<String>,
    /// The algorithm of its key.
    pub key_type: String,
    /// What to do.
    pub todo: String,
    /// What waits for a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingReport>,
    /// What is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldReport>,
    /// How it stands with the CA that is asked by protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<super::EnrolmentReport>,
}

/// A CSR that is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingReport {
    /// Whether it is for the successor of what is served.
    pub renewal: bool,
    /// SHA-256 of the public key, in hex.
    pub key_sha256: String,
    /// The CSR in PEM.
    pub csr: String,
    /// The same as a file on the daemon's host.
    pub csr_file: PathBuf,
    /// What is in it, for people.
    pub text: String,
}

/// A certificate that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldReport {
    /// Hex.
    pub serial: String,
    /// Hex SHA-256.
    pub fingerprint: String,
    /// Its subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its names.
    pub names: Vec<SubjectName>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// When its successor is asked for.
    pub renewal_due: Timestamp,
    /// When it was imported.
    pub imported: Timestamp,
}

/// What became of what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// As it stands now.
    pub request: RequestReport,
    /// Leaf, intermediates and root: their subjects.
    pub chain: Vec<String>,
    /// Whether it is another than before.
    pub new: bool,
}

/// A root of another authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorReport {
    /// What it is called.
    pub name: String,
    /// Its subject.
    pub subject: String,
    /// Hex SHA-256.
    pub fingerprint: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// When it was added.
    pub added: Timestamp,
    /// Whether it is signed by itself.
    pub self_signed: bool,
    /// The certificate.
    pub pem: String,
}

/// Something that a person has to do by and by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Todo {
    /// `signature`, `renewal`, `chain`, `import`, `expiry`, or `ca-revoked`.
    pub kind: String,
    /// The certificate.
    pub name: String,
    /// What, in a line.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
    /// How.
    pub hint: String,
}
