//! Revocation lists as they are sent: a list may have megabytes, and everybody may ask for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use sealock_authority::{AuthorityError, Crl, IssuerId};
use sealock_core::Timestamp;

use super::{Service, convert};
use crate::command::Alarm;
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};

/// For so long a list is served from memory. A revocation is seen after that at the latest.
const FRESH: Duration = Duration::from_secs(1);

/// An issuer's full list, or its delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WhichList {
    pub(crate) issuer: IssuerId,
    pub(crate) delta: bool,
}

/// A list as it is sent, shared by all who are being sent it.
#[derive(Debug)]
pub(crate) struct SentList {
    pub(crate) der: Bytes,
    pub(crate) number: u64,
    /// From when until when it is good.
    pub(crate) good: (Timestamp, Timestamp),
}

impl SentList {
    fn of(crl: Crl) -> Self {
        let Crl { number, this_update, next_update, der, .. } = crl;
        Self { der: der.into(), number, good: (this_update, next_update) }
    }
}

/// The lists in memory: only such as there are, so there are not many.
#[derive(Debug, Default)]
pub(crate) struct SentLists {
    known: Mutex<HashMap<WhichList, (Instant, Arc<SentList>)>>,
    /// One reads at a time, however many ask: each would hold a copy.
    reading: tokio::sync::Mutex<()>,
    /// Those that are held back, of which it was said.
    held: Mutex<HashSet<WhichList>>,
}

impl SentLists {
    fn fresh(&self, which: WhichList) -> Option<Arc<SentList>> {
        let known = self.known.lock();
        let (at, list) = known.get(&which)?;
        (at.elapsed() < FRESH).then(|| Arc::clone(list))
    }

    /// Says that a list is held back, and not again for each who asks.
    fn tell(&self, which: WhichList, read: &Result<Option<Crl>, ServiceError>) {
        let behind = match read {
            Ok(_) => None,
            Err(error) => Some(error).filter(|error| error.code == ErrorCode::Unavailable),
        };
        let mut held = self.held.lock();
        match behind {
            None => _ = held.remove(&which),
            Some(error) if held.insert(which) => {
                tracing::warn!(%error, issuer = %which.issuer, delta = which.delta, "a list is held back");
            }
            Some(_) => {}
        }
    }

    /// Keeps what was read at `began`. The same list stays the same copy.
    fn keep(&self, which: WhichList, began: Instant, crl: Crl) -> Arc<SentList> {
        let mut known = self.known.lock();
        let same = known.get(&which).map(|(_, list)| Arc::clone(list));
        let same = same.filter(|it| it.number == crl.number && it.good.0 == crl.this_update);
        let list = same.unwrap_or_else(|| Arc::new(SentList::of(crl)));
        known.insert(which, (began, Arc::clone(&list)));
        list
    }
}

impl Service {
    /// A list for whoever asks: from the authority, which makes it anew when that is due; from the store alone while
    /// the keys are locked.
    pub(crate) async fn list_to_send(
        self: &Arc<Self>,
        which: WhichList,
    ) -> Result<Option<Arc<SentList>>, ServiceError> {
        if let Some(list) = self.sent_lists.fresh(which) {
            return Ok(Some(list));
        }
        let _one = self.sent_lists.reading.lock().await;
        if let Some(list) = self.sent_lists.fresh(which) {
            return Ok(Some(list));
        }
        // What was revoked by now is on the list that is read from now on.
        let began = Instant::now();
        let own = Arc::clone(self);
        let read = blocking(move || {
            own.read_list(which).map_err(|error| match error {
                AuthorityError::ListBehind { .. } => convert::authority_error(&error),
                _ => ServiceError::of(ErrorCode::State, &error),
            })
        });
        let read = read.await;
        self.sent_lists.tell(which, &read);
        Ok(read?.map(|crl| self.sent_lists.keep(which, began, crl)))
    }

    /// Has no full list lack a revocation when nobody is there to make it within the minute. What is revoked is revoked all
    /// the same.
    pub(crate) fn catch_up_lists(&self) {
        let Some(authority) = self.opened_authority() else { return };
        if let Err(error) = authority.catch_up() {
            let error = convert::authority_error(&error);
            tracing::warn!(%error, causes = ?error.causes, "a list cannot be made that lacks a revocation");
        }
    }

    /// Full lists that nobody is given.
    pub(super) fn list_alarms(&self, now: Timestamp) -> Vec<Alarm> {
        let held = match self.opened_authority() {
            Some(authority) => authority.held_back(),
            None => self.published.held_back(),
        };
        let alarm = |issuer: IssuerId| Alarm {
            alarm: "list-held-back".to_owned(),
            subject: format!("revocation list of {issuer}"),
            reason: "it lacks a revocation, and its key cannot be had to make another".to_owned(),
            hint: Some("give the passphrase (`sealock up`), or have the HSM answer".to_owned()),
            since: now,
        };
        // What cannot be read is said by whoever needs it.
        held.unwrap_or_default().into_iter().map(alarm).collect()
    }

    fn read_list(&self, which: WhichList) -> Result<Option<Crl>, AuthorityError> {
        let WhichList { issuer, delta } = which;
        match (self.opened_authority(), delta) {
            (Some(authority), false) => authority.crl_of(issuer),
            (Some(authority), true) => authority.delta_of(issuer),
            (None, false) => self.published.crl(issuer),
            (None, true) => self.published.delta(issuer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crl(number: u64) -> Crl {
        let at = |seconds: i64| Timestamp::from_secs(seconds);
        Crl {
            issuer: "0123456789abcdef".parse().unwrap(),
            number,
            base: None,
            this_update: at(1),
            next_update: at(2),
            entries: 0,
            der: vec![0; 100],
        }
    }

    #[test]
    fn the_same_list_is_one_copy_and_a_late_reader_makes_none_older() {
        let lists = SentLists::default();
        let which = WhichList { issuer: crl(1).issuer, delta: false };
        let long_ago = Instant::now().checked_sub(FRESH * 2).unwrap();
        let first = lists.keep(which, Instant::now(), crl(1));
        let again = lists.keep(which, Instant::now(), crl(1));
        assert!(Arc::ptr_eq(&first, &again), "each who asks holds a copy");
        assert!(lists.fresh(which).is_some());
        // One that began long ago is not fresh, however late it ends.
        lists.keep(which, long_ago, crl(2));
        assert!(lists.fresh(which).is_none());
    }
}
