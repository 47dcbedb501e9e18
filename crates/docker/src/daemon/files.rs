//! The three files of a daemon and of a client: authority, certificate, key.
//!
//! **Invariants.** A key is at no moment readable for anybody but its owner. A set that does not fit
//! together is never written. All three files of a new set are complete on the disk, under names of their
//! own (`.NAME.next`), before the first of them takes its place; so whenever a run is killed, old and
//! staged files together hold one whole set, and the next run finishes it ([`Existing::read`]) or, when
//! the staged ones are not all there yet, removes them. Two runs at once are kept apart by a lock on the
//! folder.
//!
//! **What an attacker controls:** nothing in a folder that only its owner writes to; others are refused.
//! When the folder belongs to somebody else (a `~/.docker` written by root), the files become that
//! somebody's, and a link that they put in a file's place is replaced, not followed.

mod existing;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sealock_core::SecretBytes;
use thiserror::Error;

use super::atomic::{Unnamed, remove_unfinished, sync_folder};
pub use existing::{Existing, Reason, Wanted};

/// Why files cannot be read or written.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The folder cannot be made, read or locked.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could replace the files.
    #[error("others may write to the folder {} (mode {mode:04o})", path.display())]
    Writable {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another run is writing there.
    #[error("another run is at work in the folder {}", path.display())]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// `read`, `write` or `put in place`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is to be written does not work.
    #[error("the files to be written do not fit together: {0}")]
    Unfit(Reason),
}

/// What a daemon needs.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// The authority that clients must come from, PEM.
    pub ca_pem: String,
    /// The certificate (EKU serverAuth) and its intermediates, PEM.
    pub cert_pem: String,
    /// The certificate's key, PEM.
    pub key_pem: SecretBytes,
}

/// What a client needs.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// The authority that the server must come from, PEM.
    pub ca_pem: String,
    /// The certificate (EKU clientAuth) and its intermediates, PEM.
    pub cert_pem: String,
    /// The certificate's key, PEM.
    pub key_pem: SecretBytes,
}

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `ca.pem`, `server-cert.pem`, `server-key.pem`.
    Server,
    /// `ca.pem`, `cert.pem`, `key.pem`.
    Client,
}

impl Side {
    /// The name of the authority's file.
    pub fn ca(self) -> &'static str {
        "ca.pem"
    }

    /// The name of the certificate's file.
    pub fn certificate(self) -> &'static str {
        match self {
            Self::Server => "server-cert.pem",
            Self::Client => "cert.pem",
        }
    }

    /// The name of the key's file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Server => "server-key.pem",
            Self::Client => "key.pem",
        }
    }

    /// The key first, so that no certificate is ever seen without the key that it replaces.
    fn in_order(self) -> [&'static str; 3] {
        [self.key(), self.certificate(), self.ca()]
    }
}

impl ServerFiles {
    /// Writes them: key 0400, certificates 0444, and the folder 0700 where it is new or holds nothing else.
    pub fn write(&self, folder: &Path) -> Result<(), FilesError> {
        let set = Set { ca: &self.ca_pem, certificate: &self.cert_pem, key: &self.key_pem };
        write(folder, Side::Server, &set, Modes::STRICT)
    }
}

impl ClientFiles {
    /// As [`ServerFiles::write`].
    pub fn write(&self, folder: &Path) -> Result<(), FilesError> {
        self.write_as(folder, Modes::STRICT)
    }

    pub(super) fn write_as(&self, folder: &Path, modes: Modes) -> Result<(), FilesError> {
        let set = Set { ca: &self.ca_pem, certificate: &self.cert_pem, key: &self.key_pem };
        write(folder, Side::Client, &set, modes)
    }
}

/// With which modes files are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Modes {
    pub(super) key: u32,
    pub(super) certificate: u32,
}

impl Modes {
    pub(super) const STRICT: Self = Self { key: 0o400, certificate: 0o444 };
}

struct Set<'a> {
    ca: &'a str,
    certificate: &'a str,
    key: &'a SecretBytes,
}

