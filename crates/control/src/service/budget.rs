//! How much of something somebody may have: so much at once, and so much in each second.

use std::collections::HashMap;

use sealock_core::Timestamp;

#[derive(Debug)]
pub(super) struct Budget {
    most: f64,
    per_second: f64,
    left: f64,
    at: Timestamp,
}

impl Budget {
    pub(super) fn new((most, per_second): (f64, f64), now: Timestamp) -> Self {
        Self { most, per_second, left: most, at: now }
    }

    fn fill(&mut self, now: Timestamp) {
        let earned = now.since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(self.most);
    }

    pub(super) fn is_full(&mut self, now: Timestamp) -> bool {
        self.fill(now);
        self.left >= self.most
    }

    /// Whether there is room for one more.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        self.take_many(1, now)
    }

    /// Whether there is room for so many more; all of them or none.
    pub(super) fn take_many(&mut self, count: u32, now: Timestamp) -> bool {
        self.fill(now);
        let enough = self.left >= f64::from(count);
        if enough {
            self.left -= f64::from(count);
        }
        enough
    }
}

/// Of one identity at once, and its part in a second: how many secrets it may read.
pub(super) const READINGS: (f64, f64) = (10_000.0, 100.0);
/// The same of tokens that it may have.
pub(super) const TOKENS: (f64, f64) = (2000.0, 20.0);

/// The same of places in the directory of services that its Gatekeepers may take anew.
pub(super) const JOINS: (f64, f64) = (600.0, 0.2);

/// How much of something each identity may have: each is a record on the disk for ever. Administrators on this host
/// have no such limit.
#[derive(Debug)]
pub(super) struct Budgets {
    own: (f64, f64),
    each: HashMap<String, Budget>,
}

impl Budgets {
    /// Identities that are told apart.
    const IDENTITIES: usize = 10_000;

    pub(super) fn new(own: (f64, f64)) -> Self {
        Self { own, each: HashMap::new() }
    }

    /// Whether there is room for so many more of somebody.
    pub(super) fn take(&mut self, who: &str, count: u32, now: Timestamp) -> bool {
        if self.each.len() >= Self::IDENTITIES && !self.each.contains_key(who) {
            // Whoever has not used any of theirs is as if never seen.
            self.each.retain(|_, budget| !budget.is_full(now));
            if self.each.len() >= Self::IDENTITIES {
                return false;
            }
        }
        let own = self.own;
        let budget = self.each.entry(who.to_owned()).or_insert_with(|| Budget::new(own, now));
        budget.take_many(count, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn readings_have_a_budget_that_fills_up_again() {
        let start = Timestamp::from_secs(1000);
        let mut budgets = Budgets::new(READINGS);
        assert!(budgets.take("a", 9_999, start));
        assert!(!budgets.take("a", 2, start) && budgets.take("a", 1, start));
        assert!(budgets.take("b", 10_000, start), "each has its own");
        assert!(!budgets.take("b", 1, start));
        let later = start.plus(Duration::from_secs(2));
        assert!(budgets.take("a", 200, later) && !budgets.take("a", 1, later));
    }
}
