//! The root that a landing is confined to, and the only two ways in which paths are resolved.
//!
//! A path from the container's root is resolved by `openat2` with `RESOLVE_IN_ROOT`: links are
//! followed as a process in the container would follow them, `..` and absolute links end at the
//! root, and `/proc`'s magic links (which are doors out) are refused. A path inside a folder of ours
//! is resolved with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV`: no link is followed at
//! all. Everything else works on single names relative to an open folder, where the kernel follows
//! no link at the end.
//!
//! An attacker in the container may rename and swap anything at any time. What that changes is in
//! which of the container's own folders we work, never that it is one of the container's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::LandingError;
use super::memory::expect_memory;
use crate::plan::{Destination, Shape};

/// How often a resolution is tried again that failed because names moved under it.
const TRIES: usize = 64;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root folder of a container's view of its files.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    pub(super) confined: bool,
    makes_as: Option<(u32, u32)>,
}

impl Root {
    /// The root of the calling process itself: for the receiver, which runs in the container.
    ///
    /// Where `openat2` is missing (kernels before 5.6) or forbidden (old seccomp profiles), paths
    /// are resolved by plain `openat`: what `/` is for this process is already the container's root,
    /// so following links and `..` cannot lead anywhere that this process could not go anyway.
    ///
    /// # Errors
    /// When `/` cannot be opened.
    pub fn here() -> Result<Self, LandingError> {
        let folder = rustix::fs::open("/", FOLDER, Mode::empty())
            .map_err(|error| LandingError::at("open", "/", error))?;
        let confined = confines(&folder).is_ok();
        Ok(Self { folder, confined, makes_as: None })
    }

    /// A container's root from outside, such as an open `/proc/<pid>/root/`. Needs `openat2`.
    ///
    /// # Errors
    /// [`LandingError::NotConfinable`] where there is no `openat2`.
    pub fn from_fd(folder: OwnedFd) -> Result<Self, LandingError> {
        confines(&folder).map_err(|error| LandingError::NotConfinable { source: error.into() })?;
        Ok(Self { folder, confined: true, makes_as: None })
    }

    /// Folders that have to be made on the way, and what has no owner in its plan, are given to
    /// this user and group (ids as *this* process sees them). Without it they belong to this
    /// process.
    #[must_use]
    pub fn making_as(self, user: u32, group: u32) -> Self {
        Self { makes_as: Some((user, group)), ..self }
    }

    /// Who owns what the plan gives no owner.
    pub(crate) fn default_owner(&self) -> Option<(u32, u32)> {
        self.makes_as
    }

    /// Decides what a path that a person named stands for, as `cp` does: one file goes into `path`
    /// when that is an existing folder or ends in a slash, and else becomes `path`; anything else
    /// makes `path` a folder.
    ///
    /// # Errors
    /// When the path cannot be a destination, or cannot be looked at.
    pub fn settle(&self, path: &str, one_file: Option<&str>) -> Result<Destination, LandingError> {
        let plain =
            |path: &str, shape| Destination::parse(path, shape).map_err(LandingError::Destination);
        let Some(name) = one_file else {
            return plain(path, Shape::Folder);
        };
        if path.ends_with('/') || self.is_folder(path)? {
            return plain(&format!("{}/{name}", path.trim_end_matches('/')), Shape::File);
        }
        plain(path, Shape::File)
    }

