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

/// How much of something is recorded: of one identity, and of all together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    own: (f64, f64),
    all: (f64, f64),
}

/// Of denials.
pub(super) const DENIALS: Room = Room { own: (100.0, 2.0), all: (2000.0, 20.0) };
/// Of calls that a mode lets pass, each once: an app has more of them at its start than later.
pub(super) const PASSED: Room = Room { own: (1000.0, 2.0), all: (10_000.0, 20.0) };

/// How much that others can bring about over the network is recorded: who may do nothing must not be able to fill the
/// disk with records of it, nor to hide others' among theirs. What is beyond that is left out, and the next record says
/// how much; what is permitted is not affected.
#[derive(Debug)]
pub(super) struct RecordBudgets {
    own: (f64, f64),
    everybody: Budget,
    each: HashMap<String, Each>,
}

#[derive(Debug)]
struct Each {
    budget: Budget,
    unrecorded: u64,
}

impl RecordBudgets {
    /// Identities that are told apart.
    const IDENTITIES: usize = 10_000;

    pub(super) fn new(room: Room, now: Timestamp) -> Self {
        Self { own: room.own, everybody: Budget::new(room.all, now), each: HashMap::new() }
    }

    /// Whether there is room for one more of somebody; with how many of theirs were left out since the last.
    pub(super) fn take(&mut self, who: &str, now: Timestamp) -> Option<u64> {
        if self.each.len() >= Self::IDENTITIES && !self.each.contains_key(who) {
            // Whoever has not used any of theirs is as if never seen.
            self.each.retain(|_, each| !each.budget.is_full(now) || each.unrecorded > 0);
            if self.each.len() >= Self::IDENTITIES {
                return None;
            }
        }
        let own = self.own;
        let each = self
            .each
            .entry(who.to_owned())
            .or_insert_with(|| Each { budget: Budget::new(own, now), unrecorded: 0 });
        if each.budget.take(now) && self.everybody.take(now) {
            return Some(std::mem::take(&mut each.unrecorded));
        }
        each.unrecorded += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_has_a_budget_of_denials_that_fills_up_again() {
        let start = Timestamp::from_secs(1000);
        let mut budgets = RecordBudgets::new(DENIALS, start);
        let taken = |budgets: &mut RecordBudgets, who: &str, now| {
            (0..500).filter(|_| budgets.take(who, now).is_some()).count()
        };
        assert_eq!(taken(&mut budgets, "jo", start), 100);
        assert_eq!(taken(&mut budgets, "al", start), 100, "one hides nothing of another");
        let later = start.plus(Duration::from_secs(5));
        assert_eq!(budgets.take("jo", later), Some(400), "what was left out is told");
        assert_eq!(taken(&mut budgets, "jo", later), 9);
        assert_eq!(taken(&mut budgets, "jo", start), 0, "a clock that was set back earns nothing");
        let long = later.plus(Duration::from_secs(86_400));
        assert_eq!(taken(&mut budgets, "jo", long), 100);
    }

    #[test]
    fn a_crowd_does_not_fill_the_disk_or_the_memory() {
        let start = Timestamp::from_secs(1000);
        let mut budgets = RecordBudgets::new(DENIALS, start);
        let all = (0..30_000).filter(|who| budgets.take(&who.to_string(), start).is_some()).count();
        assert_eq!(all, 2000);
        assert!(budgets.each.len() <= RecordBudgets::IDENTITIES);
    }

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
