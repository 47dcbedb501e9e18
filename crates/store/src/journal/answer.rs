//! A one-shot answer that can be awaited by any executor or waited for by a thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Given(T),
    /// The sender is gone, or the answer was taken.
    Gone,
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    given: Condvar,
}

/// The end that answers. Dropped without doing so, it says that there will be none.
#[derive(Debug)]
pub(super) struct Reply<T>(Arc<Slot<T>>);

/// The end that waits; resolves to `None` when no answer will come.
#[derive(Debug)]
pub(super) struct Answer<T>(Arc<Slot<T>>);

pub(super) fn pair<T>() -> (Reply<T>, Answer<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)), given: Condvar::new() });
    (Reply(Arc::clone(&slot)), Answer(slot))
}

impl<T> Slot<T> {
    fn settle(&self, settled: State<T>) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Waiting(_)) {
            return;
        }
        let before = std::mem::replace(&mut *state, settled);
        drop(state);
        self.given.notify_one();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Reply<T> {
    pub(super) fn give(self, value: T) {
        self.0.settle(State::Given(value));
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.0.settle(State::Gone);
    }
}

impl<T> Answer<T> {
    pub(super) fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock();
        while matches!(*state, State::Waiting(_)) {
            self.0.given.wait(&mut state);
        }
        match std::mem::replace(&mut *state, State::Gone) {
            State::Given(value) => Some(value),
            State::Waiting(_) | State::Gone => None,
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.state.lock();
        if let State::Waiting(waker) = &mut *state {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Gone) {
            State::Given(value) => Poll::Ready(Some(value)),
            State::Waiting(_) | State::Gone => Poll::Ready(None),
        }
    }
}
