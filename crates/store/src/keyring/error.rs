//! What can go wrong with the keyring.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Protection;

/// Why a wrapping key could not be made or opened, or a value not be sealed or opened.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// There is no wrapping key.
    #[error("there is no wrapping key at {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {what} {}", path.display())]
    Disk {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the wrapping key {} is open to others (mode {mode:04o})", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else.
    #[error("the wrapping key {} belongs to user {owner}", path.display())]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// The numeric user id.
        owner: u32,
    },
    /// The file is not a wrapping key, or asks for what is out of bounds.
    #[error("the wrapping key {} cannot be read: {detail}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what it contains.
        detail: &'static str,
    },
    /// A passphrase is needed and none was given.
    #[error("the wrapping key is protected by a passphrase, and none was given")]
    PassphraseNeeded,
    /// An empty passphrase for a new key.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The passphrase does not open the key (or the file was tampered with, which looks the same).
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// There is a key already, and it is protected in another way.
    #[error("the wrapping key exists with protection `{found}`, not `{asked}`")]
    OtherProtection {
        /// What there is.
        found: Protection,
        /// What was asked for.
        asked: Protection,
    },
    /// The file has other names, under which the old protection would stay.
    #[error("the wrapping key {} is a link, or has other names", path.display())]
    OtherNames {
        /// The file.
        path: PathBuf,
    },
    /// The file's key is another than the one in use.
    #[error("the wrapping key {} is another than the one in use", path.display())]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// Key derivation failed, for want of memory most likely.
    #[error("cannot derive a key from the passphrase: {detail}")]
    Derive {
        /// What the library said.
        detail: String,
    },
    /// The system gave no randomness.
    #[error("cannot make a random key")]
    Random,
    /// Sealing failed.
    #[error("cannot seal a value")]
    Seal,
    /// A sealed value does not open: changed, of another record, or of another wrapping key.
    #[error("the sealed value of {name} does not open: it was changed or belongs to another key")]
    Unsealable {
        /// The record.
        name: String,
    },
}

impl KeyringError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OpenToOthers { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::OtherOwner { path, .. } => {
                Some(format!("chown {} to the user that runs sealock", path.display()))
            }
            Self::OtherNames { .. } => {
                Some("remove the other names: they would keep the old protection".to_owned())
            }
            Self::PassphraseNeeded => Some("give --passphrase-file FILE".to_owned()),
            Self::WrongPassphrase => {
                Some("the key file may also have been changed; compare it with a backup".to_owned())
            }
            Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::OtherKey { .. }
            | Self::Unsealable { .. } => Some(
                "restore the keys folder from the backup that belongs to this state".to_owned(),
            ),
            _ => None,
        }
    }
}
