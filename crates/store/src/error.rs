//! What can go wrong with a store.

use std::path::PathBuf;

use thiserror::Error;

use crate::transaction::Conflict;

/// The cause below a [`StoreError`], whichever engine it comes from.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct BoxedError(#[from] Box<dyn std::error::Error + Send + Sync>);

impl From<rusqlite::Error> for BoxedError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Box::new(error))
    }
}

impl From<std::io::Error> for BoxedError {
    fn from(error: std::io::Error) -> Self {
        Self(Box::new(error))
    }
}

/// Why a store could not be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file could not be opened or made.
    #[error("cannot open the store {}", path.display())]
    Open {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: BoxedError,
    },
    /// The file is something else.
    #[error("{} is not a Sealock store", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file has another version's layout.
    #[error("the store {} has layout {found}; this program reads layout {supported}", path.display())]
    Layout {
        /// The store's file.
        path: PathBuf,
        /// What the file says.
        found: i64,
        /// What this program knows.
        supported: i64,
    },
    /// The file is damaged.
    #[error("the store {} is damaged: {detail}", path.display())]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// The file cannot be written.
    #[error("the store {} cannot be written: it is read-only", path.display())]
    ReadOnly {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: BoxedError,
    },
    /// No space.
    #[error("the store {} cannot be written: no space is left", path.display())]
    Full {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: BoxedError,
    },
    /// Another process held the write lock for too long.
    #[error("the store {} is busy: another process is writing", path.display())]
    Busy {
        /// The store's file.
        path: PathBuf,
    },
    /// A read failed.
    #[error("cannot read the store {}", path.display())]
    Read {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: BoxedError,
    },
    /// A commit failed; nothing of it was applied.
    #[error("cannot write the store {}", path.display())]
    Write {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: BoxedError,
    },
    /// An empty key, or one beyond [`crate::MAX_KEY`], or a value beyond [`crate::MAX_VALUE`].
    #[error("an entry of {key} key bytes and {value} value bytes is out of bounds")]
    Size {
        /// Length of the key.
        key: usize,
        /// Length of the value.
        value: usize,
    },
    /// A condition did not hold.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The engine lost count: a transaction has no outcome.
    #[error("the store gave no outcome for a transaction")]
    NoOutcome,
}

impl StoreError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open { path, .. } => {
                Some(format!("check that {} exists and may be written", parent(path)))
            }
            Self::Foreign { .. } => Some("name another state folder with --state".to_owned()),
            Self::Layout { found, supported, .. } if found > supported => {
                Some("the state was written by a newer Sealock; use that version".to_owned())
            }
            Self::Layout { .. } => {
                Some("the state was written by an older Sealock; start it anew".to_owned())
            }
            Self::Corrupt { path, .. } => Some(format!("restore {} from a backup", parent(path))),
            Self::ReadOnly { path, .. } => {
                Some(format!("make {} and what is in it writable", parent(path)))
            }
            Self::Full { path, .. } => {
                Some(format!("make room on the file system of {}", path.display()))
            }
            Self::Busy { .. } => {
                Some("is another `sealock up` using this state folder?".to_owned())
            }
            _ => None,
        }
    }
}

fn parent(path: &std::path::Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}
