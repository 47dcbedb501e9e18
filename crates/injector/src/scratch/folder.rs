//! Files by the folder that they are in, not by a path that somebody may bend meanwhile.
//!
//! A folder is looked up once, from the root and without following a link, and is from then on what its
//! descriptor stands for: who renames it and puts a link in its place has us work in the old one. A dead run's
//! descriptors are gone. Then the folder is looked up again, and has to be the same one by device and inode.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, StatxFlags};
use rustix::fs::{fstat, makedev, openat, renameat_with, statat, statx, unlinkat};
use rustix::io::Errno;

/// Which file something is. Inodes are used again, the moment of birth is not; it is 0 where it is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// In nanoseconds since 1970.
    pub(super) born: u64,
}

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    /// Without links, at the time it was looked up.
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    descriptor: Option<OwnedFd>,
}

impl PartialEq for Folder {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.device, self.inode) == (&other.path, other.device, other.inode)
    }
}

impl Eq for Folder {}

impl Folder {
    /// The folder that a path leads to now.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(path)?;
        let descriptor = walk(&path)?;
        let found = fstat(&descriptor)?;
        Ok(Self { path, device: found.st_dev, inode: found.st_ino, descriptor: Some(descriptor) })
    }

    /// One that was noted; looked up when it is needed.
    pub(super) fn noted(path: PathBuf, device: u64, inode: u64) -> Self {
        Self { path, device, inode, descriptor: None }
    }

    /// The same folder, or an error.
    fn found(&self) -> io::Result<OwnedFd> {
        if let Some(descriptor) = &self.descriptor {
            return descriptor.try_clone();
        }
        let descriptor = walk(&self.path)?;
        let found = fstat(&descriptor)?;
        match (found.st_dev, found.st_ino) == (self.device, self.inode) {
            true => Ok(descriptor),
            false => Err(io::Error::other("another folder is at its path now")),
        }
    }
}

/// Opens a folder without following a link anywhere.
fn walk(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = openat(CWD, "/", flags, Mode::empty())?;
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => at = openat(&at, name, flags, Mode::empty())?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(at)
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) folder: Arc<Folder>,
    pub(super) name: OsString,
}

impl Spot {
    pub(super) fn new(folder: &Arc<Folder>, name: impl Into<OsString>) -> Self {
        Self { folder: Arc::clone(folder), name: name.into() }
    }

    pub(super) fn beside(&self, name: impl Into<OsString>) -> Self {
        Self::new(&self.folder, name)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path.join(&self.name)
    }

    /// A new file (0600), for its owner to write and read.
    pub(super) fn create(&self) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = self.folder.found()?;
        Ok(File::from(openat(folder, &self.name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// For a look at what is there; a pipe does not make us wait, and a link is not followed.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let folder = self.folder.found()?;
        Ok(File::from(openat(folder, &self.name, flags, Mode::empty())?))
    }

    /// What is there.
    pub(super) fn identity(&self) -> io::Result<Option<Identity>> {
        match identity(self.folder.found()?, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.folder
            .found()
            .and_then(|folder| Ok(statat(folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?))
            .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir())
    }

    /// Gives what is there another name in the same folder.
    pub(super) fn rename(&self, name: &OsStr, flags: RenameFlags) -> io::Result<()> {
        let folder = self.folder.found()?;
        Ok(renameat_with(&folder, &self.name, &folder, name, flags)?)
    }

    /// Removes the file; one that is not there is no fault.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.unlink(AtFlags::empty())
    }

    /// Removes the folder of this name if it is empty.
    pub(super) fn remove_folder(&self) -> io::Result<()> {
        self.unlink(AtFlags::REMOVEDIR)
    }

    fn unlink(&self, flags: AtFlags) -> io::Result<()> {
        match unlinkat(self.folder.found()?, &self.name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Which file is open.
pub(super) fn identity_of(file: &File) -> io::Result<Identity> {
    identity(file, OsStr::new(""), AtFlags::EMPTY_PATH)
}

fn identity(folder: impl AsFd, name: &OsStr, flags: AtFlags) -> io::Result<Identity> {
    match statx(&folder, name, flags, StatxFlags::INO | StatxFlags::BTIME) {
        Ok(found) => {
            let birth = found.stx_btime;
            let born = u64::try_from(birth.tv_sec)
                .ok()
                .filter(|_| found.stx_mask & StatxFlags::BTIME.bits() != 0)
                .and_then(|seconds| seconds.checked_mul(1_000_000_000))
                .and_then(|born| born.checked_add(u64::from(birth.tv_nsec)));
            let device = makedev(found.stx_dev_major, found.stx_dev_minor);
            Ok(Identity { device, inode: found.stx_ino, born: born.unwrap_or(0) })
        }
        // Old sandboxes do not let it through.
        Err(Errno::NOSYS | Errno::PERM) => {
            let found = statat(&folder, name, flags)?;
            Ok(Identity { device: found.st_dev, inode: found.st_ino, born: 0 })
        }
        Err(error) => Err(error.into()),
    }
}
