//! Revocation lists as they are sent: a list may have megabytes, and everybody may ask for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use sealock_authority::{AuthorityError, Crl, IssuerId};
use sealock_core::Timestamp;

use super::Service;
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
}

impl SentLists {
    fn fresh(&self, which: WhichList) -> Option<Arc<SentList>> {
        let known = self.known.lock();
        let (at, list) = known.get(&which)?;
        (at.elapsed() < FRESH).then(|| Arc::clone(list))
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
            own.read_list(which).map_err(|error| ServiceError::of(ErrorCode::State, &error))
        });
        Ok(read.await?.map(|crl| self.sent_lists.keep(which, began, crl)))
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
