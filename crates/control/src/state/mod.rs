//! The state folder: where it is, what is in it, and who may use it now.
//!
//! ```text
//! <state>/            0700
//!   VERSION           the layout's version, "1"
//!   lock              flock: exclusive for `up` and for every command without a daemon
//!   state.db          the store
//!   keys/             the keyring
//!   policy/*.cedar    the rules
//!   identities/admin/ the administrator's certificate and key
//!   identities/api/   the HTTPS listener's certificate and key
//!   identities/gateway/ the Docker gateway's certificate and key
//! <run>/              0700
//!   admin.sock        0600
//!   docker/           0755, mounted by containers
//!     docker.sock     0666: who comes is attested
//! ```
//!
//! Everything here can be killed at any moment and done again. A folder of a newer version is left alone.

mod error;
mod files;
mod lock;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::StateError;
pub use files::{read_small, write_atomically};
pub use lock::{Lock, Purpose};

use crate::config::Environment;

/// The version of the layout that this program writes.
pub const VERSION: u32 = 1;

/// How long a command without a daemon waits for another one to finish.
pub const COMMAND_WAIT: Duration = Duration::from_secs(10);

/// A Unix socket's path has room for this many bytes (`sun_path`), with the closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// What may be in a state folder before there is a VERSION: of a start that was killed, or put there for the first one.
const OURS: &[&str] = &[
    "lock",
    "state.db",
    "state.db-wal",
    "state.db-shm",
    "keys",
    "policy",
    "identities",
    "requests",
    "run",
    "sealock.toml",
    "lost+found",
];

/// The paths of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFolder {
    root: PathBuf,
    run: PathBuf,
    /// Whether it is the one that this user has when none is named.
    standard: bool,
}

impl StateFolder {
    /// The folder that was named, else the standard one of this user: root `/var/lib/sealock`, others
    /// `$XDG_STATE_HOME/sealock` or `~/.local/state/sealock`. A folder that was named has its run folder
    /// inside, so that several installations on one host do not meet. Who names the standard one means it.
    pub fn locate(explicit: Option<&Path>, environment: &Environment) -> Result<Self, StateError> {
        Self::locate_for(explicit, environment, rustix::process::geteuid().is_root())
    }

    fn locate_for(
        explicit: Option<&Path>,
        environment: &Environment,
        is_root: bool,
    ) -> Result<Self, StateError> {
        let standard = Self::standard(environment, is_root);
        let Some(named) = explicit else { return standard };
        let root = std::path::absolute(named)
            .map_err(|source| StateError::Unusable { path: named.to_owned(), source })?;
        match standard {
            Ok(standard) if standard.root == root => Ok(standard),
            _ => Ok(Self { run: root.join("run"), root, standard: false }),
        }
    }

    fn standard(environment: &Environment, is_root: bool) -> Result<Self, StateError> {
        if is_root {
            let (root, run) = ("/var/lib/sealock".into(), "/run/sealock".into());
            return Ok(Self { root, run, standard: true });
        }
        let absolute =
            |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let root = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .ok_or(StateError::NoHome)?
            .join("sealock");
        let run = absolute("XDG_RUNTIME_DIR").map(|run| run.join("sealock"));
        Ok(Self { run: run.unwrap_or_else(|| root.join("run")), root, standard: true })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it is the one that this user has when none is named.
    pub const fn is_standard(&self) -> bool {
        self.standard
    }

    /// The folder of what does not outlive a boot.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The store's file.
    pub fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// The keyring's folder.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The policy folder, unless the settings name another.
    pub fn policy(&self) -> PathBuf {
        self.root.join("policy")
    }

    /// Certificate and key of an identity of this host: `admin` or `api`.
    pub fn identity(&self, name: &str) -> PathBuf {
        self.root.join("identities").join(name)
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join("admin.sock")
    }

    /// The gateway's socket for containers, unless the settings name another. In a folder of its own, which
    /// is what containers mount.
    pub fn gateway_socket(&self) -> PathBuf {
        self.run.join("docker/docker.sock")
    }

    /// The API's socket for containers, unless the settings name another. In a folder of its own as well.
    pub fn workload_socket(&self) -> PathBuf {
        self.run.join("workload/workload.sock")
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    fn version_file(&self) -> PathBuf {
        self.root.join("VERSION")
    }

    /// Whether anything was ever made here.
    pub fn exists(&self) -> bool {
        self.version_file().exists()
    }

    /// Makes the folder where it is missing, checks that it is ours and of a version we know, and takes
    /// its lock, waiting at most `wait` for whoever has it. Everything else in the folder may only be
    /// touched while the lock lives.
    pub fn open(&self, purpose: Purpose, wait: Duration) -> Result<Lock, StateError> {
        self.refuse_strange()?;
        private_folder(&self.root)?;
        let lock = lock::take(&self.lock_file(), purpose, wait)?;
        self.check_version()?;
        for folder in ["admin", "api", "gateway", "acme"].map(|name| self.identity(name)) {
            let parent = folder.parent().unwrap_or(&self.root);
            private_folder(parent)?;
            private_folder(&folder)?;
        }
        Ok(lock)
    }

    /// Makes the run folder and says whether a socket's path has room in it.
    pub fn prepare_run(&self) -> Result<PathBuf, StateError> {
        let socket = self.socket();
        if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(StateError::SocketPathTooLong { path: socket });
        }
        private_folder(&self.run)?;
        Ok(socket)
    }

    /// A folder that others can enter is only closed to them when there is nothing in it that is not ours: `--state /srv`
    /// must not lock everybody out.
    fn refuse_strange(&self) -> Result<(), StateError> {
        let unusable = |source| StateError::Unusable { path: self.root.clone(), source };
        let mode = match fs::metadata(&self.root) {
            Ok(found) => found.permissions().mode(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(unusable(source)),
        };
        if mode & 0o077 == 0 || self.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.root).map_err(unusable)? {
            let name = entry.map_err(unusable)?.file_name();
            if !OURS.iter().any(|ours| name == *ours) && !is_pending(&name) {
                return Err(StateError::Strange { path: self.root.clone(), entry: name.into() });
            }
        }
        Ok(())
    }

    fn check_version(&self) -> Result<(), StateError> {
        let path = self.version_file();
        let text = match read_small(&path, 64) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Killed before VERSION was written there is nothing else; with a store, it was lost.
                if self.database().exists() {
                    return Err(StateError::NoVersion { path });
                }
                return write_atomically(&path, format!("{VERSION}\n").as_bytes(), 0o600)
                    .map_err(|source| StateError::Unusable { path, source });
            }
            Err(source) => return Err(StateError::Unusable { path, source }),
        };
        match std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            Some(VERSION) => Ok(()),
            Some(found) => Err(StateError::OtherVersion { path: self.root.clone(), found }),
            None => Err(StateError::NoVersion { path }),
        }
    }
}

/// What [`write_atomically`] was killed in the middle of.
fn is_pending(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(".VERSION."))
}

/// Makes a folder with mode 0700, or checks that the one there is a folder of ours and closes it to others.
pub fn private_folder(path: &Path) -> Result<(), StateError> {
    let unusable = |source| StateError::Unusable { path: path.to_owned(), source };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    if let Err(source) = made {
        return Err(unusable(source));
    }
    let metadata = fs::metadata(path).map_err(unusable)?;
    let owner = metadata.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(StateError::NotOurs { path: path.to_owned(), owner });
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
    }
    Ok(())
}
