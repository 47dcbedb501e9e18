//! The system whose stores are changed: this one, or one in a folder.
//!
//! A path is looked up as a program in that system would: links end at its root, whatever they say. Files are changed by
//! name in a folder that is open, where no link at the end is followed, and appear whole or not at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid,
};
use rustix::io::Errno;

use crate::printer::Failure;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Never waits: what a pipe is, is seen only afterwards.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
/// How often a look-up is tried again during which names moved.
const TRIES: usize = 64;
/// The most links that lead to a file.
const MOST_LINKS: usize = 8;
/// The most names of one folder that are looked at.
const MOST_NAMES: usize = 100_000;

/// The root folder.
pub(super) struct Root {
    folder: OwnedFd,
    path: PathBuf,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let path =
            std::fs::canonicalize(path).map_err(|error| cannot("open", path.display(), &error))?;
        let folder = rustix::fs::open(&path, FOLDER, Mode::empty())
            .map_err(|errno| cannot("open", path.display(), &errno.into()))?;
        Ok(Self { folder, path })
    }

    /// `None` when it is this system's own.
    pub(super) fn elsewhere(&self) -> Option<&Path> {
        (self.path != Path::new("/")).then_some(&self.path)
    }

    /// A path in it, as it is seen from here.
    pub(super) fn shown(&self, path: &str) -> String {
        self.path.join(path.trim_start_matches('/')).display().to_string()
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.elsewhere().is_none() {
            // What `/` is for us is this root already.
            return rustix::fs::open(path, flags, Mode::empty());
        }
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn found(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, Failure> {
        match self.resolve(path, flags) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(cannot("open", self.shown(path), &errno.into())),
        }
    }

    /// Whether anything is there.
    pub(super) fn has(&self, path: &str) -> Result<bool, Failure> {
        Ok(self.found(path, OFlags::PATH | OFlags::CLOEXEC)?.is_some())
    }

    pub(super) fn folder(&self, path: &str) -> Result<Option<Folder>, Failure> {
        let found = self.found(path, FOLDER)?;
        Ok(found.map(|open| Folder { open, shown: self.shown(path) }))
    }

    /// A file, and the folder that it really lies in. `None` when there is none; its path is as links lead there.
    pub(super) fn file(&self, path: &str) -> Result<Option<(Folder, String)>, Failure> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some((parent, name)) = path.rsplit_once('/') else { return Ok(None) };
            let Some(folder) = self.folder(if parent.is_empty() { "/" } else { parent })? else {
                return Ok(None);
            };
            match rustix::fs::readlinkat(&folder.open, name, Vec::new()) {
                Ok(target) => {
                    let target = target.to_string_lossy().into_owned();
                    path =
                        if target.starts_with('/') { target } else { format!("{parent}/{target}") };
                }
                // No link.
                Err(Errno::INVAL) => return Ok(Some((folder, name.to_owned()))),
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(cannot("look at", self.shown(&path), &errno.into())),
            }
        }
        Err(Failure::refused(format!("too many links lead to {}", self.shown(&path))))
    }

    /// The names in a folder, sorted; none when there is no folder.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, Failure> {
        self.folder(path)?.map_or_else(|| Ok(Vec::new()), |folder| folder.names())
    }
}

/// An open folder.
pub(super) struct Folder {
    open: OwnedFd,
    shown: String,
}

impl Folder {
    /// Its path, as it is seen from here.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// One run of ours at a time. It lasts as long as this is open.
    pub(super) fn lock(&self) -> Result<(), Failure> {
        match rustix::fs::flock(&self.open, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => {
                Err(Failure::refused(format!("{} is being changed by another run", self.shown))
                    .hint("try again when it has ended"))
            }
            Err(errno) => Err(cannot("lock", &self.shown, &errno.into())),
        }
    }

