//! Files that live as long as the child: values in memory-backed files, and files at paths of the user's choice.
//!
//! # Who clears away
//!
//! What a run makes stands in its *ledger*, a file beside the values that this process holds a lock on. A run
//! that ends in order undoes it. When this process is killed, the kernel lets go of the lock: then the
//! [`guardian`] undoes it at once, and if that was killed as well, the next run that starts
//! ([`ledger::heal`]). A file is in the ledger before it is there, so nothing is missed.
//!
//! # What an attacker controls
//!
//! `/dev/shm` is everybody's. Names are random, files are made with `O_EXCL`, and ledgers lie in a folder of this
//! user's own where there is one ([`shelf`]); what a ledger may have us do is narrow ([`entry`]). Within one user
//! there is no wall: who may write this user's ledger may also remove this user's files.
//!
//! The child, or whoever owns a folder that files are put in, may rename it and put a link there; nothing is
//! followed then ([`folder`]).

mod entry;
mod folder;
pub mod guardian;
mod ledger;
mod place;
mod shelf;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, RenameFlags, memfd_create, openat};
use thiserror::Error;

use entry::Entry;
use folder::{Folder, Spot};
use guardian::Guardian;
pub use guardian::GuardianProgram;
use ledger::Ledger;
use place::InPlace;
pub use place::{Placement, Storage};

/// Each lock takes a descriptor. Two runs with the same files meet at the first of them.
const MOST_LOCKS: usize = 128;

/// What cannot be done with files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// No folder for values.
    #[error(
        "there is no memory-backed folder for files: neither /dev/shm nor XDG_RUNTIME_DIR is a tmpfs"
    )]
    NoFolder,
    /// A file for a value could not be made.
    #[error("cannot write a file in {}", .folder.display())]
    Value {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file at a path of the user's choice could not be made.
    #[error("cannot write {}", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something already.
    #[error("{} already exists", .path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Another run has its file there.
    #[error("{} is in use by another run", .path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// The path does not name a file.
    #[error("`{path}` does not name a file")]
    NoFileName {
        /// As it was given.
        path: String,
    },
    /// Two entries with one path.
    #[error("{} is to be written twice", .path.display())]
    Twice {
        /// Where.
        path: PathBuf,
    },
    /// What was made could not be removed.
    #[error("cannot remove {}", .path.display())]
    Remove {
        /// What is left.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ScratchError {
    /// What a person may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoFolder => Some(
                "mount a tmpfs at /dev/shm, or have the values handed on as descriptors: --files memfd",
            ),
            Self::Value { source, .. } if source.raw_os_error() == Some(28) => {
                Some("it is full: `docker run --shm-size` makes it larger in a container")
            }
            Self::Exists { .. } => {
                Some("with `overwrite: true` it is replaced, and put back at the end")
            }
            Self::InUse { .. } => Some(
                "it is locked; wait for the other run's end, or give this one another path to write to",
            ),
            _ => None,
        }
    }
}

/// The files of one run.
#[derive(Debug)]
pub struct Scratch {
    storage: Storage,
    guardian_program: Option<GuardianProgram>,
    open: Option<Open>,
    placed: Vec<InPlace>,
}

/// Once there is something to clear away.
#[derive(Debug)]
struct Open {
    /// As it was given, and what it is.
    folder: PathBuf,
    opened: Arc<Folder>,
    ledger: Ledger,
    guardian: Option<Guardian>,
}

impl Scratch {
    /// Nothing yet, but what killed runs have left is undone. The guardian is started with the first file.
    pub fn new(storage: Storage, guardian: Option<GuardianProgram>) -> Self {
        storage.shelves().heal();
        Self { storage, guardian_program: guardian, open: None, placed: Vec::new() }
    }

    /// Whether there is something to clear away at the end.
    pub fn is_used(&self) -> bool {
        self.open.is_some()
    }

    /// A file with this value (0600), in memory.
    ///
    /// # Errors
    /// [`ScratchError::NoFolder`], [`ScratchError::Value`].
    pub fn hold(&mut self, value: &[u8]) -> Result<PathBuf, ScratchError> {
        let open = self.opened()?;
        let folder = open.folder.clone();
        let failed = |source| ScratchError::Value { folder: folder.clone(), source };
        let spot = Spot::new(&open.opened, open.ledger.new_name());
        open.ledger.add(Entry::Held(spot.clone())).map_err(failed)?;
        let mut file = spot.create().map_err(failed)?;
        let written = file.write_all(value);
        if written.is_err() {
            let _ = spot.remove();
        }
        written.map_err(failed)?;
        Ok(folder.join(spot.name))
    }

