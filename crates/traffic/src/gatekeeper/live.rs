//! What is running: each request until its answer has ended, and each upgraded connection, with what it was let in by.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use sealock_core::Identity;
use sealock_net::proxy::Cut;

use super::call::Call;
use super::quiet::Quiet;
use super::state::Caller;
use crate::broker::EntryHash;

/// So that threads seldom wait for one another.
const SHARDS: usize = 16;

/// Something that runs.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) caller: Arc<Caller>,
    pub(super) call: Arc<Call>,
    /// The public keys of the certificates that the client has shown.
    pub(super) chain: Arc<[EntryHash]>,
    /// When it must end, in seconds since 1970.
    pub(super) ends: u64,
    /// Ends its connection.
    pub(super) cut: Cut,
    /// Whether anything moves, where that is looked at.
    pub(super) quiet: Option<Arc<Quiet>>,
}

impl Running {
    /// Cuts it, and says whether that is news.
    fn end(&self) -> bool {
        let is_news = !self.cut.is_given();
        self.cut.now();
        is_news
    }
}

#[derive(Debug)]
pub(super) struct Live {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    next: AtomicU64,
    /// How many there are and, at most, may be.
    all: AtomicUsize,
    most: usize,
}

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The caller has as many as it may.
    Caller,
    /// All together have.
    All,
}

/// All of one identity is in one shard.
#[derive(Debug, Default)]
struct Shard {
    running: HashMap<u64, Running>,
    of: HashMap<Identity, usize>,
}

impl Live {
    /// So many at once, of all callers.
    pub(super) fn new(most: usize) -> Self {
        let (hasher, shards, next) = (RandomState::new(), Default::default(), AtomicU64::new(0));
        Self { hasher, shards, next, all: AtomicUsize::new(0), most }
    }

    /// Counts one more, unless there is no room for it; `most` is what the caller may have.
    pub(super) fn enter(self: &Arc<Self>, running: Running, most: usize) -> Result<Slot, Full> {
        let who = &running.caller.claims.subject;
        let shard = usize::try_from(self.hasher.hash_one(who) % SHARDS as u64).unwrap_or(0);
        let mut inside = self.shards.get(shard).ok_or(Full::All)?.lock();
        let own = inside.of.get(who).copied().unwrap_or(0);
        if own >= most {
            return Err(Full::Caller);
        }
        if self.all.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        match inside.of.get_mut(who) {
            Some(count) => *count += 1,
            None => {
                inside.of.insert(who.clone(), 1);
            }
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        inside.running.insert(number, running);
        drop(inside);
        Ok(Slot { live: Arc::clone(self), shard, number })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Cuts those of which this is true, and says how many that were. For what is found out at once: requests wait.
    pub(super) fn cut(&self, must_end: impl Fn(&Running) -> bool) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let inside = shard.lock();
            count += inside.running.values().filter(|it| must_end(it) && it.end()).count() as u64;
        }
        count
    }

    /// As [`Live::cut`], where it takes longer to find out, such as by asking policy about each.
    pub(super) fn weed(&self, must_end: impl Fn(&Running) -> bool) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            let mut all: Vec<(u64, Running)> =
                shard.lock().running.iter().map(|(number, it)| (*number, it.clone())).collect();
            all.retain(|(_, running)| must_end(running));
            let inside = shard.lock();
            // Only what still runs: its connection may be at another request already.
            all.retain(|(number, running)| inside.running.contains_key(number) && running.end());
            count += all.len() as u64;
        }
        count
    }

    fn leave(&self, shard: usize, number: u64) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut inside = shard.lock();
        let Some(running) = inside.running.remove(&number) else { return };
        self.all.fetch_sub(1, Ordering::Relaxed);
        let who = &running.caller.claims.subject;
        match inside.of.get_mut(who) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.of.remove(who);
            }
        }
        drop(inside);
    }
}

/// A place among what runs, as long as this is held.
#[derive(Debug)]
pub(super) struct Slot {
    live: Arc<Live>,
    shard: usize,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.live.leave(self.shard, self.number);
    }
}
