//! Whether anything moves in a stream. Whoever moves something adds one, without looking at a clock; whoever looks for
//! what has ended notices when the number is the same for too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sealock_core::Timestamp;

/// What moves in one request.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Whether its answer has begun: until then there is another deadline.
    begun: AtomicBool,
    /// Pieces that moved, either way.
    pub(super) pieces: Arc<AtomicU64>,
    seen: AtomicU64,
    since: AtomicI64,
}

impl Quiet {
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing has moved for so long, as far as was looked.
    pub(super) fn is_over(&self, now: Timestamp, most: Duration) -> bool {
        if !self.begun.load(Ordering::Acquire) {
            return false;
        }
        let pieces = self.pieces.load(Ordering::Relaxed);
        if self.seen.swap(pieces, Ordering::Relaxed) != pieces {
            self.since.store(now.as_millis(), Ordering::Relaxed);
            return false;
        }
        now.since(Timestamp::from_millis(self.since.load(Ordering::Relaxed))) > most
    }
}
