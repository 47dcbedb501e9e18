//! Keys in a device that nothing points to: noted before they are made, and when they are given up.
//!
//! A note says that the key at this place is to go, unless the authority's state points to it. So it may be there while
//! a key is made, and is taken away by the commit that makes the state point to it; when that commit never comes, the
//! note stays and the key goes.
//!
//! A key that is *moved* into the device is in use meanwhile, and the note of its new place says which it is. As long as
//! a certificate of ours has its public half, it is not removed: this state may be a copy that was taken within the move,
//! and what it was copied from uses the key by now. The next move takes it over, and until then a person is told.

use std::sync::Arc;

use sealock_core::Timestamp;
use sealock_store::{Change, Condition, KeyRange, Store, Transaction, Versioned};
use serde::{Deserialize, Serialize};

use super::{DeviceError, DeviceKeyId, KeyAt, KeyDevice};
use crate::authority::{Authority, read_state};
use crate::certificate;
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::state::{IssuerRecord, KeyPlace, State, key_name};

/// Before the notes.
const NOTES: &[u8] = b"ca/unwanted/";
/// So many are looked at in one go.
const PAGE: usize = 100;

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    at: KeyAt,
    /// Of a key that is used already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moving: Option<Moving>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

/// A key that is on its way into the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moving {
    /// SHA-256 of its public half (`SubjectPublicKeyInfo`), in hex.
    public: String,
    /// Whether it may leave the device again.
    extractable: bool,
}

impl Moving {
    /// The key of this CA.
    pub(crate) fn of(record: &IssuerRecord, extractable: bool) -> Result<Self, AuthorityError> {
        let public = certificate::public_digest(&record.der.0);
        let public = public
            .ok_or_else(|| AuthorityError::Corrupt { record: format!("the {}", record.title()) })?;
        Ok(Self { public, extractable })
    }

    /// The CA of ours that has this key.
    fn issuer<'a>(&self, state: &'a State) -> Option<&'a IssuerRecord> {
        let is = |issuer: &&IssuerRecord| {
            certificate::public_digest(&issuer.der.0).as_ref() == Some(&self.public)
        };
        state.issuers.iter().find(is)
    }
}

/// A key in the device that a certificate of ours has, and to which the state does not point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftKey {
    /// Whose it is: `root 1`.
    pub what: String,
    /// Where it is.
    pub at: KeyAt,
    /// Since when.
    pub since: Timestamp,
}

/// Where a key's note is.
pub(crate) fn note(at: &KeyAt) -> Vec<u8> {
    let token = data_encoding::HEXLOWER.encode(at.token.as_bytes());
    [NOTES, format!("{token}/{}", at.id).as_bytes()].concat()
}

/// The value of the note of a key that is given up.
pub(crate) fn given_up(at: &KeyAt) -> Result<Vec<u8>, AuthorityError> {
    Ok(serde_json::to_vec(&Note { at: at.clone(), moving: None, since: None })?)
}

/// Places for keys in the device, noted: for new ones, or for one that is moved there.
pub(crate) fn reserve(
    journal: &sealock_store::Journal,
    device: &Arc<dyn KeyDevice>,
    count: usize,
    moving: Option<&Moving>,
) -> Result<Vec<KeyAt>, AuthorityError> {
    let token = device.token()?;
    let mut transaction = Transaction::new();
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        let id = DeviceKeyId::random().map_err(|_| AuthorityError::Random)?;
        let at = KeyAt { token: token.clone(), id };
        let (moving, since) = (moving.cloned(), Some(journal.clock().now()));
        let value = serde_json::to_vec(&Note { at: at.clone(), moving, since })?;
        transaction = transaction.create(note(&at), value);
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
        KeyPlace::Device(at) => transaction.put(note(at), given_up(at)?),
        KeyPlace::Elsewhere => transaction,
    })
}

/// Whether a CA's key, or one that waits for its certificate, is at this place.
fn is_wanted(state: &State, at: &KeyAt) -> bool {
    let of_issuers = state.issuers.iter().map(|issuer| issuer.key.clone());
    let waiting = state.lines.iter().filter_map(|line| Some(line.pending.as_ref()?.place()));
    of_issuers.chain(waiting).any(|place| matches!(place, KeyPlace::Device(there) if there == *at))
}

/// All notes, each with its place in the store.
fn notes(store: &dyn Store) -> Result<Vec<(Vec<u8>, Versioned, Note)>, AuthorityError> {
    let mut range = KeyRange::prefix(NOTES);
    let mut all = Vec::new();
    loop {
        let page = store.range(&range, PAGE)?;
        let more = (page.len() == PAGE).then(|| page.last().map(|(key, _)| range.after(key)));
        for (key, found) in page {
            let corrupt = |_| AuthorityError::Corrupt { record: "a key in the HSM".into() };
            let note = serde_json::from_slice(&found.value).map_err(corrupt)?;
            all.push((key, found, note));
        }
        match more.flatten() {
            Some(next) => range = next,
            None => return Ok(all),
        }
    }
}

/// Places where a move that was cut short may have put this key.
pub(crate) fn left(
    store: &dyn Store,
    token: &str,
    moving: &Moving,
) -> Result<Vec<KeyAt>, AuthorityError> {
    let all = notes(store)?.into_iter().map(|(_, _, note)| note);
    let same = all.filter(|note| note.at.token == token && note.moving.as_ref() == Some(moving));
    Ok(same.map(|note| note.at).collect())
}

impl Authority {
    /// Removes what nothing points to. What cannot be removed now keeps its note, and so does what is, or may be, in use
    /// by a state that this one is a copy of.
    ///
    /// Whoever calls this holds the lock of changes.
    pub(crate) fn remove_unwanted(&self) -> Result<(), AuthorityError> {
        let notes = notes(self.store())?;
        if notes.is_empty() {
            return Ok(());
        }
        let (state, _) = read_state(self.store())?;
        for (key, found, Note { at, moving, .. }) in notes {
            if !is_wanted(&state, &at) {
                let device = self.device.as_ref().ok_or_else(DeviceError::none)?;
                let is_ours = moving.is_some_and(|moving| moving.issuer(&state).is_some());
                let gone = match is_ours {
                    true => device.holds(&at).map(|holds| !holds),
                    false => device.remove(&at).map(|()| true),
                };
                match gone {
                    Ok(true) => {}
                    Ok(false) => continue,
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

    /// Keys of ours that may be in the device, and to which the state does not point: a move was cut short, or this state
    /// is a copy of one in which it was not.
    pub fn left_in_device(&self) -> Result<Vec<LeftKey>, AuthorityError> {
        let notes = notes(self.store())?;
        if notes.is_empty() {
            return Ok(Vec::new());
        }
        let (state, _) = read_state(self.store())?;
        let left = notes.into_iter().filter(|(_, _, note)| !is_wanted(&state, &note.at));
        let left = left.filter_map(|(_, _, note)| {
            let what = note.moving?.issuer(&state)?.title();
            Some(LeftKey {
                what,
                at: note.at,
                since: note.since.unwrap_or(Timestamp::from_millis(0)),
            })
        });
        Ok(left.collect())
    }

    /// The same where it must not keep anybody from what they came for: it is done again next time.
    pub(crate) fn try_remove_unwanted(&self) {
        let _ = self.remove_unwanted();
    }
}
