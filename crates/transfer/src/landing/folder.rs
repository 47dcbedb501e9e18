//! A destination that is a folder: versions below it, and one link that is swapped.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::copy::{Copier, Job, Watch};
use super::durability::Durability;
use super::lock::{Lock, Staging};
use super::root::{Root, folder_beneath, give};
use super::same::same_tree;
use super::tree::{names, remove_tree};
use super::version::Version;
use super::{LandingError, Outcome, PERMISSIONS};
use crate::manifest::{Entry, Manifest};
use crate::member::{LinkTarget, MemberPath};
use crate::plan::Plan;

/// The link that is swapped.
const DATA: &str = "..data";
/// The new link, before it takes the old one's place.
const NEW_DATA: &str = "..data_tmp";
const LOCK: &str = "..sealock.lock";

#[derive(Debug)]
pub(crate) struct FolderPlace {
    // The order matters: what is staged is removed before the lock is let go.
    staging: Staging,
    tree: OwnedFd,
    version: Version,
    current: Option<Version>,
    folder: Arc<OwnedFd>,
    path: String,
    owner: Option<(u32, u32)>,
    last_parent: Option<(MemberPath, OwnedFd)>,
    durability: Durability,
    confined: bool,
    _lock: Lock,
}

impl FolderPlace {
    pub(crate) fn begin(root: &Root, plan: &Plan) -> Result<Self, LandingError> {
        let path = plan.destination.path();
        let (folder, _) = root.make_folder(path, plan.memory_only)?;
        let folder = Arc::new(folder);
        let lock = Lock::take(&folder, LOCK, path)?;
        let current = current(&folder, path)?;
        heal(&folder, current.as_ref(), path, root.is_confined())?;
        let version = Version::new()?;
        let at = |error| LandingError::at("make a folder in", path, error);
        rustix::fs::mkdirat(&*folder, version.as_str(), Mode::from_raw_mode(0o700)).map_err(at)?;
        let staging = Staging::new(&folder, version.as_str().to_owned(), root.is_confined());
        let tree = folder_beneath(folder.as_fd(), version.as_str().as_bytes(), root.is_confined())
            .map_err(at)?;
        Ok(Self {
            staging,
            tree,
            version,
            current,
            folder,
            path: path.to_owned(),
            owner: plan.owner.or(root.default_owner()),
            last_parent: None,
            durability: Durability::of(plan.announced),
            confined: root.is_confined(),
            _lock: lock,
        })
    }

    pub(crate) fn folder(&mut self, member: &MemberPath) -> Result<(), LandingError> {
        self.expect_free(member)?;
        let path = self.shown(member);
        let parent = self.parent(member)?;
        // Its own mode comes at the end, when nothing more has to be written into it.
        rustix::fs::mkdirat(parent, member.name(), Mode::from_raw_mode(0o700))
            .map_err(|error| LandingError::at("make the folder", &path, error))
    }

    pub(crate) fn file(
        &mut self,
        copier: &mut Copier,
        member: &MemberPath,
        mode: u32,
        size: u64,
        source: &mut dyn Read,
    ) -> Result<[u8; 32], LandingError> {
        self.expect_free(member)?;
        let path = self.shown(member);
        let owner = self.owner;
        let parent = self.parent(member)?;
        let at = |error| LandingError::at("write", &path, error);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // The version's folder is closed to all others until the end, so the file may have its
        // mode from the start, which saves a call for each of many files.
        let file = rustix::fs::openat(parent, member.name(), flags, Mode::from_raw_mode(mode))
            .map_err(at)?;
        let target = file.as_fd();
        let sha256 = copier.copy(Job { member, size, source, target, path: &path })?;
        settle(&file, owner, mode, &path)?;
        self.durability.written(file);
        Ok(sha256)
    }

    pub(crate) fn symlink(
        &mut self,
        member: &MemberPath,
        target: &LinkTarget,
    ) -> Result<(), LandingError> {
        self.expect_free(member)?;
        let path = self.shown(member);
        let owner = self.owner;
        let parent = self.parent(member)?;
        let at = |error| LandingError::at("make the link", &path, error);
        rustix::fs::symlinkat(target.as_bytes(), parent, member.name()).map_err(at)?;
        if let Some((user, group)) = owner {
            use rustix::fs::{Gid, Uid};
            let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(parent, member.name(), user, group, flags).map_err(at)?;
        }
        Ok(())
    }

