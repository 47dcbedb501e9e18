//! The store fails.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealock_core::Clock;
use sealock_secrets::{Vault, VaultError};
use sealock_store::{
    Journal, KeyRange, Sequence, SqliteStore, Store, StoreError, Versioned, Watch,
};

use crate::common::{Place, actor, named, secret, wanted};

/// A store that can be told to take nothing more.
struct Failing {
    inner: SqliteStore,
    fails: Arc<AtomicBool>,
}

impl fmt::Debug for Failing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Failing")
    }
}

impl Store for Failing {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key)
    }

    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
        self.inner.range(range, limit)
    }

    fn commit_sequence(&self, sequence: &mut dyn Sequence) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Busy { path: PathBuf::from("state.db") });
        }
        self.inner.commit_sequence(sequence)
    }

    fn watch(&self, prefix: &[u8]) -> Result<Watch, StoreError> {
        self.inner.watch(prefix)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep()
    }
}

#[test]
fn no_value_is_given_out_without_its_event() {
    let place = Place::new();
    let clock: Arc<dyn Clock> = place.clock.clone();
    let fails = Arc::new(AtomicBool::new(false));
    let inner = SqliteStore::open(&place.path().join("state.db"), clock.clone()).unwrap();
    let store: Arc<dyn Store> = Arc::new(Failing { inner, fails: fails.clone() });
    let journal = Journal::open(store, clock).unwrap();
    let vault = Vault::open(journal.clone(), place.keyring()).unwrap();
    vault.set(&named("a"), &secret("x"), None, &actor()).unwrap();
    let before = journal.last_seq();
    fails.store(true, Ordering::Relaxed);
    let refused = [
        vault.read(&[wanted("a", None)]).unwrap_err(),
        vault.set(&named("a"), &secret("y"), None, &actor()).unwrap_err(),
        vault.delete(&named("a"), None, &actor()).unwrap_err(),
        vault.purge(&named("a"), None, &actor()).unwrap_err(),
        vault.rotate_key(&actor()).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, VaultError::Commit { .. }), "{error:?}");
        assert_eq!(error.hint().unwrap(), "is another `sealock up` using this state folder?");
    }
    let mut sink = Vec::new();
    assert!(vault.export(None, &[], &actor(), &mut sink).is_err());
    assert!(sink.is_empty());
    fails.store(false, Ordering::Relaxed);
    assert_eq!(journal.last_seq(), before);
    let value = vault.read(&[wanted("a", None)]).unwrap().remove(0).unwrap();
    assert_eq!((value.version, value.value), (1, secret("x")));
}
