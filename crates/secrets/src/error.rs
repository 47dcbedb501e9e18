//! What can go wrong with the vault.

use std::fmt;
use std::io;

use sealock_core::{SecretName, Timestamp};
use sealock_store::{JournalError, KeyringError, StoreError};
use thiserror::Error;

use crate::backup::{ArchiveError, MAX_ARCHIVE};
use crate::{MAX_KEPT, MAX_VALUE};

/// Which part of a secret is not what the vault wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its record: which versions there are, and which is the newest.
    Record,
    /// The row of a version.
    Version(u64),
    /// The value of a version.
    Value(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => formatter.write_str("its record"),
            Self::Version(number) => write!(formatter, "the row of version {number}"),
            Self::Value(number) => write!(formatter, "the value of version {number}"),
        }
    }
}

/// Why the vault did not do what it was asked.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is no such secret.
    #[error("there is no secret {0}")]
    NotFound(SecretName),
    /// The secret has no version of this number.
    #[error("the secret {name} has no version {version}; its newest is {newest}")]
    VersionNotFound {
        /// Which secret.
        name: SecretName,
        /// What was asked for.
        version: u64,
        /// The newest version.
        newest: u64,
    },
    /// The version is deleted.
    #[error("version {version} of the secret {name} is deleted")]
    Deleted {
        /// Which secret.
        name: SecretName,
        /// Which version.
        version: u64,
        /// Whether it is the newest one.
        newest: bool,
    },
    /// The version's time is over.
    #[error("version {version} of the secret {name} expired at {at}")]
    Expired {
        /// Which secret.
        name: SecretName,
        /// Which version.
        version: u64,
        /// When.
        at: Timestamp,
    },
    /// The version is destroyed.
    #[error("version {version} of the secret {name} was purged")]
    Purged {
        /// Which secret.
        name: SecretName,
        /// Which version.
        version: u64,
    },
    /// The value is too long.
    #[error("the value of {name} has {bytes} bytes; a secret has at most {MAX_VALUE}")]
    TooBig {
        /// Which secret.
        name: SecretName,
        /// How long the value is.
        bytes: usize,
    },
    /// As many versions are kept as may be.
    #[error("the secret {0} has {MAX_KEPT} versions, which is the most")]
    TooManyVersions(SecretName),
    /// What is in the store is not what the vault wrote there.
    #[error("the secret {name} was changed in the store: {part} is not what the vault wrote")]
    Changed {
        /// Which secret.
        name: SecretName,
        /// Which part of it.
        part: Part,
    },
    /// Another process changed the same, again and again.
    #[error("{0} is being changed by another process")]
    Conflict(String),
    /// The secrets are there and no key for them.
    #[error("the vault holds secrets, but its key is missing from the store")]
    KeyMissing,
    /// The vault key does not open under this keyring.
    #[error("cannot open the vault key {number}")]
    Locked {
        /// Its number.
        number: u32,
        /// Why not.
        source: KeyringError,
    },
    /// A new vault key could not be sealed.
    #[error("cannot seal the vault key {number}")]
    SealKey {
        /// Its number.
        number: u32,
        /// Why not.
        source: KeyringError,
    },
    /// A value could not be sealed.
    #[error("cannot seal a secret")]
    Seal,
    /// The random generator failed.
    #[error("the system's random generator failed")]
    Random,
    /// The store could not be read.
    #[error("cannot read the vault")]
    Read(#[from] StoreError),
    /// The journal did not take the change; nothing of it is there.
    #[error("cannot record {what}")]
    Commit {
        /// What was to be recorded.
        what: String,
        /// Why not.
        source: JournalError,
    },
    /// A backup cannot be read.
    #[error("the backup cannot be read")]
    Archive(#[from] ArchiveError),
    /// A backup would be too long.
    #[error("the backup would have {bytes} bytes; it may have {MAX_ARCHIVE}")]
    ArchiveTooBig {
        /// How long it would be.
        bytes: u64,
    },
    /// A backup could not be written where it should go.
    #[error("cannot write the backup")]
    Sink(#[source] io::Error),
    /// A secret of the backup is there already.
    #[error("there is a secret {0} already")]
    Exists(SecretName),
}

impl VaultError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("see `sealock secret list`".into()),
            Self::VersionNotFound { name, .. } => {
                Some(format!("see `sealock secret history {name}`"))
            }
            Self::Deleted { name, newest: true, .. } => {
                Some(format!("take that back with `sealock secret undelete {name}`"))
            }
            Self::Deleted { name, version, .. } => Some(format!(
                "take that back with `sealock secret undelete {name} --version {version}`"
            )),
            Self::Expired { name, .. } | Self::Purged { name, .. } => Some(format!(
                "give it a new value with `sealock secret set {name}`, or see `sealock secret history {name}`"
            )),
            Self::TooBig { .. } => {
                Some("keep the data elsewhere, and in the vault only the key to it".into())
            }
            Self::TooManyVersions(name) => Some(format!(
                "destroy some with `sealock secret purge {name} --version N`; `sealock secret history {name}` shows them"
            )),
            Self::Changed { name, .. } => Some(format!(
                "restore the state folder from a backup, or `sealock secret purge {name}` and set it anew"
            )),
            Self::Conflict(_) => {
                Some("stop the other process that uses this state folder, and try again".into())
            }
            Self::KeyMissing => Some("restore the state folder from a backup".into()),
            Self::Locked { source, .. } | Self::SealKey { source, .. } => source.hint(),
            Self::Read(source) => source.hint(),
            Self::Commit { source, .. } => source.hint(),
            Self::Archive(error) => error.hint(),
            Self::ArchiveTooBig { .. } => {
                Some("back up one path at a time, or purge versions that nobody needs".into())
            }
            Self::Exists(_) => Some("say --on-existing skip or --on-existing replace".into()),
            Self::Seal | Self::Random | Self::Sink(_) => None,
        }
    }

    /// Whether somebody or something has written to the store behind the vault's back: worth an alarm.
    pub fn is_tampering(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::KeyMissing | Self::Locked { .. })
    }
}
