//! Sends a request to the app, and once more if it could not be reached.
//!
//! Only what has no effect more than once (RFC 9110 §9.2.2), and only when no connection was made, so that the app has
//! nothing of the request. How often that is done altogether has a budget: retries must not be what an app that comes
//! back drowns in.

use std::time::Duration;

use hyper::{Method, Request, Response};
use parking_lot::Mutex;
use sealock_core::Timestamp;
use sealock_net::proxy::{RequestBody, Upstream, UpstreamBody, UpstreamError};

use super::Gatekeeper;

/// Before the first try again; twice as long before each other.
const PAUSE: Duration = Duration::from_millis(25);
/// But no longer than that.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Over which the budget is counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Retries in a window that are always there, for services that are seldom called.
const ALWAYS: u64 = 3;

/// How often a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Times, after the first one.
    pub most: u32,
    /// In the last seconds, how many there may be for a hundred requests.
    pub percent: u32,
}

/// What is left of the retries. Looked at only when there is one to be made.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    /// When the window began.
    began: i64,
    /// How many requests there had been then.
    before: u64,
    retried: u64,
}

impl Budget {
    /// Takes one, if there is one. `requests` are all that there have been.
    fn take(&self, now: Timestamp, requests: u64, percent: u32) -> bool {
        let now = now.as_millis();
        let mut spent = self.0.lock();
        let window = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
        if !(0..window).contains(&now.saturating_sub(spent.began)) {
            *spent = Spent { began: now, before: requests, retried: 0 };
        }
        let fresh = requests.saturating_sub(spent.before);
        let most = ALWAYS.saturating_add(fresh.saturating_mul(percent.into()) / 100);
        let is_left = spent.retried < most;
        spent.retried += u64::from(is_left);
        is_left
    }
}

impl Gatekeeper {
    pub(super) async fn sent(
        &self,
        app: &Upstream,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let retries = self.settings.retries;
        let mut tried = 0;
        loop {
            let outcome = app.try_forward(&mut request).await;
            let is_worth_it = tried < retries.most
                && outcome.as_ref().is_err_and(UpstreamError::is_unreached)
                && is_idempotent(request.method())
                && self.budget.take(
                    self.clock.now(),
                    self.metrics.all_forwarded(),
                    retries.percent,
                );
            if !is_worth_it {
                return outcome;
            }
            tried += 1;
            self.metrics.retried();
            // In a box: it is seldom needed, and every request would have room for it.
            Box::pin(tokio::time::sleep(pause(tried))).await;
        }
    }
}

/// Half of it to all of it: those who failed together do not come back together.
fn pause(tried: u32) -> Duration {
    let doubled = 1_u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX);
    let most = PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    let mut byte = [0];
    // Without randomness all come together, and nothing worse.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    most / 2 + most.mul_f32(f32::from(byte[0]) / 512.0)
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + seconds)
    }

    #[test]
    fn there_are_never_more_than_the_budget() {
        let budget = Budget::default();
        let taken = |seconds, requests| {
            (0..1000).filter(|_| budget.take(at(seconds), requests, 20)).count()
        };
        // What there was before the window does not count.
        assert_eq!(taken(0, 100_000), 3);
        assert_eq!(taken(5, 100_050), 10);
        assert_eq!(taken(9, 100_050), 0);
        assert_eq!(taken(10, 100_050), 3);
        assert_eq!(taken(11, 101_050), 200);
        // The clock is set back.
        assert_eq!(taken(-500, 101_050), 3);
    }

    #[test]
    fn pauses_grow_and_are_spread() {
        for (tried, most) in [(1, 25), (2, 50), (3, 100), (5, 400), (6, 500), (60, 500)] {
            for _ in 0..100 {
                let pause = pause(tried);
                let most = Duration::from_millis(most);
                assert!(pause >= most / 2 && pause <= most, "{tried}: {pause:?}");
            }
        }
    }

    #[test]
    fn what_has_an_effect_each_time_is_sent_once() {
        for method in [Method::POST, Method::PATCH, Method::CONNECT, Method::TRACE] {
            assert!(!is_idempotent(&method));
        }
        assert!(!is_idempotent(&Method::from_bytes(b"REBOOT").unwrap()));
        assert!(is_idempotent(&Method::PUT));
    }
}
