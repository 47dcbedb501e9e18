//! A CA's key goes into the device, or comes back.
//!
//! The key is where the state says at every moment: it is put to the new place first, has to sign there, and then one
//! commit makes the state point to it and gives the old place up. What is killed before that leaves a key that nobody
//! points to, which is noted and taken over by the next move ([`crate::device::unwanted`]); what is killed after it
//! leaves at most a note.

use std::sync::Arc;

use sealock_core::IssuerName;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Transaction};

use crate::authority::{Authority, read_state};
use crate::certificate;
use crate::device::unwanted::{self, Moving};
use crate::device::{self, DeviceError, KeyAt, KeyDevice};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::key::{AuthorityKey, SignError};
use crate::serial::Serial;
use crate::state::{IssuerKind, IssuerRecord, KeyPlace, STATE, State, key_name};

/// What a key signs for a trial: nothing that means anything anywhere.
const TRIAL: &[u8] = b"sealock: a key shows that it signs";

/// Where a key is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrateTo {
    /// Into the device.
    Device {
        /// Whether it may leave it again, encrypted.
        extractable: bool,
    },
    /// Into the store.
    Store,
}

/// What a migration has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Whose key: `root 1`.
    pub what: String,
    /// The serial of its certificate.
    pub serial: Serial,
    /// Whether it was there before; then nothing was changed.
    pub already: bool,
}

impl Authority {
    /// Moves the key of the active root or intermediate. Where it is there already, nothing is changed.
    pub fn migrate_key(
        &self,
        kind: IssuerKind,
        to: MigrateTo,
        actor: &Actor,
    ) -> Result<Migrated, AuthorityError> {
        self.migrate(to, actor, |state| match kind {
            IssuerKind::Root => Ok(state.root),
            IssuerKind::Intermediate => Ok(state.intermediate),
        })
    }

    /// The same for the key by which an issuer under a root of somebody else signs.
    pub fn migrate_issuer_key(
        &self,
        issuer: &IssuerName,
        to: MigrateTo,
        actor: &Actor,
    ) -> Result<Migrated, AuthorityError> {
        self.migrate(to, actor, |state| {
            let none = || AuthorityError::NoSuchIssuer { issuer: issuer.clone() };
            let line = state.line(issuer).ok_or_else(none)?;
            line.active.ok_or_else(|| AuthorityError::IssuerWaits { issuer: issuer.clone() })
        })
    }

    fn migrate(
        &self,
        to: MigrateTo,
        actor: &Actor,
        whose: impl Fn(&State) -> Result<IssuerId, AuthorityError>,
    ) -> Result<Migrated, AuthorityError> {
        let _changing = self.changing.lock();
        self.try_remove_unwanted();
        let (state, version) = read_state(self.store())?;
        let id = whose(&state)?;
        let corrupt = || AuthorityError::Corrupt { record: "the active CA".into() };
        let record = state.issuer(id).cloned().ok_or_else(corrupt)?;
        let done = |already| Migrated { what: record.title(), serial: record.serial, already };
        match (&record.key, to) {
            (KeyPlace::Device(_), MigrateTo::Device { .. })
            | (KeyPlace::Store, MigrateTo::Store) => return Ok(done(true)),
            (KeyPlace::Elsewhere, _) => return Err(AuthorityError::RootKeyAway),
            (KeyPlace::Store, MigrateTo::Device { extractable }) => {
                self.move_to_device(state, version, &record, extractable, actor)?;
            }
            (KeyPlace::Device(at), MigrateTo::Store) => {
                self.move_to_store(state, version, &record, at, actor)?;
            }
        }
        self.reload()?;
        self.try_remove_unwanted();
        Ok(done(false))
    }

