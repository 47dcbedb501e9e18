//! Figures, as plain counters. Each thread has its own, so that processors do not wait for one another's memory; who
//! wants to know adds them up.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hyper::StatusCode;
use parking_lot::Mutex;

/// More threads than that share.
const SHARDS: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    shards: [Counts; SHARDS],
}

/// Those of one thread, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts {
    requests: AtomicU64,
    forwarded: AtomicU64,
    recorded: AtomicU64,
    denied: AtomicU64,
    unauthenticated: AtomicU64,
    malformed: AtomicU64,
    limited: AtomicU64,
    unavailable: AtomicU64,
    failed: AtomicU64,
    cut: AtomicU64,
    token_hits: AtomicU64,
    token_misses: AtomicU64,
    decision_hits: AtomicU64,
    decision_misses: AtomicU64,
    retried: AtomicU64,
    opened: AtomicU64,
    /// By the word that the caller is told.
    codes: Mutex<BTreeMap<&'static str, u64>>,
}

/// What was counted until a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that were read.
    pub requests: u64,
    /// Those that went to the app.
    pub forwarded: u64,
    /// Those of them that policy denies and the mode lets pass.
    pub recorded: u64,
    /// 403.
    pub denied: u64,
    /// 401.
    pub unauthenticated: u64,
    /// 400.
    pub malformed: u64,
    /// 429.
    pub limited: u64,
    /// 503: nothing is known, the feed is silent, or the app is not well.
    pub unavailable: u64,
    /// The app gave no answer.
    pub failed: u64,
    /// Cut while they were running.
    pub cut: u64,
    /// Tokens that were remembered.
    pub token_hits: u64,
    /// Tokens that had to be verified.
    pub token_misses: u64,
    /// Decisions that were remembered.
    pub decision_hits: u64,
    /// Decisions that had to be taken.
    pub decision_misses: u64,
    /// Requests that were sent to the app again, for it could not be reached.
    pub retried: u64,
    /// Times that the app was left alone, for it had failed too often.
    pub opened: u64,
    /// Requests, streams and upgraded connections that are running.
    pub running: u64,
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    fn mine(&self) -> &Counts {
        let [first, ..] = &self.shards;
        // At the end of a thread there is no number any more.
        let mine = MINE.try_with(Cell::get).unwrap_or_default();
        self.shards.get(mine).unwrap_or(first)
    }

    pub(super) fn request(&self) {
        one(&self.mine().requests);
    }

    pub(super) fn forwarded(&self) {
        one(&self.mine().forwarded);
    }

    pub(super) fn recorded(&self) {
        one(&self.mine().recorded);
    }

    /// A request that was answered by us, before it went to the app.
    pub(super) fn refused(&self, status: StatusCode, code: &'static str) {
        let counts = self.mine();
        one(match status {
            StatusCode::FORBIDDEN => &counts.denied,
            StatusCode::UNAUTHORIZED => &counts.unauthenticated,
            StatusCode::TOO_MANY_REQUESTS => &counts.limited,
            status if status.is_server_error() => &counts.unavailable,
            _ => &counts.malformed,
        });
        counts.code(code);
    }

    /// A request that went to the app and was answered by us.
    pub(super) fn failed(&self, code: &'static str) {
        let counts = self.mine();
        one(&counts.failed);
        counts.code(code);
    }

    pub(super) fn retried(&self) {
        one(&self.mine().retried);
    }

    pub(super) fn opened(&self) {
        one(&self.mine().opened);
    }

    pub(super) fn cut(&self, count: u64) {
        self.mine().cut.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn token_was_known(&self, known: bool) {
        let counts = self.mine();
        one(if known { &counts.token_hits } else { &counts.token_misses });
    }

    pub(super) fn decision_was_known(&self, known: bool) {
        let counts = self.mine();
        one(if known { &counts.decision_hits } else { &counts.decision_misses });
    }

    /// How many went to the app until now.
    pub(super) fn all_forwarded(&self) -> u64 {
        self.shards.iter().map(|counts| counts.forwarded.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn figures(&self, running: usize) -> Figures {
        let sum = |counter: fn(&Counts) -> &AtomicU64| {
            self.shards.iter().map(|counts| counter(counts).load(Ordering::Relaxed)).sum()
        };
        Figures {
            requests: sum(|it| &it.requests),
            forwarded: sum(|it| &it.forwarded),
            recorded: sum(|it| &it.recorded),
            denied: sum(|it| &it.denied),
            unauthenticated: sum(|it| &it.unauthenticated),
            malformed: sum(|it| &it.malformed),
            limited: sum(|it| &it.limited),
            unavailable: sum(|it| &it.unavailable),
            failed: sum(|it| &it.failed),
            cut: sum(|it| &it.cut),
            token_hits: sum(|it| &it.token_hits),
            token_misses: sum(|it| &it.token_misses),
            decision_hits: sum(|it| &it.decision_hits),
            decision_misses: sum(|it| &it.decision_misses),
            retried: sum(|it| &it.retried),
            opened: sum(|it| &it.opened),
            running: running as u64,
        }
    }

    /// How often callers were answered by us, by the word that they were told.
    pub(super) fn codes(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for counts in &self.shards {
            for (code, count) in &*counts.codes.lock() {
                *all.entry(*code).or_default() += count;
            }
        }
        all
    }
}

impl Counts {
    fn code(&self, code: &'static str) {
        *self.codes.lock().entry(code).or_default() += 1;
    }
}