    /// Fails where files could not be made.
    pub(super) fn check_writable(&self) -> Result<(), Failure> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&self.open, ".", access, AtFlags::EACCESS)
            .map_err(|errno| not_written(&self.shown, &errno.into()))
    }

    /// All names in it that are text, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        let failed = |errno: Errno| cannot("read", &self.shown, &errno.into());
        let mut names = BTreeSet::new();
        for entry in rustix::fs::Dir::read_from(&self.open).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
            if names.len() > MOST_NAMES {
                return Err(Failure::refused(format!("too many files are in {}", self.shown)));
            }
        }
        Ok(names.into_iter().collect())
    }

    /// What a file holds. `None` when there is none, or something that is no file.
    pub(super) fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let shown = || format!("{}/{name}", self.shown);
        let flags = FILE | OFlags::NOFOLLOW;
        let file = match rustix::fs::openat(&self.open, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(cannot("read", shown(), &errno.into())),
        };
        let failed = |error: std::io::Error| cannot("read", shown(), &error);
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > limit {
            return Err(Failure::refused(format!("{} is larger than {limit} bytes", shown())));
        }
        Ok(Some(bytes))
    }

    /// Which file it is, and whose.
    pub(super) fn stat(&self, name: &str) -> Result<Option<rustix::fs::Stat>, Failure> {
        match rustix::fs::statat(&self.open, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(cannot("look at", format!("{}/{name}", self.shown), &errno.into())),
        }
    }

    /// Writes a file under a name that is not its own yet. With the permissions and owner of another, or everybody's to
    /// read.
    pub(super) fn stage(
        &self,
        name: &str,
        bytes: &[u8],
        like: Option<&rustix::fs::Stat>,
    ) -> Result<Staged<'_>, Failure> {
        let pending = format!(".{name}.{}.part", std::process::id());
        let failed = |error: &std::io::Error| not_written(&format!("{}/{name}", self.shown), error);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let _ = rustix::fs::unlinkat(&self.open, pending.as_str(), AtFlags::empty());
        let file = rustix::fs::openat(&self.open, pending.as_str(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed(&errno.into()))?;
        let staged = Staged { folder: self, pending, name: name.to_owned() };
        let mut file = File::from(file);
        file.write_all(bytes).map_err(|error| failed(&error))?;
        if let Some(like) = like {
            let (user, group) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
            rustix::fs::fchown(&file, Some(user), Some(group))
                .map_err(|errno| failed(&errno.into()))?;
        }
        // Not what it could be besides: neither a program nor writable for all.
        let mode = like.map_or(0o644, |like| like.st_mode & 0o664);
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
            .and_then(|()| rustix::fs::fsync(&file))
            .map_err(|errno| failed(&errno.into()))?;
        Ok(staged)
    }

    /// Removes a file, or a link.
    pub(super) fn remove(&self, name: &str) -> Result<(), Failure> {
        match rustix::fs::unlinkat(&self.open, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                let shown = format!("{}/{name}", self.shown);
                Err(with_hint(cannot("remove", shown, &errno.into()), errno.into()))
            }
        }
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        rustix::fs::fsync(self.open.as_fd())
            .map_err(|errno| not_written(&self.shown, &errno.into()))
    }
}

/// A file that is complete, and not under its name yet. It goes when it is not kept.
pub(super) struct Staged<'a> {
    folder: &'a Folder,
    pending: String,
    name: String,
}

impl Staged<'_> {
    /// Puts it in its place, whatever was there.
    pub(super) fn keep(self) -> Result<(), Failure> {
        self.rename(RenameFlags::empty())
    }

    /// Puts it in its place, where nothing is. Where something is, that stays.
    pub(super) fn keep_new(self) -> Result<(), Failure> {
        self.rename(RenameFlags::NOREPLACE)
    }

    fn rename(&self, flags: RenameFlags) -> Result<(), Failure> {
        let open = &self.folder.open;
        match rustix::fs::renameat_with(
            open,
            self.pending.as_str(),
            open,
            self.name.as_str(),
            flags,
        ) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => {
                Err(not_written(&format!("{}/{}", self.folder.shown, self.name), &errno.into()))
            }
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.folder.open, self.pending.as_str(), AtFlags::empty());
    }
}

/// Whether it is a file and nothing else.
pub(super) fn is_file(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn cannot(verb: &str, what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::refused(format!("cannot {verb} {what}")).caused_by(error)
}

fn not_written(what: &str, error: &std::io::Error) -> Failure {
    with_hint(cannot("write", what, error), error.kind().into())
}

fn with_hint(failure: Failure, error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint("run it as root"),
        std::io::ErrorKind::ReadOnlyFilesystem => {
            failure.hint("run it where this file system can be written")
        }
        _ => failure,
    }
}
