//! Authorizations and their challenges (RFC 8555 §7.1.4, §7.5).

use sealock_core::audit::{Actor, Fact};
use sealock_core::{SubjectName, Timestamp};
use sealock_store::{Condition, Operation, Transaction};
use serde::{Deserialize, Serialize};

use super::{ATTEMPTS, Acme, Found, Id, OPEN, PROVED, StateError, is_ahead, put};
use crate::challenge::{ChallengeType, Token};
use crate::identifier::Identifier;
use crate::problem::AcmeProblem;
use crate::wire::{AuthorizationStatus, ChallengeStatus};

/// One way to prove a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// Which way.
    pub kind: ChallengeType,
    /// What has to be shown at the name, in some form.
    pub token: Token,
    /// How far it has come.
    pub status: ChallengeStatus,
    /// When it was met, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated: Option<i64>,
    /// Why it was not met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AcmeProblem>,
}

/// That an account speaks for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Its name in URLs.
    pub id: Id,
    /// Whose it is.
    pub account: Id,
    /// The name, with its wildcard.
    pub identifier: Identifier,
    /// How far it has come.
    pub status: AuthorizationStatus,
    /// When it ends.
    pub expires: Timestamp,
    /// The ways to prove it. None where nothing had to be proved.
    pub challenges: Vec<Challenge>,
}

/// A name for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// With its wildcard.
    pub identifier: Identifier,
    /// Whether the account need not prove it.
    pub vouched: bool,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    account: Id,
    identifier: Identifier,
    pub(super) status: AuthorizationStatus,
    /// Milliseconds.
    pub(super) expires: i64,
    challenges: Vec<Challenge>,
}

fn place(id: &Id) -> String {
    format!("acme/authorization/{id}")
}

/// A wildcard is another one than its base.
fn proved_place(account: &Id, identifier: &Identifier) -> String {
    format!("acme/of/{account}/proved/{identifier}")
}

impl Row {
    pub(super) fn status_at(&self, now: Timestamp) -> AuthorizationStatus {
        use AuthorizationStatus::{Expired, Pending, Valid};
        let (life, expires) = match self.status {
            Pending => (OPEN, Timestamp::from_millis(self.expires)),
            Valid => (PROVED, Timestamp::from_millis(self.expires)),
            status => return status,
        };
        if expires <= now || is_ahead(expires, now, life) { Expired } else { self.status }
    }

    fn authorization(&self, id: Id, now: Timestamp) -> Authorization {
        Authorization {
            id,
            account: self.account.clone(),
            identifier: self.identifier.clone(),
            status: self.status_at(now),
            expires: Timestamp::from_millis(self.expires),
            challenges: self.challenges.clone(),
        }
    }

    /// Until when it is kept: an order that looks at it may be a little older.
    fn until(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(self.expires).max(now.plus(OPEN))
    }
}

/// An authorization for an order: one that is there, or what has to be written for a new one.
pub(super) struct Ready {
    pub(super) id: Id,
    pub(super) operations: Vec<Operation>,
}

impl Acme {
    /// An authorization of this account.
    ///
    /// # Errors
    /// There is none, or what the store says.
    pub fn authorization(&self, account: &Id, id: &Id) -> Result<Authorization, StateError> {
        let found = self.authorization_row(account, id)?;
        Ok(found.row.authorization(id.clone(), self.now()))
    }

    pub(super) fn authorization_row(
        &self,
        account: &Id,
        id: &Id,
    ) -> Result<Found<Row>, StateError> {
        let found: Option<Found<Row>> = self.read(&place(id))?;
        found
            .filter(|found| found.row.account == *account)
            .ok_or(StateError::Unknown("authorization"))
    }

    /// One for a name in a new order.
    pub(super) fn authorization_for(
        &self,
        account: &Id,
        wanted: &Wanted,
    ) -> Result<Ready, StateError> {
        let (identifier, now) = (&wanted.identifier, self.now());
        if let Some(id) = self.proved(account, identifier, now)? {
            return Ok(Ready { id, operations: Vec::new() });
        }
        let id = Id::new()?;
        let (status, life, challenges) = if wanted.vouched {
            (AuthorizationStatus::Valid, PROVED, Vec::new())
        } else {
            let challenges = ChallengeType::of(identifier).map(|kind| {
                let token = Token::generate().map_err(|_| StateError::Random)?;
                let status = ChallengeStatus::Pending;
                Ok(Challenge { kind, token, status, validated: None, error: None })
            });
            (AuthorizationStatus::Pending, OPEN, challenges.collect::<Result<_, StateError>>()?)
        };
        let row = Row {
            account: account.clone(),
            identifier: identifier.clone(),
            status,
            expires: now.plus(life).as_millis(),
            challenges,
        };
        // What need not be proved is found out anew for each order: rules change.
        Ok(Ready { operations: vec![put(&place(&id), &row, Some(row.until(now)))?], id })
    }

