//! Who may ask for tokens, and with which shared secret.
//!
//! A secret has 256 random bits, so its digest needs no slow hash: there is nothing to guess. The name is part of the
//! digest, so that rows cannot be exchanged.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, rand};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, Timestamp};
use sealock_store::{Change, Condition, KeyRange, Operation, Transaction, Watch};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::revocation::Together;
use super::{ATTEMPTS, Broker, BrokerError, Revoked};
use crate::token::{KeySet, PublicKey};

/// Where nothing else is said, an old secret is good for so long after a rotation.
pub const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// By this a secret is known to those who look for secrets in places where none should be.
const MARK: &str = "sealock_cs_";
/// Random bytes of a secret.
const SECRET: usize = 32;
/// Longer is no secret of ours.
const LONGEST_SECRET: usize = 256;
/// Secrets of one client that are good at once.
const MOST_SECRETS: usize = 4;
/// Read from the store at once.
const PAGE: usize = 1000;

/// The name of a client: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(String);

/// A text that is no name of a client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a client's name has 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit"
)]
pub struct ClientNameError;

impl ClientName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ClientName {
    type Err = ClientNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= 64
            && text.bytes().next().is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(byte) || b"._-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(ClientNameError) }
    }
}

/// A client as others may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its name, which is the `client_id`.
    pub name: ClientName,
    /// Whose tokens it gets.
    pub identity: Identity,
    /// Since when it is there.
    pub made: Timestamp,
    /// Since when it has its newest secret.
    pub rotated: Timestamp,
    /// Until when an older secret is still good.
    pub old_until: Option<Timestamp>,
    /// Whether it has a shared secret.
    pub secret: bool,
    /// The `kid`s of its public keys.
    pub keys: Vec<String>,
}

/// A secret that was shown and was good, by its digest: for who asks later whether it still is.
#[derive(Clone)]
pub struct ShownSecret {
    /// Of which client.
    pub client: ClientName,
    /// Who that is.
    pub identity: Identity,
    digest: digest::Digest,
}

impl fmt::Debug for ShownSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ShownSecret").field("client", &self.client).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) identity: Identity,
    /// Milliseconds, as all times here.
    pub(super) made: i64,
    /// The newest last.
    pub(super) secrets: Vec<Digest>,
    /// Its public keys, a JWK Set in a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Digest {
    sha256: String,
    made: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

const PREFIX: &str = "traffic/client/";

pub(super) fn place(name: &ClientName) -> String {
    format!("{PREFIX}{name}")
}

/// That the client has not been removed.
pub(super) fn is_there(name: &ClientName) -> Condition {
    Condition::Present(place(name).into_bytes())
}

fn digest_of(name: &ClientName, secret: &str) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in ["sealock client secret", name.as_str(), secret] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    context.finish()
}

fn new_secret(
    name: &ClientName,
    now: Timestamp,
) -> Result<(Zeroizing<String>, Digest), BrokerError> {
    let mut bytes = Zeroizing::new([0; SECRET]);
    rand::fill(bytes.as_mut()).map_err(|_| BrokerError::Random)?;
    let mut secret = Zeroizing::new(String::with_capacity(MARK.len() + 2 * SECRET));
    secret.push_str(MARK);
    BASE64URL_NOPAD.encode_append(bytes.as_ref(), &mut secret);
    let sha256 = HEXLOWER.encode(digest_of(name, &secret).as_ref());
    Ok((secret, Digest { sha256, made: now.as_millis(), until: None }))
}

fn kid(key: &PublicKey) -> String {
    key.kid().to_owned()
}

impl Row {
    /// Its public keys. None where they are not what was written.
    pub(super) fn key_set(&self) -> Option<KeySet> {
        match &self.keys {
            None => Some(KeySet::default()),
            Some(text) => KeySet::from_json(text.as_bytes()).ok(),
        }
    }

