//! The plain form of a backup: what [`crate::Vault::export`] writes and [`crate::Vault::import`] takes. It
//! holds every value as it is, so it is only ever written into a seal (age), and read out of one.
//!
//! # Format 1
//!
//! Lines of JSON, each in one fixed form: no space, the fields in this order, UTF-8, each line ended by a
//! line feed. So a backup that was opened can be read by a person, or by `jq`.
//!
//! ```text
//! {"sealock":"vault backup","format":1,"created":"2026-01-02T03:04:05Z"}
//! {"secret":"prod/db","newest":3,"version":2,"created":"…","by":"uid:0","expires":null,"value":"aHVudGVyMg=="}
//! {"secret":"prod/db","newest":3,"version":3,"created":"…","by":"uid:0","expires":"…","value":""}
//! {"secrets":1,"values":2,"sha256":"…"}
//! ```
//!
//! A line for each version that can be read, sorted by name and number. `newest` is the number that the
//! secret had got to, which need not be among them. Times are RFC 3339 in UTC. Values are base64 (RFC 4648
//! section 4, padded). The last line counts, and its hash is over all lines before it.
//!
//! # What an attacker controls
//!
//! Whoever makes an age file for this host's recipient chooses every byte. The reader takes one form only
//! (reading and writing again gives the same bytes), bounds everything, decides nothing, and is done before
//! anything is written. What a backup brings in is what policy lets the importer bring in.

mod read;
mod write;

#[cfg(test)]
mod tests;

use sealock_core::SecretName;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{MAX_KEPT, MAX_VALUE};

pub use read::{Archive, ArchivedSecret, ArchivedVersion, fuzz};
pub(crate) use write::{Writer, line_length};

/// The longest backup, in bytes.
pub const MAX_ARCHIVE: u64 = 512 << 20;
/// The most values in a backup.
pub const MAX_VALUES: u64 = 1_000_000;
/// The longest line without its value.
const MAX_HEAD: usize = 16 << 10;

const TITLE: &str = "vault backup";
const FORMAT: u64 = 1;
/// Between what is said of a value and the value.
const VALUE: &[u8] = b",\"value\":\"";
/// After the value.
const CLOSE: &[u8] = b"\"}";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    sealock: String,
    format: u64,
    created: String,
}

/// The line of a value, without that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    secret: SecretName,
    newest: u64,
    version: u64,
    created: String,
    by: String,
    expires: Option<String>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    secrets: u64,
    values: u64,
    sha256: String,
}

/// What is wrong with a backup, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct ArchiveError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: ArchiveFault,
}

impl ArchiveError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self.fault {
            ArchiveFault::OtherFormat(_) => {
                Some("the backup was made by another version of Sealock; use that version".into())
            }
            ArchiveFault::Foreign => {
                Some("give a file that `sealock secret export` has made".into())
            }
            _ => Some("make the backup anew, or take another copy of it".into()),
        }
    }
}

/// What can be wrong with a line of a backup. None of them says what a value is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArchiveFault {
    /// The whole is longer than [`MAX_ARCHIVE`].
    #[error("the backup has {0} bytes; it may have {MAX_ARCHIVE}")]
    TooBig(u64),
    /// It does not begin like a backup.
    #[error("this is not the beginning of a backup of secrets")]
    Foreign,
    /// It has another format.
    #[error("the backup has format {0}; this program reads {FORMAT}")]
    OtherFormat(u64),
    /// It ends before its last line does.
    #[error("the backup ends in the middle")]
    Cut,
    /// The line is not in the one form that it may have.
    #[error("the line is not written as a backup is")]
    Malformed,
    /// The line is not after the one before.
    #[error("the secret or version is not after the one before it")]
    Order,
    /// The version is 0 or beyond the newest, or the newest is not the same in all lines of a secret.
    #[error("the numbers of the version and of the newest do not fit")]
    Number,
    /// A secret has more versions than can be kept.
    #[error("the secret has more than {MAX_KEPT} versions")]
    TooManyVersions,
    /// There are more than [`MAX_VALUES`].
    #[error("the backup has more than {MAX_VALUES} values")]
    TooManyValues,
    /// The value is not base64, or too long.
    #[error("the value is not base64 of at most {MAX_VALUE} bytes")]
    Value,
    /// The last line does not fit to those before it.
    #[error("the totals or the hash are not those of the lines before")]
    Totals,
}
