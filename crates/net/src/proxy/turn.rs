//! Whose turn it is on a connection: what the guard below hyper and the service above it tell one another.
//!
//! Invariant: the bytes of the next request are shown to hyper only when the answer to the one before it
//! has been written and flushed. So whatever comes early stays with us, unread, and belongs to the tunnel
//! if the request becomes one, and to the next request if it becomes a stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Poll;

/// The next request may be read.
const IDLE: u8 = 0;
/// A head was given to hyper.
const HEAD: u8 = 1;
/// The handler is at work, or its answer is being written.
const BUSY: u8 = 2;
/// The whole answer is in hyper's buffer.
const ANSWERED: u8 = 3;

/// All of it is touched by the one task that runs the connection; the atomics are for the types' sake.
#[derive(Default)]
pub(super) struct Turn {
    phase: AtomicU8,
    /// There was a head.
    touched: AtomicBool,
    /// Bytes went out that were not flushed.
    unflushed: AtomicBool,
    /// Somebody waits for the flush.
    waited_for: AtomicBool,
    /// The end of the client's stream is kept from hyper, which would drop the request.
    end_is_held: AtomicBool,
    /// The client's stream has ended.
    ended: AtomicBool,
    /// Nothing came for a while.
    rests: AtomicBool,
}

impl Turn {
    fn set(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
    }

    fn is(&self, phase: u8) -> bool {
        self.phase.load(Ordering::Acquire) == phase
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is(IDLE)
    }

    /// Whether a request was begun whose answer the client does not have as a whole.
    pub(super) fn is_unanswered(&self) -> bool {
        self.is(BUSY) || self.is(ANSWERED)
    }

    /// Whether nothing was asked yet.
    pub(super) fn is_untouched(&self) -> bool {
        !self.touched.load(Ordering::Acquire)
    }

    /// Nothing was asked for a while.
    pub(super) fn rest(&self) {
        self.rests.store(true, Ordering::Release);
    }

    /// Whether the connection can do without hyper until something comes.
    pub(super) fn rests(&self) -> bool {
        self.rests.load(Ordering::Acquire) && self.is_idle()
    }

    pub(super) fn head_was_read(&self) {
        self.rests.store(false, Ordering::Release);
        self.touched.store(true, Ordering::Release);
        self.set(HEAD);
    }

    /// A request begins.
    pub(super) fn begin(&self, hold_end: bool) {
        self.set(BUSY);
        self.end_is_held.store(hold_end, Ordering::Release);
    }

    pub(super) fn wrote(&self) {
        self.unflushed.store(true, Ordering::Release);
    }

    /// Everything that hyper had was flushed. Says whether the task has to look again; `come`: there is
    /// something of the next request already.
    pub(super) fn flushed(&self, come: bool) -> bool {
        self.unflushed.store(false, Ordering::Release);
        let next = self.is(ANSWERED);
        if next {
            self.set(IDLE);
        }
        self.waited_for.swap(false, Ordering::AcqRel) || (next && come)
    }

    /// Resolves when nothing is half written. Whoever flushes wakes this task, which is its own.
    pub(super) async fn until_flushed(&self) {
        poll_fn(|_| {
            let unflushed = self.unflushed.load(Ordering::Acquire);
            self.waited_for.store(unflushed, Ordering::Release);
            if unflushed { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Asks for the next flush; [`Turn::waits`] until it was.
    pub(super) fn wait_for_flush(&self) {
        self.waited_for.store(true, Ordering::Release);
    }

    pub(super) fn waits(&self) -> bool {
        self.waited_for.load(Ordering::Acquire)
    }

    pub(super) fn client_ended(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn end_is_held(&self) -> bool {
        self.end_is_held.load(Ordering::Acquire)
    }

    /// The request is answered like any other, so the end of the client's stream counts again. Says
    /// whether it came already: then this answer is the last.
    pub(super) fn release_end(&self) -> bool {
        let last = self.end_is_held() && self.ended.load(Ordering::Acquire);
        self.end_is_held.store(last, Ordering::Release);
        last
    }
}

/// Lives as long as an answer's body: hyper drops the body when it has all of it.
pub(super) struct Answering(pub(super) Arc<Turn>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(ANSWERED);
    }
}