    pub(crate) fn finish(
        mut self,
        plan: &Plan,
        manifest: &Manifest,
        watch: &Watch,
    ) -> Result<Outcome, LandingError> {
        let tops: BTreeSet<&[u8]> =
            manifest.entries().keys().filter_map(|path| path.components().next()).collect();
        self.settle_folders(plan, manifest)?;
        let replaced = self.current.is_some();
        if let Some(current) = &self.current
            && self.is_same(current, manifest)
        {
            let version = Some(current.as_str().to_owned());
            let mended = self.link(&tops)?;
            let removed = self.unlink_stale(&tops);
            return Ok(Outcome { replaced, changed: mended || removed, version });
        }
        let at = |error| LandingError::at("write", &self.path, error);
        self.durability.before_swap().map_err(at)?;
        watch.check(&self.path)?;
        self.swap(&tops)?;
        self.unlink_stale(&tops);
        if let Some(old) = &self.current {
            // What is still open in it lives on; what cannot be removed now is at the next landing.
            let _ = remove_tree(&self.folder, old.as_str().as_bytes(), self.confined);
        }
        self.durability.after_swap(&self.folder);
        Ok(Outcome { replaced, changed: true, version: Some(self.version.as_str().to_owned()) })
    }

    /// The open folder that a member goes into.
    fn parent(&mut self, member: &MemberPath) -> Result<&OwnedFd, LandingError> {
        let Some(parent) = member.parent() else {
            return Ok(&self.tree);
        };
        if !matches!(&self.last_parent, Some((last, _)) if *last == parent) {
            let folder = self
                .open_in_tree(parent.as_bytes())
                .map_err(|error| LandingError::at("open", &self.shown(&parent), error))?;
            self.last_parent = Some((parent, folder));
        }
        Ok(self.last_parent.as_ref().map_or(&self.tree, |(_, folder)| folder))
    }

    fn open_in_tree(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        folder_beneath(self.tree.as_fd(), path, self.confined)
    }

    /// Where a reader finds the member, for errors.
    fn shown(&self, member: &MemberPath) -> String {
        format!("{}/{member}", self.path)
    }

    /// Refuses a member whose name at the top is taken by somebody else.
    fn expect_free(&self, member: &MemberPath) -> Result<(), LandingError> {
        if member.parent().is_some() {
            return Ok(());
        }
        self.link_state(member.name()).map(drop)
    }

    /// Whether the link at the top is there already; an error when something else is.
    fn link_state(&self, name: &[u8]) -> Result<bool, LandingError> {
        match rustix::fs::readlinkat(&*self.folder, name, Vec::new()) {
            Ok(target) if target.as_bytes() == link_target(name) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Ok(_) | Err(Errno::INVAL) => Err(LandingError::Foreign { path: self.top(name) }),
            Err(error) => Err(LandingError::at("look at", &self.top(name), error)),
        }
    }

    fn top(&self, name: &[u8]) -> String {
        format!("{}/{}", self.path, crate::member::shown(name))
    }

    /// Gives folders their owner and mode, the deepest first.
    fn settle_folders(&self, plan: &Plan, manifest: &Manifest) -> Result<(), LandingError> {
        let readable = |mode: u32| (mode & PERMISSIONS) | ((mode & 0o444) >> 2);
        for (member, entry) in manifest.entries().iter().rev() {
            let Entry::Folder { mode } = entry else { continue };
            let path = self.shown(member);
            let folder = self
                .open_in_tree(member.as_bytes())
                .map_err(|error| LandingError::at("open", &path, error))?;
            settle(&folder, self.owner, plan.mode.map_or(*mode, readable), &path)?;
        }
        settle(&self.tree, self.owner, plan.mode.map_or(0o755, readable), &self.path)
    }

    /// Makes the links at the top, then lets `..data` lead to the new version. The links come first:
    /// a failure still changes nothing that a reader sees, and from the swap on all is there.
    fn swap(&mut self, tops: &BTreeSet<&[u8]>) -> Result<(), LandingError> {
        let made = self.missing_links(tops)?;
        let swapped = self.link(tops).and_then(|_| {
            let at = |error| LandingError::at("swap", &self.path, error);
            let folder = &*self.folder;
            let _ = rustix::fs::unlinkat(folder, NEW_DATA, AtFlags::empty());
            rustix::fs::symlinkat(self.version.as_str(), folder, NEW_DATA).map_err(at)?;
            rustix::fs::renameat(folder, NEW_DATA, folder, DATA).map_err(|error| match error {
                Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR => {
                    LandingError::Foreign { path: self.top(DATA.as_bytes()) }
                }
                error => at(error),
            })
        });
        match swapped {
            Ok(()) => self.staging.keep(),
            Err(_) => {
                let _ = rustix::fs::unlinkat(&*self.folder, NEW_DATA, AtFlags::empty());
                for name in made {
                    let _ = rustix::fs::unlinkat(&*self.folder, name, AtFlags::empty());
                }
            }
        }
        swapped
    }

