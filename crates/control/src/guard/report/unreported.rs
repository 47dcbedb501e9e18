//! Denials that are in the access log only, for there were too many: how many, which is said at most once a minute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Between two warnings.
pub(super) const BETWEEN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(in crate::guard) struct Unreported {
    count: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl Unreported {
    /// Until now.
    pub(in crate::guard) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// So many more.
    pub(super) fn add(&self, count: u64, now: Instant) {
        self.count.fetch_add(count, Ordering::Relaxed);
        if self.is_to_be_said(now) {
            tracing::warn!(
                unreported = self.count(),
                "denials are not reported to the broker: there are too many at once"
            );
        }
    }

    pub(super) fn is_to_be_said(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock();
        let is_due = warned.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN);
        if is_due {
            *warned = Some(now);
        }
        is_due
    }
}
