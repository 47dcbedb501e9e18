//! Keys for external account binding (RFC 8555 §7.3.4): whoever signs with one makes accounts as somebody.
//!
//! The key has 256 random bits. The server has to have it, for it is that of a MAC; so it is kept, sealed.
//!
//! A binding is made by an administrator, or by a container for itself. One of a container is good once, for an hour, and the
//! account that it makes is that container's alone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, SecretBytes, Timestamp};
use sealock_store::{Condition, KeyRange, Operation, Transaction};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{AHEAD, ATTEMPTS, Acme, Found, Id, StateError, put};

const PREFIX: &str = "acme/binding/";
/// Random bytes of a key.
const KEY: usize = 32;
/// So many there may be.
const MOST: usize = 10_000;
/// So many of them may be containers' own: whoever can make containers keeps no person from making one.
pub(super) const MOST_ATTESTED: usize = 5000;
/// So many of one container, used ones too, until they are over.
const MOST_OF_CONTAINER: usize = 16;
/// And of one identity, which has another container whenever that is made anew.
const MOST_OF_IDENTITY: usize = 64;
/// What the names of those begin with; an administrator's may begin so too, and is an administrator's.
const OF_CONTAINER: &str = "container-";
/// So much of a container's id is in the name of its binding.
const SHORT_ID: usize = 32;
/// For a container's client to make its account.
pub const ATTESTED: Duration = Duration::from_secs(3600);

/// The name of a binding, its `kid`: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingName(String);

/// A text that is no name of a binding.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the name has 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit")]
pub struct BindingNameError;

impl BindingName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BindingName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for BindingName {
    type Err = BindingNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= 64
            && text.bytes().next().is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(byte) || b"._-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(BindingNameError) }
    }
}

/// A binding as others may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its `kid`.
    pub name: BindingName,
    /// As whom its accounts order.
    pub identity: Identity,
    /// Since when it is there.
    pub made: Timestamp,
    /// Until when accounts can be made with it.
    pub until: Option<Timestamp>,
    /// Whether more than one account can.
    pub reusable: bool,
    /// The account that was made with it, the newest.
    pub account: Option<Id>,
    /// The id of the container that has got it for itself.
    pub container: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    identity: String,
    /// Base64 of the sealed key.
    key: String,
    made: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    reusable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

fn place(name: &str) -> String {
    format!("{PREFIX}{name}")
}

impl Row {
    pub(super) fn identity(&self) -> Result<Identity, StateError> {
        self.identity.parse().map_err(|_| StateError::Damaged(self.identity.clone()))
    }

    pub(super) fn container(&self) -> Option<String> {
        self.container.clone()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        // One of a time when the clock was far ahead would be good for as long.
        let is_ahead = Timestamp::from_millis(self.made) > now.plus(AHEAD);
        is_ahead || self.until.is_some_and(|until| until <= now.as_millis())
    }

    fn is_good(&self, now: Timestamp) -> bool {
        !self.is_over(now) && (self.reusable || self.account.is_none())
    }

    fn binding(&self, name: BindingName) -> Result<Binding, StateError> {
        Ok(Binding {
            name,
            identity: self.identity()?,
            made: Timestamp::from_millis(self.made),
            until: self.until.map(Timestamp::from_millis),
            reusable: self.reusable,
            account: self.account.clone(),
            container: self.container.clone(),
        })
    }
}

/// What has to hold, and be written, for an account to be made with a binding.
pub(super) fn used_by(
    name: &str,
    found: Found<Row>,
    account: &Id,
) -> Result<Transaction, StateError> {
    let mut row = found.row;
    row.account = Some(account.clone());
    let (key, expires) = (place(name), row.until.map(Timestamp::from_millis));
    Ok(Transaction::new()
        .when(Condition::Version { key: key.clone().into_bytes(), version: found.version })
        .with(put(&key, &row, expires)?))
}

impl Acme {
    /// A binding that is good. Whoever asks for another one does not learn whether it is there.
    pub(super) fn binding_row(&self, name: &str) -> Result<Found<Row>, StateError> {
        let unknown = || StateError::Unknown("external account binding that is good");
        let name: BindingName = name.parse().map_err(|_| unknown())?;
        let found: Found<Row> = self.read(&place(name.as_str()))?.ok_or_else(unknown)?;
        if found.row.is_good(self.now()) { Ok(found) } else { Err(unknown()) }
    }

    /// The key of a binding that is good.
    ///
    /// # Errors
    /// It is not there, used or over, or what the store says.
    pub fn binding_key(&self, name: &str) -> Result<SecretBytes, StateError> {
        let found = self.binding_row(name)?;
        let damaged = || StateError::Damaged(place(name));
        let sealed =
            data_encoding::BASE64.decode(found.row.key.as_bytes()).map_err(|_| damaged())?;
        Ok(self.keyring.open_sealed(&place(name), &sealed)?)
    }

    /// Makes a binding, and its key, which nobody is shown again.
    ///
    /// # Errors
    /// There is one of that name, there are too many, or what the journal says.
    pub fn binding_make(
        &self,
        name: &BindingName,
        identity: &Identity,
        until: Option<Timestamp>,
        reusable: bool,
        actor: &Actor,
    ) -> Result<SecretBytes, StateError> {
        let row = Row {
            identity: identity.to_string(),
            key: String::new(),
            made: self.now().as_millis(),
            until: until.map(Timestamp::as_millis),
            reusable,
            account: None,
            container: None,
        };
        self.binding_put(name, row, actor)
    }

