//! What is asked of the vault, and what it answers.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::SecretBlob;
use crate::error::ServiceError;

/// Where a secret's new value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NewValue {
    /// This.
    Given(SecretBlob),
    /// So many random letters and digits, which nobody is shown.
    Generated(u32),
}

/// A secret that is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretWanted {
    /// Its name.
    pub name: String,
    /// This version; otherwise the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What became of one that was to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretAnswer {
    /// Its name.
    pub name: String,
    /// The version that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Value and version, or why not.
    pub outcome: SecretOutcome,
}

/// A value, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretOutcome {
    /// There it is.
    Read {
        /// Of this version.
        version: u64,
        /// The bytes.
        value: SecretBlob,
    },
    /// It cannot be had.
    Refused(ServiceError),
}

/// Where a version of a secret stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretState {
    /// It can be read.
    Live,
    /// Deleted; it can be had back.
    Deleted,
    /// Its time is over.
    Expired,
    /// Destroyed.
    Purged,
    /// Not what the vault has written.
    Changed,
}

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretReport {
    /// Its name.
    pub name: String,
    /// The current version.
    pub version: u64,
    /// Where that stands.
    pub state: SecretState,
    /// When it was written.
    pub created: Timestamp,
    /// When its time is over.
    pub expires: Option<Timestamp>,
    /// How many versions are kept.
    pub versions: u64,
}

/// A version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReport {
    /// Its number.
    pub version: u64,
    /// Where it stands.
    pub state: SecretState,
    /// When it was written.
    pub created: Timestamp,
    /// By whom, as the audit log has it.
    pub by: String,
    /// How many bytes the value has.
    pub bytes: u64,
    /// When its time is over.
    pub expires: Option<Timestamp>,
}

/// What to do with a secret of a backup that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExisting {
    /// Nothing is taken in at all.
    #[default]
    Fail,
    /// It stays as it is.
    Skip,
    /// The backup's value becomes a new version.
    Replace,
}

/// The vault as a whole, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultBackup {
    /// How many secrets are in it.
    pub secrets: u64,
    /// How many values.
    pub values: u64,
    /// An age file.
    pub sealed: SecretBlob,
}

/// What was taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultImported {
    /// Secrets that were not there, or have a new version now.
    pub secrets: u64,
    /// Their values.
    pub values: u64,
    /// Secrets that stayed as they were.
    pub skipped: u64,
}

/// Who asks, and how that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// The identity.
    pub identity: String,
    /// The groups it is in.
    pub groups: Vec<String>,
    /// The door: `socket`, `api`, `workload` or `process`.
    pub via: String,
    /// What proves it, in a sentence.
    pub proof: String,
    /// The container, for one that was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<WhichContainer>,
    /// The ports of the daemon's API and Docker gateway, for who leads others to places and must not lead them there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// A container that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhichContainer {
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as it was named at creation.
    pub image: String,
}
