//! Where files are put.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, RenameFlags, fchmod, renameat_with, statfs};

use super::ScratchError;
use super::ledger::{Entry, Ledger};

/// Of tmpfs and ramfs (statfs(2)).
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// Where values go where it is there.
const SHARED_MEMORY: &str = "/dev/shm";
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
    },
}

impl Storage {
    /// The folder; made where it has to be.
    pub(super) fn folder(&self) -> Result<PathBuf, ScratchError> {
        match self {
            Self::Memory { runtime_folder } => {
                let folders = [Some(PathBuf::from(SHARED_MEMORY)), runtime_folder.clone()];
                let mut good = folders.into_iter().flatten().filter(|folder| is_memory(folder));
                good.next().ok_or(ScratchError::NoFolder)
            }
            Self::Summon { home, temporary } => {
                if Path::new(SHARED_MEMORY).is_dir() {
                    return Ok(SHARED_MEMORY.into());
                }
                Ok(home.as_deref().and_then(own_folder).unwrap_or_else(|| temporary.clone()))
            }
        }
    }

    /// Undoes what dead runs have left wherever this run could put values.
    pub(super) fn heal(&self) {
        match self {
            Self::Memory { runtime_folder } => {
                super::ledger::heal(Path::new(SHARED_MEMORY));
                if let Some(folder) = runtime_folder {
                    super::ledger::heal(folder);
                }
            }
            Self::Summon { .. } if Path::new(SHARED_MEMORY).is_dir() => {
                super::ledger::heal(Path::new(SHARED_MEMORY));
            }
            Self::Summon { home, temporary } => {
                super::ledger::heal(temporary);
                for folder in home.iter().flat_map(|home| own_folders(home)) {
                    // One in which nothing was left may have been made just now.
                    if super::ledger::heal(&folder) {
                        remove_own_folder(&folder);
                    }
                }
            }
        }
    }

    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Self::Memory { .. } => super::ledger::SEALOCK,
            Self::Summon { .. } => super::ledger::SUMMON,
        }
    }
}

fn is_memory(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| MEMORY.contains(&u64::try_from(found.f_type).unwrap_or(0)))
}

/// Random bytes in the name of a folder of a run's own.
const OWN: usize = 8;

/// A new folder `.tmp…` in the home folder.
fn own_folder(home: &Path) -> Option<PathBuf> {
    let mut bytes = [0; OWN];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok()?;
    let folder = home.join(format!(".tmp{}", data_encoding::HEXLOWER.encode(&bytes)));
    fs::DirBuilder::new().mode(0o700).create(&folder).ok()?;
    Some(folder)
}

/// All that [`own_folder`] has made here, in this run or another.
fn own_folders(home: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(home).into_iter().flatten().flatten();
    listing.map(|entry| entry.path()).filter(|folder| is_own_folder(folder)).collect()
}

fn is_own_folder(folder: &Path) -> bool {
    let random =
        folder.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(".tmp"));
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    random.is_some_and(|random| random.len() == 2 * OWN && random.bytes().all(hex))
}

/// Removes what [`own_folder`] has made. One that is in use is not empty.
pub(super) fn remove_own_folder(folder: &Path) {
    if is_own_folder(folder) {
        let _ = fs::remove_dir(folder);
    }
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

/// Puts the file there.
pub(super) fn write(
    path: &Path,
    placement: &Placement<'_>,
    ledger: &mut Ledger,
) -> Result<(), ScratchError> {
    let failed = |source: io::Error| ScratchError::File { path: path.to_owned(), source };
    let there = fs::symlink_metadata(path);
    match &there {
        Ok(_) if !placement.overwrite => {
            return Err(ScratchError::Exists { path: path.to_owned() });
        }
        Ok(found) if found.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
        _ => {}
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true).mode(folder_mode(placement.permissions));
    maker.create(folder).map_err(failed)?;
    let (aside, file) = made(folder, ledger).map_err(failed)?;
    let replaces = there.is_ok();
    note(path, &aside, &file, replaces, ledger).map_err(failed)?;
    fill(&file, placement).map_err(failed)?;
    // What was there keeps a name, and comes back by it.
    let flags = if replaces { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    match renameat_with(CWD, &aside, CWD, path, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(ScratchError::Exists { path: path.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}

/// Puts another content in the place of a file that was put there. What was there before the first of them is still
/// what comes back.
pub(super) fn renew(
    path: &Path,
    placement: &Placement<'_>,
    ledger: &mut Ledger,
) -> Result<(), ScratchError> {
    let failed = |source: io::Error| ScratchError::File { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let first = ledger.placed_at(path);
    let (aside, replaces) = first.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let (new, file) = made(folder, ledger).map_err(failed)?;
    fill(&file, placement).map_err(failed)?;
    note(path, &aside, &file, replaces, ledger).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

/// A new file under a name of its own, in the ledger before it is there. Where a later step fails it is left for
/// the ledger to remove.
fn made(folder: &Path, ledger: &mut Ledger) -> io::Result<(PathBuf, fs::File)> {
    let path = folder.join(ledger.new_name());
    ledger.add(Entry::Held { path: path.clone() })?;
    let file = super::create_new(&path)?;
    Ok((path, file))
}

fn note(
    path: &Path,
    aside: &Path,
    file: &fs::File,
    replaces: bool,
    ledger: &mut Ledger,
) -> io::Result<()> {
    let found = file.metadata()?;
    let (device, inode) = (found.dev(), found.ino());
    let (path, aside) = (path.to_owned(), aside.to_owned());
    ledger.add(Entry::File { path, aside, device, inode, replaces })
}

fn fill(mut file: &fs::File, placement: &Placement<'_>) -> io::Result<()> {
    file.write_all(placement.content)?;
    if let Some((user, group)) = placement.owner {
        fchown(file.as_fd(), Some(user), group)?;
    }
    fchmod(file, Mode::from_raw_mode(placement.permissions & 0o777))?;
    file.sync_all()
}

/// Who may read a file may enter its folder: 0600 → 0700, 0640 → 0750, 0644 → 0755.
fn folder_mode(permissions: u32) -> u32 {
    (permissions & 0o777) | ((permissions & 0o444) >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_match_their_files() {
        for (file, folder) in [(0o600, 0o700), (0o640, 0o750), (0o644, 0o755), (0o400, 0o500)] {
            assert_eq!(folder_mode(file), folder, "{file:o}");
        }
    }

    #[test]
    fn only_folders_of_runs_are_removed() {
        for (name, own) in [
            (".tmp0123456789abcdef", true),
            (".tmp0123456789abcde", false),
            (".tmp0123456789ABCDEF", false),
            (".tmp1433018544", false),
            (".tmp", false),
            ("tmp0123456789abcdef", false),
        ] {
            assert_eq!(is_own_folder(&Path::new("/home/me").join(name)), own, "{name}");
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
