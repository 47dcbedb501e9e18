//! What a run has made, in a file that is locked while the run lives.
//!
//! The file lies in the folder of the values as `PREFIX<run>.ledger`, the run being 32 random hex digits. Its
//! entries are fields that end with a NUL each:
//!
//! ```text
//! held NUL path NUL
//! file NUL path NUL aside NUL device NUL inode NUL replaces NUL
//! ```
//!
//! The second stands for a file that is put at `path`. It is made as `aside`, and then gets the name `path`; where
//! something has that name and is to be replaced (`replaces` is 1), the two change names. So what is found at
//! `aside` says how far it came: our own file (device and inode), the user's, or none. A later entry with the same
//! `path` or `aside` takes an earlier one's place.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat, openat};

/// How the names of `sealock run`'s files begin.
pub(super) const SEALOCK: &str = ".sealock-";
/// As Summon's, whose names go on with digits only.
pub(super) const SUMMON: &str = ".summonk";
const SUFFIX: &str = ".ledger";
/// Random hex digits in a name.
const RUN: usize = 32;
/// A longer ledger is none of ours.
const LONGEST: u64 = 64 << 20;

/// Something to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A value's file.
    Held {
        /// Where.
        path: PathBuf,
    },
    /// A file at a path of the user's choice.
    File {
        /// Where.
        path: PathBuf,
        /// Where it was made, and where what was at `path` is kept.
        aside: PathBuf,
        /// The new file's.
        device: u64,
        /// The new file's.
        inode: u64,
        /// Whether something was at `path`, which `aside` is now.
        replaces: bool,
    },
}

/// How sure whoever undoes can be that nobody else has used the path meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The run has just ended: what is at the path is the run's or its child's.
    AtOnce,
    /// Some time later: only what is known to be the run's is removed.
    Later,
}

impl Entry {
    fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut field = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            text.push(0);
        };
        match self {
            Self::Held { path } => {
                field(b"held");
                field(path.as_os_str().as_bytes());
            }
            Self::File { path, aside, device, inode, replaces } => {
                field(b"file");
                field(path.as_os_str().as_bytes());
                field(aside.as_os_str().as_bytes());
                field(device.to_string().as_bytes());
                field(inode.to_string().as_bytes());
                field(if *replaces { b"1" } else { b"0" });
            }
        }
        text
    }

    /// Reads entries; what is cut off at the end was never acted on.
    fn parse(text: &[u8]) -> Vec<Self> {
        let whole = text.iter().rposition(|byte| *byte == 0).unwrap_or(0);
        let mut fields = text.get(..whole).unwrap_or_default().split(|byte| *byte == 0);
        let mut entries = Vec::new();
        let path = |field: &[u8]| PathBuf::from(OsStr::from_bytes(field));
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u64>().ok();
        loop {
            let entry = match fields.next() {
                Some(b"held") => fields.next().map(|one| Self::Held { path: path(one) }),
                Some(b"file") => (|| {
                    let (to, aside) = (path(fields.next()?), path(fields.next()?));
                    let (device, inode) = (number(fields.next()?)?, number(fields.next()?)?);
                    let replaces = fields.next()? == b"1";
                    Some(Self::File { path: to, aside, device, inode, replaces })
                })(),
                _ => None,
            };
            match entry {
                Some(entry) => entry.enter(&mut entries),
                None => return entries,
            }
        }
    }

    /// Takes the place of what it makes void.
    fn enter(self, entries: &mut Vec<Self>) {
        if let Self::File { path, aside, .. } = &self {
            entries.retain(|earlier| match earlier {
                Self::Held { path: held } => held != aside,
                Self::File { path: earlier, .. } => earlier != path,
            });
        }
        entries.push(self);
    }

    /// Undoes it, whichever of its steps were taken. Done twice, the second time does nothing.
    fn undo(&self, when: When) -> Result<(), (PathBuf, io::Error)> {
        let (path, aside, own, replaces) = match self {
            Self::Held { path } => return removed(path),
            Self::File { path, aside, device, inode, replaces } => {
                (path, aside, (*device, *inode), *replaces)
            }
        };
        let (at_path, at_aside) = (inode_at(path), inode_at(aside));
        if at_aside == Some(own) {
            return removed(aside);
        }
        let is_others = at_path.is_some_and(|found| found != own) && when == When::Later;
        match (replaces, at_aside) {
            // What was there comes back, in one step.
            (true, Some(_)) if !is_others => {
                fs::rename(aside, path).map_err(|error| (path.clone(), error))
            }
            (false, None) if !is_others => removed(path),
            _ => Ok(()),
        }
    }
}

fn inode_at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn removed(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path.to_owned(), error)),
        _ => Ok(()),
    }
}

