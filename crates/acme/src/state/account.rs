//! Accounts (RFC 8555 §7.3).

use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, Timestamp};
use sealock_store::{Condition, KeyRange, Operation, Transaction};
use serde::{Deserialize, Serialize};

use super::{ATTEMPTS, Acme, Found, Id, StateError, binding, is_ahead, put};
use crate::jwk::Jwk;
use crate::wire::{AccountStatus, Contact};

/// An account that nobody has vouched for, or only the engine, is forgotten after so long, unless an order of its was brought to
/// an end.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many of those there may be: whoever can connect makes them.
const MOST_UNUSED: usize = 10_000;
/// Between two counts of them.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name in URLs.
    pub id: Id,
    /// The key that its requests are signed with.
    pub key: Jwk,
    /// `mailto:` URLs.
    pub contacts: Vec<Contact>,
    /// Whether it may be used.
    pub status: AccountStatus,
    /// As whom its orders are made, by an external account binding. Nobody in particular otherwise.
    pub identity: Option<Identity>,
    /// The id of the container that was attested as that identity, and has to be it still whenever something is ordered.
    pub container: Option<String>,
    /// Since when it is there.
    pub made: Timestamp,
}

/// What becomes an account.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its key.
    pub key: Jwk,
    /// `mailto:` URLs.
    pub contacts: Vec<Contact>,
    /// The binding whose key has signed for it.
    pub binding: Option<String>,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    key: Jwk,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact>,
    pub(super) status: AccountStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    /// Milliseconds.
    made: i64,
    /// Whether an order of its was brought to an end.
    #[serde(default)]
    pub(super) used: bool,
}

const PREFIX: &str = "acme/account/";

pub(super) fn place(id: &Id) -> String {
    format!("{PREFIX}{id}")
}

fn key_place(thumbprint: &str) -> String {
    format!("acme/key/{thumbprint}")
}

const UNUSED_PREFIX: &str = "acme/unused/";

fn unused_place(id: &Id) -> String {
    format!("{UNUSED_PREFIX}{id}")
}

impl Row {
    fn account(&self, id: Id) -> Account {
        Account {
            key: self.key.clone(),
            contacts: self.contacts.clone(),
            status: self.status,
            identity: self.identity.clone(),
            container: self.container.clone(),
            made: Timestamp::from_millis(self.made),
            id,
        }
    }

    /// Whether somebody has vouched for it, or the engine.
    pub(super) fn is_vouched(&self) -> bool {
        self.identity.is_some()
    }

    /// Until when it is kept.
    fn until(&self) -> Option<Timestamp> {
        let is_kept = self.used || (self.binding.is_some() && self.container.is_none());
        (!is_kept).then(|| Timestamp::from_millis(self.made).plus(UNUSED))
    }
}

impl Acme {
    /// The account with this key.
    ///
    /// # Errors
    /// What the store says.
    pub fn account_of_key(&self, key: &Jwk) -> Result<Option<Account>, StateError> {
        let Some(found) = self.read::<Id>(&key_place(&key.thumbprint()))? else { return Ok(None) };
        match self.account(&found.row) {
            Err(StateError::Unknown(_)) => Ok(None),
            account => account.map(Some),
        }
    }

    /// An account, whatever its status.
    ///
    /// # Errors
    /// There is none, or what the store says.
    pub fn account(&self, id: &Id) -> Result<Account, StateError> {
        Ok(self.account_row(id)?.row.account(id.clone()))
    }

    /// Up to `most` accounts, whatever their status, and whether there are more.
    ///
    /// # Errors
    /// What the store says, or one that cannot be read.
    pub fn accounts(&self, most: usize) -> Result<(Vec<Account>, bool), StateError> {
        let range = KeyRange::prefix(PREFIX.as_bytes());
        let mut rows = self.store().range(&range, most.saturating_add(1))?;
        let more = rows.len() > most;
        rows.truncate(most);
        let accounts = rows.into_iter().map(|(key, entry)| {
            let text = String::from_utf8_lossy(&key).into_owned();
            let id = text.strip_prefix(PREFIX).and_then(|id| id.parse::<Id>().ok());
            let row: Option<Row> = serde_json::from_slice(&entry.value).ok();
            match (id, row) {
                (Some(id), Some(row)) => Ok(row.account(id)),
                _ => Err(StateError::Damaged(text)),
            }
        });
        Ok((accounts.collect::<Result<_, _>>()?, more))
    }

    pub(super) fn account_row(&self, id: &Id) -> Result<Found<Row>, StateError> {
        self.read(&place(id))?.ok_or(StateError::Unknown("account"))
    }