    /// The authorization that this account has for this name already. One that it did not have to prove is not among them.
    fn proved(
        &self,
        account: &Id,
        identifier: &Identifier,
        now: Timestamp,
    ) -> Result<Option<Id>, StateError> {
        let Some(found) = self.read::<Id>(&proved_place(account, identifier))? else {
            return Ok(None);
        };
        let row = match self.authorization_row(account, &found.row) {
            Err(StateError::Unknown(_)) => return Ok(None),
            row => row?.row,
        };
        // It is to be good for as long as an order takes.
        let lasts = row.expires > now.plus(OPEN.min(PROVED) / 8).as_millis();
        let is_good = row.status_at(now) == AuthorizationStatus::Valid && lasts;
        Ok((is_good && row.identifier == *identifier).then_some(found.row))
    }

    /// Whether an account has proved a name lately, and that still counts.
    ///
    /// # Errors
    /// What the store says.
    pub fn has_proved(&self, account: &Id, name: &SubjectName) -> Result<bool, StateError> {
        let identifier = match name {
            SubjectName::Dns(name) => Identifier::Dns(name.clone()),
            SubjectName::Ip(address) => Identifier::Ip(*address),
            SubjectName::Uri(_) | SubjectName::Email(_) => return Ok(false),
        };
        Ok(self.proved(account, &identifier, self.now())?.is_some())
    }

    /// That a challenge is being looked at. Says with which token, or that there is nothing to do.
    ///
    /// # Errors
    /// There is no such challenge, the authorization is over, or what the journal says.
    pub fn challenge_begin(
        &self,
        account: &Id,
        id: &Id,
        kind: ChallengeType,
    ) -> Result<Option<Challenge>, StateError> {
        let begin = |row: &mut Row, now: Timestamp| {
            if row.status_at(now) != AuthorizationStatus::Pending {
                return Ok(None);
            }
            let found = row.challenges.iter_mut().find(|it| it.kind == kind);
            let challenge = found.ok_or(StateError::Unknown("challenge"))?;
            challenge.status = ChallengeStatus::Processing;
            Ok(Some(challenge.clone()))
        };
        self.authorization_change(account, id, None, begin)
    }

    /// What came of a challenge; One that was decided in the meantime stays as it is.
    ///
    /// # Errors
    /// The authorization is not there, or what the journal says.
    pub fn challenge_end(
        &self,
        account: &Id,
        id: &Id,
        kind: ChallengeType,
        failure: Option<AcmeProblem>,
        actor: &Actor,
    ) -> Result<(), StateError> {
        let end = |row: &mut Row, now: Timestamp| {
            if row.status != AuthorizationStatus::Pending {
                return Ok(None);
            }
            let found = row.challenges.iter_mut().find(|it| it.kind == kind);
            let challenge = found.ok_or(StateError::Unknown("challenge"))?;
            challenge.error.clone_from(&failure);
            if failure.is_some() {
                challenge.status = ChallengeStatus::Invalid;
                row.status = AuthorizationStatus::Invalid;
            } else {
                challenge.status = ChallengeStatus::Valid;
                challenge.validated = Some(now.as_millis());
                row.status = AuthorizationStatus::Valid;
                row.expires = now.plus(PROVED).as_millis();
                row.challenges.retain(|it| it.kind == kind);
            }
            Ok(Some(()))
        };
        let event = failure.is_none().then_some((actor, kind));
        self.authorization_change(account, id, event, end).map(|_| ())
    }

    /// Gives an authorization up (RFC 8555 §7.5.2).
    ///
    /// # Errors
    /// It is not there or was decided otherwise, or what the journal says.
    pub fn authorization_deactivate(
        &self,
        account: &Id,
        id: &Id,
    ) -> Result<Authorization, StateError> {
        use AuthorizationStatus::{Deactivated, Pending, Valid};
        let end = |row: &mut Row, now: Timestamp| match row.status_at(now) {
            Pending | Valid => {
                row.status = Deactivated;
                Ok(Some(()))
            }
            Deactivated => Ok(None),
            _ => Err(StateError::Status("the authorization is neither pending nor valid")),
        };
        self.authorization_change(account, id, None, end)?;
        self.authorization(account, id)
    }

    /// Changes a row as `change` says, unless that gives nothing; again when another change came in between.
    fn authorization_change<T>(
        &self,
        account: &Id,
        id: &Id,
        proved: Option<(&Actor, ChallengeType)>,
        change: impl Fn(&mut Row, Timestamp) -> Result<Option<T>, StateError>,
    ) -> Result<Option<T>, StateError> {
        let key = place(id);
        for _ in 0..ATTEMPTS {
            let (found, now) = (self.authorization_row(account, id)?, self.now());
            let mut row = found.row;
            let Some(changed) = change(&mut row, now)? else { return Ok(None) };
            let until = row.until(now);
            let mut transaction = Transaction::new()
                .when(Condition::Version { key: key.clone().into_bytes(), version: found.version })
                .with(put(&key, &row, Some(until))?);
            let mut events = Vec::new();
            if let Some((actor, kind)) = proved {
                let place = proved_place(account, &row.identifier);
                let expires = Timestamp::from_millis(row.expires);
                transaction = transaction.with(put(&place, id, Some(expires))?);
                let fact = Fact::AcmeProved {
                    account: account.to_string(),
                    name: row.identifier.to_string(),
                    method: kind.name().to_owned(),
                };
                events.push(actor.event(now, fact));
            }
            if self.commit(transaction, events)? {
                return Ok(Some(changed));
            }
        }
        Err(StateError::Busy("authorization"))
    }
}
