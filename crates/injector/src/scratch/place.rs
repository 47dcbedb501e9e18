//! Where files are put.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, fchown};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, RenameFlags, fchmod, flock, statfs};
use rustix::io::Errno;

use super::ScratchError;
use super::entry::{Entry, MADE, Placed};
use super::folder::{Folder, Identity, Spot, identity_of};
use super::ledger::Ledger;
use super::shelf::Shelves;

/// Of tmpfs and ramfs (statfs(2)).
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// Where values go where it is there.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";
/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// Which folder values go to, and what they are called there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Memory only: /dev/shm, else XDG_RUNTIME_DIR.
    Memory {
        /// XDG_RUNTIME_DIR.
        runtime_folder: Option<PathBuf>,
    },
    /// As Summon: /dev/shm when it is there, else a folder in the home folder, else that for temporary files.
    Summon {
        /// HOME.
        home: Option<PathBuf>,
        /// TMPDIR.
        temporary: PathBuf,
        /// XDG_RUNTIME_DIR.
        runtime_folder: Option<PathBuf>,
    },
}

impl Storage {
    /// The folder; made where it has to be, and in the ledger then.
    pub(super) fn folder(&self, ledger: &mut Ledger) -> Result<PathBuf, ScratchError> {
        match self {
            Self::Memory { runtime_folder } => {
                let folders = [Some(PathBuf::from(SHARED_MEMORY)), runtime_folder.clone()];
                let mut good = folders.into_iter().flatten().filter(|folder| is_memory(folder));
                good.next().ok_or(ScratchError::NoFolder)
            }
            Self::Summon { home, temporary, .. } => {
                if Path::new(SHARED_MEMORY).is_dir() {
                    return Ok(SHARED_MEMORY.into());
                }
                let made = home.as_deref().and_then(|home| own_folder(home, ledger).ok());
                Ok(made.unwrap_or_else(|| temporary.clone()))
            }
        }
    }

    /// The folders where ledgers are, also those of dead runs.
    pub(super) fn shelves(&self) -> Shelves {
        match self {
            Self::Memory { runtime_folder } => {
                Shelves::of(runtime_folder.as_deref(), None, runtime_folder.as_deref())
            }
            Self::Summon { home, temporary, runtime_folder } => {
                Shelves::of(runtime_folder.as_deref(), home.as_deref(), Some(temporary))
            }
        }
    }

    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Self::Memory { .. } => super::entry::SEALOCK,
            Self::Summon { .. } => super::entry::SUMMON,
        }
    }
}

fn is_memory(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| MEMORY.contains(&u64::try_from(found.f_type).unwrap_or(0)))
}

/// A new folder `.tmp…` in the home folder.
pub(super) fn own_folder(home: &Path, ledger: &mut Ledger) -> io::Result<PathBuf> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let name = format!("{MADE}{}", data_encoding::HEXLOWER.encode(&bytes));
    let folder = Arc::new(Folder::open(home)?);
    let spot = Spot::new(&folder, name);
    let path = spot.path();
    ledger.add(Entry::Made(spot))?;
    fs::DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

/// A file at a path of the user's choice.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// Where; relative to the working directory.
    pub path: &'a str,
    /// What is in it.
    pub content: &'a [u8],
    /// Its permissions.
    pub permissions: u32,
    /// Whether something that is there is put aside meanwhile.
    pub overwrite: bool,
    /// Who owns it; whoever runs this where it is not said.
    pub owner: Option<(u32, Option<u32>)>,
}

/// The path from the root on, without `.` and `..`.
pub(super) fn absolute(path: &str) -> Result<PathBuf, ScratchError> {
    let refused = || ScratchError::NoFileName { path: path.chars().take(300).collect() };
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return Err(refused());
    }
    let from_root = std::path::absolute(path)
        .map_err(|source| ScratchError::File { path: path.into(), source })?;
    let mut clean = PathBuf::new();
    for part in from_root.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    match clean.file_name() {
        Some(name) if name.len() <= LONGEST_NAME => Ok(clean),
        _ => Err(refused()),
    }
}

/// A file that was put somewhere.
#[derive(Debug)]
pub(super) struct InPlace {
    /// As it was given.
    pub(super) path: PathBuf,
    spot: Spot,
    /// Keeps the lock by which other runs know that it is in use.
    lock: Option<File>,
}

