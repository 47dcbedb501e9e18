//! A deadline for whatever a connection waits for. The timer is kept from one request to the next and may ring too early:
//! setting one for each request would cost more than the checks.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of a connection, on which one request is at work at a time.
#[derive(Debug, Default)]
pub(super) struct Patience(Mutex<Option<Pin<Box<Sleep>>>>);

impl Patience {
    /// What comes of `work`, or none if for so long neither that ended nor `moves` gave another number.
    pub(super) async fn with<T>(
        &self,
        most: Duration,
        moves: impl Fn() -> u64,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let (mut deadline, mut before) = (None, 0);
        let mut timer = self.0.lock().take();
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            // A timer further away than what is waited for would ring too late; all wait for as long.
            let until = *deadline.get_or_insert_with(|| Instant::now() + most);
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            // With the task's budget used up, it would not be set at all.
            while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
                let now = Instant::now();
                let mut next = *deadline.get_or_insert(now);
                if now >= next {
                    let moved = moves();
                    if moved == before {
                        return Poll::Ready(None);
                    }
                    (before, next) = (moved, now + most);
                    deadline = Some(next);
                }
                timer.as_mut().reset(next);
            }
            Poll::Pending
        })
        .await;
        *self.0.lock() = timer;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_does_not_move_is_waited_for_no_longer_than_allowed() {
        let patience = Patience::default();
        for _ in 0..3 {
            let begun = Instant::now();
            let done = patience.with(MOST, || 0, async { sleep(MOST / 2).await }).await;
            assert!(done.is_some() && begun.elapsed() < MOST);
        }
        // The timer is one of before, and rings too early.
        for _ in 0..3 {
            let begun = Instant::now();
            assert!(patience.with(MOST, || 0, pending::<()>()).await.is_none());
            let waited = begun.elapsed();
            assert!(waited >= MOST && waited < MOST + Duration::from_secs(1), "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_waited_for() {
        let patience = Patience::default();
        let begun = Instant::now();
        // Something moves for a minute, and then no more.
        let moves = || begun.elapsed().as_secs().min(60);
        assert!(patience.with(MOST, moves, pending::<()>()).await.is_none());
        let waited = begun.elapsed();
        assert!(waited >= MOST * 6 && waited <= MOST * 9, "{waited:?}");
    }
}