fn undo_all(entries: &[Entry], when: When) -> Result<(), (PathBuf, io::Error)> {
    let mut first = Ok(());
    for entry in entries.iter().rev() {
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
    prefix: &'static str,
    run: String,
    entries: Vec<Entry>,
    made: u64,
}

impl Ledger {
    /// Begins one. It is locked before it has a name, so that nobody takes it for a dead run's.
    pub(super) fn open(folder: &Path, prefix: &'static str) -> io::Result<Self> {
        let run = random()?;
        let path = folder.join(format!("{prefix}{run}{SUFFIX}"));
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match openat(CWD, folder, flags, mode) {
            Ok(nameless) => {
                flock(&nameless, FlockOperation::NonBlockingLockExclusive)?;
                let own = format!("/proc/self/fd/{}", nameless.as_raw_fd());
                linkat(CWD, own, CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
                File::from(nameless)
            }
            // A file system that has no nameless files; the folder is this run's own then.
            Err(_) => {
                let file = super::create_new(&path)?;
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                file
            }
        };
        Ok(Self { file, path, prefix, run, entries: Vec::new(), made: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new file name of this run.
    pub(super) fn new_name(&mut self) -> String {
        self.made += 1;
        format!("{}{}-{}", self.prefix, self.run, self.made)
    }

    /// Where what was at a path of the user's choice is kept, if a file was put there: its entry's `aside`, and
    /// whether it replaces something.
    pub(super) fn placed_at(&self, path: &Path) -> Option<(PathBuf, bool)> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::File { path: placed, aside, replaces, .. } if placed == path => {
                Some((aside.clone(), *replaces))
            }
            _ => None,
        })
    }

    /// Notes what is about to be made.
    pub(super) fn add(&mut self, entry: Entry) -> io::Result<()> {
        self.file.write_all(&entry.render())?;
        entry.enter(&mut self.entries);
        Ok(())
    }

    /// Undoes everything and removes the ledger last, so that what could not be undone is tried again.
    pub(super) fn undo(self) -> Result<(), (PathBuf, io::Error)> {
        undo_all(&self.entries, When::AtOnce)?;
        removed(&self.path)
    }
}

/// Undoes what a run that is being killed has left. The kernel closes the run's descriptors one after another, so the
/// lock is waited for; it is let go of in a moment.
pub(super) fn undo_killed(ledger: &Path) {
    let done = undo_dead(ledger, When::AtOnce, FlockOperation::LockExclusive);
    if done && let Some(folder) = ledger.parent() {
        super::place::remove_own_folder(folder);
    }
}

/// Undoes what a dead run has left, if this is its ledger. Whether all of it is done.
fn undo_dead(path: &Path, when: When, lock: FlockOperation) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = openat(CWD, path, flags, Mode::empty()) else { return false };
    let file = File::from(file);
    let own = rustix::process::geteuid().as_raw();
    let good = file
        .metadata()
        .is_ok_and(|found| found.is_file() && found.uid() == own && found.len() <= LONGEST);
    if !good || flock(&file, lock).is_err() {
        return false;
    }
    // Whoever had the lock in between has undone it, and its paths may be another run's by now.
    if inode_at(path) != file.metadata().ok().map(|found| (found.dev(), found.ino())) {
        return false;
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).is_ok()
        && undo_all(&Entry::parse(&text), when).is_ok()
        && removed(path).is_ok()
}

/// Undoes what dead runs of this user have left in the folder. Whether there was anything.
pub(super) fn heal(folder: &Path) -> bool {
    let Ok(listing) = fs::read_dir(folder) else { return false };
    let mut ledgers = BTreeSet::new();
    for entry in listing.flatten() {
        let name = entry.file_name().into_vec();
        if let Some((prefix, run)) = run_of(&name) {
            ledgers.insert(folder.join(format!("{prefix}{run}{SUFFIX}")));
        }
    }
    let lock = FlockOperation::NonBlockingLockExclusive;
    ledgers.iter().filter(|ledger| undo_dead(ledger, When::Later, lock)).count() > 0
}

/// The run that a file of this name belongs to.
fn run_of(name: &[u8]) -> Option<(&'static str, String)> {
    let name = std::str::from_utf8(name).ok()?;
    [SEALOCK, SUMMON].into_iter().find_map(|prefix| {
        let run = name.strip_prefix(prefix)?.get(..RUN)?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        run.bytes().all(hex).then(|| (prefix, run.to_owned()))
    })
}

fn random() -> io::Result<String> {
    let mut bytes = [0; RUN / 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_and_cut_ones_left_out() {
        let entries = vec![
            Entry::Held { path: "/dev/shm/x".into() },
            Entry::File {
                path: "/a b\nc".into(),
                aside: "/a/.x".into(),
                device: 1,
                inode: 2,
                replaces: true,
            },
        ];
        let text: Vec<u8> = entries.iter().flat_map(Entry::render).collect();
        assert_eq!(Entry::parse(&text), entries);
        for cut in 0..text.len() {
            let read = Entry::parse(&text[..cut]);
            assert!(entries.starts_with(&read), "{cut}: {read:?}");
        }
        assert!(Entry::parse(b"nonsense\0/etc/passwd\0").is_empty());
    }

    #[test]
    fn names_of_others_are_not_ours() {
        let run = "0123456789abcdef0123456789abcdef";
        assert_eq!(run_of(format!(".sealock-{run}-1").as_bytes()), Some((".sealock-", run.into())));
        assert!(run_of(format!(".summonk{run}.ledger").as_bytes()).is_some());
        for other in [".summon1234567890", ".sealock-", "x", ".summonkXYZ"] {
            assert_eq!(run_of(other.as_bytes()), None, "{other}");
        }
    }
}
