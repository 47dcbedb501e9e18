//! Certificate revocation lists (RFC 5280 §5): for each issuer a full one and a delta, both stored.
//!
//! | list | made | good for |
//! | --- | --- | --- |
//! | full | with each revocation, while it has at most [`FULL_AT_ONCE`] entries; beyond that once in [`FULL_AFTER`], so with one that comes by itself and a while after the first of many; when the process ends; and before it runs out | [`LIFE`] |
//! | delta | with each revocation, and before it runs out | [`DELTA_LIFE`] |
//!
//! So a hundred thousand revocations write a full list once in a while, and not each. Whoever cannot sign gives out no
//! full list that lacks a revocation, and who can signs another first, when a process before it has left one. A delta has all that
//! was revoked since its base, the last full list that was made on schedule; who has that list or any later
//! one can apply it. Full lists and deltas share their numbers (RFC 5280 §5.2.3), which only grow, and
//! `thisUpdate` (a little before the making, for verifiers whose clock is behind) goes back only when the
//! clock was minutes ahead: then the list is made anew, or nobody would take one for as long. A certificate stays on the list until one list has been made after its expiry.

mod build;
mod delta;

use sealock_core::Timestamp;
use sealock_store::{Condition, Operation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub(crate) use build::reason;
pub(crate) use delta::{Delta, PreviousDelta};

use crate::authority::{BACKDATE, is_ahead};
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, Reason};
use crate::key::AuthorityKey;
use crate::pem;
use crate::serial::Serial;
use crate::state::{IssuerRecord, crl_key};
use build::Heading;

/// How long an intermediate's full list is good for.
pub(crate) const LIFE: Duration = Duration::from_secs(7 * 86_400);
/// With less than this left it is made anew.
pub(crate) const MARGIN: Duration = Duration::from_secs(2 * 86_400);
/// How long a delta is good for.
pub(crate) const DELTA_LIFE: Duration = Duration::from_secs(86_400);
/// With less than this left it is made anew.
pub(crate) const DELTA_MARGIN: Duration = Duration::from_secs(43_200);
/// Up to so many entries the full list is made together with each revocation.
pub(crate) const FULL_AT_ONCE: u64 = 256;
/// Beyond that, a full list that lacks a revocation is made anew when it is so old, and not sooner.
pub(crate) const FULL_AFTER: Duration = Duration::from_secs(60);

/// A certificate revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Crl {
    /// Whose.
    pub issuer: IssuerId,
    /// Its number; greater for each new one.
    pub number: u64,
    /// Of a delta: the number of the full list that it adds to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// When it was made.
    pub this_update: Timestamp,
    /// Until when it is good.
    pub next_update: Timestamp,
    /// How many certificates are on it.
    pub entries: u64,
    /// DER.
    #[serde(skip)]
    pub der: Vec<u8>,
}

impl Crl {
    /// One PEM block.
    pub fn pem(&self) -> String {
        pem::encode("X509 CRL", &self.der)
    }
}

/// What is stored beside the DER.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    entries: u64,
}

/// A list and where it goes.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Stored {
    /// The length of the head, the head as JSON, the DER.
    fn new(key: Vec<u8>, head: &impl Serialize, der: &[u8]) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(head)?;
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes();
        Ok(Self { key, value: [&length[..], &json, der].concat() })
    }
}

/// Head and DER of what was stored.
fn split<'a, H: Deserialize<'a>>(value: &'a [u8]) -> Option<(H, &'a [u8])> {
    let (length, rest) = value.split_first_chunk()?;
    let (json, der) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(json).ok()?, der))
}

/// A revoked certificate: serial, when, why.
pub(crate) type Revoked = (Serial, Timestamp, Reason);

/// A list as it was read, with the version of its entry.
#[derive(Debug, Clone)]
pub(crate) struct Previous {
    pub(crate) crl: Crl,
    pub(crate) version: u64,
}

impl Previous {
    pub(crate) fn from_bytes(issuer: IssuerId, value: &[u8], version: u64) -> Option<Self> {
        let (head, der) = split::<Head>(value)?;
        let Head { number, this_update, next_update, entries } = head;
        let der = der.to_vec();
        let crl = Crl { issuer, number, base: None, this_update, next_update, entries, der };
        Some(Self { crl, version })
    }
}

/// The CA that signs a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) record: &'a IssuerRecord,
    pub(crate) key: &'a AuthorityKey,
    /// Where the delta can be fetched, if anywhere.
    pub(crate) freshest: Option<&'a str>,
}

/// The first list of an issuer: number 1, empty.
pub(crate) fn first(
    by: By<'_>,
    now: Timestamp,
    next_update: Timestamp,
) -> Result<(Stored, Crl), AuthorityError> {
    build(by, 1, now.minus(BACKDATE), next_update, &[])
}

/// When the next list after `previous` begins, and the condition that it is still that one.
fn after(
    key: Vec<u8>,
    previous: Option<(u64, Timestamp)>,
    now: Timestamp,
) -> (Timestamp, Condition) {
    let not_earlier = previous
        .map(|(_, before)| before)
        .filter(|before| !is_ahead(*before, now))
        .unwrap_or(Timestamp::from_millis(0));
    let condition = match previous {
        Some((version, _)) => Condition::Version { key, version },
        None => Condition::Absent(key),
    };
    (now.minus(BACKDATE).max(not_earlier), condition)
}

/// The full list after `previous`, and what makes sure that it is still that one. Good for [`LIFE`], or
/// until `end` if that is given.
pub(crate) fn next(
    by: By<'_>,
    number: u64,
    previous: Option<&Previous>,
    now: Timestamp,
    revoked: &[Revoked],
    end: Option<Timestamp>,
) -> Result<(Condition, Operation, Crl), AuthorityError> {
    let before = previous.map(|before| (before.version, before.crl.this_update));
    let (this_update, condition) = after(crl_key(by.record.id), before, now);
    let next_update = end.unwrap_or_else(|| this_update.plus(LIFE));
    let (stored, crl) = build(by, number, this_update, next_update, revoked)?;
    Ok((condition, Operation::put(stored.key, stored.value), crl))
}

fn build(
    by: By<'_>,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    revoked: &[Revoked],
) -> Result<(Stored, Crl), AuthorityError> {
    let freshest = by.freshest;
    let heading = Heading { number, base: None, this_update, next_update, freshest };
    let der = build::list(&heading, revoked, &by.record.der.0, by.key)?;
    let entries = revoked.len() as u64;
    let head = Head { number, this_update, next_update, entries };
    let id = by.record.id;
    let stored = Stored::new(crl_key(id), &head, &der)?;
    let crl = Crl { issuer: id, number, base: None, this_update, next_update, entries, der };
    Ok((stored, crl))
}
