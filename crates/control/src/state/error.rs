//! Why the state folder cannot be used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the state folder cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Neither named nor derivable.
    #[error("there is no place for the state folder: HOME is not set")]
    NoHome,
    /// It cannot be made, read or written.
    #[error("cannot use {}", path.display())]
    Unusable {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else's.
    #[error("{} belongs to uid {owner}, not to this user", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// There is something in it that is not ours, and others can enter it, which they no longer could.
    #[error("{} is no state folder: it has {} in it, and others use it", path.display(), entry.display())]
    Strange {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        entry: PathBuf,
    },
    /// Another process works in it.
    #[error("the state folder {} is in use by process {pid} ({purpose})", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who.
        pid: String,
        /// What it does.
        purpose: String,
    },
    /// Written by a program of another version.
    #[error(
        "the state folder {} is of version {found}; this program knows version {}",
        path.display(),
        super::VERSION
    )]
    OtherVersion {
        /// The folder.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// There is state, but VERSION is missing or unreadable.
    #[error("{} is missing or damaged, but there is state beside it", path.display())]
    NoVersion {
        /// The file.
        path: PathBuf,
    },
    /// A Unix socket cannot be bound at so long a path.
    #[error("the socket path {} is too long for a Unix socket (107 bytes)", path.display())]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
    },
}

impl StateError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoHome => "name a folder with --state DIR (SEALOCK_STATE)".to_owned(),
            Self::Unusable { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only: name another folder with --state DIR".to_owned()
            }
            Self::Unusable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run as the user who owns the folder (sudo?), or name another with --state DIR"
                    .to_owned()
            }
            Self::Unusable { .. } => {
                "check the folder, or name another with --state DIR".to_owned()
            }
            Self::NotOurs { owner, .. } => {
                format!("run as uid {owner} (sudo?), or name another folder with --state DIR")
            }
            Self::Strange { .. } => {
                "name a folder of its own with --state DIR; it is closed to everybody else"
                    .to_owned()
            }
            Self::InUse { purpose, .. } if purpose == "up" => {
                "a daemon runs on this folder already; `sealock status` asks it".to_owned()
            }
            Self::InUse { purpose, .. } if purpose == "gateway" => {
                "a gateway runs on this folder already; stop it first: `sealock up` has one too"
                    .to_owned()
            }
            Self::InUse { .. } => "wait until it has ended and try again".to_owned(),
            Self::OtherVersion { found, .. } if *found > super::VERSION => {
                "use the newer sealock that wrote it; nothing was changed".to_owned()
            }
            Self::OtherVersion { .. } | Self::NoVersion { .. } => {
                "restore the folder from a backup, or name another with --state DIR".to_owned()
            }
            Self::SocketPathTooLong { .. } => "name a shorter --state DIR".to_owned(),
        }
    }
}