    /// Makes an account, or finds the one that the key has already; says whether it is new.
    ///
    /// # Errors
    /// There are too many that nobody vouches for, the binding is not there or used up, or what the journal says.
    pub fn account_make(
        &self,
        new: &NewAccount,
        actor: impl Fn(&Account) -> Actor,
    ) -> Result<(Account, bool), StateError> {
        for _ in 0..ATTEMPTS {
            if let Some(account) = self.account_of_key(&new.key)? {
                return Ok((account, false));
            }
            let now = self.now();
            let id = Id::new()?;
            let (identity, container, mut transaction) = match &new.binding {
                None => {
                    self.one_more_unused(now)?;
                    (None, None, Transaction::new())
                }
                Some(name) => {
                    let bound = self.binding_row(name)?;
                    let (identity, container) = (bound.row.identity()?, bound.row.container());
                    (Some(identity), container, binding::used_by(name, bound, &id)?)
                }
            };
            let row = Row {
                key: new.key.clone(),
                contacts: new.contacts.clone(),
                status: AccountStatus::Valid,
                binding: new.binding.clone(),
                identity,
                container,
                made: now.as_millis(),
                used: false,
            };
            let key = key_place(&new.key.thumbprint());
            let until = row.until();
            transaction = transaction
                .when(Condition::Absent(key.clone().into_bytes()))
                .with(put(&key, &id, until)?)
                .with(put(&place(&id), &row, until)?);
            if until.is_some() && row.binding.is_none() {
                let ends = until.map(Timestamp::as_millis);
                transaction = transaction.with(put(&unused_place(&id), &ends, until)?);
            }
            let account = row.account(id);
            let fact = Fact::AcmeAccount {
                account: account.id.to_string(),
                change: "made".to_owned(),
                identity: account.identity.as_ref().map(ToString::to_string),
            };
            let event = actor(&account).event(now, fact);
            if self.commit(transaction, vec![event])? {
                return Ok((account, true));
            }
        }
        Err(StateError::Busy("account"))
    }

    /// Moves an account that is a container's on to another container of the same identity, which has got this binding: a
    /// service that was made anew, and has kept its account.
    ///
    /// # Errors
    /// The account is no container's or another identity's, or no longer valid; the binding is not there or used up; or what
    /// the journal says.
    pub fn account_attest(
        &self,
        id: &Id,
        binding: &str,
        actor: &Actor,
    ) -> Result<Account, StateError> {
        for _ in 0..ATTEMPTS {
            let (found, bound) = (self.account_row(id)?, self.binding_row(binding)?);
            let mut row = found.row;
            let (identity, container) = (bound.row.identity()?, bound.row.container());
            let is_its = row.identity == Some(identity) && row.container.is_some();
            if row.status != AccountStatus::Valid || !is_its || container.is_none() {
                return Err(StateError::Status("the account is not one of that container's"));
            }
            row.container = container;
            row.binding = Some(binding.to_owned());
            let (key, until) = (place(id), row.until());
            let transaction = binding::used_by(binding, bound, id)?
                .when(Condition::Version { key: key.clone().into_bytes(), version: found.version })
                .with(put(&key, &row, until)?)
                .with(put(&key_place(&row.key.thumbprint()), id, until)?);
            let event = actor.event(self.now(), fact(id, "attested", &row));
            if self.commit(transaction, vec![event])? {
                return Ok(row.account(id.clone()));
            }
        }
        Err(StateError::Busy("account"))
    }

    /// Counts one more account that nobody vouches for. They are not counted anew each time: whoever makes many would have us
    /// do that.
    fn one_more_unused(&self, now: Timestamp) -> Result<(), StateError> {
        let mut unused = self.unused.lock();
        // A clock that was set back makes it old, too.
        let known = unused.filter(|(at, _)| *at <= now && now.since(*at) < COUNT_EVERY);
        let (at, count) = match known {
            Some(known) => known,
            None => (now, self.count_unused(now)?),
        };
        if count >= MOST_UNUSED {
            *unused = Some((at, count));
            return Err(StateError::TooMany("accounts that nobody vouches for"));
        }
        *unused = Some((at, count + 1));
        Ok(())
    }

    /// Those of a time when the clock was far ahead take no room from others for as long; they are kept.
    fn count_unused(&self, now: Timestamp) -> Result<usize, StateError> {
        let (mut count, mut range) = (0, KeyRange::prefix(UNUSED_PREFIX.as_bytes()));
        loop {
            let page = self.store().range(&range, MOST_UNUSED)?;
            let counts = |value: &[u8]| {
                let until: Option<i64> = serde_json::from_slice(value).ok().flatten();
                until.is_none_or(|it| !is_ahead(Timestamp::from_millis(it), now, UNUSED))
            };
            count += page.iter().filter(|(_, entry)| counts(&entry.value)).count();
            match page.last() {
                Some((last, _)) if page.len() == MOST_UNUSED => range = range.after(last),
                _ => return Ok(count),
            }
        }
    }

