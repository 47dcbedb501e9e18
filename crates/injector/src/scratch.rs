//! Files that live as long as the child: values in memory-backed files, and files at paths of the user's choice.
//!
//! # Who clears away
//!
//! What a run makes stands in its *ledger*, a file beside the values that this process holds a lock on. A run
//! that ends in order undoes it. When this process is killed, the kernel lets go of the lock: then the
//! [`guardian`] undoes it at once, and if that was killed as well, the next run that starts
//! ([`Scratch::new`]), with or without files of its own. A file is in the ledger before it is there, so nothing is missed.
//!
//! # What an attacker controls
//!
//! `/dev/shm` is everybody's. Names are random, files are made with `O_EXCL`, and only ledgers of this very user
//! are read; what stands in another's is not touched. Within one user there is no wall: who may write this
//! user's ledger may also remove this user's files.

pub mod guardian;
mod ledger;
mod place;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};
use thiserror::Error;

use crate::child::hand_on;
use guardian::Guardian;
pub use guardian::GuardianProgram;
use ledger::{Entry, Ledger};
pub use place::{Placement, Storage};

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
    placed: Vec<PathBuf>,
}

/// Once there is something to clear away.
#[derive(Debug)]
struct Open {
    folder: PathBuf,
    ledger: Ledger,
    guardian: Option<Guardian>,
}

impl Scratch {
    /// Nothing yet, but what killed runs have left is undone. The guardian is started with the first file.
    pub fn new(storage: Storage, guardian: Option<GuardianProgram>) -> Self {
        storage.heal();
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
        let path = folder.join(open.ledger.new_name());
        open.ledger.add(Entry::Held { path: path.clone() }).map_err(failed)?;
        let mut file = create_new(&path).map_err(failed)?;
        let written = file.write_all(value);
        if written.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        written.map_err(failed)?;
        Ok(path)
    }

    /// Writes a file of the user's choice, all of it or nothing.
    ///
    /// # Errors
    /// [`ScratchError`].
    pub fn place(&mut self, placement: &Placement<'_>) -> Result<PathBuf, ScratchError> {
        let path = place::absolute(placement.path)?;
        if self.placed.contains(&path) {
            return Err(ScratchError::Twice { path });
        }
        let open = self.opened()?;
        place::write(&path, placement, &mut open.ledger)?;
        self.placed.push(path.clone());
        Ok(path)
    }

    /// Another value for a file that [`Scratch::hold`] has made; readers see the old one or the new one.
    ///
    /// # Errors
    /// [`ScratchError::Value`].
    pub fn hold_again(&mut self, path: &Path, value: &[u8]) -> Result<(), ScratchError> {
        let new = self.hold(value)?;
        std::fs::rename(&new, path).map_err(|source| ScratchError::Value {
            folder: path.parent().unwrap_or(path).to_owned(),
            source,
        })
    }

    /// Another content for a file that [`Scratch::place`] has put there; one that is not there yet is placed.
    ///
    /// # Errors
    /// [`ScratchError`].
    pub fn place_again(&mut self, placement: &Placement<'_>) -> Result<(), ScratchError> {
        let path = place::absolute(placement.path)?;
        if !self.placed.contains(&path) {
            return self.place(placement).map(drop);
        }
        let open = self.opened()?;
        place::renew(&path, placement, &mut open.ledger)
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
        place::remove_own_folder(&open.folder);
        done.map_err(|(path, source)| ScratchError::Remove { path, source })
    }

    fn opened(&mut self) -> Result<&mut Open, ScratchError> {
        if self.open.is_none() {
            let folder = self.storage.folder()?;
            let failed = |source| ScratchError::Value { folder: folder.clone(), source };
            let ledger = Ledger::open(&folder, self.storage.prefix()).map_err(failed)?;
            // Without a guardian the next run clears away.
            let program = self.guardian_program.as_ref();
            let guardian = program.and_then(|program| Guardian::start(program, &ledger).ok());
            self.open = Some(Open { folder, ledger, guardian });
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
/// for the process that has inherited the descriptor, and for those that inherit it from there.
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
    hand_on(&descriptor).map_err(failed)?;
    Ok((descriptor, PathBuf::from(format!("/proc/self/fd/{number}"))))
}

fn create_new(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?))
}

#[cfg(test)]
mod tests;