    fn move_to_device(
        &self,
        state: State,
        version: u64,
        record: &IssuerRecord,
        extractable: bool,
        actor: &Actor,
    ) -> Result<(), AuthorityError> {
        let name = key_name(record.id);
        let unseal = |source| AuthorityError::Unseal {
            key: format!("key of the {}", record.title()),
            source,
        };
        let corrupt =
            || AuthorityError::Corrupt { record: format!("the key of the {}", record.title()) };
        let sealed = self.store().get(name.as_bytes())?.ok_or_else(corrupt)?;
        let pkcs8 = self.keyring.open_sealed(&name, &sealed.value).map_err(unseal)?;
        if !certificate::belongs(&record.der.0, &AuthorityKey::from_pkcs8(&pkcs8)?) {
            return Err(corrupt());
        }
        let device = self.device.as_ref().ok_or_else(DeviceError::none)?;
        let moving = Moving::of(record, extractable)?;
        let at = match self.left_by_a_move(record, device, &moving)? {
            Some(at) => at,
            None => {
                let parts = device::parts(&pkcs8, record.key_type)?;
                let places = unwanted::reserve(&self.journal, device, 1, Some(&moving))?;
                let at = places.into_iter().next().ok_or_else(DeviceError::none)?;
                let label = format!("{} {}", state.trust_domain, record.title());
                device.import(&parts, &at.id, &label, extractable)?;
                at
            }
        };
        drop(pkcs8);
        // It is the very key: what it signs holds by the certificate's public key.
        certificate::key_in_device(record, &at, Some(Arc::clone(device)))?.signature(TRIAL)?;
        let moved = pointing(state, record, KeyPlace::Device(at.clone()))?;
        let transaction = Transaction::new()
            .replace(STATE, version, moved)
            .delete(name.into_bytes())
            .delete(unwanted::note(&at));
        self.commit_move(record, "store", "hsm", transaction, actor)
    }

    /// Where a move of this key that was cut short has put it, if it signs there.
    fn left_by_a_move(
        &self,
        record: &IssuerRecord,
        device: &Arc<dyn KeyDevice>,
        moving: &Moving,
    ) -> Result<Option<KeyAt>, AuthorityError> {
        for at in unwanted::left(self.store(), &device.token()?, moving)? {
            let key = certificate::key_in_device(record, &at, Some(Arc::clone(device)))?;
            match key.signature(TRIAL) {
                Ok(_) => return Ok(Some(at)),
                Err(SignError::Device(error)) if error.may_pass => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn move_to_store(
        &self,
        state: State,
        version: u64,
        record: &IssuerRecord,
        at: &KeyAt,
        actor: &Actor,
    ) -> Result<(), AuthorityError> {
        let device = self.device.as_ref().ok_or_else(DeviceError::none)?;
        let own = certificate::key_in_device(record, at, Some(Arc::clone(device)))?;
        let public = rcgen::PublicKeyData::der_bytes(&own);
        let parts = device.export(at, record.key_type, public)?;
        let pkcs8 = device::pkcs8(&parts)?;
        drop(parts);
        let key = AuthorityKey::from_pkcs8(&pkcs8)?;
        if !certificate::belongs(&record.der.0, &key) {
            return Err(DeviceError::other_key().into());
        }
        let name = key_name(record.id);
        let sealed = self.keyring.seal(&name, pkcs8.expose()).map_err(|source| {
            AuthorityError::Seal { key: format!("key of the {}", record.title()), source }
        })?;
        let moved = pointing(state, record, KeyPlace::Store)?;
        let transaction = Transaction::new()
            .replace(STATE, version, moved)
            .create(name.into_bytes(), sealed)
            .put(unwanted::note(at), unwanted::given_up(at)?);
        self.commit_move(record, "hsm", "store", transaction, actor)
    }

    fn commit_move(
        &self,
        record: &IssuerRecord,
        from: &str,
        to: &str,
        transaction: Transaction,
        actor: &Actor,
    ) -> Result<(), AuthorityError> {
        let fact = Fact::CaKeyMoved {
            what: record.title(),
            serial: record.serial.to_string(),
            from: from.into(),
            to: to.into(),
        };
        let change = Change::new(transaction, actor.event(self.now(), fact));
        self.commit("the key's new place", change).map(|_| ())
    }
}

/// The state, with the key of this issuer somewhere else.
fn pointing(
    mut state: State,
    record: &IssuerRecord,
    place: KeyPlace,
) -> Result<Vec<u8>, AuthorityError> {
    for issuer in state.issuers.iter_mut().filter(|issuer| issuer.id == record.id) {
        issuer.key = place.clone();
    }
    Ok(serde_json::to_vec(&state)?)
}
