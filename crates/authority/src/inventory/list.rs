//! What the inventory says of certificates, and the questions that the authority itself has.

use std::sync::Arc;

use sealock_core::{Identity, SubjectName, Timestamp};
use sealock_store::{KeyRange, Operation, Store, Transaction};
use serde::Serialize;

use super::entry::{Entry, Note};
use super::keys::{self, Expiring, Part, Place};
use super::{IssuerId, Reason};
use crate::error::AuthorityError;
use crate::key::PublicKeyKind;
use crate::order::Usages;
use crate::serial::Serial;

/// How many index entries are read at once.
pub(super) const PAGE: usize = 2048;

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertState {
    /// In force, and the newest of its line.
    Valid,
    /// In force, but renewed by another.
    Replaced,
    /// Revoked, expired or not.
    Revoked,
    /// No longer in force.
    Expired,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertSummary {
    /// Serial number.
    pub serial: Serial,
    /// What the inventory calls it.
    pub name: String,
    /// The identity, where it has one.
    pub identity: Option<Identity>,
    /// All names, the identity first.
    pub names: Vec<SubjectName>,
    /// The common name of its subject, where it has one.
    pub common_name: Option<String>,
    /// What it is for.
    pub usages: Usages,
    /// The profile that it was ordered by; that of its usages, where none was named.
    pub profile: String,
    /// The kind of its key.
    #[serde(serialize_with = "as_text")]
    pub key: PublicKeyKind,
    /// Which intermediate signed it.
    pub issuer: IssuerId,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Who had it issued.
    pub by: String,
    /// How it stands at the time of the question.
    pub state: CertState,
    /// The certificate whose renewal it is.
    pub replaces: Option<Serial>,
    /// The certificate that renewed it last.
    pub replaced_by: Option<Serial>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub reason: Option<Reason>,
    /// Whether it was not revoked by itself, but with the CA that has signed it.
    pub issuer_revoked: bool,
}

fn as_text<S: serde::Serializer>(key: &PublicKeyKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

/// Everything about a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertDetail {
    /// As in a list.
    #[serde(flatten)]
    pub summary: CertSummary,
    /// SHA-256 of the DER, in hex.
    pub fingerprint: String,
    /// The certificate.
    pub pem: String,
    /// The intermediates above it.
    pub chain_pem: String,
    /// The certificate.
    #[serde(skip)]
    pub der: Vec<u8>,
}

/// An entry as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) der: Vec<u8>,
    pub(crate) version: u64,
}

/// A certificate that has not expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InForce {
    /// Its place in the index, to go on from.
    pub(crate) key: Vec<u8>,
    pub(crate) serial: Serial,
    pub(crate) issuer: IssuerId,
    pub(crate) revoked: Option<(Timestamp, Reason)>,
}

/// The inventory in a store.
#[derive(Debug, Clone)]
pub(crate) struct Inventory(pub(super) Arc<dyn Store>);

impl Inventory {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    pub(crate) fn by_serial(&self, serial: Serial) -> Result<Option<Found>, AuthorityError> {
        let Some(index) = self.0.get(&keys::serial(serial))? else { return Ok(None) };
        let issued = keys::read_time(&index.value).ok_or_else(|| corrupt(serial))?;
        self.at(Place { issued, serial }).map(Some)
    }

    /// The newest with this name.
    pub(crate) fn by_name(&self, name: &str) -> Result<Option<Found>, AuthorityError> {
        let range = KeyRange::prefix(&keys::names(name)).descending();
        let newest = self.0.range(&range, 1)?;
        let place = newest.first().and_then(|(key, _)| keys::tail(key));
        place.map(|(issued, serial)| self.at(Place { issued, serial })).transpose()
    }

    pub(super) fn at(&self, place: Place) -> Result<Found, AuthorityError> {
        let stored = self.0.get(&keys::main(place))?.ok_or_else(|| corrupt(place.serial))?;
        let (entry, der) =
            Entry::read(place, &stored.value).ok_or_else(|| corrupt(place.serial))?;
        Ok(Found { entry, der: der.to_vec(), version: stored.version })
    }

