//! Watches: what is committed under a prefix, in order, as it happens.
//!
//! Each watch has a bounded queue. A reader that falls behind loses what did not fit and is told so by
//! [`WatchEvent::Missed`]; it then has to read the range anew. A writer never waits for a reader.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use parking_lot::{Condvar, Mutex};

use crate::transaction::Versioned;

/// How many events a watch holds for a slow reader.
const CAPACITY: usize = 1024;

/// One thing a watch saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// An entry was written.
    Put {
        /// Its key.
        key: Vec<u8>,
        /// What it holds now.
        entry: Versioned,
    },
    /// An entry was deleted, or was swept after it had expired.
    Deleted {
        /// Its key.
        key: Vec<u8>,
    },
    /// Events were lost because they were not read in time: read the range anew.
    Missed,
}

impl WatchEvent {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Put { key, .. } | Self::Deleted { key } => Some(key),
            Self::Missed => None,
        }
    }
}

#[derive(Debug, Default)]
struct Inbox {
    events: VecDeque<WatchEvent>,
    waker: Option<Waker>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    prefix: Vec<u8>,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

/// The reading end of a watch: a [`Stream`] for async callers, [`Watch::next_within`] for the others.
/// It ends when the store is closed.
#[derive(Debug)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// The next event if one is there already.
    pub fn try_next(&self) -> Option<WatchEvent> {
        self.0.inbox.lock().events.pop_front()
    }

    /// The next event, waiting at most `limit` for it; `None` then, or when the store was closed.
    pub fn next_within(&self, limit: Duration) -> Option<WatchEvent> {
        let deadline = Instant::now() + limit;
        let mut inbox = self.0.inbox.lock();
        loop {
            if let Some(event) = inbox.events.pop_front() {
                return Some(event);
            }
            if inbox.closed || self.0.arrived.wait_until(&mut inbox, deadline).timed_out() {
                return inbox.events.pop_front();
            }
        }
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        let mut inbox = self.0.inbox.lock();
        if let Some(event) = inbox.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if inbox.closed {
            return Poll::Ready(None);
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The writing end of all watches of one store.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Vec<Weak<Shared>>>);

impl Watches {
    pub(crate) fn add(&self, prefix: &[u8]) -> Watch {
        let shared = Arc::new(Shared {
            prefix: prefix.to_vec(),
            inbox: Mutex::default(),
            arrived: Condvar::new(),
        });
        let mut all = self.0.lock();
        all.retain(|watch| watch.strong_count() > 0);
        all.push(Arc::downgrade(&shared));
        Watch(shared)
    }

    /// Whether anybody would hear; lets a commit save the copies.
    pub(crate) fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    pub(crate) fn publish(&self, events: &[WatchEvent]) {
        if events.is_empty() {
            return;
        }
        let mut all = self.0.lock();
        all.retain(|watch| watch.strong_count() > 0);
        for watch in all.iter().filter_map(Weak::upgrade) {
            watch.deliver(events);
        }
    }
}

impl Shared {
    fn deliver(&self, events: &[WatchEvent]) {
        let mut inbox = self.inbox.lock();
        for event in events {
            if !event.key().is_some_and(|key| key.starts_with(&self.prefix)) {
                continue;
            }
            if inbox.events.len() >= CAPACITY {
                inbox.events.clear();
                inbox.events.push_back(WatchEvent::Missed);
            }
            inbox.events.push_back(event.clone());
        }
        self.arrived.notify_all();
        if !inbox.events.is_empty() {
            wake(inbox.waker.take());
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for watch in self.0.get_mut().iter().filter_map(Weak::upgrade) {
            let mut inbox = watch.inbox.lock();
            inbox.closed = true;
            watch.arrived.notify_all();
            wake(inbox.waker.take());
        }
    }
}
