//! Decisions that were taken already. A set of rules never changes, so the same question has the same
//! answer as long as the set lives; a reload makes a new set, and with it an empty cache.
//!
//! Questions are compared whole, not by a digest. An attacker who asks ever new questions only drives the
//! cache through its generations: its size is bounded, and a decision is never wrong, only slower.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError, RwLock};

use super::action::Action;
use super::question::{Principal, Question};
use super::set::Decision;

/// So that threads seldom wait for one another.
const SHARDS: usize = 16;
/// Decisions of a shard's younger generation.
const GENERATION: usize = 128;

/// Two generations in each shard: what is asked again lives on, what is not goes with the older one.
#[derive(Debug)]
pub(super) struct Decisions {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Question, Decision>,
    old: HashMap<Question, Decision>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Decisions {
    /// The decision of before, or the one that `decide` takes now.
    pub(super) fn get_or(
        &self,
        question: &Question,
        decide: impl FnOnce() -> Decision,
    ) -> Decision {
        let number = usize::try_from(self.hasher.hash_one(question) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(number) else { return decide() };
        // Nothing that holds the lock can panic half-way through a change.
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().find(question) {
            return found;
        }
        let decision = decide();
        lock().keep(question, &decision);
        decision
    }
}

impl Shard {
    fn find(&mut self, question: &Question) -> Option<Decision> {
        if let Some(found) = self.young.get(question) {
            return Some(found.clone());
        }
        let (question, decision) = self.old.remove_entry(question)?;
        let found = decision.clone();
        self.make_room();
        self.young.insert(question, decision);
        Some(found)
    }

    fn keep(&mut self, question: &Question, decision: &Decision) {
        self.make_room();
        self.young.insert(question.clone(), decision.clone());
    }

    fn make_room(&mut self) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

/// What the scopes of the rules say of somebody and an action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permitted {
    /// It is permitted whatever it is about.
    pub(super) all: bool,
    /// It may be permitted on something.
    pub(super) any: bool,
}

/// What was found out of principals.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<HashMap<Principal, HashMap<Action, Permitted>>>);

impl Known {
    /// Principals that are remembered; those of a host are a few.
    const MOST: usize = 1024;

    pub(super) fn get_or(
        &self,
        principal: &Principal,
        action: Action,
        find: impl FnOnce() -> Permitted,
    ) -> Permitted {
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = known.get(principal).and_then(|actions| actions.get(&action)) {
                return *found;
            }
        }
        let found = find();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST && !known.contains_key(principal) {
            known.clear();
        }
        known.entry(principal.clone()).or_default().insert(action, found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PolicySet, Resource};

    fn question(number: usize) -> Question {
        let who = Principal::new("spiffe://t.sealock/human/jo".parse().unwrap());
        Question::new(who, Action::StatusRead, Resource::Status).with("via", number.to_string())
    }

    #[test]
    fn of_many_principals_the_last_are_remembered() {
        let known = Known::default();
        for number in 0..3 * Known::MOST {
            let who = format!("spiffe://t.sealock/human/jo-{number}").parse().unwrap();
            let who = Principal::new(who);
            let is_odd = number % 2 == 1;
            let find = || Permitted { all: is_odd, any: true };
            assert_eq!(known.get_or(&who, Action::StatusRead, find).all, is_odd);
            let again = || Permitted { all: !is_odd, any: false };
            let found = known.get_or(&who, Action::StatusRead, again);
            assert!(found.all == is_odd && found.any);
        }
        assert!(known.0.read().unwrap().len() <= Known::MOST);
    }

    #[test]
    fn a_question_is_decided_once_and_the_cache_stays_small() {
        let set = PolicySet::load(&[], 1).unwrap();
        let cache = Decisions::default();
        let decide = |number, calls: &mut usize| {
            let question = question(number);
            cache.get_or(&question, || {
                *calls += 1;
                set.decide(&question)
            })
        };
        let mut calls = 0;
        for _ in 0..3 {
            assert!(!decide(0, &mut calls).allowed);
        }
        assert_eq!(calls, 1);
        for number in 1..20_000 {
            decide(number, &mut calls);
            decide(0, &mut calls);
        }
        assert_eq!(calls, 20_000, "what is asked again and again is never forgotten");
        let kept: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.len() + shard.old.len())
            .sum();
        assert!(kept <= SHARDS * 2 * GENERATION, "{kept} are kept");
    }
}
