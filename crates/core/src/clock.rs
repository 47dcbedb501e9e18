//! Time as a parameter: everything that expires takes a [`Clock`], so that tests need not sleep.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, in milliseconds since the Unix epoch, UTC. Serialised as that integer; shown as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The last moment that RFC 3339 (and GeneralizedTime) can write: 9999-12-31T23:59:59Z.
const LATEST_MILLISECONDS: i64 = 253_402_300_799_000;

impl Timestamp {
    /// A moment from milliseconds since the epoch, held within the years 1970 to 9999.
    pub const fn from_millis(milliseconds: i64) -> Self {
        if milliseconds < 0 {
            Self(0)
        } else if milliseconds > LATEST_MILLISECONDS {
            Self(LATEST_MILLISECONDS)
        } else {
            Self(milliseconds)
        }
    }

    /// A moment from whole seconds since the epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment and `span` later, saturating at the year 9999.
    pub fn plus(self, span: Duration) -> Self {
        let milliseconds = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(milliseconds))
    }

    /// This moment and `span` earlier, saturating at the epoch.
    pub fn minus(self, span: Duration) -> Self {
        let milliseconds = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(milliseconds))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment as the `time` crate has it.
    pub fn to_offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// From the `time` crate's moment, truncated to milliseconds.
    pub fn from_offset(moment: OffsetDateTime) -> Self {
        let milliseconds = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        Self::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    /// RFC 3339 in UTC; fractions only where there are any.
    pub fn to_rfc3339(self) -> String {
        self.to_offset().format(&Rfc3339).unwrap_or_else(|_| self.0.to_string())
    }

    /// Reads RFC 3339.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339).ok().map(Self::from_offset)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    /// Moves the clock on.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
    }

    /// Sets the clock, back too.
    pub fn set(&self, moment: Timestamp) {
        self.0.store(moment.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trip() {
        let moment = Timestamp::from_secs(1_700_000_000);
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Timestamp::from_rfc3339("2023-11-14T22:13:20Z"), Some(moment));
    }

    #[test]
    fn arithmetic_saturates() {
        let moment = Timestamp::from_secs(10);
        assert_eq!(moment.minus(Duration::from_secs(60)), Timestamp::from_secs(0));
        assert_eq!(moment.plus(Duration::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(moment.since(Timestamp::from_secs(20)), Duration::ZERO);
    }
}
