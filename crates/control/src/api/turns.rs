//! Whose turn it is: containers have so many commands under way, each its own number and all together theirs. A command
//! that nobody waits for any more still has its turn until it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Commands of all containers together. The rest of the daemon has many more threads.
const ALL: usize = 32;
/// Commands of one container.
const EACH: usize = 4;

/// Gives turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    each: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _one: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), each: Arc::default() }
    }

    /// Of a container. `None` never happens while the daemon lives.
    pub(crate) async fn take(&self, container: &str) -> Option<Turn> {
        let own = self.of(container);
        // One's own first: who waits for that takes no place of others.
        let own = own.acquire_owned().await.ok()?;
        let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _own: own, _one: one })
    }

    fn of(&self, container: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock();
        each.retain(|_, turns| turns.strong_count() > 0);
        if let Some(turns) = each.get(container).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(EACH));
        each.insert(container.to_owned(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_container_has_its_turns_and_takes_none_of_others() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..EACH {
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
