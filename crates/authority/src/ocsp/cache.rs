//! Answers in memory, bounded: two generations, of which the older one is dropped as a whole.

use std::collections::HashMap;

use sealock_core::Timestamp;

use super::OcspAnswer;
use super::issuers::Naming;
use crate::authority::is_ahead;
use crate::inventory::IssuerId;
use crate::serial::Serial;

/// How many answers a generation has. An answer has less than 2 KB.
const GENERATION: usize = 8192;

/// Which answer: it repeats how the issuer was named.
pub(super) type Question = (IssuerId, Naming, Serial);

/// An answer, and from when on it is made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) answer: OcspAnswer,
    pub(super) again: Timestamp,
}

impl Ready {
    /// Neither due, nor of a time that has not come: the clock was ahead once.
    fn is_good(&self, now: Timestamp) -> bool {
        let ahead = self.answer.good.is_some_and(|(from, _)| is_ahead(from, now));
        now < self.again && !ahead
    }
}

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<Question, Ready>,
    old: HashMap<Question, Ready>,
    revocations: u64,
}

impl Cache {
    /// The answer, unless it is due to be made anew.
    pub(super) fn find(&mut self, question: &Question, now: Timestamp) -> Option<OcspAnswer> {
        if let Some(ready) = self.young.get(question) {
            return ready.is_good(now).then(|| ready.answer.clone());
        }
        let ready = self.old.remove(question).filter(|ready| ready.is_good(now))?;
        let answer = ready.answer.clone();
        self.put(*question, ready);
        Some(answer)
    }

    /// How many revocations there have been; asked before an answer is made.
    pub(super) fn revocations(&self) -> u64 {
        self.revocations
    }

    /// Keeps an answer, unless a certificate was revoked since its making began: it might be that one.
    pub(super) fn keep(&mut self, question: Question, ready: Ready, revocations: u64) {
        if revocations == self.revocations {
            self.put(question, ready);
        }
    }

    /// Forgets what was said of a certificate, which is revoked now.
    pub(super) fn revoked(&mut self, issuer: IssuerId, serial: Serial) {
        self.revocations += 1;
        for naming in Naming::all() {
            self.young.remove(&(issuer, naming, serial));
            self.old.remove(&(issuer, naming, serial));
        }
    }

    /// Forgets everything: who answers, or for how long, is another.
    pub(super) fn clear(&mut self) {
        self.revocations += 1;
        self.young.clear();
        self.old.clear();
    }

    fn put(&mut self, question: Question, ready: Ready) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question, ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(number: u32) -> Question {
        let serial = format!("aa{number:08x}").parse().unwrap();
        ("0123456789abcdef".parse().unwrap(), Naming::USUAL, serial)
    }

    fn ready(again: i64) -> Ready {
        Ready { answer: OcspAnswer::try_later(), again: Timestamp::from_secs(again) }
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let mut cache = Cache::default();
        let now = Timestamp::from_secs(0);
        let often = question(u32::MAX);
        cache.keep(often, ready(1), 0);
        for number in 0..100_000 {
            cache.keep(question(number), ready(1), 0);
            if number % 1000 == 0 {
                assert!(cache.find(&often, now).is_some(), "{number}");
            }
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
        assert!(cache.find(&question(0), now).is_none());
    }

    #[test]
    fn what_is_due_or_revoked_is_not_found() {
        let mut cache = Cache::default();
        let (issuer, _, serial) = question(1);
        cache.keep(question(1), ready(10), 0);
        assert!(cache.find(&question(1), Timestamp::from_secs(9)).is_some());
        assert!(cache.find(&question(1), Timestamp::from_secs(10)).is_none());
        let before = cache.revocations();
        cache.revoked(issuer, serial);
        assert!(cache.find(&question(1), Timestamp::from_secs(9)).is_none());
        cache.keep(question(1), ready(10), before);
        assert!(cache.find(&question(1), Timestamp::from_secs(9)).is_none(), "a late answer stays");
        cache.keep(question(1), ready(10), cache.revocations());
        assert!(cache.find(&question(1), Timestamp::from_secs(9)).is_some());
    }
}
