//! Whose turn it is: so much is done at once for each of those who ask, such as containers, and so much for all together.
//! Work that nobody waits for any more still has its turn until it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Gives turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    /// Turns of one of them.
    most: usize,
    each: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _one: OwnedSemaphorePermit,
}

impl Turns {
    /// As many at once for each, and for all together.
    pub(crate) fn new(each: usize, all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), most: each, each: Arc::default() }
    }

    /// One for whoever this is. `None` never happens while the daemon lives.
    pub(crate) async fn take(&self, who: &str) -> Option<Turn> {
        let own = self.of(who);
        // One's own first: who waits for that takes no place of others.
        let own = own.acquire_owned().await.ok()?;
        let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _own: own, _one: one })
    }

    fn of(&self, who: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock();
        each.retain(|_, turns| turns.strong_count() > 0);
        if let Some(turns) = each.get(who).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(self.most));
        each.insert(who.to_owned(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_has_its_turns_takes_none_of_others() {
        let turns = Turns::new(4, 32);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(turns.take("a").await.unwrap());
        }
        assert!(turns.take("a").now_or_never().is_none());
        let other = turns.take("b").await.unwrap();
        held.pop();
        assert!(turns.take("a").now_or_never().is_some());
        drop((held, other));
        turns.of("c");
        assert_eq!(turns.each.lock().len(), 1, "who is gone is forgotten");
    }
}
