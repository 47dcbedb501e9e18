//! When a certificate begins and ends: as the profile says, or exactly as was asked. What cannot be given is refused, and nothing
//! else is given in its place (RFC 8555 §7.4).

use std::time::Duration;

use sealock_acme::problem::AcmeProblem;
use sealock_core::Timestamp;

use super::super::Service;
use crate::config::AcmeProfile;

/// `notBefore` and `notAfter`.
pub(super) type Moments = (Option<Timestamp>, Option<Timestamp>);

/// So far from now `notBefore` may be when something is ordered: clocks differ, and requests take their time.
const BEFORE_NOW: Duration = Duration::from_secs(300);
const AFTER_NOW: Duration = Duration::from_secs(60);

/// What can be said when something is ordered, and not later.
pub(super) fn check_moments(
    (not_before, not_after): Moments,
    now: Timestamp,
) -> Result<(), AcmeProblem> {
    for (name, asked) in [("notBefore", not_before), ("notAfter", not_after)] {
        if asked.is_some_and(|asked| Timestamp::from_secs(asked.as_secs()) != asked) {
            let text = format!("{name} is in whole seconds, as certificates have it");
            return Err(AcmeProblem::malformed(text));
        }
    }
    let Some(asked) = not_before else { return Ok(()) };
    if asked > now.plus(AFTER_NOW) {
        return Err(AcmeProblem::malformed("notBefore in the future is not offered"));
    }
    if asked < now.minus(BEFORE_NOW) {
        let text = "notBefore in the past is not offered: leave it out, or say now";
        return Err(AcmeProblem::malformed(text));
    }
    Ok(())
}

impl Service {
    /// How long the certificate lives from now on: as the profile says, or exactly as was asked. An order may have been
    /// open for a day, and its certificate begins when it was asked to: its whole life is what is bounded.
    pub(super) fn acme_life(
        &self,
        terms: &AcmeProfile,
        (not_before, not_after): Moments,
    ) -> Result<Duration, AcmeProblem> {
        let now = self.journal.clock().now();
        let longest = terms.life.min(self.config().settings.authority.longest_life);
        let latest = not_before.map_or(now, |begins| begins.min(now)).plus(longest);
        match not_after {
            None if latest <= now => Err(AcmeProblem::malformed("notBefore is too long ago")),
            None => Ok(latest.since(now)),
            Some(asked) if asked <= now => Err(AcmeProblem::malformed("notAfter is over")),
            Some(asked) if asked > latest => {
                let latest = Timestamp::from_secs(latest.as_secs());
                let text = format!("notAfter is later than is offered: {latest} at the latest");
                Err(AcmeProblem::malformed(text))
            }
            Some(asked) => Ok(asked.since(now)),
        }
    }
}
