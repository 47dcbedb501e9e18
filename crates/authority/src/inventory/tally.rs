//! How many certificates there are.

use std::collections::BTreeMap;

use sealock_core::Timestamp;
use sealock_store::{KeyRange, Versioned};
use serde::Serialize;

use super::keys::{self, Expiring, Part};
use super::list::{Inventory, PAGE, corrupt_key};
use super::search::Issued;
use crate::error::AuthorityError;

/// How many certificates there are of each state. Only rows of indexes are read for it, no certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// In force, and the newest of their line.
    pub valid: u64,
    /// In force, but renewed by another.
    pub replaced: u64,
    /// Revoked, expired or not.
    pub revoked: u64,
    /// No longer in force.
    pub expired: u64,
    /// Of those that have not expired, how many each intermediate has signed, by its number.
    #[serde(skip)]
    pub in_force_by: BTreeMap<u16, u64>,
}

impl Tally {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.valid + self.replaced + self.revoked + self.expired
    }
}

impl Inventory {
    /// What is issued or revoked meanwhile may be counted or not.
    pub(crate) fn tally(
        &self,
        issuers: &[Issued],
        now: Timestamp,
    ) -> Result<Tally, AuthorityError> {
        let mut tally = Tally::default();
        let gone: Vec<_> = issuers.iter().filter_map(Issued::revoked).collect();
        // Below a revoked intermediate all that has not ended is revoked, whether it was so by itself or not.
        let mut below_revoked = 0;
        // Replaced and revoked ones are in one part of the index; the revoked ones have one of their own.
        let (mut superseded, mut ended) = (0, 0);
        for part in Part::BOTH {
            self.each(&part.prefix(), |key, stored| {
                let row = Expiring::from_bytes(&stored.value)?;
                let (not_after, _) = keys::tail(key)?;
                let in_force = not_after >= now;
                if in_force {
                    *tally.in_force_by.entry(row.issuer).or_default() += 1;
                    if gone.iter().any(|(number, _)| *number == row.issuer) {
                        below_revoked += 1;
                        return Some(());
                    }
                }
                *match (part, in_force) {
                    (Part::Current, true) => &mut tally.valid,
                    (Part::Current, false) => &mut tally.expired,
                    (Part::Superseded, true) => &mut superseded,
                    (Part::Superseded, false) => &mut ended,
                } += 1;
                Some(())
            })?;
        }
        let mut revoked_in_force = 0;
        self.each(keys::REVOKED, |key, _| {
            let (not_after, _) = keys::tail(key)?;
            if not_after >= now
                && gone.iter().any(|(_, id)| key.starts_with(&keys::revoked_by(*id)))
            {
                return Some(());
            }
            tally.revoked += 1;
            revoked_in_force += u64::from(not_after >= now);
            Some(())
        })?;
        tally.replaced = u64::saturating_sub(superseded, revoked_in_force);
        tally.expired += u64::saturating_sub(ended, tally.revoked - revoked_in_force);
        tally.revoked += below_revoked;
        Ok(tally)
    }

    /// Every row below a prefix; what `look` cannot read is damage.
    fn each(
        &self,
        prefix: &[u8],
        mut look: impl FnMut(&[u8], &Versioned) -> Option<()>,
    ) -> Result<(), AuthorityError> {
        let mut range = KeyRange::prefix(prefix);
        loop {
            let page = self.0.range(&range, PAGE)?;
            for (key, stored) in &page {
                look(key, stored).ok_or_else(|| corrupt_key(key))?;
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => range = range.after(key),
                _ => return Ok(()),
            }
        }
    }
}