fn write(folder: &Path, side: Side, set: &Set<'_>, modes: Modes) -> Result<(), FilesError> {
    let set_of = Existing::of(side, set.ca.as_bytes(), set.certificate.as_bytes(), set.key);
    if let Some(reason) = set_of.does_not_work() {
        return Err(FilesError::Unfit(reason));
    }
    let held = Held::folder(folder, side)?;
    held.heal(side)?;
    let contents = [
        (side.key(), set.key.expose(), modes.key),
        (side.certificate(), set.certificate.as_bytes(), modes.certificate),
        (side.ca(), set.ca.as_bytes(), modes.certificate),
    ];
    for (name, content, mode) in contents {
        held.stage(name, content, mode)?;
    }
    held.sync()?;
    held.finish(side)
}

/// Where a file waits until all of its set are there.
fn staged(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.next"))
}

/// A folder that nobody else is at work in.
struct Held<'a> {
    folder: &'a Path,
    owner: Option<(u32, u32)>,
    _lock: File,
}

impl<'a> Held<'a> {
    /// Makes the folder where it is missing, and takes it.
    fn folder(folder: &'a Path, side: Side) -> Result<Self, FilesError> {
        let broken = |source| FilesError::Folder { path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(broken)?;
        let held = Self::existing(folder)?;
        if held.holds_nothing_else(side).map_err(broken)? {
            fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(broken)?;
        }
        Ok(held)
    }

    fn existing(folder: &'a Path) -> Result<Self, FilesError> {
        let broken = |source| FilesError::Folder { path: folder.to_owned(), source };
        let lock = File::open(folder).map_err(broken)?;
        let metadata = lock.metadata().map_err(broken)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(FilesError::Writable { path: folder.to_owned(), mode });
        }
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FilesError::Busy { path: folder.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(broken(source)),
        }
        let own = fs::metadata("/proc/self").map_err(broken)?.uid();
        let owner = (own != metadata.uid()).then(|| (metadata.uid(), metadata.gid()));
        remove_unfinished(folder).map_err(broken)?;
        Ok(Self { folder, owner, _lock: lock })
    }

    /// Somebody's home or `/etc` keeps its mode.
    fn holds_nothing_else(&self, side: Side) -> io::Result<bool> {
        for entry in fs::read_dir(self.folder)? {
            let name = entry?.file_name();
            let ours = side.in_order().iter().any(|ours| {
                name == **ours || Some(name.as_os_str()) == staged(self.folder, ours).file_name()
            });
            if !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn stage(&self, name: &str, content: &[u8], mode: u32) -> Result<(), FilesError> {
        let path = staged(self.folder, name);
        Unnamed::write(&self.folder.join(name), content, mode, self.owner)
            .and_then(|unnamed| unnamed.rename(&path))
            .map_err(|source| FilesError::File { doing: "write", path, source })
    }

    /// Gives staged files their places.
    fn finish(&self, side: Side) -> Result<(), FilesError> {
        for name in side.in_order() {
            let path = self.folder.join(name);
            match fs::rename(staged(self.folder, name), &path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(FilesError::File { doing: "put in place", path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.sync()
    }

    fn sync(&self) -> Result<(), FilesError> {
        sync_folder(self.folder)
            .map_err(|source| FilesError::Folder { path: self.folder.to_owned(), source })
    }

    /// Finishes what a killed run had staged, or removes it when it was not all there.
    fn heal(&self, side: Side) -> Result<(), FilesError> {
        if !has_staged(self.folder, side) {
            return Ok(());
        }
        let newest = |name| match existing::read(&staged(self.folder, name))? {
            Some(content) => Ok(Some(content)),
            None => existing::read(&self.folder.join(name)),
        };
        let (ca, certificate, key) =
            (newest(side.ca())?, newest(side.certificate())?, newest(side.key())?);
        let whole = match (ca, certificate, key) {
            (Some(ca), Some(certificate), Some(key)) => {
                Existing::of(side, ca.expose(), certificate.expose(), &key)
                    .does_not_work()
                    .is_none()
            }
            _ => false,
        };
        if whole {
            return self.finish(side);
        }
        for name in side.in_order() {
            let path = staged(self.folder, name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(FilesError::File { doing: "remove", path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.sync()
    }
}

fn has_staged(folder: &Path, side: Side) -> bool {
    side.in_order().iter().any(|name| staged(folder, name).symlink_metadata().is_ok())
}