    /// Whether this is the digest of a secret that is good now.
    fn has_secret(&self, given: &digest::Digest, now: Timestamp) -> bool {
        let mut good = false;
        for known in &self.secrets {
            let digest = HEXLOWER.decode(known.sha256.as_bytes()).unwrap_or_default();
            let equal = verify_slices_are_equal(&digest, given.as_ref()).is_ok();
            good |= equal && known.until.is_none_or(|until| now.as_millis() < until);
        }
        good
    }

    fn info(&self, name: ClientName, now: Timestamp) -> ClientInfo {
        let rotated = self.secrets.last().map_or(self.made, |newest| newest.made);
        let old = self.secrets.iter().filter_map(|secret| secret.until);
        let old_until = old.map(Timestamp::from_millis).filter(|until| *until > now).max();
        ClientInfo {
            name,
            identity: self.identity.clone(),
            made: Timestamp::from_millis(self.made),
            rotated: Timestamp::from_millis(rotated),
            old_until,
            secret: !self.secrets.is_empty(),
            keys: self.key_set().map(|keys| keys.iter().map(kid).collect()).unwrap_or_default(),
        }
    }
}

impl Broker {
    /// Whose secret this is, if it is one that is good. Who asks learns nothing else.
    ///
    /// # Errors
    /// What the store says.
    pub fn authenticate(
        &self,
        name: &str,
        secret: &str,
    ) -> Result<Option<(ClientName, Identity)>, BrokerError> {
        Ok(self.shown(name, secret)?.map(|shown| (shown.client, shown.identity)))
    }

    /// The same, for who is let in for longer: see [`Broker::is_good`].
    ///
    /// # Errors
    /// What the store says.
    pub fn shown(&self, name: &str, secret: &str) -> Result<Option<ShownSecret>, BrokerError> {
        let Ok(client) = name.parse::<ClientName>() else { return Ok(None) };
        if secret.len() > LONGEST_SECRET {
            return Ok(None);
        }
        let digest = digest_of(&client, secret);
        let Some((row, _)) = self.client(&client)? else { return Ok(None) };
        let is_good = row.has_secret(&digest, self.now());
        Ok(is_good.then_some(ShownSecret { client, identity: row.identity, digest }))
    }

    /// Whether a secret that was shown is one of that client still, and the client who it was.
    ///
    /// # Errors
    /// What the store says.
    pub fn is_good(&self, shown: &ShownSecret) -> Result<bool, BrokerError> {
        let Some((row, _)) = self.client(&shown.client)? else { return Ok(false) };
        Ok(row.identity == shown.identity && row.has_secret(&shown.digest, self.now()))
    }

    /// Hears of every change of a client, and now and then of one of another.
    ///
    /// # Errors
    /// What the store says.
    pub fn client_changes(&self, name: &ClientName) -> Result<Watch, BrokerError> {
        Ok(self.store().watch(place(name).as_bytes())?)
    }

    pub(super) fn client(&self, name: &ClientName) -> Result<Option<(Row, u64)>, BrokerError> {
        let Some(entry) = self.store().get(place(name).as_bytes())? else { return Ok(None) };
        let row =
            serde_json::from_slice(&entry.value).map_err(|_| BrokerError::Changed(place(name)))?;
        Ok(Some((row, entry.version)))
    }

    /// A client.
    ///
    /// # Errors
    /// There is none of that name, or what the store says.
    pub fn client_info(&self, name: &ClientName) -> Result<ClientInfo, BrokerError> {
        let (row, _) = self.client(name)?.ok_or_else(|| BrokerError::NoClient(name.clone()))?;
        Ok(row.info(name.clone(), self.now()))
    }

