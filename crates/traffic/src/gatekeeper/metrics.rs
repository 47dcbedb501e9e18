//! Figures, as plain counters.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Metrics {
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
    /// 503: nothing is known, or the feed is silent.
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
    /// Requests, streams and upgraded connections that are running.
    pub running: u64,
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    pub(super) fn request(&self) {
        one(&self.requests);
    }

    pub(super) fn forwarded(&self) {
        one(&self.forwarded);
    }

    pub(super) fn recorded(&self) {
        one(&self.recorded);
    }

    /// A request that was answered by us, before it went to the app.
    pub(super) fn refused(&self, status: StatusCode) {
        one(match status {
            StatusCode::FORBIDDEN => &self.denied,
            StatusCode::UNAUTHORIZED => &self.unauthenticated,
            StatusCode::TOO_MANY_REQUESTS => &self.limited,
            status if status.is_server_error() => &self.unavailable,
            _ => &self.malformed,
        });
    }

    pub(super) fn failed(&self) {
        one(&self.failed);
    }

    pub(super) fn cut(&self, count: u64) {
        self.cut.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn token_was_known(&self, known: bool) {
        one(if known { &self.token_hits } else { &self.token_misses });
    }

    pub(super) fn decision_was_known(&self, known: bool) {
        one(if known { &self.decision_hits } else { &self.decision_misses });
    }

    pub(super) fn figures(&self, running: usize) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            requests: read(&self.requests),
            forwarded: read(&self.forwarded),
            recorded: read(&self.recorded),
            denied: read(&self.denied),
            unauthenticated: read(&self.unauthenticated),
            malformed: read(&self.malformed),
            limited: read(&self.limited),
            unavailable: read(&self.unavailable),
            failed: read(&self.failed),
            cut: read(&self.cut),
            token_hits: read(&self.token_hits),
            token_misses: read(&self.token_misses),
            decision_hits: read(&self.decision_hits),
            decision_misses: read(&self.decision_misses),
            running: running as u64,
        }
    }
}
