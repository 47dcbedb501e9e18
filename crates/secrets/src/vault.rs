//! The vault itself, and the way in which every change of a secret is made.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use sealock_core::audit::Actor;
use sealock_core::{SecretName, Timestamp};
use sealock_store::{
    Change, Condition, Conflict, Journal, JournalError, Keyring, Store, Transaction,
};

use crate::error::{Part, VaultError};
use crate::keys::{Keys, VaultKey};
use crate::place;
use crate::record::{Record, Subject, VersionRow};

/// How often something is tried again when another change came in between.
pub(crate) const ATTEMPTS: usize = 16;
/// Changes of one secret take turns; of so many at once.
const TURNS: usize = 64;

/// Named secrets with versions, sealed before they reach the store.
///
/// Every method may be called from any thread. They wait for the disk: from an async runtime, call them
/// through `spawn_blocking`.
pub struct Vault {
    pub(crate) journal: Arc<Journal>,
    pub(crate) keys: Keys,
    /// Changes of the same secret within this process wait for each other instead of colliding.
    turns: [Mutex<()>; TURNS],
    /// Held by everybody who changes one secret, and alone by who changes many in one commit.
    pub(crate) changing: RwLock<()>,
    /// Held while a rotation is under way.
    pub(crate) rotating: Mutex<()>,
}

/// A secret's record and the version of its entry in the store.
pub(crate) struct View {
    pub(crate) record: Record,
    pub(crate) revision: u64,
    /// The number of the vault key that it lies under.
    pub(crate) key: u32,
}

/// What a change is to be, and what is answered once it is made.
pub(crate) enum Plan<T> {
    Change(Change, T),
    /// Everything is already as it should be.
    Nothing(T),
}

impl Vault {
    /// Opens the vault of a store. The vault key is made when the first secret is set; one that is there
    /// must open under `keyring`.
    pub fn open(journal: Arc<Journal>, keyring: Arc<Keyring>) -> Result<Arc<Self>, VaultError> {
        let keys = Keys::open(Arc::clone(&journal), keyring)?;
        Ok(Arc::new(Self {
            journal,
            keys,
            turns: [const { Mutex::new(()) }; TURNS],
            changing: RwLock::new(()),
            rotating: Mutex::new(()),
        }))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.journal.store().as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.journal.clock().now()
    }

    /// A secret's record, shown to be the vault's own.
    pub(crate) fn view(&self, name: &SecretName) -> Result<Option<View>, VaultError> {
        let Some(entry) = self.store().get(&place::secret(name))? else { return Ok(None) };
        let (record, key) = self.opened(name, &entry.value)?;
        Ok(Some(View { record, revision: entry.version, key }))
    }

    /// [`Vault::view`] of a secret that must be there.
    pub(crate) fn known(&self, name: &SecretName) -> Result<View, VaultError> {
        self.view(name)?.ok_or_else(|| VaultError::NotFound(name.clone()))
    }

    /// The record in a row, and the number of the vault key that it lies under.
    pub(crate) fn opened(
        &self,
        name: &SecretName,
        row: &[u8],
    ) -> Result<(Record, u32), VaultError> {
        let under = Record::key_number(row);
        let key = under.map(|under| self.keys.numbered(under)).transpose()?.flatten();
        key.and_then(|key| Some((Record::open(row, name, &key)?, key.number)))
            .ok_or_else(|| changed(name, Part::Record))
    }

    /// The row of a version that `record` says is there.
    pub(crate) fn version(
        &self,
        name: &SecretName,
        record: &Record,
        number: u64,
    ) -> Result<VersionRow, VaultError> {
        match self.store().get(&place::version(name, number))? {
            Some(entry) => self.opened_version(name, record, number, &entry.value),
            None => Err(changed(name, Part::Version(number))),
        }
    }