    /// All clients, by name.
    ///
    /// # Errors
    /// What the store says.
    pub fn clients(&self) -> Result<Vec<ClientInfo>, BrokerError> {
        let now = self.now();
        let mut all = Vec::new();
        let mut range = KeyRange::prefix(PREFIX.as_bytes());
        loop {
            let page = self.store().range(&range, PAGE)?;
            for (key, entry) in &page {
                let text = String::from_utf8_lossy(key).into_owned();
                let name = text.strip_prefix(PREFIX).and_then(|name| name.parse().ok());
                let row: Option<Row> = serde_json::from_slice(&entry.value).ok();
                let (Some(name), Some(row)) = (name, row) else {
                    return Err(BrokerError::Changed(text));
                };
                all.push(row.info(name, now));
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => range = range.after(last),
                _ => return Ok(all),
            }
        }
    }

    /// Makes a client, and its secret, which nobody sees again.
    ///
    /// # Errors
    /// There is one of that name, or what the journal says.
    pub fn client_add(
        &self,
        name: &ClientName,
        identity: &Identity,
        actor: &Actor,
    ) -> Result<Zeroizing<String>, BrokerError> {
        let now = self.now();
        let (secret, digest) = new_secret(name, now)?;
        let row = Row {
            identity: identity.clone(),
            made: now.as_millis(),
            secrets: vec![digest],
            keys: None,
        };
        let fact = Fact::ClientAdded { client: name.to_string(), identity: identity.to_string() };
        let transaction = Transaction::new()
            .when(Condition::Absent(place(name).into_bytes()))
            .with(Operation::put(place(name), written(name, &row)?));
        match self.commit(Change::new(transaction, actor.event(now, fact)))? {
            None => Ok(secret),
            Some(_) => Err(BrokerError::ClientExists(name.clone())),
        }
    }

    /// Gives a client a new secret. The one before it is good for `overlap`, and those before that no longer.
    ///
    /// # Errors
    /// There is no such client, or what the journal says.
    pub fn client_rotate(
        &self,
        name: &ClientName,
        overlap: Duration,
        actor: &Actor,
    ) -> Result<Zeroizing<String>, BrokerError> {
        for _ in 0..ATTEMPTS {
            let (mut row, version) =
                self.client(name)?.ok_or_else(|| BrokerError::NoClient(name.clone()))?;
            let now = self.now();
            let until = now.plus(overlap);
            row.secrets.retain(|secret| secret.until.is_none_or(|until| until > now.as_millis()));
            for secret in &mut row.secrets {
                let end = secret.until.unwrap_or(i64::MAX).min(until.as_millis());
                secret.until = Some(end);
            }
            row.secrets.retain(|secret| secret.until.is_some_and(|until| until > now.as_millis()));
            let (secret, digest) = new_secret(name, now)?;
            row.secrets.push(digest);
            let too_many = row.secrets.len().saturating_sub(MOST_SECRETS);
            row.secrets.drain(..too_many);
            let fact =
                Fact::ClientRotated { client: name.to_string(), old_until: until.to_rfc3339() };
            let transaction = Transaction::new()
                .when(Condition::Version { key: place(name).into_bytes(), version })
                .with(Operation::put(place(name), written(name, &row)?));
            if self.commit(Change::new(transaction, actor.event(now, fact)))?.is_none() {
                return Ok(secret);
            }
        }
        Err(BrokerError::Busy)
    }

    /// Removes a client, whose tokens are revoked with it.
    ///
    /// # Errors
    /// There is no such client, or what the journal says.
    pub fn client_remove(&self, name: &ClientName, actor: &Actor) -> Result<(), BrokerError> {
        let gone = Together {
            condition: Condition::Present(place(name).into_bytes()),
            operation: Operation::delete(place(name)),
            fact: Fact::ClientRemoved { client: name.to_string() },
        };
        // No token that is on its way now can be younger than what is revoked.
        let _alone = self.removing.write();
        match self.revoke_with(&Revoked::Client(name.clone()), None, Some(&gone), actor)? {
            Some(_) => Ok(()),
            None => Err(BrokerError::NoClient(name.clone())),
        }
    }
}

pub(super) fn written(name: &ClientName, row: &Row) -> Result<Vec<u8>, BrokerError> {
    serde_json::to_vec(row).map_err(|_| BrokerError::Changed(place(name)))
}
