//! The numbered list of what is no longer good.
//!
//! A revocation is about tokens that were issued until it was made, so it can go when the last of them has died. Who
//! keeps the list up to a number needs only what comes after it.

use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, Timestamp};
use sealock_store::{Change, Condition, KeyRange, Operation, Transaction};
use serde::{Deserialize, Serialize};

use super::client::ClientName;
use super::log::{Entry, EntryHash, Head};
use super::{ATTEMPTS, Broker, BrokerError, LONGEST, seconds};
use crate::token::{Claims, SKEW};

/// Read from the store at once; more are alive only when somebody revokes like mad.
const PAGE: usize = 1000;
const PREFIX: &str = "traffic/revoked/";
const LAST: &str = "traffic/revocations";

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", content = "subject", rename_all = "lowercase")]
pub enum Revoked {
    /// One token, by its id.
    Token(String),
    /// The tokens of an identity.
    Identity(Identity),
    /// The tokens that a client has asked for with its secret.
    Client(ClientName),
    /// The tokens that are bound to a certificate, by its SHA-256: it is revoked, so they are, whenever they were issued.
    Certificate(EntryHash),
    /// All tokens.
    Before,
}

impl Revoked {
    /// As events and policy have it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Identity(_) => "identity",
            Self::Client(_) => "client",
            Self::Certificate(_) => "certificate",
            Self::Before => "before",
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Token(id) => id.clone(),
            Self::Identity(identity) => identity.to_string(),
            Self::Client(name) => name.to_string(),
            Self::Certificate(hash) => String::from(*hash),
            Self::Before => String::new(),
        }
    }
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its place: 1, 2, 3…
    pub number: u64,
    /// Tokens that were issued until this second (since 1970) are no longer good.
    pub issued_until: u64,
    /// Which tokens.
    #[serde(flatten)]
    pub revoked: Revoked,
}

impl Revocation {
    /// Whether this token is no longer good.
    pub fn covers(&self, claims: &Claims) -> bool {
        let is_meant = match &self.revoked {
            Revoked::Token(id) => claims.id == *id,
            Revoked::Identity(identity) => claims.subject == *identity,
            Revoked::Client(name) => claims.client.as_deref() == Some(name.as_str()),
            Revoked::Certificate(hash) => return claims.binding.as_ref() == Some(hash.as_bytes()),
            Revoked::Before => true,
        };
        is_meant && claims.issued_at <= self.issued_until
    }

    /// Whether no token that it is about can be alive.
    pub fn is_over(&self, now: u64) -> bool {
        now > self.issued_until.saturating_add(LONGEST.as_secs() + 2 * SKEW)
    }
}

/// What is done in one commit with a revocation.
pub(super) struct Together {
    /// Without this, neither.
    pub(super) condition: Condition,
    pub(super) operation: Operation,
    pub(super) fact: Fact,
}

/// An entry with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// The entry.
    #[serde(flatten)]
    pub revocation: Revocation,
    /// The same as it was signed: an [`Entry`].
    pub signed: String,
}

/// How far the list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    number: u64,
    hash: EntryHash,
    /// When it goes, in seconds since 1970.
    #[serde(default)]
    until: i64,
}

