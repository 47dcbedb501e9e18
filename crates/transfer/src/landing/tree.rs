//! Trees on disk: removing one, and comparing two.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::root::folder_beneath;

/// How long a path may be that is removed (`PATH_MAX`, its end included). What a landing makes is
/// shorter; what is longer was made by somebody else, to hurt.
const PATH_LIMIT: usize = 4095;

/// How many names are held at once while a folder is emptied.
const NAMES_AT_ONCE: usize = 1024;

/// How much of two files is compared at once.
const COMPARED_AT_ONCE: usize = 128 * 1024;

/// The names in an open folder that are wanted, at most `limit` of them, without `.` and `..`. How
/// many others there are does not matter: they may be an attacker's.
pub(crate) fn names(
    folder: impl AsFd,
    limit: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Vec<u8>>, Errno> {
    let mut list = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && wanted(name) {
            list.push(name.to_vec());
            if list.len() >= limit {
                break;
            }
        }
    }
    Ok(list)
}

/// Removes `name` in `folder` and all below it. Follows no link and enters no mount.
///
/// The tree may be an attacker's: neither its depth nor its width costs stack, open files or memory.
pub(crate) fn remove_tree(folder: &OwnedFd, name: &[u8], confined: bool) -> Result<(), Errno> {
    if unlink(folder.as_fd(), name)? {
        return Ok(());
    }
    let mut path = name.to_vec();
    loop {
        let current = folder_beneath(folder.as_fd(), &path, confined)?;
        match empty(&current)? {
            Some(below) => {
                path.push(b'/');
                path.extend_from_slice(&below);
                if path.len() > PATH_LIMIT {
                    return Err(Errno::NAMETOOLONG);
                }
            }
            None => match path.iter().rposition(|byte| *byte == b'/') {
                Some(end) => {
                    let done = path.split_off(end);
                    let above = folder_beneath(folder.as_fd(), &path, confined)?;
                    let name = done.get(1..).unwrap_or_default();
                    rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)?;
                }
                None => return rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR),
            },
        }
    }
}

/// Removes everything in a folder, up to the first folder in it, whose name it gives.
fn empty(folder: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    loop {
        let some = names(folder, NAMES_AT_ONCE, |_| true)?;
        if some.is_empty() {
            return Ok(None);
        }
        for name in some {
            if !unlink(folder.as_fd(), &name)? {
                return Ok(Some(name));
            }
        }
    }
}

/// Removes anything but a folder. False when it is one.
fn unlink(folder: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        // POSIX allows the second for folders; a name that really may not be removed fails again
        // when it is opened as one.
        Err(Errno::ISDIR | Errno::PERM) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether two entries have the same kind, permissions and owner, and, where they are files, the
/// same size.
pub(crate) fn same_facts(left: &rustix::fs::Stat, right: &rustix::fs::Stat) -> bool {
    let is_file = FileType::from_raw_mode(left.st_mode) == FileType::RegularFile;
    left.st_mode == right.st_mode
        && left.st_uid == right.st_uid
        && left.st_gid == right.st_gid
        && (!is_file || left.st_size == right.st_size)
}

/// Whether two open files have the same `size` bytes. Stops at the first difference.
pub(crate) fn same_bytes(left: impl AsFd, right: impl AsFd, size: u64) -> io::Result<bool> {
    let piece = usize::try_from(size).unwrap_or(COMPARED_AT_ONCE).min(COMPARED_AT_ONCE);
    let (mut one, mut other) = (Zeroizing::new(vec![0; piece]), Zeroizing::new(vec![0; piece]));
    let mut offset = 0;
    while offset < size {
        let read_left = rustix::io::pread(&left, one.as_mut_slice(), offset)?;
        let Some(one) = one.get(..read_left).filter(|read| !read.is_empty()) else {
            return Ok(false);
        };
        let mut compared = 0;
        while let Some(rest) = one.get(compared..).filter(|rest| !rest.is_empty()) {
            let Some(room) = other.get_mut(..rest.len()) else { return Ok(false) };
            let read = rustix::io::pread(&right, &mut *room, offset + compared as u64)?;
            if read == 0 || room.get(..read) != rest.get(..read) {
                return Ok(false);
            }
            compared += read;
        }
        offset += read_left as u64;
    }
    Ok(true)
}
