//! Leaves a server alone that has failed several times in a row: for a while that grows, and then one request tries.
//!
//! While all is well, a request reads two numbers and writes none.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use sealock_core::Timestamp;

/// For whoever comes while somebody else tries.
const WHILE_TRIED: Duration = Duration::from_secs(1);

/// When a server is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long the first time; each time that the try fails, twice as long.
    pub first: Duration,
    /// But no longer than that.
    pub longest: Duration,
}

impl BreakerSettings {
    /// From one second to half a minute.
    pub const fn after(failures: u32) -> Self {
        Self { failures, first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    /// In a row.
    failures: AtomicU32,
    /// Until when it is left alone, in milliseconds since 1970; zero while it is not.
    until: AtomicI64,
    /// How often that was in a row.
    times: AtomicU32,
    /// Somebody tries.
    tried: AtomicBool,
}

/// A request that may go on. When it is dropped, nothing is known of how it ended.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    /// It is the one that tries.
    tries: bool,
}

impl Breaker {
    pub(super) const fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            failures: AtomicU32::new(0),
            until: AtomicI64::new(0),
            times: AtomicU32::new(0),
            tried: AtomicBool::new(false),
        }
    }

    /// Whether a request may go on; otherwise how long to wait.
    pub(super) fn enter(&self, now: Timestamp) -> Result<Attempt<'_>, Duration> {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return Ok(Attempt { breaker: self, tries: false });
        }
        let left = Timestamp::from_millis(until).since(now);
        // A clock that was set back must not keep it alone for years.
        if !left.is_zero() && left <= self.settings.longest {
            return Err(left);
        }
        match self.tried.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Attempt { breaker: self, tries: true }),
            Err(_) => Err(WHILE_TRIED),
        }
    }

    /// Whether the server is left alone.
    pub(super) fn is_open(&self) -> bool {
        self.until.load(Ordering::Acquire) != 0
    }

    fn open(&self, now: Timestamp) {
        let times = self.times.fetch_add(1, Ordering::AcqRel).min(16);
        let span = self.settings.first.saturating_mul(1 << times).min(self.settings.longest);
        self.failures.store(0, Ordering::Release);
        self.until.store(now.plus(span).as_millis().max(1), Ordering::Release);
    }
}

impl Attempt<'_> {
    pub(super) fn succeeded(self) {
        let breaker = self.breaker;
        if self.tries {
            breaker.times.store(0, Ordering::Release);
            breaker.failures.store(0, Ordering::Release);
            breaker.until.store(0, Ordering::Release);
        } else if breaker.failures.load(Ordering::Acquire) != 0 {
            breaker.failures.store(0, Ordering::Release);
        }
    }

    /// Says whether the server is left alone from now on.
    pub(super) fn failed(self, now: Timestamp) -> bool {
        let breaker = self.breaker;
        // What began before is late to say so.
        let is_news = self.tries
            || (breaker.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1)
                >= breaker.settings.failures
                && !breaker.is_open());
        if is_news {
            breaker.open(now);
        }
        is_news
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.tries {
            self.breaker.tried.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + seconds)
    }

    fn fail(breaker: &Breaker, now: Timestamp) -> bool {
        breaker.enter(now).unwrap().failed(now)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_try_that_succeeds() {
        let breaker = Breaker::new(BreakerSettings::after(3));
        for _ in 0..5 {
            assert!(!fail(&breaker, at(0)) && !fail(&breaker, at(0)));
            breaker.enter(at(0)).unwrap().succeeded();
        }
        let late = breaker.enter(at(0)).unwrap();
        assert!(!fail(&breaker, at(0)) && !fail(&breaker, at(0)) && fail(&breaker, at(0)));
        assert_eq!(breaker.enter(at(0)).unwrap_err(), Duration::from_secs(1));
        // What had begun before neither opens nor closes it.
        assert!(!late.failed(at(0)));
        assert!(breaker.is_open());
        // One tries, and the others wait for it.
        let one = breaker.enter(at(1)).unwrap();
        assert!(breaker.enter(at(1)).is_err());
        one.succeeded();
        assert!(!breaker.is_open() && breaker.enter(at(1)).is_ok());
    }

    #[test]
    fn it_stays_open_for_longer_each_time_and_no_longer_than_the_longest() {
        let breaker = Breaker::new(BreakerSettings::after(1));
        let mut now = at(0);
        let mut spans = Vec::new();
        for _ in 0..8 {
            assert!(fail(&breaker, now));
            let left = breaker.enter(now).unwrap_err();
            spans.push(left.as_secs());
            now = now.plus(left);
        }
        assert_eq!(spans, [1, 2, 4, 8, 16, 30, 30, 30]);
        breaker.enter(now).unwrap().succeeded();
        assert!(fail(&breaker, now));
        assert_eq!(breaker.enter(now).unwrap_err(), Duration::from_secs(1));
    }

    #[test]
    fn a_try_that_nobody_hears_of_is_followed_by_another() {
        let breaker = Breaker::new(BreakerSettings::after(1));
        assert!(fail(&breaker, at(0)));
        drop(breaker.enter(at(1)).unwrap());
        let again = breaker.enter(at(1)).unwrap();
        assert!(breaker.enter(at(1)).is_err());
        again.succeeded();
        assert!(breaker.enter(at(1)).is_ok());
        // The clock is set back by a year.
        assert!(fail(&breaker, at(0)));
        assert!(breaker.enter(at(-31_536_000)).is_ok());
    }
}
