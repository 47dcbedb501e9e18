//! What is asked of the certificate authority.

use serde::{Deserialize, Serialize};

/// Algorithm of a private key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 3,072 bits.
    Rsa3072,
}

/// How the authority's keys are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyProtection {
    /// A key file (0600): whoever copies the state folder has the authority.
    #[default]
    File,
    /// Encrypted under a passphrase.
    Passphrase,
}

/// Where a key of the authority's is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyHome {
    /// Encrypted in the state folder.
    #[default]
    Store,
    /// In the HSM that the settings name.
    Hsm,
}

/// What `ca rotate` replaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RotateWhat {
    /// The issuing intermediate.
    #[default]
    Intermediate,
    /// The root.
    Root,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a purpose of its own in the certificate"
)]
pub struct Usages {
    /// TLS server.
    pub server: bool,
    /// TLS client.
    pub client: bool,
    /// To sign code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub code: bool,
    /// To sign e-mail, and be sent encrypted e-mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub email: bool,
}

impl Default for Usages {
    fn default() -> Self {
        Self { server: true, client: true, code: false, email: false }
    }
}

/// Reasons of RFC 5280 §5.3.1 that a person can give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// None given.
    #[default]
    Unspecified,
    /// The private key is known to somebody else.
    KeyCompromise,
    /// The subject's name or affiliation changed.
    AffiliationChanged,
    /// Replaced by another certificate.
    Superseded,
    /// No longer needed.
    CessationOfOperation,
    /// The privilege it stood for was withdrawn.
    PrivilegeWithdrawn,
}

/// The names that are asked for, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ip: Vec<String>,
    /// URIs.
    pub uri: Vec<String>,
    /// E-mail addresses.
    pub email: Vec<String>,
}

impl Names {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ip.is_empty() && self.uri.is_empty() && self.email.is_empty()
    }
}

/// `init`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Init {
    /// The trust domain, where the settings' is not meant.
    pub trust_domain: Option<String>,
    /// The algorithm of the authority's keys.
    pub key_type: KeyType,
    /// How the keys are kept. A passphrase is asked of whoever opened the service.
    pub key_protection: KeyProtection,
    /// Subtrees outside which the authority cannot issue, such as `dns:corp.example`.
    pub permit: Vec<String>,
    /// Subtrees in which the authority cannot issue.
    pub exclude: Vec<String>,
    /// Where clients find the CRL, where the settings' is not meant.
    pub crl_url: Option<String>,
    /// Where the root's key is made, where the settings' is not meant.
    pub root_key: Option<KeyHome>,
    /// Where the intermediate's key is made, where the settings' is not meant.
    pub intermediate_key: Option<KeyHome>,
}

/// `cert issue`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Issue {
    /// The name for the inventory; also its DNS name when no other name is given.
    pub name: String,
    /// The names.
    pub names: Names,
    /// Server, client or both; both by default. Without a profile only.
    pub usages: Option<Usages>,
    /// The certificate profile; otherwise that of the usages.
    pub profile: Option<String>,
    /// Seconds; by default as the profile says, or a day.
    pub ttl: Option<u64>,
    /// The algorithm of its key.
    pub key_type: KeyType,
    /// Who signs it; the first of the settings that policy permits by default.
    pub issuer: Option<String>,
}

/// `cert sign`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sign {
    /// The name for the inventory; else the CSR's common name or first DNS name.
    pub name: Option<String>,
    /// The CSR: PEM, or the DER in base64.
    pub csr: String,
    /// The names; those of the CSR when there is none.
    pub names: Names,
    /// Server, client or both; both by default. Without a profile only.
    pub usages: Option<Usages>,
    /// The certificate profile; otherwise that of the usages.
    pub profile: Option<String>,
    /// Seconds; by default as the profile says, or a day.
    pub ttl: Option<u64>,
    /// Who signs it; the first of the settings that policy permits by default.
    pub issuer: Option<String>,
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// In force, and the newest of its line.
    Valid,
    /// In force, but renewed by another.
    Replaced,
    /// Revoked, expired or not.
    Revoked,
    /// No longer in force.
    Expired,
}

/// `cert list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct List {
    /// Only those that expire within so many seconds.
    pub expiring: Option<u64>,
    /// Only those of this name.
    pub name: Option<String>,
    /// Only those that are delivered to the container of this name.
    pub container: Option<String>,
    /// Only those that the CA certificate with this id has signed.
    pub issuer: Option<String>,
    /// Only those that stand like this; `valid` unless `all` says otherwise.
    pub state: Option<CertificateState>,
    /// Expired, replaced and revoked ones too.
    pub all: bool,
    /// At most so many; 1,000 by default.
    pub limit: Option<usize>,
}
