//! What is said of secrets and their versions.

use sealock_core::{SecretBytes, SecretName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::marks::Mark;
use crate::record::{Meta, Record};

/// What can be had of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// It can be read.
    Live,
    /// Its time is over.
    Expired,
    /// It is deleted, and can be had back.
    Deleted,
    /// It is destroyed.
    Purged,
    /// It is not what the vault wrote. Nothing else that is said of it can be relied on.
    Changed,
}

impl VersionState {
    /// The word for it, as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Purged => "purged",
            Self::Changed => "changed",
        }
    }

    pub(crate) fn of(mark: Mark, expires: Option<Timestamp>, now: Timestamp) -> Self {
        match mark {
            Mark::Live if expires.is_some_and(|end| now >= end) => Self::Expired,
            Mark::Live => Self::Live,
            Mark::Deleted => Self::Deleted,
            Mark::Purged | Mark::Forgotten => Self::Purged,
        }
    }
}

impl std::fmt::Display for VersionState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its number: 1 for the first.
    pub version: u64,
    /// When it was written.
    pub created: Timestamp,
    /// Who wrote it.
    pub by: String,
    /// How long the value is.
    pub bytes: u64,
    /// From when on it cannot be read.
    pub expires: Option<Timestamp>,
    /// What can be had of it.
    pub state: VersionState,
}

impl VersionInfo {
    pub(crate) fn new(version: u64, meta: Meta, mark: Mark, now: Timestamp) -> Self {
        let state = VersionState::of(mark, meta.expires, now);
        let Meta { created, expires, bytes, by } = meta;
        Self { version, created, by, bytes: bytes.into(), expires, state }
    }
}

/// A secret in a list: its name and its newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretInfo {
    /// The name.
    pub name: SecretName,
    /// The number of its newest version.
    pub version: u64,
    /// When that was written.
    pub created: Timestamp,
    /// From when on that cannot be read.
    pub expires: Option<Timestamp>,
    /// What can be had of that.
    pub state: VersionState,
    /// How many versions there are, deleted and expired ones included, purged ones not.
    pub versions: u64,
}

impl SecretInfo {
    pub(crate) fn new(name: SecretName, record: &Record, now: Timestamp) -> Self {
        let current = Current::new(record, now);
        Self {
            name,
            version: current.version,
            created: record.created,
            expires: record.expires,
            state: current.state,
            versions: record.marks.kept(),
        }
    }

    /// What can be said of a secret whose record is not the vault's.
    pub(crate) fn changed(name: SecretName) -> Self {
        let created = Timestamp::from_secs(0);
        Self { name, version: 0, created, expires: None, state: VersionState::Changed, versions: 0 }
    }
}

/// Some secrets of a list, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The secrets.
    pub secrets: Vec<SecretInfo>,
    /// Where to go on: the last name of this page. `None` on the last page.
    pub next: Option<SecretName>,
}

/// The newest version of a secret, for those who only want to know whether there is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// Its number.
    pub version: u64,
    /// From when on it cannot be read.
    pub expires: Option<Timestamp>,
    /// What can be had of it.
    pub state: VersionState,
}

impl Current {
    pub(crate) fn new(record: &Record, now: Timestamp) -> Self {
        let version = record.marks.last();
        let mark = record.marks.of(version).unwrap_or(Mark::Purged);
        let state = VersionState::of(mark, record.expires, now);
        Self { version, expires: record.expires, state }
    }
}

/// A secret somebody wants to read, and on whose behalf.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which secret.
    pub name: SecretName,
    /// Which version; `None` for the newest.
    pub version: Option<u64>,
    /// Who reads it, and what policy said to it.
    pub actor: sealock_core::audit::Actor,
}

/// A value that was read. Its `Debug` does not show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretValue {
    /// The number of its version.
    pub version: u64,
    /// When it was written.
    pub created: Timestamp,
    /// From when on it cannot be read.
    pub expires: Option<Timestamp>,
    /// The value.
    pub value: SecretBytes,
}
