//! One landing per destination at a time, and what a landing leaves behind when it is cut off.
//!
//! The lock is a file beside the destination with an advisory lock on it: the kernel drops the lock
//! when its holder is killed, so there are no stale locks. It is removed by its holder, hence the
//! check that the file that was locked is still the one that has the name.
//!
//! Whoever may write to the folder can hold the lock and so keep transfers out; they could remove
//! the delivered file just as well.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::LandingError;
use super::root::open_plain;
use super::tree::remove_tree;

/// How often a lock file that vanished under us is made again.
const TRIES: usize = 32;

/// A held lock. Dropping it removes the file and lets go.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: Arc<OwnedFd>,
    name: String,
    _file: OwnedFd,
}

impl Lock {
    /// Takes the lock `name` in `folder` for `destination`, or says that it is taken.
    pub(crate) fn take(
        folder: &Arc<OwnedFd>,
        name: &str,
        destination: &str,
    ) -> Result<Self, LandingError> {
        let at = |error| LandingError::at("lock", destination, error);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let made = rustix::fs::openat(&**folder, name, flags, Mode::from_raw_mode(0o600));
            let file = match made {
                Err(Errno::EXIST) => match open_plain(&**folder, name.as_bytes(), OFlags::RDWR) {
                    Err(Errno::NOENT) => continue,
                    Err(Errno::LOOP | Errno::NODEV) => {
                        return Err(LandingError::Foreign {
                            path: format!("{destination} ({name})"),
                        });
                    }
                    other => other.map_err(at)?,
                },
                other => other.map_err(at)?,
            };
            let ours = rustix::fs::fstat(&file).map_err(at)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(LandingError::Busy { path: destination.to_owned() });
                }
                Err(Errno::INTR) => continue,
                Err(error) => return Err(at(error)),
            }
            match rustix::fs::statat(&**folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) => {
                    let name = name.to_owned();
                    return Ok(Self { folder: Arc::clone(folder), name, _file: file });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(at(error)),
            }
        }
        Err(LandingError::Busy { path: destination.to_owned() })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the file is closed: whoever opens the name from here on makes a new one.
        let _ = rustix::fs::unlinkat(&*self.folder, &self.name, AtFlags::empty());
    }
}

/// Something made on the way, to be removed unless it is kept.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: Arc<OwnedFd>,
    name: String,
    kept: bool,
    confined: bool,
}

impl Staging {
    /// Takes charge of `name` in `folder`.
    pub(crate) fn new(folder: &Arc<OwnedFd>, name: String, confined: bool) -> Self {
        Self { folder: Arc::clone(folder), name, kept: false, confined }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// From here on it stays.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed when the next landing begins.
            let _ = remove_tree(&self.folder, self.name.as_bytes(), self.confined);
        }
    }
}