    /// The same for a container, which is this identity: for one account, within [`ATTESTED`].
    ///
    /// # Errors
    /// The container has too many, there are too many of all, or what the journal says.
    pub fn binding_attest(
        &self,
        identity: &Identity,
        container: &str,
        actor: &Actor,
    ) -> Result<(Binding, SecretBytes), StateError> {
        let short = container.get(..SHORT_ID).unwrap_or(container);
        let own = format!("{OF_CONTAINER}{short}-");
        self.attested_room(identity, container)?;
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| StateError::Random)?;
        let name: BindingName = format!("{own}{}", HEXLOWER.encode(&random))
            .parse()
            .map_err(|_| StateError::Damaged(own))?;
        let now = self.now();
        let row = Row {
            identity: identity.to_string(),
            key: String::new(),
            made: now.as_millis(),
            until: Some(now.plus(ATTESTED).as_millis()),
            reusable: false,
            account: None,
            container: Some(container.to_owned()),
        };
        let binding = row.binding(name.clone())?;
        Ok((binding, self.binding_put(&name, row, actor)?))
    }

    /// Whether a container that is this identity may have another one.
    fn attested_room(&self, identity: &Identity, container: &str) -> Result<(), StateError> {
        // All of containers' own are called so, and some of others may be.
        let range = KeyRange::prefix(place(OF_CONTAINER).as_bytes());
        let (identity, mut all, mut of_identity, mut of_container) =
            (identity.to_string(), 0, 0, 0);
        for (key, entry) in self.store().range(&range, MOST)? {
            let row: Row = serde_json::from_slice(&entry.value)
                .map_err(|_| StateError::Damaged(String::from_utf8_lossy(&key).into_owned()))?;
            let Some(holder) = &row.container else { continue };
            all += 1;
            of_identity += usize::from(row.identity == identity);
            of_container += usize::from(holder == container);
        }
        if of_container >= MOST_OF_CONTAINER {
            return Err(StateError::TooMany("external account bindings of this container"));
        }
        if of_identity >= MOST_OF_IDENTITY {
            return Err(StateError::TooMany("external account bindings of this identity"));
        }
        if all >= MOST_ATTESTED {
            return Err(StateError::TooMany("external account bindings of containers"));
        }
        Ok(())
    }

    /// Writes a binding that is new, with a key that is.
    fn binding_put(
        &self,
        name: &BindingName,
        mut row: Row,
        actor: &Actor,
    ) -> Result<SecretBytes, StateError> {
        if self.store().range(&KeyRange::prefix(PREFIX.as_bytes()), MOST)?.len() >= MOST {
            return Err(StateError::TooMany("external account bindings"));
        }
        let mut bytes = Zeroizing::new([0; KEY]);
        rand::fill(bytes.as_mut()).map_err(|_| StateError::Random)?;
        let (now, key) = (self.now(), place(name.as_str()));
        let sealed = self.keyring.seal(&key, bytes.as_ref())?;
        row.key = data_encoding::BASE64.encode(&sealed);
        let until = row.until.map(Timestamp::from_millis);
        let fact = Fact::AcmeBinding {
            binding: name.to_string(),
            identity: row.identity.clone(),
            change: if row.container.is_some() { "attested" } else { "made" }.to_owned(),
        };
        let transaction = Transaction::new()
            .when(Condition::Absent(key.clone().into_bytes()))
            .with(put(&key, &row, until)?);
        match self.commit(transaction, vec![actor.event(now, fact)])? {
            true => Ok(SecretBytes::new(bytes.to_vec())),
            false => Err(StateError::BindingExists),
        }
    }

    /// Removes a binding. The accounts that were made with it stay.
    ///
    /// # Errors
    /// It is not there, or what the journal says.
    pub fn binding_remove(&self, name: &BindingName, actor: &Actor) -> Result<(), StateError> {
        let key = place(name.as_str());
        for _ in 0..ATTEMPTS {
            let found: Found<Row> =
                self.read(&key)?.ok_or(StateError::Unknown("external account binding"))?;
            let transaction = Transaction::new()
                .when(Condition::Version { key: key.clone().into_bytes(), version: found.version })
                .with(Operation::delete(key.clone()));
            let fact = Fact::AcmeBinding {
                binding: name.to_string(),
                identity: found.row.identity,
                change: "removed".to_owned(),
            };
            if self.commit(transaction, vec![actor.event(self.now(), fact)])? {
                return Ok(());
            }
        }
        Err(StateError::Busy("external account binding"))
    }

    /// All bindings, by name.
    ///
    /// # Errors
    /// What the store says.
    pub fn bindings(&self) -> Result<Vec<Binding>, StateError> {
        let mut all = Vec::new();
        for (key, entry) in self.store().range(&KeyRange::prefix(PREFIX.as_bytes()), MOST)? {
            let text = String::from_utf8_lossy(&key).into_owned();
            let name = text.strip_prefix(PREFIX).and_then(|name| name.parse().ok());
            let row: Option<Row> = serde_json::from_slice(&entry.value).ok();
            let (Some(name), Some(row)) = (name, row) else {
                return Err(StateError::Damaged(text));
            };
            all.push(row.binding(name)?);
        }
        Ok(all)
    }
}
