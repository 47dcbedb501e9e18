//! A destination that is one file.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::copy::{Copier, Job};
use super::durability::Durability;
use super::lock::{Lock, Staging};
use super::root::{Root, give, is_mount, open_plain};
use super::tree::{names, remove_tree, same_bytes, same_facts};
use super::{LandingError, Outcome, unguessable};
use crate::member::MemberPath;
use crate::plan::Plan;

/// What all our names beside a file destination begin with.
const PREFIX: &str = ".sealock.";

#[derive(Debug)]
pub(crate) struct FilePlace {
    // The order matters: what is staged is removed before the lock is let go.
    staged: Option<Staged>,
    staging: String,
    confined: bool,
    folder: Arc<OwnedFd>,
    path: String,
    name: String,
    owner: Option<(u32, u32)>,
    _lock: Lock,
}

#[derive(Debug)]
struct Staged {
    entry: Staging,
    file: OwnedFd,
    sha256: [u8; 32],
}

impl FilePlace {
    pub(crate) fn begin(root: &Root, plan: &Plan) -> Result<Self, LandingError> {
        let path = plan.destination.path();
        let name = plan.destination.name();
        let above = path.strip_suffix(name).unwrap_or("/");
        let above = if above.len() > 1 { above.trim_end_matches('/') } else { above };
        let (folder, _) = root.make_folder(above, plan.memory_only)?;
        let folder = Arc::new(folder);
        replaceable(&folder, name, path)?;
        // Names may be as long as the file system takes, so ours cannot be made by appending.
        let hash = digest(&SHA256, name.as_bytes());
        let key = data_encoding::HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default());
        let lock = Lock::take(&folder, &format!("{PREFIX}{key}.lock"), path)?;
        heal(&folder, &format!("{PREFIX}{key}."), path, root.is_confined())?;
        Ok(Self {
            staged: None,
            staging: format!("{PREFIX}{key}.{}", unguessable()?),
            confined: root.is_confined(),
            folder,
            path: path.to_owned(),
            name: name.to_owned(),
            owner: plan.owner.or(root.default_owner()),
            _lock: lock,
        })
    }

    pub(crate) fn sha256(&self) -> Option<[u8; 32]> {
        self.staged.as_ref().map(|staged| staged.sha256)
    }

    pub(crate) fn file(
        &mut self,
        copier: &mut Copier,
        member: &MemberPath,
        mode: u32,
        size: u64,
        source: &mut dyn Read,
    ) -> Result<[u8; 32], LandingError> {
        if self.staged.is_some() {
            return Err(LandingError::NotOneFile { path: self.path.clone() });
        }
        let at = |error| LandingError::at("write", &self.path, error);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(
            &*self.folder,
            self.staging.as_str(),
            flags,
            Mode::from_raw_mode(0o600),
        )
        .map_err(at)?;
        let entry = Staging::new(&self.folder, self.staging.clone(), self.confined);
        let target = file.as_fd();
        let sha256 = copier.copy(Job { member, size, source, target, path: &self.path })?;
        if let Some(owner) = self.owner {
            let at = |error| LandingError::at("change the owner of", &self.path, error);
            give(&file, owner).map_err(at)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(at)?;
        self.staged = Some(Staged { entry, file, sha256 });
        Ok(sha256)
    }

    pub(crate) fn finish(mut self, plan: &Plan) -> Result<Outcome, LandingError> {
        let at = |error| LandingError::at("replace", plan.destination.path(), error);
        let Some(mut staged) = self.staged.take() else {
            return Err(LandingError::NotOneFile { path: self.path });
        };
        let there = replaceable(&self.folder, &self.name, &self.path)?;
        if let Some(there) = &there
            && self.is_same(&staged.file, there).map_err(at)?
        {
            return Ok(Outcome { replaced: true, changed: false, version: None });
        }
        let mut durability = Durability::of(plan.announced);
        durability.written(staged.file);
        durability.before_swap().map_err(at)?;
        match rustix::fs::renameat(
            &*self.folder,
            staged.entry.name(),
            &*self.folder,
            self.name.as_str(),
        ) {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR) => {
                return Err(LandingError::IsAFolder { path: self.path });
            }
            other => other.map_err(at)?,
        }
        staged.entry.keep();
        durability.after_swap(&self.folder);
        Ok(Outcome { replaced: there.is_some(), changed: true, version: None })
    }

    fn is_same(&self, staged: &OwnedFd, there: &Stat) -> Result<bool, Errno> {
        let new = rustix::fs::fstat(staged)?;
        if !same_facts(&new, there) {
            return Ok(false);
        }
        let Ok(old) = open_plain(&*self.folder, self.name.as_bytes(), OFlags::RDONLY) else {
            return Ok(false);
        };
        let opened = rustix::fs::fstat(&old)?;
        if (opened.st_dev, opened.st_ino) != (there.st_dev, there.st_ino) {
            return Ok(false);
        }
        let size = u64::try_from(new.st_size).unwrap_or(0);
        Ok(same_bytes(staged, &old, size).unwrap_or(false))
    }
}

/// What stands at the destination, if that can be replaced.
fn replaceable(folder: &OwnedFd, name: &str, path: &str) -> Result<Option<Stat>, LandingError> {
    let there = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(LandingError::at("look at", path, error)),
    };
    match FileType::from_raw_mode(there.st_mode) {
        FileType::Directory => Err(LandingError::IsAFolder { path: path.to_owned() }),
        FileType::RegularFile | FileType::Symlink if is_mount(folder, name) => {
            Err(LandingError::MountPoint { path: path.to_owned() })
        }
        FileType::RegularFile | FileType::Symlink => Ok(Some(there)),
        _ => Err(LandingError::NotAFile { path: path.to_owned() }),
    }
}

/// Removes what killed landings at this destination have left. Only called with the lock held.
fn heal(folder: &OwnedFd, prefix: &str, path: &str, confined: bool) -> Result<(), LandingError> {
    let at = |error| LandingError::at("clean up beside", path, error);
    let left = |name: &[u8]| {
        let random = name.strip_prefix(prefix.as_bytes()).unwrap_or_default();
        random.len() == 32 && random.iter().all(u8::is_ascii_hexdigit)
    };
    for name in names(folder, usize::MAX, left).map_err(at)? {
        remove_tree(folder, &name, confined).map_err(at)?;
    }
    Ok(())
}
