//! The bounded queue between those who submit changes and the writer's thread.
//!
//! Submitters wait for room either as a thread or as a future; the writer takes whatever is there.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    wakers: Vec<Waker>,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    arrived: Condvar,
    taken: Condvar,
}

/// The queue takes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

enum Offered<T> {
    Taken,
    Full(T),
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), closed: false, wakers: Vec::new() };
        Self { capacity, state: Mutex::new(state), arrived: Condvar::new(), taken: Condvar::new() }
    }

    fn offer(&self, state: &mut State<T>, item: T) -> Offered<T> {
        if state.closed {
            return Offered::Closed;
        }
        if state.items.len() >= self.capacity {
            return Offered::Full(item);
        }
        state.items.push_back(item);
        if state.items.len() == 1 {
            self.arrived.notify_one();
        }
        Offered::Taken
    }

    /// Puts `item` in, waiting for room.
    pub(super) fn push_blocking(&self, mut item: T) -> Result<(), Closed> {
        let mut state = self.state.lock();
        loop {
            match self.offer(&mut state, item) {
                Offered::Taken => return Ok(()),
                Offered::Closed => return Err(Closed),
                Offered::Full(back) => item = back,
            }
            self.taken.wait(&mut state);
        }
    }

    /// Puts `item` in once there is room.
    pub(super) async fn push(&self, item: T) -> Result<(), Closed> {
        let mut item = Some(item);
        poll_fn(|context| {
            let Some(offered) = item.take() else { return Poll::Ready(Ok(())) };
            let mut state = self.state.lock();
            match self.offer(&mut state, offered) {
                Offered::Taken => Poll::Ready(Ok(())),
                Offered::Closed => Poll::Ready(Err(Closed)),
                Offered::Full(back) => {
                    item = Some(back);
                    state.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Up to `most` items, waiting for the first; `None` when the queue is closed and empty.
    pub(super) fn take(&self, most: usize) -> Option<Vec<T>> {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let count = most.min(state.items.len());
        let items = state.items.drain(..count).collect();
        self.wake(&mut state);
        Some(items)
    }

    /// From now on nothing goes in; what is in comes out.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.arrived.notify_all();
        self.wake(&mut state);
    }

    fn wake(&self, state: &mut State<T>) {
        self.taken.notify_all();
        for waker in state.wakers.drain(..) {
            waker.wake();
        }
    }
}