/// Puts the file there.
pub(super) fn write(
    path: PathBuf,
    placement: &Placement<'_>,
    ledger: &mut Ledger,
    keep_lock: bool,
) -> Result<InPlace, ScratchError> {
    let failed = |source: io::Error| ScratchError::File { path: path.clone(), source };
    let in_use = || ScratchError::InUse { path: path.clone() };
    let spot = spot_of(&path, placement, ledger).map_err(failed)?;
    if ledger.placed_at(&spot).is_some() {
        return Err(ScratchError::Twice { path });
    }
    let there = spot.identity().map_err(failed)?;
    if there.is_some() && !placement.overwrite {
        return Err(ScratchError::Exists { path });
    }
    if spot.is_folder() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    // Held until the two have changed names, so that of two runs one waits for nothing and is refused.
    let Ok(_held) = unlocked(&spot, there) else { return Err(in_use()) };
    let (aside, file) = made(&spot, ledger).map_err(failed)?;
    note(&spot, &aside, &file, there.is_some(), ledger).map_err(failed)?;
    fill(&file, placement).map_err(failed)?;
    // A file system without locks has none to find either.
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    // What was there keeps a name, and comes back by it.
    let flags = if there.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    match aside.rename(&spot.name, flags) {
        Ok(()) => Ok(InPlace { path, spot, lock: keep_lock.then_some(file) }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(ScratchError::Exists { path })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Where a path leads to now. Links on the way are the user's choice; from here on none is followed.
fn spot_of(path: &Path, placement: &Placement<'_>, ledger: &Ledger) -> io::Result<Spot> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true).mode(folder_mode(placement.permissions));
    maker.create(folder)?;
    let folder = ledger.folder_like(Folder::open(folder)?);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Spot::new(&folder, name))
}

/// Locks what is to be replaced. An error is another run's file, or one that has changed meanwhile; what cannot
/// be opened or locked is no run's of this user.
fn unlocked(spot: &Spot, there: Option<Identity>) -> Result<Option<File>, Errno> {
    if there.is_none() {
        return Ok(None);
    }
    let Ok(file) = spot.open() else { return Ok(None) };
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Err(Errno::WOULDBLOCK);
    }
    match spot.identity().is_ok_and(|now| now == there) {
        true => Ok(Some(file)),
        false => Err(Errno::BUSY),
    }
}

/// Puts another content in the place of a file that was put there. What was there before the first of them is still
/// what comes back.
pub(super) fn renew(
    placed: &mut InPlace,
    placement: &Placement<'_>,
    ledger: &mut Ledger,
) -> Result<(), ScratchError> {
    let path = placed.path.clone();
    let failed = |source: io::Error| ScratchError::File { path: path.clone(), source };
    let first = ledger.placed_at(&placed.spot).cloned();
    let first = first.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let (new, file) = made(&placed.spot, ledger).map_err(failed)?;
    fill(&file, placement).map_err(failed)?;
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    note(&placed.spot, &first.aside, &file, first.replaces, ledger).map_err(failed)?;
    if let Err(error) = new.rename(&placed.spot.name, RenameFlags::empty()) {
        // The one before is there still.
        let _ = ledger.add(Entry::File(first));
        return Err(failed(error));
    }
    placed.lock = placed.lock.is_some().then_some(file);
    Ok(())
}

/// A new file beside `spot` under a name of its own, in the ledger before it is there. Where a later step fails it
/// is left for the ledger to remove.
fn made(spot: &Spot, ledger: &mut Ledger) -> io::Result<(Spot, File)> {
    let spot = spot.beside(ledger.new_name());
    ledger.add(Entry::Held(spot.clone()))?;
    let file = spot.create()?;
    Ok((spot, file))
}

fn note(
    spot: &Spot,
    aside: &Spot,
    file: &File,
    replaces: bool,
    ledger: &mut Ledger,
) -> io::Result<()> {
    let (spot, aside, own) = (spot.clone(), aside.clone(), vec![identity_of(file)?]);
    ledger.add(Entry::File(Placed { spot, aside, own, replaces }))
}

fn fill(mut file: &fs::File, placement: &Placement<'_>) -> io::Result<()> {
    file.write_all(placement.content)?;
    if let Some((user, group)) = placement.owner {
        fchown(file.as_fd(), Some(user), group)?;
    }
    fchmod(file, Mode::from_raw_mode(placement.permissions & 0o777))?;
    file.sync_all()
}

/// Who may read a file may enter its folder; its owner may do everything in it, and nobody else may write:
/// 0600 → 0700, 0640 → 0750, 0666 → 0755.
fn folder_mode(permissions: u32) -> u32 {
    0o700 | (permissions & 0o055) | ((permissions & 0o044) >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_match_their_files() {
        for (file, folder) in [
            (0o600, 0o700),
            (0o640, 0o750),
            (0o644, 0o755),
            (0o400, 0o700),
            (0o666, 0o755),
            (0o222, 0o700),
        ] {
            assert_eq!(folder_mode(file), folder, "{file:o}");
        }
    }

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(absolute("/a/./b/../c").unwrap(), Path::new("/a/c"));
        assert!(absolute("x").unwrap().is_absolute());
        for bad in ["", "/", "a/", "/a/..", "a\0b"] {
            assert!(absolute(bad).is_err(), "{bad:?}");
        }
        assert!(absolute(&"n".repeat(256)).is_err());
    }
}
