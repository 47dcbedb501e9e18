//! Keys in a device that nothing points to: noted before they are made, and when they are given up.
//!
//! A note says that the key at this place is to go, unless the authority's state points to it. So it may be there while
//! a key is made, and is taken away by the commit that makes the state point to it; when that commit never comes, the
//! note stays and the key goes.

use std::sync::Arc;

use sealock_store::{Change, Condition, KeyRange, Transaction};

use super::{DeviceError, DeviceKeyId, KeyAt, KeyDevice};
use crate::authority::{Authority, read_state};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::state::{KeyPlace, State, key_name};

/// Before the notes.
const NOTES: &[u8] = b"ca/unwanted/";
/// So many are looked at in one go.
const PAGE: usize = 100;

/// Where a key's note is.
pub(crate) fn note(at: &KeyAt) -> Vec<u8> {
    let token = data_encoding::HEXLOWER.encode(at.token.as_bytes());
    [NOTES, format!("{token}/{}", at.id).as_bytes()].concat()
}

/// Places for new keys in the device, noted.
pub(crate) fn reserve(
    journal: &sealock_store::Journal,
    device: &Arc<dyn KeyDevice>,
    count: usize,
) -> Result<Vec<KeyAt>, AuthorityError> {
    let token = device.token()?;
    let mut transaction = Transaction::new();
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        let id = DeviceKeyId::random().map_err(|_| AuthorityError::Random)?;
        let at = KeyAt { token: token.clone(), id };
        transaction = transaction.create(note(&at), serde_json::to_vec(&at)?);
        places.push(at);
    }
    journal
        .commit_blocking(Change { transaction, events: Vec::new() })
        .map_err(|source| AuthorityError::Commit { what: "the new keys' places", source })?;
    Ok(places)
}

/// Adds to `transaction` that the key of `id`, which is at this place, is not needed any more.
pub(crate) fn give_up(
    transaction: Transaction,
    place: &KeyPlace,
    id: IssuerId,
) -> Result<Transaction, AuthorityError> {
    Ok(match place {
        KeyPlace::Store => transaction.delete(key_name(id).into_bytes()),
        KeyPlace::Device(at) => transaction.put(note(at), serde_json::to_vec(at)?),
        KeyPlace::Elsewhere => transaction,
    })
}

/// Whether a CA's key, or one that waits for its certificate, is at this place.
fn is_wanted(state: &State, at: &KeyAt) -> bool {
    let of_issuers = state.issuers.iter().map(|issuer| issuer.key.clone());
    let waiting = state.lines.iter().filter_map(|line| Some(line.pending.as_ref()?.place()));
    of_issuers.chain(waiting).any(|place| matches!(place, KeyPlace::Device(there) if there == *at))
}

impl Authority {
    /// Removes what nothing points to. What cannot be removed now keeps its note.
    ///
    /// Whoever calls this holds the lock of changes.
    pub(crate) fn remove_unwanted(&self) -> Result<(), AuthorityError> {
        let notes = self.store().range(&KeyRange::prefix(NOTES), PAGE)?;
        if notes.is_empty() {
            return Ok(());
        }
        let (state, _) = read_state(self.store())?;
        for (key, found) in notes {
            let corrupt = || AuthorityError::Corrupt { record: "a key in the HSM".into() };
            let at: KeyAt = serde_json::from_slice(&found.value).map_err(|_| corrupt())?;
            if !is_wanted(&state, &at) {
                let device = self.device.as_ref().ok_or_else(DeviceError::none)?;
                match device.remove(&at) {
                    Ok(()) => {}
                    Err(error) if error.may_pass => return Err(error.into()),
                    // One that is in another token must not keep the rest here.
                    Err(_) => continue,
                }
            }
            let condition = Condition::Version { key: key.clone(), version: found.version };
            let transaction = Transaction::new().when(condition).delete(key);
            self.commit("a key's removal", Change { transaction, events: Vec::new() })?;
        }
        Ok(())
    }

    /// The same where it must not keep anybody from what they came for: it is done again next time.
    pub(crate) fn try_remove_unwanted(&self) {
        let _ = self.remove_unwanted();
    }
}
