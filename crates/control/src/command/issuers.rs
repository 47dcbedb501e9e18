//! What is asked of and told about issuing CAs under roots of others.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyHome, KeyType};

/// `ca request NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaRequest {
    /// What the issuer is called here.
    pub name: String,
    /// The CA's subject (RFC 4514); that of before by default.
    pub subject: Option<String>,
    /// The algorithm of its key; that of before by default.
    pub key_type: Option<KeyType>,
    /// Where its key is made; where that of before is by default.
    pub key: Option<KeyHome>,
    /// Also where something waits already: a new key, a new CSR.
    pub replace: bool,
}

/// `ca import NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaImport {
    /// For which issuer.
    pub name: String,
    /// The CA's certificate and those above it (DER in base64), in any order.
    pub certificates: Vec<String>,
}

/// What is to become of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerChange {
    /// What waits for a signature is dropped.
    Cancel,
    /// It is chosen no more.
    Disable,
    /// It is chosen again.
    Enable,
}

/// An issuing CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuingReport {
    /// What it is called; `own` is under our own root.
    pub name: String,
    /// `in use`, `waiting for signature`, `in use, successor waits for signature`, `in use, to be signed anew`, `disabled` or
    /// `expired`.
    pub state: String,
    /// The subject that it has, or that is asked for.
    pub subject: String,
    /// The algorithm of its next key.
    pub key_type: String,
    /// What to do, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
    /// What waits for a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<IssuingWaiting>,
    /// A CSR for the key that signs, since its certificate nears its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew: Option<IssuingWaiting>,
    /// What signs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<IssuingHeld>,
    /// The ids of those before it whose lists are kept up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<String>,
}

/// A CSR that is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuingWaiting {
    /// Since when.
    pub since: Timestamp,
    /// SHA-256 of the public key, in hex.
    pub key_sha256: String,
    /// Where the key is: `store`, or `hsm` with the token's serial number and the key's id.
    #[serde(default)]
    pub key: String,
    /// The CSR in PEM.
    pub csr: String,
    /// What is in it, for people.
    pub text: String,
}

/// The CA certificate that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuingHeld {
    /// Its id, as `cert list --issuer` and the paths of revocation lists have it.
    pub id: String,
    /// Hex.
    pub serial: String,
    /// Where its key is, as above.
    #[serde(default)]
    pub key: String,
    /// The root above it.
    pub root: String,
    /// From when what it signs is valid.
    pub not_before: Timestamp,
    /// Until when: the earliest end in its chain.
    pub not_after: Timestamp,
    /// How many CAs it may have below it; it never has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_length: Option<u32>,
    /// What its chain permits: of `server`, `client`, `code`, `email` and `ocsp`.
    pub permits: Vec<String>,
    /// The name constraints of its chain, such as `permit dns:corp.example (O=Corp, CN=Root)`.
    pub constraints: Vec<String>,
    /// Hex SHA-256.
    pub fingerprint: String,
    /// The certificate and those between it and the root, in PEM.
    pub chain: String,
    /// The root in PEM.
    pub root_pem: String,
}

/// What became of what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerImportReport {
    /// As it stands now.
    pub issuer: IssuingReport,
    /// The CA, those above it, and the root: their subjects.
    pub chain: Vec<String>,
    /// Whether it is another than before.
    pub new: bool,
    /// The subject that was asked for, where the certificate has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}
