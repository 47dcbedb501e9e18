//! Figures, as plain counters.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: AtomicU64,
    forwarded: AtomicU64,
    passed: AtomicU64,
    tunnels: AtomicU64,
    denied: AtomicU64,
    malformed: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    fetched: AtomicU64,
    unfetched: AtomicU64,
    refused_tokens: AtomicU64,
    retried: AtomicU64,
    ejected: AtomicU64,
    cut: AtomicU64,
    closed: AtomicU64,
}

/// What was counted until a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that were read.
    pub requests: u64,
    /// Those that went to a service, with a token.
    pub forwarded: u64,
    /// Those that went elsewhere, without one.
    pub passed: u64,
    /// Tunnels that were opened.
    pub tunnels: u64,
    /// 403: not listed, not from here, an address that is not dialled, or no token is given.
    pub denied: u64,
    /// 400.
    pub malformed: u64,
    /// 503: too many were running.
    pub limited: u64,
    /// No answer came, or there was no token.
    pub failed: u64,
    /// Tokens that came.
    pub fetched: u64,
    /// Tokens that did not come when they were asked for.
    pub unfetched: u64,
    /// Tokens that a Gatekeeper did not take.
    pub refused_tokens: u64,
    /// Requests that were sent to another instance, or again with another token.
    pub retried: u64,
    /// Times that an instance was left alone, for it could not be reached.
    pub ejected: u64,
    /// Cut while they were running, for their destination is no longer listed.
    pub cut: u64,
    /// Connections that were brought here by the kernel, or made to where it brings them, and lead nowhere.
    pub closed: u64,
    /// Requests, streams and tunnels that are running.
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

    pub(super) fn passed(&self) {
        one(&self.passed);
    }

    pub(super) fn tunnel(&self) {
        one(&self.tunnels);
    }

    /// A request that was answered by us.
    pub(super) fn own_answer(&self, status: StatusCode, code: &str) {
        one(match status {
            StatusCode::FORBIDDEN => &self.denied,
            _ if code == super::handle::TOO_MANY => &self.limited,
            status if status.is_server_error() => &self.failed,
            _ => &self.malformed,
        });
    }

    pub(super) fn fetched(&self, came: bool) {
        one(if came { &self.fetched } else { &self.unfetched });
    }

    pub(super) fn refused_token(&self) {
        one(&self.refused_tokens);
    }

    pub(super) fn retried(&self) {
        one(&self.retried);
    }

    pub(super) fn ejected(&self) {
        one(&self.ejected);
    }

    pub(super) fn cut(&self, count: u64) {
        self.cut.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        one(&self.closed);
    }

    pub(super) fn figures(&self, running: usize) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            requests: read(&self.requests),
            forwarded: read(&self.forwarded),
            passed: read(&self.passed),
            tunnels: read(&self.tunnels),
            denied: read(&self.denied),
            malformed: read(&self.malformed),
            limited: read(&self.limited),
            failed: read(&self.failed),
            fetched: read(&self.fetched),
            unfetched: read(&self.unfetched),
            refused_tokens: read(&self.refused_tokens),
            retried: read(&self.retried),
            ejected: read(&self.ejected),
            cut: read(&self.cut),
            closed: read(&self.closed),
            running: running as u64,
        }
    }
}