impl Serialize for ClientName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ClientName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn place(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

impl Broker {
    /// Revokes, and says under which number. It is in force for everybody who is told, and here, when this returns.
    ///
    /// # Errors
    /// What the journal says.
    pub fn revoke(&self, what: &Revoked, actor: &Actor) -> Result<Revocation, BrokerError> {
        self.revoke_before(what, None, actor)
    }

    /// Revokes what was issued before a time. What is issued after this is never meant, however late that time is.
    ///
    /// # Errors
    /// What the journal says.
    pub fn revoke_before(
        &self,
        what: &Revoked,
        time: Option<Timestamp>,
        actor: &Actor,
    ) -> Result<Revocation, BrokerError> {
        self.revoke_with(what, time, None, actor)?.ok_or(BrokerError::Busy)
    }

    /// Revokes in one commit with something else. None, and nothing is done, if that cannot be done.
    pub(super) fn revoke_with(
        &self,
        what: &Revoked,
        time: Option<Timestamp>,
        more: Option<&Together>,
        actor: &Actor,
    ) -> Result<Option<Revocation>, BrokerError> {
        for _ in 0..ATTEMPTS {
            let found = self.store().get(LAST.as_bytes())?;
            let unchanged = match &found {
                None => Condition::Absent(LAST.as_bytes().to_vec()),
                Some(entry) => {
                    Condition::Version { key: LAST.as_bytes().to_vec(), version: entry.version }
                }
            };
            let last = found.map_or(Ok(NONE), |entry| last(&entry.value))?;
            let now = self.now();
            let number = last.number.saturating_add(1);
            let issued_until = time.map_or(now, last_before).min(now);
            let revocation =
                Revocation { number, issued_until: seconds(issued_until), revoked: what.clone() };
            let (put, last) = self.logged(&revocation, last, now)?;
            let transaction = Transaction::new().when(unchanged).with(put).with(last);
            let fact = Fact::TokenRevoked {
                number,
                what: what.word().to_owned(),
                subject: what.subject(),
                issued_until: Timestamp::from_secs(issued_until.as_secs()).to_rfc3339(),
            };
            let mut change = Change::new(transaction, actor.event(now, fact));
            if let Some(Together { condition, operation, fact }) = more {
                let with = change.transaction.when(condition.clone()).with(operation.clone());
                change.transaction = with;
                change.events.insert(0, actor.event(now, fact.clone()));
            }
            match (self.commit(change)?, more) {
                (None, _) => return Ok(Some(revocation)),
                (Some(conflict), Some(more)) if conflict.condition == more.condition => {
                    return Ok(None);
                }
                // Another revocation came in between.
                (Some(_), _) => {}
            }
        }
        Err(BrokerError::Busy)
    }

    /// What puts an entry at its place, and what makes it the last one.
    fn logged(
        &self,
        revocation: &Revocation,
        before: Last,
        now: Timestamp,
    ) -> Result<(Operation, Operation), BrokerError> {
        let (number, previous) = (revocation.number, before.hash);
        // None goes before an earlier one, whatever the clock does: what is left of the list has no gap.
        let expires = now.plus(LONGEST + Duration::from_secs(4 * SKEW));
        let expires = expires.max(Timestamp::from_secs(before.until));
        let signers = self.signers();
        let signer = signers.current(now).ok_or(BrokerError::NoKey)?;
        let entry =
            Entry { log: self.issuer().to_owned(), previous, revocation: revocation.clone() };
        let logged =
            Logged { revocation: entry.revocation.clone(), signed: entry.sign(&signer.key)? };
        let last = Last { number, hash: EntryHash::of(&logged.signed), until: expires.as_secs() };
        let written = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map_err(|_| BrokerError::Changed(place(number)))
        };
        let put = Operation::Put {
            key: place(number).into_bytes(),
            value: written(serde_json::to_vec(&logged))?,
            expires: Some(expires),
        };
        Ok((put, Operation::put(LAST, written(serde_json::to_vec(&last))?)))
    }

    fn last(&self) -> Result<Last, BrokerError> {
        self.store().get(LAST.as_bytes())?.map_or(Ok(NONE), |entry| last(&entry.value))
    }

    /// The revocations after a number that still matter.
    ///
    /// # Errors
    /// What the store says.
    pub fn revocations(&self, after: u64) -> Result<Vec<Logged>, BrokerError> {
        let mut range = KeyRange::prefix(PREFIX.as_bytes()).after(place(after).as_bytes());
        let mut all = Vec::new();
        loop {
            let page = self.store().range(&range, PAGE)?;
            for (key, entry) in &page {
                let revocation = serde_json::from_slice(&entry.value)
                    .map_err(|_| BrokerError::Changed(String::from_utf8_lossy(key).into_owned()))?;
                all.push(revocation);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => range = range.after(last),
                _ => return Ok(all),
            }
        }
    }

    /// All revocations that still matter, and how far the list goes: of one moment.
    ///
    /// # Errors
    /// What the store says.
    pub fn revocation_log(&self) -> Result<(Vec<Logged>, u64, EntryHash), BrokerError> {
        // First how far it goes: what comes in between is in the list, and is the last then.
        let before = self.last()?;
        let all = self.revocations(0)?;
        let last = all.last().map_or(before, |newest| Last {
            number: newest.revocation.number,
            hash: EntryHash::of(&newest.signed),
            ..before
        });
        Ok((all, last.number, last.hash))
    }

    /// A signed statement of how far the list goes now, which keys are in force, and which CAs are revoked; `from` is the
    /// number from which on entries still matter, `keys` and `cas` what was sent of those.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn revocation_head(
        &self,
        number: u64,
        hash: EntryHash,
        from: u64,
        keys: &str,
        cas: &str,
    ) -> Result<String, BrokerError> {
        let now = self.now();
        let signers = self.signers();
        let signer = signers.current(now).ok_or(BrokerError::NoKey)?;
        let (log, at) = (self.issuer().to_owned(), seconds(now));
        let [keys, cas] = [keys, cas].map(EntryHash::of);
        Ok(Head { log, number, hash, from, keys, cas, at }.sign(&signer.key)?)
    }

    /// Signs what an earlier version has left unsigned.
    pub(super) fn sign_old_revocations(&self) -> Result<(), BrokerError> {
        let Some(found) = self.store().get(LAST.as_bytes())? else { return Ok(()) };
        let Some(number) = old_number(&found.value) else { return Ok(()) };
        let now = self.now();
        let condition =
            Condition::Version { key: LAST.as_bytes().to_vec(), version: found.version };
        let mut transaction = Transaction::new().when(condition);
        let mut end = Last { number, ..NONE };
        for (key, entry) in self.store().range(&KeyRange::prefix(PREFIX.as_bytes()), PAGE)? {
            let changed = |_| BrokerError::Changed(String::from_utf8_lossy(&key).into_owned());
            let revocation: Revocation = serde_json::from_slice(&entry.value).map_err(changed)?;
            let (put, written) = self.logged(&revocation, end, now)?;
            if let Operation::Put { value, .. } = &written {
                end = last(value)?;
            }
            transaction = transaction.with(put);
        }
        let written = serde_json::to_vec(&Last { number, ..end })
            .map_err(|_| BrokerError::Changed(LAST.to_owned()))?;
        let transaction = transaction.with(Operation::put(LAST, written));
        match self.commit(Change { transaction, events: Vec::new() })? {
            None => Ok(()),
            Some(_) => Err(BrokerError::Busy),
        }
    }
}

/// The last moment before a time. A token knows the second that it was issued in, so all of that second is meant.
fn last_before(time: Timestamp) -> Timestamp {
    time.minus(Duration::from_millis(1))
}

/// Before the first.
const NONE: Last = Last { number: 0, hash: EntryHash::START, until: 0 };

fn last(value: &[u8]) -> Result<Last, BrokerError> {
    serde_json::from_slice(value).map_err(|_| BrokerError::Changed(LAST.to_owned()))
}

/// Until entries were signed, there was the number and nothing else.
fn old_number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
