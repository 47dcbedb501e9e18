//! What passes in the modes `audit` and `learn`, and is told once: for the smallest policy that is enough.
//!
//! It is told again after a while, for what the broker had no room for, or has lost, it records then.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use sealock_core::policy::Question;

/// The same is told again after so long.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// So many are known again; after that, each is told once more.
pub(super) const KNOWN: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Once {
    /// Keyed anew at each start, so that nobody can have two calls be the same.
    hasher: RandomState,
    told: HashMap<u64, Instant>,
}

/// A call by a policy, in short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed(u64);

impl Once {
    /// The call, if it is to be told.
    pub(super) fn is_news(&self, question: &Question, epoch: u64, now: Instant) -> Option<Passed> {
        let call = self.hasher.hash_one((question, epoch));
        let told = self.told.get(&call);
        let is_old = told.is_none_or(|told| now.saturating_duration_since(*told) >= AGAIN_AFTER);
        is_old.then_some(Passed(call))
    }

    /// It is told.
    pub(super) fn keep(&mut self, Passed(call): Passed, now: Instant) {
        if self.told.len() >= KNOWN {
            self.told.clear();
        }
        self.told.insert(call, now);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }
}