    fn missing_links<'a>(&self, tops: &BTreeSet<&'a [u8]>) -> Result<Vec<&'a [u8]>, LandingError> {
        let mut missing = Vec::new();
        for name in tops {
            if !self.link_state(name)? {
                missing.push(*name);
            }
        }
        Ok(missing)
    }

    /// Makes the links at the top that are missing. Says whether there were any.
    fn link(&self, tops: &BTreeSet<&[u8]>) -> Result<bool, LandingError> {
        let missing = self.missing_links(tops)?;
        for name in &missing {
            match rustix::fs::symlinkat(link_target(name).as_slice(), &*self.folder, *name) {
                Err(Errno::EXIST) => return Err(LandingError::Foreign { path: self.top(name) }),
                other => other
                    .map_err(|error| LandingError::at("make the link", &self.top(name), error))?,
            }
        }
        Ok(!missing.is_empty())
    }

    /// Removes links at the top that were ours and lead nowhere now. Says whether there were any.
    fn unlink_stale(&self, tops: &BTreeSet<&[u8]>) -> bool {
        let mut removed = false;
        let ours = |name: &[u8]| {
            !tops.contains(name)
                && !name.starts_with(b"..")
                && rustix::fs::readlinkat(&*self.folder, name, Vec::new())
                    .is_ok_and(|target| target.as_bytes() == link_target(name))
        };
        for name in names(&*self.folder, usize::MAX, ours).unwrap_or_default() {
            let gone = rustix::fs::unlinkat(&*self.folder, name.as_slice(), AtFlags::empty());
            removed |= gone.is_ok();
        }
        removed
    }

    /// Whether the current version is what has been staged. Anything odd means no.
    fn is_same(&self, current: &Version, manifest: &Manifest) -> bool {
        let name = current.as_str().as_bytes();
        folder_beneath(self.folder.as_fd(), name, self.confined)
            .is_ok_and(|old| same_tree(&old, &self.tree, manifest, self.confined).unwrap_or(false))
    }
}

fn link_target(name: &[u8]) -> Vec<u8> {
    [DATA.as_bytes(), b"/", name].concat()
}

/// Gives an open entry its owner and its mode, where it does not have them yet.
fn settle(
    entry: &OwnedFd,
    owner: Option<(u32, u32)>,
    mode: u32,
    path: &str,
) -> Result<(), LandingError> {
    let at = |error| LandingError::at("change the mode of", path, error);
    let is = rustix::fs::fstat(entry).map_err(at)?;
    if let Some(owner) = owner
        && owner != (is.st_uid, is.st_gid)
    {
        give(entry, owner).map_err(|error| LandingError::at("change the owner of", path, error))?;
    }
    if is.st_mode & 0o7777 != mode {
        rustix::fs::fchmod(entry, Mode::from_raw_mode(mode)).map_err(at)?;
    }
    Ok(())
}

/// The version that `..data` leads to. Anything else under that name is somebody else's.
fn current(folder: &OwnedFd, path: &str) -> Result<Option<Version>, LandingError> {
    let foreign = || LandingError::Foreign { path: format!("{path}/{DATA}") };
    match rustix::fs::readlinkat(folder, DATA, Vec::new()) {
        Ok(target) => Version::parse(target.as_bytes()).map(Some).ok_or_else(foreign),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::INVAL) => Err(foreign()),
        Err(error) => Err(LandingError::at("look at", path, error)),
    }
}

/// Removes what killed landings have left. Only called with the lock held.
fn heal(
    folder: &OwnedFd,
    current: Option<&Version>,
    path: &str,
    confined: bool,
) -> Result<(), LandingError> {
    let at = |error| LandingError::at("clean up", path, error);
    let left = |name: &[u8]| {
        name == NEW_DATA.as_bytes()
            || Version::parse(name).is_some_and(|version| Some(&version) != current)
    };
    for name in names(folder, usize::MAX, left).map_err(at)? {
        remove_tree(folder, &name, confined).map_err(at)?;
    }
    Ok(())
}