    /// Writes a file of the user's choice, all of it or nothing.
    ///
    /// # Errors
    /// [`ScratchError`].
    pub fn place(&mut self, placement: &Placement<'_>) -> Result<PathBuf, ScratchError> {
        let path = place::absolute(placement.path)?;
        let keep_lock = self.placed.len() < MOST_LOCKS;
        let open = self.opened()?;
        let placed = place::write(path.clone(), placement, &mut open.ledger, keep_lock)?;
        self.placed.push(placed);
        Ok(path)
    }

    /// Another value for a file that [`Scratch::hold`] has made; readers see the old one or the new one.
    ///
    /// # Errors
    /// [`ScratchError::Value`].
    pub fn hold_again(&mut self, path: &Path, value: &[u8]) -> Result<(), ScratchError> {
        let new = self.hold(value)?;
        let open = self.opened()?;
        let failed = |source| ScratchError::Value { folder: open.folder.clone(), source };
        let names = new.file_name().zip(path.file_name());
        let (new, old) = names.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        Spot::new(&open.opened, new).rename(old, RenameFlags::empty()).map_err(failed)
    }

    /// Another content for a file that [`Scratch::place`] has put there; one that is not there yet is placed.
    ///
    /// # Errors
    /// [`ScratchError`].
    pub fn place_again(&mut self, placement: &Placement<'_>) -> Result<(), ScratchError> {
        let path = place::absolute(placement.path)?;
        self.opened()?;
        let placed = self.placed.iter_mut().find(|placed| placed.path == path);
        match (placed, &mut self.open) {
            (Some(placed), Some(open)) => place::renew(placed, placement, &mut open.ledger),
            _ => self.place(placement).map(drop),
        }
    }

    /// From here on the guardian ends this child too, when this process is killed.
    pub fn child_started(&mut self, child: rustix::process::Pid) {
        if let Some(guardian) = self.open.as_mut().and_then(|open| open.guardian.as_mut()) {
            guardian.child_started(child);
        }
    }

    /// Undoes all of it.
    ///
    /// # Errors
    /// [`ScratchError::Remove`] for the first that could not be undone; the rest is undone all the same.
    pub fn clear(mut self) -> Result<(), ScratchError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), ScratchError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let done = open.ledger.undo();
        if let Some(guardian) = open.guardian {
            guardian.dismiss();
        }
        // Locked until what was there is back.
        self.placed.clear();
        done.map_err(|(path, source)| ScratchError::Remove { path, source })
    }

    fn opened(&mut self) -> Result<&mut Open, ScratchError> {
        if self.open.is_none() {
            let shelves = self.storage.shelves();
            let failed = |folder: &Path, source| {
                let folder = folder.to_owned();
                ScratchError::Value { folder, source }
            };
            let begun = shelves.begin(self.storage.prefix());
            let mut ledger =
                begun.map_err(|source| failed(Path::new(place::SHARED_MEMORY), source))?;
            let found = self.storage.folder(&mut ledger).and_then(|folder| {
                let opened = Folder::open(&folder).map_err(|source| failed(&folder, source))?;
                Ok((folder, Arc::new(opened)))
            });
            let (folder, opened) = match found {
                Ok(found) => found,
                Err(error) => {
                    let _ = ledger.undo();
                    return Err(error);
                }
            };
            // Without a guardian the next run clears away.
            let program = self.guardian_program.as_ref();
            let guardian = program.and_then(|program| Guardian::start(program, &ledger).ok());
            self.open = Some(Open { folder, opened, ledger, guardian });
        }
        self.open.as_mut().ok_or(ScratchError::NoFolder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}

/// A value in a file that has no name and ends with its last descriptor, however that comes about. The path is good
/// for the child that is started with the descriptor, and for those that inherit it from there.
///
/// # Errors
/// [`ScratchError::Value`].
pub fn in_descriptor(value: &[u8]) -> Result<(OwnedFd, PathBuf), ScratchError> {
    let failed = |source: io::Error| ScratchError::Value { folder: "memory".into(), source };
    let descriptor = memfd_create("secret", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(|error| failed(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(value).map_err(failed)?;
    let number = file.as_raw_fd();
    // Each open of the path is a description of its own, with an offset of its own.
    let descriptor = OwnedFd::from(file);
    Ok((descriptor, PathBuf::from(format!("/proc/self/fd/{number}"))))
}

fn create_new(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?))
}

#[cfg(test)]
mod tests;
