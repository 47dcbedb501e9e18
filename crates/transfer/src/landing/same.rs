//! Whether two trees are the same, so that nothing has to be changed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::root::{folder_beneath, open_plain};
use super::tree::{names, same_bytes, same_facts};
use crate::manifest::{Entry, Manifest};

/// Compares the tree that stands with the one that was staged, whose content `manifest` lists.
/// All facts are compared before any content is read.
pub(crate) fn same_tree(
    old: &OwnedFd,
    new: &OwnedFd,
    manifest: &Manifest,
    confined: bool,
) -> Result<bool, Errno> {
    if !same_facts(&rustix::fs::fstat(old)?, &rustix::fs::fstat(new)?) {
        return Ok(false);
    }
    let mut folders: BTreeMap<Vec<u8>, (OwnedFd, OwnedFd, usize)> = BTreeMap::new();
    let open = |path: &[u8]| -> Result<(OwnedFd, OwnedFd, usize), Errno> {
        if path.is_empty() {
            let again = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let one = rustix::fs::openat(old, ".", again, Mode::empty())?;
            let other = rustix::fs::openat(new, ".", again, Mode::empty())?;
            return Ok((one, other, 0));
        }
        let one = folder_beneath(old.as_fd(), path, confined)?;
        Ok((one, folder_beneath(new.as_fd(), path, confined)?, 0))
    };
    folders.insert(Vec::new(), open(b"")?);
    for (path, entry) in manifest.entries() {
        let parent = path.parent().map_or_else(Vec::new, |parent| parent.as_bytes().to_vec());
        let Some((one, other, count)) = folders.get_mut(&parent) else { return Ok(false) };
        *count += 1;
        let look =
            |folder: &OwnedFd| rustix::fs::statat(folder, path.name(), AtFlags::SYMLINK_NOFOLLOW);
        if !same_facts(&look(one)?, &look(other)?) {
            return Ok(false);
        }
        if let Entry::Link { target } = entry {
            let points = rustix::fs::readlinkat(&*one, path.name(), Vec::new())?;
            if points.as_bytes() != target.as_bytes() {
                return Ok(false);
            }
        }
        if matches!(entry, Entry::Folder { .. }) {
            folders.insert(path.as_bytes().to_vec(), open(path.as_bytes())?);
        }
    }
    for (one, _, count) in folders.values() {
        if names(one, count + 1, |_| true)?.len() != *count {
            return Ok(false);
        }
    }
    same_contents(&folders, manifest)
}

fn same_contents(
    folders: &BTreeMap<Vec<u8>, (OwnedFd, OwnedFd, usize)>,
    manifest: &Manifest,
) -> Result<bool, Errno> {
    for (path, entry) in manifest.entries() {
        let Entry::File { size, .. } = entry else { continue };
        let parent = path.parent().map_or_else(Vec::new, |parent| parent.as_bytes().to_vec());
        let Some((one, other, _)) = folders.get(&parent) else { return Ok(false) };
        let left = open_plain(one, path.name(), OFlags::RDONLY)?;
        let right = open_plain(other, path.name(), OFlags::RDONLY)?;
        if !same_bytes(&left, &right, *size).unwrap_or(false) {
            return Ok(false);
        }
    }
    Ok(true)
}
