//! What certificates, the authority and its lists are told as.

use std::path::PathBuf;

use sealock_core::{SubjectName, Timestamp};
use serde::{Deserialize, Serialize};

use super::SecretText;

/// One certificate of the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Its id, as `cert list --issuer` and the paths of revocation lists have it.
    #[serde(default)]
    pub id: String,
    /// The subject, readable.
    pub subject: String,
    /// Hex.
    pub serial: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Hex SHA-256 of the certificate.
    pub fingerprint: String,
    /// The certificate.
    pub pem: String,
    /// Where its key is: `store`, `elsewhere`, or `hsm` with the token's serial number and the key's id.
    #[serde(default)]
    pub key: String,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaReport {
    /// The name under which all identities live.
    pub trust_domain: String,
    /// The algorithm of its keys.
    pub key_type: String,
    /// How its keys are kept: `file` or `passphrase`.
    pub protection: String,
    /// Whether the root's private key is on this host.
    pub root_key_present: bool,
    /// Every root to trust now, the active one first.
    pub roots: Vec<CaCertificate>,
    /// The issuing intermediates, the active one first.
    pub intermediates: Vec<CaCertificate>,
    /// Where clients find the CRL.
    pub crl_url: Option<String>,
    /// The subtrees of names that the intermediate is confined to, readable.
    pub constraints: Vec<String>,
}

/// What `init` made, or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitReport {
    /// Whether the authority was made now; `false`: it was there.
    pub created: bool,
    /// The state folder.
    pub state: PathBuf,
    /// The folder with the administrator's certificate and key.
    pub admin: PathBuf,
    /// The administrator's identity.
    pub admin_identity: String,
    /// The authority.
    pub ca: CaReport,
}

/// A certificate with what is written to files for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Hex.
    pub serial: String,
    /// What the inventory calls it.
    pub name: String,
    /// All names, the identity first.
    pub names: Vec<SubjectName>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The certificate that it renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The leaf, then the intermediates.
    pub tls_crt: String,
    /// The private key, when it was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<SecretText>,
    /// The roots to trust.
    pub ca_crt: String,
    /// Key, leaf, intermediates, root, when the key was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_pem: Option<SecretText>,
    /// The request id in the audit log.
    pub request: String,
}

/// A certificate as the inventory has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// Hex.
    pub serial: String,
    /// What the inventory calls it.
    pub name: String,
    /// Its SPIFFE ID.
    pub identity: Option<String>,
    /// All names.
    pub names: Vec<SubjectName>,
    /// The common name of its subject, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// The id of the CA certificate that signed it.
    #[serde(default)]
    pub issuer: String,
    /// `server`, `client`, `code`, `email`.
    pub usages: Vec<String>,
    /// The profile that it was ordered by; that of its usages, where none was named.
    #[serde(default)]
    pub profile: String,
    /// The kind of its key.
    pub key: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Who had it issued.
    pub by: String,
    /// `valid`, `replaced`, `revoked` or `expired`.
    pub state: String,
    /// The certificate whose renewal it is.
    pub replaces: Option<String>,
    /// The certificate that renewed it.
    pub replaced_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub reason: Option<String>,
    /// Hex SHA-256; only for a single certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The certificate and its intermediates; only for a single certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// In which entries of LDAP directories it may be; only for a certificate that is being revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedAt>,
    /// Where it is from, when another authority has signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<super::ImportedReport>,
}

/// An entry of an LDAP directory in which a certificate was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedAt {
    /// The directory's URL.
    pub url: String,
    /// The entry.
    pub dn: String,
    /// The directory's name in the settings; from there the daemon takes it out by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// The inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateList {
    /// The certificates.
    pub certificates: Vec<CertificateReport>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// Whether the search ended early, because it had passed over too many others: there may be more.
    #[serde(default)]
    pub stopped: bool,
}

/// The certificate revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlReport {
    /// One PEM block for each issuer.
    pub pem: String,
}