    /// Gives an account other contacts.
    ///
    /// # Errors
    /// It is not there or no longer valid, or what the journal says.
    pub fn account_contacts(&self, id: &Id, contacts: &[Contact]) -> Result<Account, StateError> {
        self.account_change(id, None, |row| row.contacts = contacts.to_vec())
    }

    /// Ends an account, for good. Its open orders can go no further, for nobody can sign for them any more.
    ///
    /// # Errors
    /// It is not there or no longer valid, or what the journal says.
    pub fn account_end(
        &self,
        id: &Id,
        status: AccountStatus,
        actor: &Actor,
    ) -> Result<Account, StateError> {
        let change = match status {
            AccountStatus::Revoked => "revoked",
            AccountStatus::Valid | AccountStatus::Deactivated => "deactivated",
        };
        self.account_change(id, Some((actor, change)), |row| row.status = status)
    }

    /// Gives an account another key (RFC 8555 §7.3.5). From then on the old one is nobody's.
    ///
    /// # Errors
    /// The new key is another account's, the account is not there or has another key than `old`, or what the journal says.
    pub fn account_key(
        &self,
        id: &Id,
        old: &Jwk,
        new: &Jwk,
        actor: &Actor,
    ) -> Result<Account, StateError> {
        for _ in 0..ATTEMPTS {
            if let Some(taken) = self.read::<Id>(&key_place(&new.thumbprint()))? {
                return Err(StateError::KeyTaken(taken.row));
            }
            let found = self.account_row(id)?;
            let mut row = found.row;
            if row.status != AccountStatus::Valid || row.key != *old {
                return Err(StateError::Status("the account is no longer what it was"));
            }
            row.key = new.clone();
            let (now, until) = (self.now(), row.until());
            let (account, key) = (place(id), key_place(&new.thumbprint()));
            let transaction = Transaction::new()
                .when(Condition::Version {
                    key: account.clone().into_bytes(),
                    version: found.version,
                })
                .when(Condition::Absent(key.clone().into_bytes()))
                .with(put(&account, &row, until)?)
                .with(put(&key, id, until)?)
                .with(Operation::delete(key_place(&old.thumbprint())));
            let event = actor.event(now, fact(id, "key-changed", &row));
            if self.commit(transaction, vec![event])? {
                return Ok(row.account(id.clone()));
            }
        }
        Err(StateError::Busy("account"))
    }

    fn account_change(
        &self,
        id: &Id,
        event: Option<(&Actor, &str)>,
        change: impl Fn(&mut Row),
    ) -> Result<Account, StateError> {
        for _ in 0..ATTEMPTS {
            let found = self.account_row(id)?;
            let mut row = found.row;
            if row.status != AccountStatus::Valid {
                return Err(StateError::Status("the account is no longer valid"));
            }
            change(&mut row);
            let key = place(id);
            let transaction = Transaction::new()
                .when(Condition::Version { key: key.clone().into_bytes(), version: found.version })
                .with(put(&key, &row, row.until())?);
            let now = self.now();
            let events = event.map(|(actor, what)| actor.event(now, fact(id, what, &row)));
            if self.commit(transaction, events.into_iter().collect())? {
                return Ok(row.account(id.clone()));
            }
        }
        Err(StateError::Busy("account"))
    }

    /// That an account which is still valid brings an order to an end. The first time it is written down: from then on the
    /// account is kept. Says, too, whether somebody has vouched for it.
    pub(super) fn account_used(&self, id: &Id) -> Result<(bool, Transaction), StateError> {
        let found = self.account_row(id)?;
        let mut row = found.row;
        if row.status != AccountStatus::Valid {
            return Err(StateError::Status("the account is no longer valid"));
        }
        let as_it_was = Condition::Version { key: place(id).into_bytes(), version: found.version };
        let (is_vouched, transaction) = (row.is_vouched(), Transaction::new().when(as_it_was));
        if row.used {
            return Ok((is_vouched, transaction));
        }
        row.used = true;
        let transaction = transaction
            .with(put(&place(id), &row, None)?)
            .with(put(&key_place(&row.key.thumbprint()), id, None)?)
            .with(Operation::delete(unused_place(id)));
        Ok((is_vouched, transaction))
    }
}

fn fact(id: &Id, change: &str, row: &Row) -> Fact {
    Fact::AcmeAccount {
        account: id.to_string(),
        change: change.to_owned(),
        identity: row.identity.as_ref().map(ToString::to_string),
    }
}
