//! A vault in a scratch folder, for the tests that look behind its door.

use std::sync::Arc;

use sealock_core::audit::Actor;
use sealock_core::{Clock, ManualClock, SecretBytes, SecretName, Timestamp};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};
use tempfile::TempDir;

use crate::{Vault, VaultError, Wanted};

pub(crate) struct Scratch {
    pub(crate) vault: Arc<Vault>,
    folder: TempDir,
}

fn open(folder: &TempDir) -> Arc<Vault> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
    let store = SqliteStore::open(&folder.path().join("state.db"), clock.clone()).unwrap();
    let journal = Journal::open(Arc::new(store) as Arc<dyn Store>, clock).unwrap();
    let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File).unwrap();
    Vault::open(journal, Arc::new(keyring)).unwrap()
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { vault: open(&folder), folder }
    }

    /// As after a crash: what was in memory is gone.
    pub(crate) fn reopen(self) -> Self {
        let Self { vault, folder } = self;
        drop(vault);
        Self { vault: open(&folder), folder }
    }

    pub(crate) fn set(&self, name: &str, value: &str) -> u64 {
        let value = SecretBytes::new(value.into());
        self.vault.set(&named(name), &value, None, &actor()).unwrap().version
    }

    pub(crate) fn read(&self, name: &str) -> Result<String, VaultError> {
        let wanted = Wanted { name: named(name), version: None, actor: actor() };
        let value = self.vault.read(&[wanted]).unwrap().remove(0)?;
        Ok(String::from_utf8(value.value.expose().to_vec()).unwrap())
    }
}

pub(crate) fn actor() -> Actor {
    Actor::daemon("test")
}

pub(crate) fn named(name: &str) -> SecretName {
    name.parse().unwrap()
}
