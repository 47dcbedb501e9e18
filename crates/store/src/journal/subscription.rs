//! A live tail. It reads the store whenever the journal says that there is more, so a slow reader loses
//! nothing and costs the writer nothing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use parking_lot::{Condvar, Mutex};
use sealock_core::audit::Record;

use super::JournalError;
use super::read::{self, PAGE};
use crate::Store;

#[derive(Debug)]
struct State {
    seq: u64,
    closed: bool,
    wakers: Vec<Waker>,
}

/// Rung by the writer for every commit.
#[derive(Debug)]
pub(super) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

impl Bell {
    pub(super) fn new(seq: u64) -> Self {
        let state = State { seq, closed: false, wakers: Vec::new() };
        Self { state: Mutex::new(state), rung: Condvar::new() }
    }

    pub(super) fn seq(&self) -> u64 {
        self.state.lock().seq
    }

    pub(super) fn ring(&self, seq: u64) {
        let mut state = self.state.lock();
        state.seq = seq;
        self.wake(&mut state);
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.wake(&mut state);
    }

    fn wake(&self, state: &mut State) {
        self.rung.notify_all();
        for waker in state.wakers.drain(..) {
            waker.wake();
        }
    }
}

/// Records as they are committed: a [`Stream`] for async callers, [`Subscription::next_within`] for the
/// others. It ends when the journal is closed and everything was read.
#[derive(Debug)]
pub struct Subscription {
    store: Arc<dyn Store>,
    bell: Arc<Bell>,
    read: u64,
    page: VecDeque<Record>,
}

impl Subscription {
    pub(super) fn new(store: Arc<dyn Store>, bell: Arc<Bell>, after: u64) -> Self {
        Self { store, bell, read: after, page: VecDeque::new() }
    }

    /// The next record that is on disk already.
    fn stored(&mut self) -> Result<Option<Record>, JournalError> {
        if self.page.is_empty() {
            self.page = read::records(self.store.as_ref(), self.read, PAGE)?.into();
        }
        let next = self.page.pop_front();
        if let Some(record) = &next {
            self.read = record.seq;
        }
        Ok(next)
    }

    /// The next record, waiting at most `limit` for it; `None` then, or when the journal was closed.
    pub fn next_within(&mut self, limit: Duration) -> Option<Result<Record, JournalError>> {
        let deadline = Instant::now() + limit;
        loop {
            if !self.page.is_empty() || self.bell.seq() > self.read {
                return self.stored().transpose();
            }
            let mut state = self.bell.state.lock();
            while state.seq <= self.read {
                if state.closed || self.bell.rung.wait_until(&mut state, deadline).timed_out() {
                    return None;
                }
            }
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Record, JournalError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.page.is_empty() {
            let mut state = self.bell.state.lock();
            if state.seq <= self.read {
                if state.closed {
                    return Poll::Ready(None);
                }
                state.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(self.stored().transpose())
    }
}
