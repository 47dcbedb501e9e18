//! Many calls at once, without many starting at once.
//!
//! Starting a process costs its parent more the more others do the same; waiting for one costs nothing. So a
//! thread is added only when all others wait for their providers, and only a few of them start one at a time.
//! Where providers are quick, a handful of threads does all the work; where they wait for a server, there
//! will soon be as many as allowed.

use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

/// What a thread that watches a provider needs, and more.
const STACK: usize = 256 * 1024;

/// Does `work` for 0 to `count` - 1, at most `at_once` at a time, and returns what came of it in order. `work`
/// is to say when it has done the part that is better done alone.
///
/// The calling thread works too, so a system that gives no more threads makes it slower and nothing else.
pub(super) fn in_parallel<T, W>(count: usize, at_once: NonZeroUsize, work: W) -> Vec<T>
where
    T: Send,
    W: Fn(usize, &dyn Fn()) -> T + Sync,
{
    let starters = thread::available_parallelism().map_or(2, NonZeroUsize::get).max(2);
    let crew = Crew {
        work,
        count,
        at_once: at_once.get(),
        starters,
        state: Mutex::new(State { next: 0, threads: 1, waiting: 0, starting: 0, done: Vec::new() }),
        turn: Condvar::new(),
    };
    thread::scope(|scope| crew.take_part(scope));
    let state = crew.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut done = state.done;
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

struct Crew<T, W> {
    work: W,
    count: usize,
    at_once: usize,
    /// How many may start something at a time.
    starters: usize,
    state: Mutex<State<T>>,
    turn: Condvar,
}

struct State<T> {
    next: usize,
    threads: usize,
    /// How many threads have nothing to do but wait for their turn.
    waiting: usize,
    starting: usize,
    done: Vec<(usize, T)>,
}

impl<T: Send, W: Fn(usize, &dyn Fn()) -> T + Sync> Crew<T, W> {
    fn take_part<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        while let Some(index) = self.begin() {
            let started = std::cell::Cell::new(false);
            let result = (self.work)(index, &|| {
                if !started.replace(true) {
                    self.started(scope);
                }
            });
            if !started.get() {
                self.started(scope);
            }
            self.state().done.push((index, result));
        }
    }

    /// Waits for its turn; nothing when there is no more to do.
    fn begin(&self) -> Option<usize> {
        let mut state = self.state();
        state.waiting += 1;
        while state.starting >= self.starters && state.next < self.count {
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        if state.next >= self.count {
            return None;
        }
        let index = state.next;
        state.next += 1;
        state.starting += 1;
        Some(index)
    }

    /// Lets the next one begin, and finds somebody for it.
    fn started<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let mut state = self.state();
        state.starting -= 1;
        let more = state.waiting == 0 && state.next < self.count && state.threads < self.at_once;
        if more {
            state.threads += 1;
        }
        drop(state);
        self.turn.notify_all();
        let builder = thread::Builder::new().stack_size(STACK).name("provider".to_owned());
        if more && builder.spawn_scoped(scope, move || self.take_part(scope)).is_err() {
            self.state().threads -= 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_are_in_order_and_each_is_made_once() {
        for (count, at_once) in [(0, 1), (1, 4), (5, 1), (200, 16)] {
            let made = AtomicUsize::new(0);
            let results =
                in_parallel(count, NonZeroUsize::new(at_once).unwrap(), |index, started| {
                    if index % 3 == 0 {
                        started();
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                    index * 2
                });
            assert_eq!(results, (0..count).map(|index| index * 2).collect::<Vec<_>>());
            assert_eq!(made.load(Ordering::Relaxed), count);
        }
    }

    #[test]
    fn as_many_wait_at_once_as_are_allowed() {
        let barrier = Barrier::new(16);
        let at_once = NonZeroUsize::new(16).unwrap();
        // Nobody gets on before sixteen are there.
        let results = in_parallel(32, at_once, |_, started| {
            started();
            barrier.wait();
        });
        assert_eq!(results.len(), 32);
    }
}