    /// At most `limit` certificates that have not expired, soonest to expire first and those that were
    /// replaced or revoked last; after the one with the key `after`.
    pub(crate) fn in_force(
        &self,
        now: Timestamp,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<InForce>, AuthorityError> {
        let mut found = Vec::new();
        for part in Part::BOTH {
            let mut range = KeyRange::prefix(&part.prefix());
            range.start = keys::expiry_from(part, now);
            if let Some(after) = after {
                match () {
                    () if range.contains(after) => range = range.after(after),
                    // It was in the part after this one.
                    () if after > range.start.as_slice() => continue,
                    () => {}
                }
            }
            for (key, stored) in self.0.range(&range, limit - found.len())? {
                let (_, serial) = keys::tail(&key).ok_or_else(|| corrupt_key(&key))?;
                let index = Expiring::from_bytes(&stored.value).ok_or_else(|| corrupt(serial))?;
                let entry = self.at(Place { issued: index.issued, serial })?.entry;
                let revoked = entry.note.revoked.map(|it| (it.at, it.reason));
                found.push(InForce { key, serial, issuer: entry.issuer, revoked });
            }
        }
        Ok(found)
    }

    /// When the last certificate of the issuer with this number expires, if it has any.
    pub(crate) fn last_expiry(&self, issuer: u16) -> Result<Option<Timestamp>, AuthorityError> {
        let [current, superseded] = Part::BOTH.map(|part| self.last_expiry_in(part, issuer));
        Ok(current?.max(superseded?))
    }

    fn last_expiry_in(&self, part: Part, issuer: u16) -> Result<Option<Timestamp>, AuthorityError> {
        let mut range = KeyRange::prefix(&part.prefix()).descending();
        loop {
            let page = self.0.range(&range, PAGE)?;
            for (key, stored) in &page {
                let index = Expiring::from_bytes(&stored.value).ok_or_else(|| corrupt_key(key))?;
                if index.issuer == issuer {
                    return Ok(keys::tail(key).map(|(not_after, _)| not_after));
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => range = range.after(key),
                _ => return Ok(None),
            }
        }
    }

    /// What an issuer has revoked and had not expired at `since`: serial, when, why.
    pub(crate) fn revoked_by(
        &self,
        issuer: IssuerId,
        since: Timestamp,
    ) -> Result<Vec<(Serial, Timestamp, Reason)>, AuthorityError> {
        let prefix = keys::revoked_by(issuer);
        let mut range = KeyRange::prefix(&prefix);
        range.start.extend_from_slice(&keys::time(since));
        let mut revoked = Vec::new();
        loop {
            let page = self.0.range(&range, PAGE)?;
            for (key, stored) in &page {
                let (_, serial) = keys::tail(key).ok_or_else(|| corrupt_key(key))?;
                let (at, reason) =
                    keys::read_revocation(&stored.value).ok_or_else(|| corrupt(serial))?;
                revoked.push((serial, at, reason));
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => range = range.after(key),
                _ => return Ok(revoked),
            }
        }
    }

    /// A transaction that removes up to `limit` certificates that had expired before `before`; `None`
    /// when there are none.
    pub(crate) fn prune(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Option<(Transaction, usize)>, AuthorityError> {
        let mut page = Vec::new();
        for part in Part::BOTH {
            let range = KeyRange::between(&part.prefix(), &keys::expiry_from(part, before));
            page.extend(self.0.range(&range, limit - page.len())?);
        }
        let mut operations: Vec<Operation> = Vec::with_capacity(page.len() * 5);
        for (key, stored) in &page {
            let (not_after, serial) = keys::tail(key).ok_or_else(|| corrupt_key(key))?;
            let index = Expiring::from_bytes(&stored.value).ok_or_else(|| corrupt(serial))?;
            let entry = self.at(Place { issued: index.issued, serial })?.entry;
            operations.extend(entry.remove());
            if entry.note.revoked.is_some() {
                operations.push(Operation::delete(keys::revoked(entry.issuer, not_after, serial)));
            }
        }
        let transaction = Transaction { conditions: Vec::new(), operations };
        Ok((!page.is_empty()).then_some((transaction, page.len())))
    }
}

pub(crate) fn summarise(entry: Entry, now: Timestamp) -> CertSummary {
    let Note { name, by, replaces, replaced_by, revoked, profile, .. } = entry.note;
    let state = if revoked.is_some() {
        CertState::Revoked
    } else if now > entry.not_after {
        CertState::Expired
    } else if replaced_by.is_some() {
        CertState::Replaced
    } else {
        CertState::Valid
    };
    CertSummary {
        serial: entry.serial,
        name,
        identity: entry.identity,
        names: entry.names,
        common_name: entry.common_name,
        usages: entry.usages,
        profile: profile.unwrap_or_else(|| entry.usages.usual_profile().to_owned()),
        key: entry.key,
        issuer: entry.issuer,
        issued: entry.issued,
        not_before: entry.not_before,
        not_after: entry.not_after,
        by,
        state,
        replaces,
        replaced_by,
        revoked_at: revoked.map(|revocation| revocation.at),
        reason: revoked.map(|revocation| revocation.reason),
        issuer_revoked: false,
    }
}

pub(super) fn corrupt(serial: Serial) -> AuthorityError {
    AuthorityError::Corrupt { record: format!("certificate {serial}") }
}

pub(super) fn corrupt_key(key: &[u8]) -> AuthorityError {
    AuthorityError::Corrupt { record: format!("entry {}", key.escape_ascii()) }
}
