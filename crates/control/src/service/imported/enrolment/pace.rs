//! When something is asked for: rarely enough, and never by all at once.

use std::time::Duration;

use sealock_authority::imported::Standing;
use sealock_core::Timestamp;

/// After the first failure, and at most: a CA is not asked by all of its certificates again and again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// Between two tries, however much somebody wants it.
pub(super) const HASTE: Duration = Duration::from_secs(10);
/// Between two that are due as soon as they are here.
const AGAIN: Duration = Duration::from_secs(86_400);
/// Nothing waits longer for its next try, whatever a server says.
pub(super) const LATEST: Duration = Duration::from_secs(86_400);
/// A successor is asked for within this share of a life, and no more than an hour, after it could be.
const JITTER: (u32, Duration) = (48, Duration::from_secs(3600));

/// A number from 0 to 1 that is the same for the same text.
pub(crate) fn share(text: &str) -> f64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().first_chunk::<4>().copied().unwrap_or_default();
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// After so many failures; never the same for all certificates of a host, or all hosts of a company.
pub(super) fn pause(tries: u32, key: &str) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << tries.min(12)).min(LONGEST_PAUSE);
    whole.mul_f64(1.0 + share(&format!("{key} {tries}")) / 4.0)
}

/// A first certificate at once, a successor not at the same moment as all others.
pub(super) fn first(standing: &Standing, now: Timestamp) -> Timestamp {
    let Some(waiting) = &standing.waiting else { return now };
    let Some(held) = standing.held.as_ref().filter(|_| waiting.renewal) else { return now };
    let (part, most) = JITTER;
    let span = (held.not_after.since(held.not_before) / part).min(most);
    // A clock that was set back does not put it off until the old future.
    let next = waiting.since.min(now).plus(span.mul_f64(share(&waiting.key)));
    if held.renewal_due() > held.imported || held.imported > now {
        return next;
    }
    // It was due when it came: by our clock, or the server's, the next would be so, too, and the one after that.
    let left = held.not_after.since(held.imported);
    next.max(held.imported.plus(AGAIN.min(left / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_rarer_and_rarer_and_never_at_the_same_time_for_all() {
        let pauses: Vec<Duration> = (0..20).map(|tries| pause(tries, "a")).collect();
        for (tries, pause) in pauses.iter().enumerate() {
            let least = FIRST_PAUSE * (1 << tries.min(12));
            assert!(*pause >= least.min(LONGEST_PAUSE), "{tries}: {pause:?}");
            assert!(*pause <= LONGEST_PAUSE * 5 / 4, "{tries}: {pause:?}");
        }
        assert!(pauses[0] < FIRST_PAUSE * 2);
        assert_ne!(pause(3, "a"), pause(3, "b"));
        assert!(pause(u32::MAX, "a") >= LONGEST_PAUSE);
    }
}
