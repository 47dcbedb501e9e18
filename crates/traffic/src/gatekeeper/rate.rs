//! How many requests of one caller there may be in a second.
//!
//! For each caller one number is kept: when what it has asked for would be done, were it done at its rate (GCRA). Only
//! whoever has a good token gets a place, so strangers cannot fill the table.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::{Identity, Timestamp};

/// So that threads seldom wait for one another.
const SHARDS: usize = 16;
/// Callers in a shard whose number still matters. Those beyond share one number.
const MOST: usize = 4096;
/// Between two looks for those whose number does not, in microseconds: each goes through all of a shard.
const SWEEP: i64 = 1_000_000;

/// How many requests of one caller there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

#[derive(Debug)]
pub(super) struct Rates {
    /// Microseconds for one request.
    each: i64,
    /// How far ahead of its time a caller may be.
    ahead: i64,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// When all would be done, in microseconds since 1970.
#[derive(Debug, Default)]
struct Shard {
    of: HashMap<Identity, i64>,
    others: i64,
    swept: i64,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        let each = 1_000_000 / i64::from(rate.per_second.clamp(1, 1_000_000));
        let ahead = each.saturating_mul(i64::from(rate.burst.max(1)) - 1);
        Self { each, ahead, hasher: RandomState::new(), shards: Default::default() }
    }

    /// Counts one more, or says how long to wait.
    pub(super) fn take(&self, who: &Identity, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1000);
        let number = usize::try_from(self.hasher.hash_one(who) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(number) else { return Ok(()) };
        let mut shard = shard.lock();
        if let Some(done) = shard.of.get_mut(who) {
            return self.count(done, now);
        }
        if shard.of.len() >= MOST && !(0..SWEEP).contains(&now.saturating_sub(shard.swept)) {
            // Whoever is not ahead of its time has the same number as a newcomer.
            shard.of.retain(|_, done| *done > now);
            shard.swept = now;
        }
        if shard.of.len() >= MOST {
            return self.count(&mut shard.others, now);
        }
        let mut done = 0;
        let outcome = self.count(&mut done, now);
        shard.of.insert(who.clone(), done);
        outcome
    }

    fn count(&self, done: &mut i64, now: i64) -> Result<(), Duration> {
        // A clock that was set back must not keep anybody out for years.
        let most = now.saturating_add(self.ahead).saturating_add(self.each);
        let begin = (*done).clamp(now, most);
        let over = begin.saturating_sub(now).saturating_sub(self.ahead);
        if over > 0 {
            return Err(Duration::from_micros(u64::try_from(over).unwrap_or(0)));
        }
        *done = begin.saturating_add(self.each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Identity {
        format!("spiffe://t.sealock/service/{name}").parse().unwrap()
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + milliseconds)
    }

    #[test]
    fn a_burst_and_then_the_rate_for_each_caller() {
        let rates = Rates::new(Rate { per_second: 10, burst: 5 });
        for _ in 0..5 {
            assert!(rates.take(&who("a"), at(0)).is_ok());
        }
        assert_eq!(rates.take(&who("a"), at(0)), Err(Duration::from_millis(100)));
        assert_eq!(rates.take(&who("a"), at(60)), Err(Duration::from_millis(40)));
        assert!(rates.take(&who("b"), at(60)).is_ok());
        assert!(rates.take(&who("a"), at(100)).is_ok());
        assert!(rates.take(&who("a"), at(100)).is_err());
        // For an hour, one asks ten times as often as it may.
        let taken = (0..36_000).filter(|n| rates.take(&who("c"), at(n * 10)).is_ok()).count();
        assert!((3600..=3606).contains(&taken), "{taken}");
        // A burst of its own again after a rest.
        assert_eq!((0..9).filter(|_| rates.take(&who("c"), at(999_999)).is_ok()).count(), 5);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out() {
        let rates = Rates::new(Rate { per_second: 1, burst: 1 });
        assert!(rates.take(&who("a"), at(3_600_000)).is_ok());
        assert_eq!(rates.take(&who("a"), at(0)), Err(Duration::from_secs(1)));
        assert_eq!(rates.take(&who("a"), at(500)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn the_table_is_bounded_and_nobody_gets_more_by_filling_it() {
        let rates = Rates::new(Rate { per_second: 1, burst: 1 });
        let many = SHARDS * MOST * 2;
        let kept = || rates.shards.iter().map(|shard| shard.lock().of.len()).sum::<usize>();
        for number in 0..many {
            let _ = rates.take(&who(&format!("n{number}")), at(0));
        }
        assert!(kept() <= SHARDS * MOST, "{}", kept());
        assert!(rates.take(&who("n0"), at(0)).is_err());
        // Whoever found no place shares one number with the others.
        let late = (many..many + 1000).map(|number| who(&format!("n{number}")));
        assert!(late.filter(|who| rates.take(who, at(0)).is_ok()).count() <= SHARDS);
        // What does not matter any more makes room.
        assert!(rates.take(&who("new"), at(5000)).is_ok());
        assert!(rates.take(&who("new"), at(5000)).is_err());
    }
}
