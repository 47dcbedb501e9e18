//! The next key and the next CSR, before the certificate that is served ends.

use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{ImportedName, Timestamp};
use sealock_store::Change;

use super::operate::{RequestError, write};
use super::record::{Held, Record};
use crate::authority::Authority;

/// After which share of a certificate's life its successor is asked for: two thirds, as for our own.
pub const RENEWAL_SHARE: (u32, u32) = (2, 3);

impl Held {
    fn life(&self) -> Duration {
        self.not_after.since(self.not_before)
    }

    /// When its successor is asked for.
    pub fn renewal_due(&self) -> Timestamp {
        let (parts, of) = RENEWAL_SHARE;
        self.not_before.plus(self.life() / of * parts)
    }

    /// From when on it is in the last sixth of its life.
    pub fn nears_end(&self) -> Timestamp {
        self.not_after.minus(self.life() / 6)
    }
}

/// What the alarm is called.
pub(super) const EXPIRING: &str = "imported-expiring";

/// Whether a successor is to be asked for.
pub(super) fn is_due(held: &Held, now: Timestamp) -> bool {
    now >= held.renewal_due()
}

impl Authority {
    /// Tells once, in the audit log, of each certificate that is in the last sixth of its life without a successor.
    pub fn note_expiring(&self, actor: &Actor) -> Result<(), RequestError> {
        let _changing = self.changing.lock();
        let known = self.known.load_full();
        let now = self.now();
        for (name, before) in &known.records {
            let (record, _) = before;
            let Some(held) = &record.held else { continue };
            if record.alarmed || now < held.nears_end() {
                continue;
            }
            let after = Record { alarmed: true, ..record.clone() };
            let fact = Fact::AlarmRaised {
                alarm: EXPIRING.to_owned(),
                subject: name.to_string(),
                reason: format!("the certificate {} ends at {}", held.serial, held.not_after),
            };
            let transaction = write(name, Some(before), &after)?;
            self.commit("the alarm", Change::new(transaction, actor.event(now, fact)))?;
        }
        Ok(self.reload_imported()?)
    }

    /// Makes the next key and CSR of everything that is served and nears its end, each in a commit of its own. What is
    /// served goes on being served. Called again and again; what waits already is not made anew. Says how many were made
    /// and, where one was not, why; that keeps none of the others.
    pub fn request_renewals(&self, actor: &Actor) -> (usize, Option<RequestError>) {
        let known = self.known.load_full();
        let now = self.now();
        let (mut made, mut failed) = (0, None);
        for (name, before) in &known.records {
            let (record, _) = before;
            let due = record.held.as_ref().is_some_and(|held| is_due(held, now));
            if !due || record.pending.is_some() {
                continue;
            }
            match self.renew_request(name, before, actor) {
                Ok(true) => made += 1,
                // Somebody else was at it: the next call sees what is there now.
                Ok(false) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        (made, failed)
    }

    /// Makes the next key and CSR of a certificate before its time, because whoever has signed it wants that. Where one
    /// waits already, or somebody else was at it, nothing changes. Says whether one was made.
    pub fn request_renewal(
        &self,
        name: &ImportedName,
        actor: &Actor,
    ) -> Result<bool, RequestError> {
        let known = self.known.load_full();
        let before = known.records.get(name).ok_or_else(|| RequestError::Unknown(name.clone()))?;
        if before.0.held.is_none() || before.0.pending.is_some() {
            return Ok(false);
        }
        self.renew_request(name, before, actor)
    }

    /// Makes key and CSR, which may take a while, and only then takes the lock.
    fn renew_request(
        &self,
        name: &ImportedName,
        before: &(Record, u64),
        actor: &Actor,
    ) -> Result<bool, RequestError> {
        let (record, version) = before;
        let made = self.make_request(name, &record.wishes, true)?;
        let _changing = self.changing.lock();
        if self.known.load().records.get(name).map(|(_, version)| *version) != Some(*version) {
            return Ok(false);
        }
        let pending = Some(made.pending.clone());
        let after = Record { pending, ..record.clone() };
        self.put_request(name, Some(before), after, Some(made), actor).map(|_| true)
    }
}
