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
            Self::Before => "before",
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Token(id) => id.clone(),
            Self::Identity(identity) => identity.to_string(),
            Self::Client(name) => name.to_string(),
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
        claims.issued_at <= self.issued_until
            && match &self.revoked {
                Revoked::Token(id) => claims.id == *id,
                Revoked::Identity(identity) => claims.subject == *identity,
                Revoked::Client(name) => claims.client.as_deref() == Some(name.as_str()),
                Revoked::Before => true,
            }
    }

    /// Whether no token that it is about can be alive.
    pub fn is_over(&self, now: u64) -> bool {
        now > self.issued_until.saturating_add(LONGEST.as_secs() + 2 * SKEW)
    }
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
        for _ in 0..ATTEMPTS {
            let last = self.store().get(LAST.as_bytes())?;
            let number = match &last {
                None => 1,
                Some(entry) => number(&entry.value)?.saturating_add(1),
            };
            let now = self.now();
            let revocation =
                Revocation { number, issued_until: seconds(now), revoked: what.clone() };
            let row =
                serde_json::to_vec(&revocation).map_err(|_| BrokerError::Changed(place(number)))?;
            let expires = now.plus(LONGEST + Duration::from_secs(4 * SKEW));
            let unchanged = match last {
                None => Condition::Absent(LAST.as_bytes().to_vec()),
                Some(entry) => {
                    Condition::Version { key: LAST.as_bytes().to_vec(), version: entry.version }
                }
            };
            let put = Operation::Put {
                key: place(number).into_bytes(),
                value: row,
                expires: Some(expires),
            };
            let transaction = Transaction::new()
                .when(unchanged)
                .with(put)
                .with(Operation::put(LAST, number.to_string()));
            let fact = Fact::TokenRevoked {
                number,
                what: what.word().to_owned(),
                subject: what.subject(),
                issued_until: Timestamp::from_secs(now.as_secs()).to_rfc3339(),
            };
            if self.commit(Change::new(transaction, actor.event(now, fact)))?.is_none() {
                return Ok(revocation);
            }
        }
        Err(BrokerError::Busy)
    }

    /// The number of the last revocation; 0 when there was none.
    ///
    /// # Errors
    /// What the store says.
    pub fn last_revocation(&self) -> Result<u64, BrokerError> {
        self.store().get(LAST.as_bytes())?.map_or(Ok(0), |entry| number(&entry.value))
    }

    /// The revocations after a number that still matter.
    ///
    /// # Errors
    /// What the store says.
    pub fn revocations(&self, after: u64) -> Result<Vec<Revocation>, BrokerError> {
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
}

fn number(value: &[u8]) -> Result<u64, BrokerError> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| BrokerError::Changed(LAST.to_owned()))
}