    /// The version in a row; its mark must be the one that `record` has.
    pub(crate) fn opened_version(
        &self,
        name: &SecretName,
        record: &Record,
        number: u64,
        row: &[u8],
    ) -> Result<VersionRow, VaultError> {
        let subject = Subject { name, id: &record.id, version: number };
        let under = VersionRow::key_number(row);
        let key = under.map(|under| self.keys.numbered(under)).transpose()?.flatten();
        key.and_then(|key| VersionRow::open(row, subject, &key))
            .filter(|version| record.marks.of(number) == Some(version.mark))
            .ok_or_else(|| changed(name, Part::Version(number)))
    }

    /// Does `attempt` again as long as what it read may have been of two moments.
    ///
    /// Rows are read one after the other, and a change may come in between. Every change of a secret
    /// writes its record: where the record is the same before and after, what did not fit was not a
    /// change of ours.
    pub(crate) fn settled<T>(
        &self,
        name: &SecretName,
        mut attempt: impl FnMut() -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut seen = None;
        for _ in 0..ATTEMPTS {
            let outcome = attempt();
            if !matches!(outcome, Err(VaultError::Changed { .. })) {
                return outcome;
            }
            let now = self.store().get(&place::secret(name))?.map(|entry| entry.version);
            if seen == Some(now) {
                return outcome;
            }
            seen = Some(now);
        }
        Err(conflict(name))
    }

    /// Makes a change of one secret. `plan` may be called several times; what it plans is committed only
    /// if nothing else has changed the secret, and while the key that it was given is the newest.
    pub(crate) fn change<T>(
        &self,
        name: &SecretName,
        actor: &Actor,
        plan: impl Fn(&VaultKey) -> Result<Plan<T>, VaultError>,
    ) -> Result<T, VaultError> {
        let _changing = self.changing.read();
        let _turn = self.turn(name).map(Mutex::lock);
        for _ in 0..ATTEMPTS {
            let key = self.keys.newest_or_first(actor)?;
            let (mut change, answer) = match self.settled(name, || plan(&key))? {
                Plan::Change(change, answer) => (change, answer),
                Plan::Nothing(answer) => return Ok(answer),
            };
            change.transaction = key.guard(change.transaction);
            match self.commit(format!("the change of {name}"), change)? {
                None => return Ok(answer),
                Some(conflict) => self.after(name, &conflict)?,
            }
        }
        Err(conflict(name))
    }

    fn turn(&self, name: &SecretName) -> Option<&Mutex<()>> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        self.turns.get(index)
    }

    /// Commits; a condition that did not hold is given back.
    pub(crate) fn commit(
        &self,
        what: String,
        change: Change,
    ) -> Result<Option<Conflict>, VaultError> {
        match self.journal.commit_blocking(change) {
            Ok(_) => Ok(None),
            Err(JournalError::Conflict(conflict)) => Ok(Some(conflict)),
            Err(source) => Err(VaultError::Commit { what, source }),
        }
    }

    /// What a conflict means: somebody was faster, or somebody has put rows where none can be.
    pub(crate) fn after(&self, name: &SecretName, conflict: &Conflict) -> Result<(), VaultError> {
        let Condition::Absent(place) = &conflict.condition else { return self.keys.load() };
        if place::versions(name).contains(place) || place::values(name).contains(place) {
            // The row of a version that the record does not know: the record is an old one, or a change
            // has just come in between.
            let version = place::number_of(place).unwrap_or_default();
            return self.settled(name, || {
                let newest = self.view(name)?.map_or(0, |view| view.record.marks.last());
                let fits = newest >= version || self.store().get(place)?.is_none();
                if fits { Ok(()) } else { Err(changed(name, Part::Version(version))) }
            });
        }
        self.keys.load()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").field("keys", &self.keys.numbers()).finish_non_exhaustive()
    }
}

pub(crate) fn changed(name: &SecretName, part: Part) -> VaultError {
    VaultError::Changed { name: name.clone(), part }
}

pub(crate) fn conflict(name: &SecretName) -> VaultError {
    VaultError::Conflict(format!("the secret {name}"))
}

/// `transaction`, on the condition that a record is still the one that was read.
pub(crate) fn unchanged(transaction: Transaction, name: &SecretName, revision: u64) -> Transaction {
    transaction.when(Condition::Version { key: place::secret(name), version: revision })
}
