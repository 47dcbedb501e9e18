//! What is running: each request until its answer has ended, and each upgraded connection and tunnel, with where it leads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use sealock_core::Identity;
use sealock_net::proxy::Cut;

use super::destination::Destination;

/// So that threads seldom wait for one another.
const SHARDS: u64 = 16;

/// Where something leads.
#[derive(Debug, Clone)]
pub(super) enum To {
    /// By name and audience.
    Service(String, Identity),
    /// Without a token.
    Pass(Destination),
    Tunnel(Destination),
    /// A tunnel that ends here.
    Intercept(Destination),
    /// To the address that was dialled, without a token.
    Direct(SocketAddr),
}

#[derive(Debug, Default)]
pub(super) struct Live {
    shards: [Mutex<HashMap<u64, (To, Cut)>>; SHARDS as usize],
    count: AtomicUsize,
    next: AtomicU64,
}

impl Live {
    /// Counts one more, unless there are as many as there may be. `cut` ends its connection.
    pub(super) fn enter(self: &Arc<Self>, to: To, cut: Cut, most: usize) -> Option<Slot> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // The slot gives the count back, also at once.
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let slot = Slot { live: Arc::clone(self), number };
        if before >= most {
            return None;
        }
        self.shard(number)?.lock().insert(number, (to, cut));
        Some(slot)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Cuts those of which this is true, and says how many that were.
    pub(super) fn cut(&self, must_end: impl Fn(&To) -> bool) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            // Under the lock, so that none is cut whose connection is at another request already.
            for (_, cut) in shard.lock().values().filter(|(to, _)| must_end(to)) {
                count += u64::from(!cut.is_given());
                cut.now();
            }
        }
        count
    }

    fn shard(&self, number: u64) -> Option<&Mutex<HashMap<u64, (To, Cut)>>> {
        self.shards.get(usize::try_from(number % SHARDS).ok()?)
    }
}

/// A place among what runs, as long as this is held.
#[derive(Debug)]
pub(super) struct Slot {
    live: Arc<Live>,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shard) = self.live.shard(self.number) {
            shard.lock().remove(&self.number);
        }
        self.live.count.fetch_sub(1, Ordering::Relaxed);
    }
}
