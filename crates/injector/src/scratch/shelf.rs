//! Where ledgers lie.
//!
//! A ledger makes whoever heals remove and rename files, so it lies in a folder that only this user can write:
//! XDG_RUNTIME_DIR or /run/user, and root's `/run/sealock-runs`. Where there is none (a container with a
//! read-only root), it lies in /dev/shm, and for want of that in the home folder. /dev/shm may be shared with
//! containers whose root is our root: who has a folder of his own believes ledgers there only as far as they
//! name values' files in /dev/shm itself.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::ledger::Ledger;
use super::place::SHARED_MEMORY;

/// Root's.
const RUNS: &str = "/run/sealock-runs";

/// How far a ledger is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nobody else can have written it, or there is no better place.
    Whole,
    /// Only what it says of values' files beside it.
    Values,
}

/// The folders that ledgers may be in, the best first.
#[derive(Debug)]
pub(super) struct Shelves(Vec<(PathBuf, Trust)>);

impl Shelves {
    /// `runtime` is XDG_RUNTIME_DIR, `home` and `last` are where values may be for want of /dev/shm.
    pub(super) fn of(runtime: Option<&Path>, home: Option<&Path>, last: Option<&Path>) -> Self {
        let own = rustix::process::geteuid();
        let mut shelves: Vec<PathBuf> = runtime.map(Path::to_owned).into_iter().collect();
        shelves.push(format!("/run/user/{}", own.as_raw()).into());
        if own.is_root() {
            // One that is there already is as good; whose it is is looked at next.
            let _ = fs::DirBuilder::new().mode(0o700).create(RUNS);
            shelves.push(RUNS.into());
        }
        shelves.retain(|shelf| is_private(shelf, 0o077));
        let trust = if shelves.is_empty() { Trust::Whole } else { Trust::Values };
        let mut shelves: Vec<_> = shelves.into_iter().map(|shelf| (shelf, Trust::Whole)).collect();
        shelves.push((SHARED_MEMORY.into(), trust));
        if let Some(home) = home.filter(|home| is_private(home, 0o022)) {
            shelves.push((home.to_owned(), Trust::Whole));
        }
        if let Some(last) = last.filter(|last| shelves.iter().all(|(shelf, _)| shelf != last)) {
            shelves.push((last.to_owned(), trust));
        }
        Self(shelves)
    }

    /// Undoes what dead runs of this user have left.
    pub(super) fn heal(&self) {
        for (shelf, trust) in &self.0 {
            super::ledger::heal(shelf, *trust);
        }
    }

    /// A new ledger in the best folder that takes it.
    pub(super) fn begin(&self, prefix: &'static str) -> io::Result<Ledger> {
        let mut why = io::ErrorKind::NotFound.into();
        for (shelf, _) in &self.0 {
            match Ledger::open(shelf, prefix) {
                Ok(ledger) => return Ok(ledger),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

/// Whether a folder is ours, and none of these permissions is given. A link is not looked through: who can make
/// one there can make another.
fn is_private(folder: &Path, withheld: u32) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == own && found.mode() & withheld == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_folder_of_our_own_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, mode, good) in [("own", 0o700, true), ("open", 0o711, false)] {
            fs::create_dir(at(name)).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_private(&at(name), 0o077), good, "{name}");
        }
        symlink(at("own"), at("link")).unwrap();
        assert!(!is_private(&at("link"), 0o077));
        assert!(!is_private(&at("none"), 0o077));
    }
}
