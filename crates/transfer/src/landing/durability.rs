//! What outlives a crash of the *machine*. (That of a process is the matter of the rename.)
//!
//! Certificates, keys and settings (up to [`FILES`] files and [`BYTES`] bytes) are on the disk before
//! anything leads to them, and so is the swap before the landing says that it is done. Bulk is not
//! waited for, since the disk would then set the pace: neither
//! `docker cp` nor Kubernetes' volumes wait at all. If the machine crashes in the seconds after a bulk landing, the
//! content may be cut short; sending again notices, because what stands there is compared.

use std::os::fd::OwnedFd;

use rustix::fs::Advice;
use rustix::io::Errno;

use crate::plan::Announced;

/// Up to how many members are waited for.
const FILES: u64 = 64;
/// Up to how many bytes.
const BYTES: u64 = 64 * 1024 * 1024;

/// The files that are waited for.
#[derive(Debug)]
pub(crate) struct Durability {
    waits: bool,
    files: Vec<OwnedFd>,
}

impl Durability {
    pub(crate) fn of(announced: Announced) -> Self {
        let waits = announced.members <= FILES && announced.bytes <= BYTES;
        Self { waits, files: Vec::new() }
    }

    /// Takes a file that is complete. The disk begins with it, so that when the first file is waited
    /// for, one commit of the file system's journal can cover all of them.
    pub(crate) fn written(&mut self, file: OwnedFd) {
        if self.waits {
            // To begin writing is the first thing that Linux does on this advice; pages that are
            // still to be written stay in memory.
            let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
            self.files.push(file);
        }
    }

    /// Waits until the content is on the disk. The names need no sync of their own: file systems with
    /// a journal keep the order in which names were made and swapped, and the last sync covers them.
    pub(crate) fn before_swap(&self) -> Result<(), Errno> {
        self.files.iter().try_for_each(rustix::fs::fsync)
    }

    /// Waits until the swap is on the disk. The new content is there for every reader already, and
    /// what a failing disk would say now changes nothing about that.
    pub(crate) fn after_swap(&self, folder: &OwnedFd) {
        if self.waits {
            let _ = rustix::fs::fsync(folder);
        }
    }
}
