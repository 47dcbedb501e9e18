//! Calls that Gatekeepers let pass in the modes `audit` and `learn`: which of them are recorded.
//!
//! For the smallest policy each of them is enough once, however often it is made and by however many Gatekeepers it is
//! reported. So the same one is recorded once for each policy, and what there was no room for is recorded when it is
//! reported again: a Gatekeeper does that.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use sealock_core::Timestamp;
use sealock_core::policy::Question;

use super::budget::{PASSED, RecordBudgets};

/// So many are known again; after that, each is recorded once more.
const KNOWN: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct PassedCalls {
    /// Keyed anew at each start, so that nobody can have two calls be the same.
    hasher: RandomState,
    recorded: HashSet<u64>,
    budgets: RecordBudgets,
}

/// A call by a policy, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed(u64);

impl PassedCalls {
    pub(super) fn new(now: Timestamp) -> Self {
        let budgets = RecordBudgets::new(PASSED, now);
        Self { hasher: RandomState::new(), recorded: HashSet::new(), budgets }
    }

    /// Whether this is to be recorded; with how many of the caller's were left out since the last.
    pub(super) fn take(
        &mut self,
        question: &Question,
        epoch: u64,
        who: &str,
        now: Timestamp,
    ) -> Option<(Passed, u64)> {
        let call = Passed(self.hasher.hash_one((question, epoch)));
        if self.recorded.contains(&call.0) {
            return None;
        }
        self.budgets.take(who, now).map(|unrecorded| (call, unrecorded))
    }

    /// It is in the log.
    pub(super) fn keep(&mut self, Passed(call): Passed) {
        if self.recorded.len() >= KNOWN {
            self.recorded.clear();
        }
        self.recorded.insert(call);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sealock_core::policy::{Action, Principal, Resource};

    use super::*;

    fn question(path: &str) -> Question {
        let identity: sealock_core::Identity = "spiffe://t.sealock/service/shop".parse().unwrap();
        let service = Resource::Service { identity: identity.clone(), groups: Vec::new() };
        Question::new(Principal::new(identity), Action::HttpCall, service)
            .with("method", "GET")
            .with("path", path)
    }

    #[test]
    fn each_call_is_recorded_once_for_each_policy_and_what_was_left_out_comes_again() {
        let start = Timestamp::from_secs(1000);
        let mut passed = PassedCalls::new(start);
        let mut report = |epoch: u64, now| {
            let mut recorded = 0;
            for number in 0..1500 {
                let question = question(&format!("/orders/{number}"));
                if let Some((call, _)) = passed.take(&question, epoch, "shop", now) {
                    passed.keep(call);
                    recorded += 1;
                }
            }
            recorded
        };
        assert_eq!(report(1, start), 1000);
        let later = start.plus(Duration::from_secs(600));
        assert_eq!(report(1, later), 500, "those that were left out, and no other");
        assert_eq!(report(1, later), 0);
        assert_eq!(report(2, later), 500, "by another policy it is another call");
    }

    #[test]
    fn what_is_known_again_has_a_bound() {
        let mut passed = PassedCalls::new(Timestamp::from_secs(1000));
        for number in 0..3 * KNOWN as u64 {
            passed.keep(Passed(number));
        }
        assert!(passed.recorded.len() <= KNOWN);
    }
}
