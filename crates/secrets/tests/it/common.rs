//! What the tests share: a vault in a scratch folder, with a clock that stands still.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{Clock, ManualClock, SecretBytes, SecretName, Timestamp};
use sealock_secrets::{SecretValue, Vault, VaultError, VersionInfo, Wanted};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};
use tempfile::TempDir;

/// A scratch state folder.
pub(crate) struct Place {
    path: PathBuf,
    /// Removes the folder at the end, where this made it.
    _folder: Option<TempDir>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().to_owned(), _folder: Some(folder), clock: clock() }
    }

    /// A folder that somebody else keeps.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, _folder: None, clock: clock() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn journal(&self) -> Arc<Journal> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let store = SqliteStore::open(&self.path.join("state.db"), clock.clone()).unwrap();
        Journal::open(Arc::new(store) as Arc<dyn Store>, clock).unwrap()
    }

    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        let keys = self.path.join("keys");
        Arc::new(Keyring::create(&keys, &NewProtection::File).unwrap())
    }

    pub(crate) fn open(self) -> Scratch {
        let journal = self.journal();
        let vault = Vault::open(journal.clone(), self.keyring()).unwrap();
        Scratch { place: self, journal, vault }
    }
}

/// An open vault in it.
pub(crate) struct Scratch {
    pub(crate) vault: Arc<Vault>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) place: Place,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Place::new().open()
    }

    /// As after a restart.
    pub(crate) fn reopen(self) -> Self {
        let Self { vault, journal, place } = self;
        drop((vault, journal));
        place.open()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.journal.store().as_ref()
    }

    pub(crate) fn set(&self, name: &str, value: &str) -> u64 {
        self.vault.set(&named(name), &secret(value), None, &actor()).unwrap().version
    }

    pub(crate) fn set_for(&self, name: &str, value: &str, seconds: u64) -> VersionInfo {
        let ttl = Some(Duration::from_secs(seconds));
        self.vault.set(&named(name), &secret(value), ttl, &actor()).unwrap()
    }

    /// One value, whole.
    pub(crate) fn value(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<SecretValue, VaultError> {
        self.vault.read(&[wanted(name, version)]).unwrap().remove(0)
    }

    /// One value as text.
    pub(crate) fn read(&self, name: &str) -> Result<String, VaultError> {
        self.value(name, None).map(|value| text(&value))
    }

    pub(crate) fn read_version(&self, name: &str, version: u64) -> Result<String, VaultError> {
        self.value(name, Some(version)).map(|value| text(&value))
    }

    pub(crate) fn delete(&self, name: &str, version: Option<u64>) -> VersionInfo {
        self.vault.delete(&named(name), version, &actor()).unwrap()
    }

    pub(crate) fn purge(&self, name: &str, version: Option<u64>) {
        self.vault.purge(&named(name), version, &actor()).unwrap();
    }

    /// The facts in the audit log, in order.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let records = self.journal.tail(0, usize::MAX).unwrap();
        records.into_iter().map(|record| record.event.fact).collect()
    }

    /// The states of all versions, such as `1 live, 2 deleted`.
    pub(crate) fn states(&self, name: &str) -> String {
        let history = self.vault.history(&named(name)).unwrap();
        let each: Vec<_> =
            history.iter().map(|one| format!("{} {}", one.version, one.state)).collect();
        each.join(", ")
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)))
}

pub(crate) fn actor() -> Actor {
    Actor { who: "uid:0".into(), request: "test".into(), decision: None }
}

pub(crate) fn named(name: &str) -> SecretName {
    name.parse().unwrap()
}

pub(crate) fn secret(value: &str) -> SecretBytes {
    SecretBytes::new(value.as_bytes().to_vec())
}

pub(crate) fn wanted(name: &str, version: Option<u64>) -> Wanted {
    Wanted { name: named(name), version, actor: actor() }
}

pub(crate) fn text(value: &SecretValue) -> String {
    String::from_utf8(value.value.expose().to_vec()).unwrap()
}
