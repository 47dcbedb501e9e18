//! Who is there, in numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Crowded, Origin, Shares};

#[derive(Debug, Default)]
pub(super) struct Table {
    next: u64,
    /// In the order in which they came.
    strangers: BTreeMap<u64, Stranger>,
    /// The numbers of those of each origin.
    of: HashMap<Origin, BTreeSet<u64>>,
    known: HashMap<Arc<str>, usize>,
    known_all: usize,
}

#[derive(Debug)]
struct Stranger {
    origin: Origin,
    leave: Arc<Notify>,
}

/// A stranger that has come.
pub(super) struct Entered {
    pub(super) number: u64,
    /// Who has to go for it.
    pub(super) sent_away: Option<Arc<Notify>>,
}

impl Table {
    /// One more stranger.
    pub(super) fn enter(&mut self, origin: Origin, leave: Arc<Notify>, shares: &Shares) -> Entered {
        let own = self.of.get(&origin);
        let oldest_of_own = own.filter(|own| own.len() >= shares.origin).and_then(BTreeSet::first);
        let sent_away = match oldest_of_own.copied() {
            Some(oldest) => self.forget(oldest),
            None if self.strangers.len() >= shares.strangers => self.oldest(),
            None => None,
        };
        let number = self.next;
        self.next += 1;
        self.strangers.insert(number, Stranger { origin, leave });
        self.of.entry(origin).or_default().insert(number);
        Entered { number, sent_away }
    }

    /// Who has been a stranger longest has to go, and is none any more.
    pub(super) fn oldest(&mut self) -> Option<Arc<Notify>> {
        let oldest = *self.strangers.first_key_value()?.0;
        self.forget(oldest)
    }

    /// A stranger has shown who it is. Gives as whom it counts; nothing for one that has to go already.
    pub(super) fn identify(
        &mut self,
        number: u64,
        who: &str,
        shares: &Shares,
    ) -> Result<Option<Arc<str>>, Crowded> {
        if !self.strangers.contains_key(&number) {
            return Ok(None);
        }
        if self.known.get(who).is_some_and(|own| *own >= shares.identity) {
            return Err(Crowded::Identity(shares.identity));
        }
        if self.known_all >= shares.known {
            return Err(Crowded::All);
        }
        self.forget(number);
        let who: Arc<str> = match self.known.get_key_value(who) {
            Some((who, _)) => Arc::clone(who),
            None => who.into(),
        };
        *self.known.entry(Arc::clone(&who)).or_default() += 1;
        self.known_all += 1;
        Ok(Some(who))
    }

    /// Somebody has gone.
    pub(super) fn leave(&mut self, number: u64, who: Option<&Arc<str>>) {
        let Some(who) = who else {
            self.forget(number);
            return;
        };
        let Some(own) = self.known.get_mut(who) else { return };
        *own = own.saturating_sub(1);
        self.known_all = self.known_all.saturating_sub(1);
        if *own == 0 {
            self.known.remove(who);
        }
    }

    fn forget(&mut self, number: u64) -> Option<Arc<Notify>> {
        let Stranger { origin, leave } = self.strangers.remove(&number)?;
        if let Some(own) = self.of.get_mut(&origin) {
            own.remove(&number);
            if own.is_empty() {
                self.of.remove(&origin);
            }
        }
        Some(leave)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Self { strangers, of, known, known_all, .. } = self;
        strangers.is_empty() && of.is_empty() && known.is_empty() && *known_all == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const SHARES: Shares = Shares { all: 100, strangers: 5, origin: 3, known: 4, identity: 2 };

    /// A table, and the strangers that were told to leave.
    #[derive(Default)]
    struct Door {
        table: Table,
        came: Vec<(u64, Arc<Notify>)>,
    }

    impl Door {
        /// Its number, and that of who went for it.
        fn comes(&mut self, last: u8) -> (u64, Option<u64>) {
            let leave = Arc::new(Notify::new());
            let origin = Origin::from(IpAddr::from([10, 0, 0, last]));
            let entered = self.table.enter(origin, Arc::clone(&leave), &SHARES);
            self.came.push((entered.number, leave));
            let of = |leave: Arc<Notify>| {
                self.came.iter().find(|(_, own)| Arc::ptr_eq(own, &leave)).unwrap().0
            };
            (entered.number, entered.sent_away.map(of))
        }

        fn is(&mut self, number: u64, who: &str) -> Result<Option<Arc<str>>, Crowded> {
            self.table.identify(number, who, &SHARES)
        }
    }

    #[test]
    fn of_one_address_the_oldest_stranger_goes_and_of_no_other() {
        let mut door = Door::default();
        let other = door.comes(2).0;
        let own: Vec<u64> = (0..3).map(|_| door.comes(1).0).collect();
        for gone in &own {
            assert_eq!(door.comes(1).1, Some(*gone));
        }
        assert!(door.table.strangers.contains_key(&other));
        // Once there are too many of all, the oldest of all goes.
        assert_eq!(door.comes(3).1, None);
        assert_eq!(door.comes(4).1, Some(other));
    }

    #[test]
    fn who_is_known_is_no_stranger_and_has_a_share_of_its_own() {
        let mut door = Door::default();
        for who in ["a", "a", "b"] {
            let number = door.comes(1).0;
            assert_eq!(door.is(number, who).unwrap().as_deref(), Some(who));
        }
        let third = door.comes(1).0;
        assert_eq!(door.is(third, "a"), Err(Crowded::Identity(2)));
        // It may still say that it is somebody else.
        assert!(door.is(third, "c").unwrap().is_some());
        let last = door.comes(1).0;
        assert_eq!(door.is(last, "d"), Err(Crowded::All));
        // Places of those who have gone are free.
        let a = Arc::from("a");
        door.table.leave(0, Some(&a));
        assert!(door.is(last, "a").unwrap().is_some());
    }

    #[test]
    fn who_has_to_go_does_not_count_any_more() {
        let mut door = Door::default();
        let first = door.comes(1).0;
        for _ in 0..3 {
            door.comes(1);
        }
        assert_eq!(door.is(first, "a"), Ok(None));
        door.table.leave(first, None);
        assert_eq!((door.table.strangers.len(), door.table.known_all), (3, 0));
    }
}
