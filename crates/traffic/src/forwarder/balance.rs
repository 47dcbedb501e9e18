//! Which instance of a service gets the next request: one after another, but for those that could not be reached lately.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long an instance is left alone after the first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// Where it is, for the log.
    pub(super) name: String,
    health: Mutex<Health>,
}

/// How it was lately.
#[derive(Debug, Default)]
struct Health {
    /// Since it was last reached.
    failures: u32,
    /// Until then it is not asked if another one can be.
    until: Option<Instant>,
}

/// The instances of a service.
#[derive(Debug)]
pub(super) struct Balance {
    instances: Vec<Instance>,
    next: AtomicUsize,
}

impl Balance {
    pub(super) fn new(instances: impl IntoIterator<Item = String>) -> Self {
        let instances = instances.into_iter();
        let instances = instances.map(|name| Instance { name, health: Mutex::default() });
        Self { instances: instances.collect(), next: AtomicUsize::new(0) }
    }

    /// The next one that is not among `tried`: one that is well, or else the one that has been left alone for the longest
    /// part of its pause. While somebody tries whether one is back, the others leave it alone.
    pub(super) fn next(&self, now: Instant, tried: &[usize]) -> Option<(usize, &Instance)> {
        let count = self.instances.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let mut best: Option<(Instant, usize, &Instance)> = None;
        for step in 0..count {
            let at = start.wrapping_add(step) % count;
            let Some(instance) = self.instances.get(at).filter(|_| !tried.contains(&at)) else {
                continue;
            };
            let mut health = instance.health.lock();
            match health.until {
                None => return Some((at, instance)),
                Some(until) if until <= now => {
                    health.until = Some(now + pause(health.failures));
                    return Some((at, instance));
                }
                Some(until) if best.is_none_or(|(earliest, ..)| until < earliest) => {
                    best = Some((until, at, instance));
                }
                Some(_) => {}
            }
        }
        best.map(|(_, at, instance)| (at, instance))
    }
}

impl Instance {
    /// It could not be reached. Says whether it was well before.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut health = self.health.lock();
        health.until = Some(now + pause(health.failures));
        health.failures = health.failures.saturating_add(1);
        health.failures == 1
    }

    /// It was reached.
    pub(super) fn is_well(&self) {
        let mut health = self.health.lock();
        if health.failures > 0 {
            *health = Health::default();
        }
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(6)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(count: usize) -> Balance {
        Balance::new((0..count).map(|number| number.to_string()))
    }

    fn next(balance: &Balance, now: Instant, tried: &[usize]) -> Option<usize> {
        balance.next(now, tried).map(|(at, _)| at)
    }

    #[test]
    fn one_after_another_and_no_one_twice() {
        let (balance, now) = (balance(3), Instant::now());
        let order: Vec<_> = (0..6).filter_map(|_| next(&balance, now, &[])).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(next(&balance, now, &[0, 1]), Some(2));
        assert_eq!(next(&balance, now, &[0, 1, 2]), None);
    }

    #[test]
    fn who_fails_is_left_alone_for_longer_each_time_and_comes_back() {
        let (balance, mut now) = (balance(2), Instant::now());
        let bad = &balance.instances[0];
        let is_left_alone = |now| (0..4).all(|_| next(&balance, now, &[]) == Some(1));
        for (number, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert_eq!(bad.failed(now), number == 0);
            let pause = Duration::from_secs(pause);
            assert!(is_left_alone(now + pause - Duration::from_millis(1)), "{pause:?}");
            now += pause;
            let tries = (0..4).filter(|_| next(&balance, now, &[]) == Some(0)).count();
            assert_eq!(tries, 1, "one tries whether it is back");
        }
        bad.is_well();
        let tries = (0..4).filter(|_| next(&balance, now, &[]) == Some(0)).count();
        assert_eq!(tries, 2);
    }

    #[test]
    fn when_none_is_well_the_one_that_may_soonest_be_is_tried() {
        let (balance, now) = (balance(2), Instant::now());
        balance.instances[0].failed(now);
        balance.instances[1].failed(now + Duration::from_millis(5));
        assert_eq!(next(&balance, now, &[]), Some(0));
        assert_eq!(next(&balance, now, &[0]), Some(1));
    }
}
