//! What a run has made, in a file that is locked while the run lives.
//!
//! The file is called `PREFIX<run>.ledger`, the run being 32 random hex digits; where it lies, [`super::shelf`]
//! says, and what stands in it, [`super::entry`].
//!
//! # What an attacker controls
//!
//! Who can make us read a ledger of his own could have any file removed. So it has to be our file with no other
//! name, closed to everybody else, and its entries may only have names of the ledger's own run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::fs::{flock, linkat, openat, renameat_with};

use super::entry::{Entry, Names, Placed, RUN, Trouble, When};
use super::folder::{Folder, Spot};
use super::shelf::Trust;

/// A longer ledger is none of ours.
const LONGEST: u64 = 64 << 20;
/// A file has its owner's permissions, and no others.
const OWN_ONLY: u32 = 0o600;

fn removed(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path.to_owned(), error)),
        _ => Ok(()),
    }
}

fn undo_all<'a>(
    entries: impl DoubleEndedIterator<Item = &'a Entry>,
    when: When,
) -> Result<(), Trouble> {
    let mut first = Ok(());
    for entry in entries.rev() {
        let done = entry.undo(when);
        if first.is_ok() {
            first = done;
        }
    }
    first
}

/// The ledger of this run. The lock goes with the descriptor.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    path: PathBuf,
    names: Names,
    entries: Vec<Entry>,
    made: u64,
}

impl Ledger {
    /// Begins one. It is locked before it has its name, so that nobody takes it for a dead run's.
    pub(super) fn open(folder: &Path, prefix: &'static str) -> io::Result<Self> {
        let names = Names { prefix, run: random()? };
        let path = folder.join(names.ledger());
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match openat(CWD, folder, flags, mode) {
            Ok(nameless) => {
                flock(&nameless, FlockOperation::NonBlockingLockExclusive)?;
                let own = format!("/proc/self/fd/{}", nameless.as_raw_fd());
                linkat(CWD, own, CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
                File::from(nameless)
            }
            // A file system that has no nameless files.
            Err(_) => {
                let first = folder.join(names.file(0));
                let file = super::create_new(&first)?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                renameat_with(CWD, &first, CWD, &path, RenameFlags::empty())?;
                file
            }
        };
        Ok(Self { file, path, names, entries: Vec::new(), made: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new file name of this run.
    pub(super) fn new_name(&mut self) -> String {
        self.made += 1;
        self.names.file(self.made)
    }

    /// What is noted of a file that was put there.
    pub(super) fn placed_at(&self, spot: &Spot) -> Option<&Placed> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::File(placed) if placed.spot == *spot => Some(placed),
            _ => None,
        })
    }

    /// A folder that a file was put in, so that each is open once.
    pub(super) fn folder_like(&self, folder: Folder) -> Arc<Folder> {
        let same = self.entries.iter().map(|entry| &entry.spot().folder);
        let mut same = same.filter(|known| ***known == folder);
        same.next().map_or_else(|| Arc::new(folder), Arc::clone)
    }

    /// Notes what is about to be made.
    pub(super) fn add(&mut self, entry: Entry) -> io::Result<()> {
        self.file.write_all(&entry.render())?;
        entry.enter(&mut self.entries);
        Ok(())
    }

    /// Undoes everything and removes the ledger last, so that what could not be undone is tried again.
    pub(super) fn undo(self) -> Result<(), Trouble> {
        undo_all(self.entries.iter(), When::AtOnce)?;
        removed(&self.path)
    }
}

/// Undoes what a run that is being killed has left. The kernel closes the run's descriptors one after another, so the
/// lock is waited for; it is let go of in a moment.
pub(super) fn undo_killed(ledger: &Path) {
    undo_dead(ledger, When::AtOnce, Trust::Whole, FlockOperation::LockExclusive);
}

/// Undoes what a dead run has left, if this is its ledger.
fn undo_dead(path: &Path, when: When, trust: Trust, lock: FlockOperation) {
    let Some(names) = path.file_name().and_then(|name| Names::of(name.as_bytes())) else { return };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = openat(CWD, path, flags, Mode::empty()) else { return };
    let file = File::from(file);
    if !is_ours(&file) || flock(&file, lock).is_err() {
        return;
    }
    // Whoever had the lock in between has undone it, and its paths may be another run's by now.
    let same = |one: &std::fs::Metadata, other: &std::fs::Metadata| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    let is_there = fs::symlink_metadata(path).ok().zip(file.metadata().ok());
    if !is_there.is_some_and(|(named, opened)| same(&named, &opened)) {
        return;
    }
    let mut text = Vec::new();
    if file.take(LONGEST).read_to_end(&mut text).is_err() {
        return;
    }
    let entries = Entry::parse(&text, &names);
    let beside = path.parent().and_then(|shelf| Folder::open(shelf).ok());
    let is_believed = |entry: &&Entry| match trust {
        Trust::Whole => true,
        Trust::Values => {
            matches!(entry, Entry::Held(spot) if Some(&*spot.folder) == beside.as_ref())
        }
    };
    let believed: Vec<&Entry> = entries.iter().filter(is_believed).collect();
    // What is not believed here may be believed where there is no better place.
    if undo_all(believed.iter().copied(), when).is_ok() && believed.len() == entries.len() {
        let _ = removed(path);
    }
}

/// Whether a ledger is this user's alone. A file with two names may be anybody's content of ours.
fn is_ours(file: &File) -> bool {
    let own = rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|found| {
        found.is_file()
            && found.uid() == own
            && found.nlink() == 1
            && found.mode() & 0o7777 == OWN_ONLY
            && found.len() <= LONGEST
    })
}

/// Undoes what dead runs of this user have left, by the ledgers in this folder.
pub(super) fn heal(folder: &Path, trust: Trust) {
    let Ok(listing) = fs::read_dir(folder) else { return };
    let names = listing.flatten().filter_map(|entry| Names::of(&entry.file_name().into_vec()));
    let runs: BTreeSet<Names> = names.collect();
    for run in runs {
        let lock = FlockOperation::NonBlockingLockExclusive;
        undo_dead(&folder.join(run.ledger()), When::Later, trust, lock);
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0; RUN / 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
