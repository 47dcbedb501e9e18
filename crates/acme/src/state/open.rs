//! How many names open orders are for: bounded for each account, and for all accounts of a kind together, so that nobody fills the
//! store with what is never brought to an end.
//!
//! An order that is open has an entry with its weight, its names, which goes with its end or expires with the order. Those are
//! what is counted, now and then: whoever orders much would have us do that each time.
//!
//! Accounts that nobody vouches for have a room of their own: whoever can connect makes them, and they keep nobody else out.

use std::collections::HashMap;
use std::time::Duration;

use sealock_core::Timestamp;
use sealock_store::{KeyRange, Operation};

use super::{Acme, Id, OPEN, StateError, is_ahead, put};

/// Names in open orders of one account, and of all accounts of its kind.
struct Most {
    each: usize,
    all: usize,
}

/// Of accounts that nobody vouches for.
const STRANGERS: Most = Most { each: 5_000, all: 50_000 };
/// Of the others. Ten thousand orders of one account at once are no more than some clusters have when they are set up.
const VOUCHED: Most = Most { each: 20_000, all: 200_000 };
/// Between two counts of what one account has, and of what all have.
const COUNT_EACH: Duration = Duration::from_secs(10);
const COUNT_ALL: Duration = Duration::from_secs(60);
/// Before somebody is refused it is counted anew, so often at most.
const COUNT_FULL: Duration = Duration::from_secs(1);
/// So many accounts' counts are remembered before those that are old are dropped.
const REMEMBERED: usize = 1024;
/// Entries that are read at once.
const PAGE: usize = 10_000;

/// What was counted, when, and what has come since.
#[derive(Debug, Clone, Copy)]
struct Tally {
    at: Timestamp,
    names: usize,
}

impl Tally {
    /// A clock that was set back makes it stale, too.
    fn is_fresh(self, now: Timestamp, every: Duration) -> bool {
        self.at <= now && now.since(self.at) < every
    }
}

/// What was counted last.
#[derive(Debug, Default)]
pub(super) struct Room {
    each: HashMap<Id, Tally>,
    strangers: Option<Tally>,
    vouched: Option<Tally>,
}

fn kind_place(is_vouched: bool) -> String {
    format!("acme/open/{}/", if is_vouched { "vouched" } else { "strangers" })
}

fn account_place(is_vouched: bool, account: &Id) -> String {
    format!("{}{account}/", kind_place(is_vouched))
}

/// That an order is open, until it expires.
pub(super) fn opened(
    is_vouched: bool,
    account: &Id,
    order: &Id,
    names: usize,
    expires: Timestamp,
) -> Result<Operation, StateError> {
    let place = format!("{}{order}", account_place(is_vouched, account));
    put(&place, &(names, expires.as_millis()), Some(expires))
}

/// That it is not any more.
pub(super) fn closed(is_vouched: bool, account: &Id, order: &Id) -> Operation {
    Operation::delete(format!("{}{order}", account_place(is_vouched, account)))
}

impl Acme {
    /// Takes room for one more order of so many names.
    pub(super) fn take_room(
        &self,
        is_vouched: bool,
        account: &Id,
        names: usize,
    ) -> Result<(), StateError> {
        let now = self.now();
        let most = if is_vouched { VOUCHED } else { STRANGERS };
        let mut room = self.room.lock();
        if room.each.len() >= REMEMBERED {
            room.each.retain(|_, tally| tally.is_fresh(now, COUNT_EACH));
        }
        let known = room.each.get(account).copied();
        let place = account_place(is_vouched, account);
        let each = self.tally(known, &place, (names, most.each), COUNT_EACH, now)?;
        room.each.insert(account.clone(), each);
        let known = if is_vouched { room.vouched } else { room.strangers };
        let place = kind_place(is_vouched);
        let all = self.tally(known, &place, (names, most.all), COUNT_ALL, now)?;
        let kept = if is_vouched { &mut room.vouched } else { &mut room.strangers };
        *kept = Some(all);
        if each.names + names > most.each {
            return Err(StateError::NoRoom("this account"));
        }
        if all.names + names > most.all {
            return Err(StateError::NoRoom(match is_vouched {
                true => "accounts that somebody vouches for",
                false => "accounts that nobody vouches for",
            }));
        }
        *kept = Some(Tally { names: all.names + names, ..all });
        room.each.insert(account.clone(), Tally { names: each.names + names, ..each });
        Ok(())
    }

    /// What is known, or counted anew: where that is old, or where it would refuse somebody.
    fn tally(
        &self,
        known: Option<Tally>,
        place: &str,
        (names, most): (usize, usize),
        every: Duration,
        now: Timestamp,
    ) -> Result<Tally, StateError> {
        let is_good = |tally: &Tally| {
            let would_refuse = tally.names + names > most;
            tally.is_fresh(now, if would_refuse { every.min(COUNT_FULL) } else { every })
        };
        match known.filter(is_good) {
            Some(known) => Ok(known),
            None => Ok(Tally { at: now, names: self.open_names(place, now)? }),
        }
    }

    /// What was opened when the clock was far ahead of now does not count: it would for as long.
    fn open_names(&self, place: &str, now: Timestamp) -> Result<usize, StateError> {
        let (mut names, mut range) = (0, KeyRange::prefix(place.as_bytes()));
        loop {
            let page = self.store().range(&range, PAGE)?;
            for (_, entry) in &page {
                let read: Option<(usize, i64)> = serde_json::from_slice(&entry.value).ok();
                names += match read {
                    Some((_, until)) if is_ahead(Timestamp::from_millis(until), now, OPEN) => 0,
                    Some((names, _)) => names,
                    None => 1,
                };
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => range = range.after(last),
                _ => return Ok(names),
            }
        }
    }
}
