//! Clients that sign who they are (`private_key_jwt`), and that each of those signatures is good once.
//!
//! What was used is on disk before anything is given for it, until it has expired: also after a restart it is not good
//! again. How many that are is bounded by how often a client may authenticate, which the caller says.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, Timestamp};
use sealock_store::{Change, Condition, Operation, Transaction};

use super::client::{Row, place, written};
use super::{ATTEMPTS, Broker, BrokerError, ClientName, LONGEST, seconds};
use crate::oauth::ENDPOINTS;
use crate::token::{AssertionExpected, ClientAssertion, KeySet, Refusal, SKEW, UsedAssertion};

/// Public keys of one client: the one it signs with, the next one, and some room.
pub(super) const MOST_KEYS: usize = 8;
const USED: &str = "oauth/assertion/";

/// Why an assertion is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionFault {
    /// There is no such client, or it has no key with which this was signed. Which of them nobody learns.
    Unknown,
    /// It is not of its form, or, with the client's signature, does not keep to a rule.
    Refused(Refusal),
    /// It was used before.
    Used,
    /// The client has authenticated too often lately.
    TooMany,
}

impl Broker {
    /// Whose assertion this is, if it is good. It is not good a second time. `client` is the `client_id` of the request,
    /// and `room` says whether the client may authenticate once more.
    ///
    /// # Errors
    /// What store and journal say.
    pub fn authenticate_by_assertion(
        &self,
        assertion: &str,
        client: Option<&str>,
        room: impl FnOnce(&ClientName) -> bool,
    ) -> Result<Result<(ClientName, Identity), AssertionFault>, BrokerError> {
        let read = match ClientAssertion::read(assertion) {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(AssertionFault::Refused(refusal))),
        };
        let Ok(name) = read.client().parse::<ClientName>() else {
            return Ok(Err(AssertionFault::Unknown));
        };
        if client.is_some_and(|client| client != name.as_str()) {
            return Ok(Err(AssertionFault::Unknown));
        }
        let Some((row, _)) = self.client(&name)? else { return Ok(Err(AssertionFault::Unknown)) };
        let keys = row.key_set().ok_or_else(|| BrokerError::Changed(place(&name)))?;
        let issuer = self.issuer().trim_end_matches('/');
        let [token, ..] = ENDPOINTS;
        let endpoint = format!("{issuer}{token}");
        let expected = AssertionExpected {
            audiences: &[self.issuer(), &endpoint],
            now: seconds(self.now()),
            skew: SKEW,
            longest: LONGEST.as_secs(),
        };
        let used = match read.verify(&keys, &expected) {
            Ok(used) => used,
            Err(Refusal::UnknownKey | Refusal::BadSignature) => {
                return Ok(Err(AssertionFault::Unknown));
            }
            Err(refusal) => return Ok(Err(AssertionFault::Refused(refusal))),
        };
        if !room(&name) {
            return Ok(Err(AssertionFault::TooMany));
        }
        if self.use_up(&name, &used)? {
            Ok(Ok((name, row.identity)))
        } else {
            Ok(Err(AssertionFault::Used))
        }
    }

    /// Whether it had not been used.
    fn use_up(&self, name: &ClientName, used: &UsedAssertion) -> Result<bool, BrokerError> {
        let mut digest = Context::new(&SHA256);
        digest.update(used.id.as_bytes());
        let key = format!("{USED}{name}/{}", HEXLOWER.encode(digest.finish().as_ref()));
        let end = used.expires_at.saturating_add(2 * SKEW);
        let end = Timestamp::from_secs(i64::try_from(end).unwrap_or(i64::MAX / 1000));
        let transaction = Transaction::new()
            .when(Condition::Absent(key.clone().into_bytes()))
            .with(Operation::Put { key: key.into_bytes(), value: Vec::new(), expires: Some(end) });
        let change = Change { transaction, events: Vec::new() };
        Ok(self.commit(change)?.is_none())
    }

    /// Makes a client that has public keys, and no secret.
    ///
    /// # Errors
    /// There is one of that name, there are too many keys, or what the journal says.
    pub fn client_add_keys(
        &self,
        name: &ClientName,
        identity: &Identity,
        keys: &KeySet,
        actor: &Actor,
    ) -> Result<(), BrokerError> {
        let now = self.now();
        let row = Row {
            identity: identity.clone(),
            made: now.as_millis(),
            secrets: Vec::new(),
            keys: kept(keys)?,
        };
        let fact = Fact::ClientAdded { client: name.to_string(), identity: identity.to_string() };
        let keys = Fact::ClientKeysChanged { client: name.to_string(), keys: kids(keys) };
        let transaction = Transaction::new()
            .when(Condition::Absent(place(name).into_bytes()))
            .with(Operation::put(place(name), written(name, &row)?));
        let events = vec![actor.event(now, fact), actor.event(now, keys)];
        match self.commit(Change { transaction, events })? {
            None => Ok(()),
            Some(_) => Err(BrokerError::ClientExists(name.clone())),
        }
    }

    /// Puts these public keys in the place of those that a client has. Its secret stays.
    ///
    /// # Errors
    /// There is no such client, there are too many keys, or what the journal says.
    pub fn client_set_keys(
        &self,
        name: &ClientName,
        keys: &KeySet,
        actor: &Actor,
    ) -> Result<(), BrokerError> {
        for _ in 0..ATTEMPTS {
            let (mut row, version) =
                self.client(name)?.ok_or_else(|| BrokerError::NoClient(name.clone()))?;
            row.keys = kept(keys)?;
            let fact = Fact::ClientKeysChanged { client: name.to_string(), keys: kids(keys) };
            let transaction = Transaction::new()
                .when(Condition::Version { key: place(name).into_bytes(), version })
                .with(Operation::put(place(name), written(name, &row)?));
            if self.commit(Change::new(transaction, actor.event(self.now(), fact)))?.is_none() {
                return Ok(());
            }
        }
        Err(BrokerError::Busy)
    }
}

fn kept(keys: &KeySet) -> Result<Option<String>, BrokerError> {
    match keys.len() {
        0 => Ok(None),
        1..=MOST_KEYS => Ok(Some(keys.to_json())),
        _ => Err(BrokerError::TooManyKeys),
    }
}

fn kids(keys: &KeySet) -> Vec<String> {
    keys.iter().map(|key| key.kid().to_owned()).collect()
}
