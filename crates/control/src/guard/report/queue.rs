//! Denials that wait to be told: so few of each caller that none has the queue to itself.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::command::CallDenied;
use crate::service::CALLS_AT_ONCE;

/// Denials that wait. More are not: who makes so many is told of already.
pub(super) const WAITING: usize = 1024;
/// Of one caller.
pub(super) const SHARE: usize = WAITING / 8;
/// Bytes of one report, but that it has one denial at least. A broker takes two megabytes from a container.
pub(super) const BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With how many bytes each is in a report.
    all: VecDeque<(usize, CallDenied)>,
    /// How many there are of each caller.
    of: HashMap<String, usize>,
}

impl Queue {
    /// Whether there is room for it.
    pub(super) fn put(&self, denied: CallDenied) -> bool {
        let mut waiting = self.waiting.lock();
        let own = waiting.of.get(&denied.caller).copied().unwrap_or_default();
        if waiting.all.len() >= WAITING || own >= SHARE {
            return false;
        }
        // Only texts are in it, which always can be written; with the comma behind it.
        let length = serde_json::to_vec(&denied).map_or(0, |text| text.len() + 1);
        waiting.of.insert(denied.caller.clone(), own + 1);
        waiting.all.push_back((length, denied));
        drop(waiting);
        self.news.notify_one();
        true
    }

    /// What goes into the next report; waits until there is something. For one task.
    pub(super) async fn batch(&self) -> Vec<CallDenied> {
        loop {
            let batch = self.waiting.lock().take();
            if !batch.is_empty() {
                return batch;
            }
            self.news.notified().await;
        }
    }
}

impl Waiting {
    fn take(&mut self) -> Vec<CallDenied> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some((length, denied)) = self.all.pop_front() {
            let is_full = batch.len() >= CALLS_AT_ONCE || bytes + length > BYTES;
            if is_full && !batch.is_empty() {
                self.all.push_front((length, denied));
                break;
            }
            if let Some(own) = self.of.get_mut(&denied.caller) {
                *own -= 1;
            }
            bytes += length;
            batch.push(denied);
        }
        self.of.retain(|_, own| *own > 0);
        batch
    }
}
