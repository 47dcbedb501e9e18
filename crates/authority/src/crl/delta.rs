//! What was revoked since a full list (RFC 5280 §5.2.4).

use sealock_core::Timestamp;
use sealock_store::{Condition, Operation};
use serde::{Deserialize, Serialize};

use super::build::{self, Heading};
use super::{By, Crl, DELTA_LIFE, Revoked, Stored, after, split};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::state::delta_key;

/// A delta with so many entries begins anew, with a full list.
const LONG: usize = 1000;

/// What a delta adds to which list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta {
    number: u64,
    pub(crate) base: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    /// How many of the entries no full list has yet.
    pub(crate) pending: u64,
    entries: Vec<Revoked>,
}

/// A delta as it was read, with the version of its entry.
#[derive(Debug, Clone)]
pub(crate) struct PreviousDelta {
    pub(crate) delta: Delta,
    pub(crate) crl: Crl,
    pub(crate) version: u64,
}

impl PreviousDelta {
    pub(crate) fn from_bytes(issuer: IssuerId, value: &[u8], version: u64) -> Option<Self> {
        let (delta, der) = split::<Delta>(value)?;
        let crl = Crl {
            issuer,
            number: delta.number,
            base: Some(delta.base),
            this_update: delta.this_update,
            next_update: delta.next_update,
            entries: delta.entries.len() as u64,
            der: der.to_vec(),
        };
        Some(Self { delta, crl, version })
    }
}

impl Delta {
    /// One that adds nothing to the full list with this number.
    pub(crate) fn to(full: &Crl) -> Self {
        let Crl { number, this_update, next_update, .. } = *full;
        Self { number, base: number, this_update, next_update, pending: 0, entries: Vec::new() }
    }

    /// The same with one more.
    pub(crate) fn with(mut self, revoked: Revoked) -> Self {
        self.entries.push(revoked);
        self.pending += 1;
        self
    }

    /// Whether it is time for a full list.
    pub(crate) fn is_long(&self) -> bool {
        self.entries.len() >= LONG
    }

    /// The same, now that a full list has all of it.
    pub(crate) fn settled(self, full: &Crl) -> Self {
        if self.is_long() {
            return Self::to(full);
        }
        Self { pending: 0, ..self }
    }

    /// Makes it, after `previous`; with what makes sure that it is still that one.
    pub(crate) fn build(
        self,
        by: By<'_>,
        number: u64,
        previous: Option<&PreviousDelta>,
        now: Timestamp,
    ) -> Result<(Condition, Operation), AuthorityError> {
        let key = delta_key(by.record.id);
        let before = previous.map(|before| (before.version, before.crl.this_update));
        let (this_update, condition) = after(key.clone(), before, now);
        let next_update = this_update.plus(DELTA_LIFE);
        let heading =
            Heading { number, base: Some(self.base), this_update, next_update, freshest: None };
        let der = build::list(&heading, &self.entries, &by.record.der.0, by.key)?;
        let head = Self { number, this_update, next_update, ..self };
        let stored = Stored::new(key, &head, &der)?;
        Ok((condition, Operation::put(stored.key, stored.value)))
    }
}
