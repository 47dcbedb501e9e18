//! The vault keys: under them lie the keys of the versions, and they lie under the keyring.
//!
//! There is one, or two while a rotation is under way; the one of the greatest number is used for
//! everything new. Numbers are not used again. An entry `vault/key/NUMBER` is written once and never
//! changed, and a change of a secret is committed only while that of its key is there and there is none
//! of the next number. So nothing new comes under an old key once a rotation has begun, whichever process
//! began it, and the old key can go when all that lies under it was moved once.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::aead::RandomizedNonceKey;
use parking_lot::RwLock;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Condition, Journal, JournalError, Keyring, Store, Transaction};
use zeroize::Zeroizing;

use crate::error::VaultError;
use crate::{place, seal};

/// A vault key, ready for use.
pub(crate) struct VaultKey {
    pub(crate) number: u32,
    pub(crate) cipher: RandomizedNonceKey,
    /// The version of its entry in the store.
    revision: u64,
}

impl VaultKey {
    /// `transaction`, on the condition that this is the newest key.
    pub(crate) fn guard(&self, transaction: Transaction) -> Transaction {
        let own = Condition::Version { key: place::key(self.number), version: self.revision };
        let next = Condition::Absent(place::key(self.number.saturating_add(1)));
        transaction.when(own).when(next)
    }
}

/// All vault keys, opened.
pub(crate) struct Keys {
    journal: Arc<Journal>,
    keyring: Arc<Keyring>,
    loaded: RwLock<BTreeMap<u32, Arc<VaultKey>>>,
}

impl Keys {
    /// Opens what keys there are; with none, there must be no secrets.
    pub(crate) fn open(journal: Arc<Journal>, keyring: Arc<Keyring>) -> Result<Self, VaultError> {
        let keys = Self { journal, keyring, loaded: RwLock::default() };
        keys.load()?;
        if keys.newest().is_none() {
            keys.must_be_empty()?;
        }
        Ok(keys)
    }

    fn store(&self) -> &dyn Store {
        self.journal.store().as_ref()
    }

    fn must_be_empty(&self) -> Result<(), VaultError> {
        match self.store().range(&place::secrets(), 1)?.is_empty() {
            true => Ok(()),
            false => Err(VaultError::KeyMissing),
        }
    }

    /// Makes what is loaded the same as what is in the store.
    pub(crate) fn load(&self) -> Result<(), VaultError> {
        let rows = self.store().range(&place::keys(), usize::MAX)?;
        let mut loaded = self.loaded.write();
        let mut found = BTreeMap::new();
        for (place, entry) in rows {
            let Some(number) = place::key_number(&place) else { continue };
            let known = loaded.get(&number).filter(|key| key.revision == entry.version);
            let key = match known {
                Some(key) => Arc::clone(key),
                None => Arc::new(self.opened(number, &entry.value, entry.version)?),
            };
            found.insert(number, key);
        }
        *loaded = found;
        Ok(())
    }

    fn opened(&self, number: u32, sealed: &[u8], revision: u64) -> Result<VaultKey, VaultError> {
        let locked = |source| VaultError::Locked { number, source };
        let name = place::key_name(number);
        let plain = self.keyring.open_sealed(&name, sealed).map_err(locked)?;
        let bytes = Zeroizing::new(
            plain
                .expose()
                .try_into()
                .map_err(|_| locked(sealock_store::KeyringError::Unsealable { name }))?,
        );
        Ok(VaultKey { number, cipher: seal::cipher(&bytes)?, revision })
    }

    /// The key that is used for everything new; `None` before the first.
    pub(crate) fn newest(&self) -> Option<Arc<VaultKey>> {
        self.loaded.read().last_key_value().map(|(_, key)| Arc::clone(key))
    }

    /// The key of this number, also if another process made it; `None` when there is none.
    pub(crate) fn numbered(&self, number: u32) -> Result<Option<Arc<VaultKey>>, VaultError> {
        let known = |keys: &Self| keys.loaded.read().get(&number).map(Arc::clone);
        if let Some(key) = known(self) {
            return Ok(Some(key));
        }
        if self.store().get(&place::key(number))?.is_none() {
            return Ok(None);
        }
        self.load()?;
        Ok(known(self))
    }

    /// The numbers of all keys, oldest first.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.loaded.read().keys().copied().collect()
    }

    /// The newest key; the first one is made when there is none.
    pub(crate) fn newest_or_first(&self, actor: &Actor) -> Result<Arc<VaultKey>, VaultError> {
        if let Some(key) = self.newest() {
            return Ok(key);
        }
        self.load()?;
        if let Some(key) = self.newest() {
            return Ok(key);
        }
        self.must_be_empty()?;
        // Told like a rotation that moved nothing: there is a new key.
        let fact = Fact::VaultKeyRotated { key: 1, values: 0 };
        let event = actor.event(self.journal.clock().now(), fact);
        self.make(1, Transaction::new(), vec![event.clone()])?;
        self.newest().ok_or_else(|| VaultError::Conflict("the vault key".into()))
    }

    /// Makes the key after `key`. When another process has just done so, theirs is loaded.
    pub(crate) fn make_next(&self, key: &VaultKey) -> Result<Arc<VaultKey>, VaultError> {
        let conflict = || VaultError::Conflict("the vault key".into());
        let number = key.number.checked_add(1).ok_or_else(conflict)?;
        self.make(number, key.guard(Transaction::new()), Vec::new())?;
        self.newest().filter(|newest| newest.number >= number).ok_or_else(conflict)
    }

    /// Writes a new key, unless there is one of its number already, and loads what is then there.
    fn make(
        &self,
        number: u32,
        transaction: Transaction,
        events: Vec<sealock_core::audit::Event>,
    ) -> Result<(), VaultError> {
        let bytes = seal::random::<{ seal::KEY }>()?;
        let sealed = self
            .keyring
            .seal(&place::key_name(number), bytes.as_slice())
            .map_err(|source| VaultError::SealKey { number, source })?;
        let transaction = transaction.create(place::key(number), sealed);
        match self.journal.commit_blocking(Change { transaction, events }) {
            Ok(_) | Err(JournalError::Conflict(_)) => self.load(),
            Err(source) => Err(VaultError::Commit { what: "the vault key".into(), source }),
        }
    }
}