    /// Whether a folder (or a link to one) stands at `path`.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn is_folder(&self, path: &str) -> Result<bool, LandingError> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(LandingError::at("look at", path, error)),
        }
    }

    /// Opens a file for reading, confined; only a plain file.
    ///
    /// # Errors
    /// When there is none, or it is something else.
    pub fn open_file(&self, path: &str) -> Result<OwnedFd, LandingError> {
        let named = self.resolve(path, OFlags::PATH | OFlags::CLOEXEC);
        match named.and_then(|named| reopen_plain(&named, OFlags::RDONLY)) {
            Err(Errno::NODEV) => Err(LandingError::NotAFile { path: path.to_owned() }),
            other => other.map_err(|error| LandingError::at("open", path, error)),
        }
    }

    /// Opens the folder at an absolute path, making it and what is missing above it (0755). Says
    /// whether the last one was made. With `memory_only` nothing is made, and nothing opened, that is
    /// not in memory.
    pub(crate) fn make_folder(
        &self,
        path: &str,
        memory_only: bool,
    ) -> Result<(OwnedFd, bool), LandingError> {
        let expect = |folder: &OwnedFd| {
            if memory_only { expect_memory(folder, path) } else { Ok(()) }
        };
        let at = |error| LandingError::at("open", path, error);
        match self.resolve(path, FOLDER) {
            Ok(folder) => {
                expect(&folder)?;
                return Ok((folder, false));
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(at(error)),
        }
        let mut ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).skip(1).collect();
        ends.push(path.len());
        let mut current = self.resolve("/", FOLDER).map_err(at)?;
        let (mut made, mut start) = (false, 1);
        for end in ends {
            let prefix = path.get(..end).unwrap_or(path);
            let name = path.get(start..end).unwrap_or("");
            start = end + 1;
            if name.is_empty() {
                continue;
            }
            current = match (made, self.resolve(prefix, FOLDER)) {
                (false, Ok(folder)) => folder,
                (false, Err(error)) if error != Errno::NOENT => {
                    return Err(LandingError::at("open", prefix, error));
                }
                // From the first missing folder on, names are relative to what was just made.
                _ => {
                    expect(&current)?;
                    made = true;
                    self.make_one(&current, name, prefix)?
                }
            };
        }
        expect(&current)?;
        Ok((current, made))
    }

    fn make_one(&self, parent: &OwnedFd, name: &str, path: &str) -> Result<OwnedFd, LandingError> {
        let at = |error| LandingError::at("make the folder", path, error);
        let made = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(at(error)),
        };
        let folder = folder_beneath(parent.as_fd(), name.as_bytes(), self.confined).map_err(at)?;
        if made {
            if let Some((user, group)) = self.makes_as {
                give(&folder, (user, group)).map_err(at)?;
            }
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755)).map_err(at)?;
        }
        Ok(folder)
    }

    /// Opens `path` from the root as the container would.
    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if !self.confined {
            return rustix::fs::openat(&self.folder, path, flags, Mode::empty());
        }
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        patiently(|| rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), how))
    }

    /// Whether `openat2` is there to confine us.
    pub(crate) fn is_confined(&self) -> bool {
        self.confined
    }
}

/// Opens the folder at a relative path below a folder of ours; no link is followed and no mount
/// entered. Without `openat2` it goes step by step.
pub(crate) fn folder_beneath(
    folder: BorrowedFd<'_>,
    path: &[u8],
    confined: bool,
) -> Result<OwnedFd, Errno> {
    open_beneath(folder, path, FOLDER, confined)
}

fn open_beneath(
    folder: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    confined: bool,
) -> Result<OwnedFd, Errno> {
    if confined {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        return patiently(|| rustix::fs::openat2(folder, path, flags, Mode::empty(), how));
    }
    let (parents, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[][..], path),
    };
    let mut current: Option<OwnedFd> = None;
    for component in parents.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
        let at = current.as_ref().map_or(folder, AsFd::as_fd);
        let next = rustix::fs::openat(at, component, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        current = Some(next);
    }
    let at = current.as_ref().map_or(folder, AsFd::as_fd);
    rustix::fs::openat(at, name, flags | OFlags::NOFOLLOW, Mode::empty())
}

/// Opens a plain file under a single name that anybody may have put something at. `NODEV` when it is
/// no plain file, `LOOP` when it is a link.
pub(crate) fn open_plain(folder: impl AsFd, name: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    reopen_plain(&rustix::fs::openat(folder, name, flags, Mode::empty())?, access)
}

/// Opens what `named` only names, if it is a plain file. To open a device is to use it (a watchdog
/// begins to count, a tape to wind), and the container can make device nodes; so what it is is
/// found out first, and then the very same inode is opened through our own `/proc`.
fn reopen_plain(named: &OwnedFd, access: OFlags) -> Result<OwnedFd, Errno> {
    match FileType::from_raw_mode(rustix::fs::fstat(named)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(Errno::LOOP),
        _ => return Err(Errno::NODEV),
    }
    let path = format!("/proc/self/fd/{}", named.as_raw_fd());
    rustix::fs::open(path, access | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

/// `openat2` gives up with `EAGAIN` when a rename elsewhere might have led it astray.
fn patiently(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let mut last = Errno::AGAIN;
    for _ in 0..TRIES {
        match open() {
            Err(error @ (Errno::AGAIN | Errno::INTR)) => last = error,
            other => return other,
        }
    }
    Err(last)
}

fn confines(folder: &OwnedFd) -> Result<(), Errno> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(folder, ".", flags, Mode::empty(), how).map(drop)
}

/// Gives an open file or folder to a user and group.
pub(crate) fn give(file: impl AsFd, (user, group): (u32, u32)) -> Result<(), Errno> {
    rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}

/// Whether `name` in `folder` is a mount of its own. False where the kernel cannot tell (the rename
/// tells, then).
pub(crate) fn is_mount(folder: &OwnedFd, name: &str) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags};
    rustix::fs::statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
