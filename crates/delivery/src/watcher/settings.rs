//! How patient the watcher is.

use std::time::Duration;

use sealock_core::Timestamp;

/// The label that gives a container to the installation of that scope, and to no other.
pub const SCOPE_LABEL: &str = "sealock.scope";

/// The watcher's settings. The defaults are for a host with up to some thousand containers.
#[derive(Debug, Clone)]
pub struct WatcherSettings {
    /// How long a service may take to serve what was delivered, before that is an alarm.
    pub grace: Duration,
    /// How often all containers are compared with what was delivered, events or not.
    pub resync: Duration,
    /// How many deliveries (and as many looks) are under way at once.
    pub concurrency: usize,
    /// The wait after a first failure; it doubles with each further one.
    pub retry_first: Duration,
    /// The longest wait after a failure.
    pub retry_last: Duration,
    /// After how many failures in a row that is an alarm.
    pub failures_before_alarm: u32,
    /// How long the engine may be away before that is an alarm.
    pub engine_grace: Duration,
    /// How long one delivery may take.
    pub deliver_deadline: Duration,
    /// How long one reload may take.
    pub reload_deadline: Duration,
    /// How long one look at a service may take.
    pub look_deadline: Duration,
    /// How often a service that is in alarm is looked at.
    pub look_again: Duration,
    /// Over how long renewals are spread after the trust bundle has changed.
    pub trust_spread: Duration,
    /// What jitter is made from; two watchers should differ in it.
    pub seed: u64,
    /// Which containers are this watcher's, where several installations share an engine: those whose
    /// label [`SCOPE_LABEL`] has this value; without a scope, those without that label.
    pub scope: Option<String>,
}

impl Default for WatcherSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            resync: Duration::from_secs(60),
            concurrency: 8,
            retry_first: Duration::from_secs(2),
            retry_last: Duration::from_secs(300),
            failures_before_alarm: 3,
            engine_grace: Duration::from_secs(10),
            deliver_deadline: Duration::from_secs(60),
            reload_deadline: Duration::from_secs(20),
            look_deadline: Duration::from_secs(5),
            look_again: Duration::from_secs(60),
            trust_spread: Duration::from_secs(60),
            seed: 0,
            scope: None,
        }
    }
}

impl WatcherSettings {
    /// A share of 1 that depends on nothing but the seed and what it is for.
    fn share(&self, what: &str, key: &str, round: u64) -> f64 {
        let text = format!("{}/{what}/{key}/{round}", self.seed);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let number =
            digest.as_ref().iter().take(4).fold(0_u32, |all, b| (all << 8) | u32::from(*b));
        f64::from(number) / (f64::from(u32::MAX) + 1.0)
    }

    /// When a certificate that was asked for at `from` and ends at `not_after` is renewed: at two thirds
    /// of its life, or up to a twentieth of the life earlier.
    pub(super) fn renew_at(&self, key: &str, from: Timestamp, not_after: Timestamp) -> Timestamp {
        let life = not_after.since(from);
        let round = u64::try_from(from.as_millis()).unwrap_or(0);
        let early = life.mul_f64(self.share("renew", key, round) / 20.0);
        from.plus((life * 2 / 3).saturating_sub(early))
    }

    /// The wait after `failures` in a row: doubling, half of it jitter, never longer than an eighth of
    /// the life that was asked for.
    pub(super) fn retry_after(&self, key: &str, failures: u32, ttl: Duration) -> Duration {
        let longest = self.retry_last.min(ttl / 8).max(self.retry_first);
        let doubled = self.retry_first.saturating_mul(1_u32 << failures.saturating_sub(1).min(20));
        let wait = doubled.min(longest);
        wait / 2 + (wait / 2).mul_f64(self.share("retry", key, u64::from(failures)))
    }

    /// When a certificate is renewed because the trust bundle changed at `changed`.
    pub(super) fn trust_due(&self, key: &str, changed: Timestamp) -> Timestamp {
        changed.plus(self.trust_spread.mul_f64(self.share("trust", key, 0)))
    }

    /// The wait between two looks at a service within the grace time.
    pub(super) fn look_every(&self) -> Duration {
        (self.grace / 20).clamp(Duration::from_millis(200), Duration::from_secs(2))
    }

    /// How old a container's first process must be before it is signalled: a signal to a process that
    /// has not installed its handler yet ends it (ADR 0007).
    pub(super) fn settle(&self, ttl: Duration) -> Duration {
        (self.grace / 2).min(ttl / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_at_two_thirds_or_a_little_before_and_spread() {
        let settings = WatcherSettings::default();
        let from = Timestamp::from_secs(1_000_000);
        let not_after = from.plus(Duration::from_secs(86_400));
        let mut moments = std::collections::BTreeSet::new();
        for index in 0..200 {
            let at = settings.renew_at(&format!("c{index}"), from, not_after);
            assert!(at <= from.plus(Duration::from_secs(57_600)));
            assert!(at >= from.plus(Duration::from_secs(53_280)));
            moments.insert(at);
        }
        assert!(moments.len() > 190, "{} different moments", moments.len());
        let again = settings.renew_at("c0", from, not_after);
        assert_eq!(again, settings.renew_at("c0", from, not_after));
        let other = WatcherSettings { seed: 1, ..WatcherSettings::default() };
        assert_ne!(again, other.renew_at("c0", from, not_after));
    }

    #[test]
    fn retries_wait_longer_and_longer_up_to_a_share_of_the_life() {
        let settings = WatcherSettings::default();
        let day = Duration::from_secs(86_400);
        for (failures, least, most) in [(1, 1, 2), (2, 2, 4), (5, 16, 32), (20, 150, 300)] {
            let wait = settings.retry_after("c", failures, day);
            let range = Duration::from_secs(least)..=Duration::from_secs(most);
            assert!(range.contains(&wait), "{failures}: {wait:?}");
        }
        assert!(settings.retry_after("c", 20, Duration::from_secs(40)) <= Duration::from_secs(5));
        assert!(settings.retry_after("c", u32::MAX, Duration::MAX) <= settings.retry_last);
    }
}
