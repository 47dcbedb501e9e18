//! Who has a place at a listener.
//!
//! Whoever connects is a stranger until the handler says who it is. Strangers have a share of the places, those of one
//! address a smaller one, and when that is full the one goes that has been a stranger longest: who is honest shows who it
//! is within moments, also where it shares its address with somebody who never does. Nobody else is ever sent away. Who
//! is known counts for its identity, which has a share too, and a reserve is for strangers: so there is always a way in.
//!
//! **What an attacker controls:** how many connections there are, from which addresses, and how long they say nothing.
//! What is kept is as large as what is connected.

mod table;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use table::Table;

/// Between two lines in the log that strangers were sent away.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Whom a connection comes from, as far as it can be told before it has shown who it is: an address, or the half of an
/// IPv6 address that a network has, for whoever has one address has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(formatter),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                write!(formatter, "{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

/// How the places of a listener are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// All places; who comes later waits.
    pub all: usize,
    /// Those of strangers.
    pub strangers: usize,
    /// Those of strangers from one [`Origin`].
    pub origin: usize,
    /// Those of everybody who is known.
    pub known: usize,
    /// Those of one identity.
    pub identity: usize,
}

impl Shares {
    /// Half of the places for strangers, a quarter for those of one address, and an eighth that is for strangers alone. An
    /// identity may have all that others who are known may have.
    pub fn of(all: usize) -> Self {
        let known = all.saturating_sub((all / 8).max(1)).max(1);
        // Where there are few, a share of them would be none.
        let few = 16;
        Self {
            all,
            strangers: (all / 2).max(few),
            origin: (all / 4).max(few),
            known,
            identity: known,
        }
    }
}

/// There is no place left for who has shown who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Crowded {
    /// It has its share.
    #[error("there are {0} connections of this identity already")]
    Identity(usize),
    /// All who are known have theirs.
    #[error("there are too many connections")]
    All,
}

/// The places of one listener, or of several that share them. Clones are the same.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None where it is first come, first served.
    shares: Option<Shares>,
    room: Arc<Semaphore>,
    table: Mutex<Table>,
    told: Mutex<Option<Instant>>,
}

impl Places {
    /// All of them free.
    pub fn new(shares: Shares) -> Self {
        Self::with(shares.all, Some(shares))
    }

    /// So many, first come, first served: nobody is a stranger, and nobody is sent away.
    pub fn first_come(all: usize) -> Self {
        Self::with(all, None)
    }

    fn with(all: usize, shares: Option<Shares>) -> Self {
        let room = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Shared { shares, room, table: Mutex::default(), told: Mutex::default() }))
    }

    /// Waits for a place, for which a stranger goes where there is one.
    pub(crate) async fn take(&self, origin: Option<Origin>) -> Place {
        let room = &self.0.room;
        let permit = match Arc::clone(room).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let oldest = self.0.table.lock().oldest();
                self.send_away(oldest);
                // The semaphore is never closed.
                Arc::clone(room).acquire_owned().await.ok()
            }
        };
        let leave = Arc::new(Notify::new());
        let stranger = match (origin, &self.0.shares) {
            (Some(origin), Some(shares)) => {
                let entered = self.0.table.lock().enter(origin, Arc::clone(&leave), shares);
                self.send_away(entered.sent_away);
                Some(entered.number)
            }
            _ => None,
        };
        let (shared, identity) = (Arc::clone(&self.0), OnceLock::new());
        Place(Arc::new(Taken { shared, stranger, identity, leave, _permit: permit }))
    }

    fn send_away(&self, leave: Option<Arc<Notify>>) {
        let Some(leave) = leave else { return };
        leave.notify_one();
        let (now, mut told) = (Instant::now(), self.0.told.lock());
        if told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY) {
            *told = Some(now);
            tracing::warn!(
                "too many have connected and not shown who they are: who has waited longest is sent away"
            );
        }
    }
}

/// A connection's place, for as long as this or a clone is held.
#[derive(Debug, Clone)]
pub struct Place(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    shared: Arc<Shared>,
    /// Its number among the strangers, of which it is or was one.
    stranger: Option<u64>,
    /// As whom it counts.
    identity: OnceLock<Arc<str>>,
    leave: Arc<Notify>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// It has shown who it is: from here on it counts for that identity, whoever else makes use of it later.
    ///
    /// # Errors
    /// That would be too many. It stays a stranger, and may be sent away.
    pub fn identify(&self, who: impl fmt::Display) -> Result<(), Crowded> {
        let Taken { shared, stranger, identity, .. } = &*self.0;
        let (Some(number), Some(shares)) = (stranger, &shared.shares) else { return Ok(()) };
        if identity.get().is_some() {
            return Ok(());
        }
        let who = who.to_string();
        let mut table = shared.table.lock();
        if let Some(who) = table.identify(*number, &who, shares)? {
            // Under the lock, so that of two at once one counts.
            let _ = identity.set(who);
        }
        Ok(())
    }

    /// Resolves when it is to be given up for another stranger.
    pub(crate) async fn is_lost(&self) {
        self.0.leave.notified().await;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(number) = self.stranger else { return };
        self.shared.table.lock().leave(number, self.identity.get());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_origin_is_who_can_be_told_apart() {
        let shown = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap()).to_string();
        assert_eq!(shown("10.0.0.1"), "10.0.0.1");
        assert_eq!(shown("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(shown("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(shown("2001:db8:1:2::9"), "2001:db8:1:2::/64");
    }

    fn shares() -> Shares {
        Shares { all: 4, strangers: 3, origin: 2, known: 3, identity: 2 }
    }

    fn origin(last: u8) -> Option<Origin> {
        Some(IpAddr::from([10, 0, 0, last]).into())
    }

    fn is_lost(place: &Place) -> bool {
        place.is_lost().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_is_free_and_nothing_of_it_is_kept() {
        let places = Places::new(shares());
        for _ in 0..10 {
            let (known, stranger) = (places.take(origin(1)).await, places.take(origin(1)).await);
            known.identify("a").unwrap();
            known.identify("b").unwrap();
            assert!(!is_lost(&stranger) && !is_lost(&known));
        }
        assert!(places.0.table.lock().is_empty());
        assert_eq!(places.0.room.available_permits(), 4);
    }

    #[tokio::test]
    async fn where_all_is_full_the_oldest_stranger_makes_room_and_who_is_known_never() {
        let places = Places::new(shares());
        let (a, b) = (places.take(origin(1)).await, places.take(origin(2)).await);
        a.identify("a").unwrap();
        b.identify("b").unwrap();
        let (old, new) = (places.take(origin(3)).await, places.take(origin(4)).await);
        let mut next = std::pin::pin!(places.take(origin(5)));
        assert!((&mut next).now_or_never().is_none(), "there are more than four");
        assert!(is_lost(&old) && !is_lost(&new));
        assert!(!is_lost(&a) && !is_lost(&b));
        drop(old);
        next.await.identify("c").unwrap();
    }

    #[tokio::test]
    async fn where_nobody_is_a_stranger_nobody_is_sent_away() {
        for (places, origin) in [(Places::new(shares()), None), (Places::first_come(4), origin(1))]
        {
            let all = futures_util::future::join_all([(); 4].map(|()| places.take(origin))).await;
            let mut next = std::pin::pin!(places.take(origin));
            assert!((&mut next).now_or_never().is_none());
            for place in &all {
                place.identify("a").unwrap();
                assert!(!is_lost(place));
            }
            drop(all);
            next.await;
        }
    }
}
