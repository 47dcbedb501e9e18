//! Codes that are good for one certificate of a person: an invitation, or what a confirmed login gives.
//!
//! A code has 160 random bits, so its digest needs no slow hash. Only the digest is kept, until the code is used or its
//! time is over.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, Timestamp};
use sealock_store::{Change, Condition, KeyRange, Operation, Transaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Broker, BrokerError};

/// By this a code is known to those who look for secrets in places where none should be.
const MARK: &str = "sealock_lc_";
/// Random bytes of a code.
pub const ENROLMENT_SECRET: usize = 20;
/// Longer is no code of ours.
const LONGEST: usize = 128;
/// Codes that are good at the same time.
const MOST: usize = 10_000;
const CODE: &str = "login/code/";
const PERSON: &str = "login/person/";

/// What a code is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Whose certificate.
    pub user: Identity,
    /// How many seconds it lives.
    pub life: u64,
    /// `device` or `invite`.
    pub by: String,
    /// Until when the code is good, in seconds since 1970.
    pub until: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    /// Seconds since 1970.
    confirmed: i64,
    /// How many seconds their certificates live.
    life: u64,
}

fn place(code: &str) -> String {
    let mut digest = Context::new(&SHA256);
    for part in ["sealock enrolment code", code] {
        digest.update(part.as_bytes());
        digest.update(&[0]);
    }
    format!("{CODE}{}", HEXLOWER.encode(digest.finish().as_ref()))
}

/// The code of these random bytes.
pub fn enrolment_code(secret: &[u8; ENROLMENT_SECRET]) -> Zeroizing<String> {
    let mut code = Zeroizing::new(String::with_capacity(MARK.len() + 2 * ENROLMENT_SECRET));
    code.push_str(MARK);
    BASE64URL_NOPAD.encode_append(secret, &mut code);
    code
}

impl Broker {
    /// Makes a code. Its random bytes are given back, and kept nowhere.
    ///
    /// # Errors
    /// There are too many, or what the journal says.
    pub fn enrolment_make(
        &self,
        user: &Identity,
        life: Duration,
        by: &str,
        good_for: Duration,
        made: Option<(&Actor, Fact)>,
    ) -> Result<Zeroizing<[u8; ENROLMENT_SECRET]>, BrokerError> {
        let now = self.now();
        if self.store().range(&KeyRange::prefix(CODE.as_bytes()), MOST)?.len() >= MOST {
            return Err(BrokerError::Busy);
        }
        let mut secret = Zeroizing::new([0; ENROLMENT_SECRET]);
        rand::fill(secret.as_mut()).map_err(|_| BrokerError::Random)?;
        let key = place(&enrolment_code(&secret));
        let expires = now.plus(good_for);
        let row = Enrolment {
            user: user.clone(),
            life: life.as_secs(),
            by: by.to_owned(),
            until: expires.as_secs(),
        };
        let value = serde_json::to_vec(&row).map_err(|_| BrokerError::Changed(key.clone()))?;
        let transaction = Transaction::new()
            .when(Condition::Absent(key.clone().into_bytes()))
            .with(Operation::Put { key: key.into_bytes(), value, expires: Some(expires) });
        let events = made.into_iter().map(|(actor, fact)| actor.event(now, fact)).collect();
        match self.commit(Change { transaction, events })? {
            None => Ok(secret),
            Some(_) => Err(BrokerError::Random),
        }
    }

    /// Uses a code up, and says what for. Of two who have it, one gets it.
    ///
    /// # Errors
    /// What store and journal say.
    pub fn enrolment_use(
        &self,
        code: &str,
        request: &str,
    ) -> Result<Option<Enrolment>, BrokerError> {
        if code.len() > LONGEST || !code.starts_with(MARK) {
            return Ok(None);
        }
        let key = place(code);
        let Some(entry) = self.store().get(key.as_bytes())? else { return Ok(None) };
        let row: Enrolment =
            serde_json::from_slice(&entry.value).map_err(|_| BrokerError::Changed(key.clone()))?;
        let now = self.now();
        let person = serde_json::to_vec(&Person { confirmed: now.as_secs(), life: row.life })
            .map_err(|_| BrokerError::Changed(key.clone()))?;
        let transaction = Transaction::new()
            .when(Condition::Version { key: key.clone().into_bytes(), version: entry.version })
            .with(Operation::delete(key))
            .with(Operation::put(person_place(&row.user), person));
        let actor =
            Actor { who: row.user.to_string(), request: request.to_owned(), decision: None };
        let fact = Fact::LoginDone { user: row.user.to_string(), by: row.by.clone() };
        let conflict = self.commit(Change::new(transaction, actor.event(now, fact)))?;
        Ok(conflict.is_none().then_some(row))
    }

    /// The codes that are good, without the codes.
    ///
    /// # Errors
    /// What the store says.
    pub fn enrolments(&self) -> Result<Vec<Enrolment>, BrokerError> {
        let mut all = Vec::new();
        for (key, entry) in self.store().range(&KeyRange::prefix(CODE.as_bytes()), MOST)? {
            let changed = |_| BrokerError::Changed(String::from_utf8_lossy(&key).into_owned());
            all.push(serde_json::from_slice::<Enrolment>(&entry.value).map_err(changed)?);
        }
        all.sort_by(|one, two| (&one.user, one.until).cmp(&(&two.user, two.until)));
        Ok(all)
    }

    /// Makes all codes of a person worth nothing, and the renewal of what they have; says how many codes there were.
    ///
    /// # Errors
    /// What store and journal say.
    pub fn enrolment_revoke(&self, user: &Identity, actor: &Actor) -> Result<usize, BrokerError> {
        let mut transaction = Transaction::new().with(Operation::delete(person_place(user)));
        let mut count = 0;
        for (key, entry) in self.store().range(&KeyRange::prefix(CODE.as_bytes()), MOST)? {
            let row: Option<Enrolment> = serde_json::from_slice(&entry.value).ok();
            if row.is_some_and(|row| row.user == *user) {
                transaction = transaction.with(Operation::delete(key));
                count += 1;
            }
        }
        let fact = Fact::LoginRevoked { user: user.to_string() };
        match self.commit(Change::new(transaction, actor.event(self.now(), fact)))? {
            None => Ok(count),
            Some(_) => Err(BrokerError::Busy),
        }
    }

    /// When somebody last used a code of theirs, and how long what they got for it lives.
    ///
    /// # Errors
    /// What the store says.
    pub fn person_confirmed(
        &self,
        user: &Identity,
    ) -> Result<Option<(Timestamp, Duration)>, BrokerError> {
        let place = person_place(user);
        let Some(entry) = self.store().get(place.as_bytes())? else { return Ok(None) };
        let row: Person =
            serde_json::from_slice(&entry.value).map_err(|_| BrokerError::Changed(place))?;
        Ok(Some((Timestamp::from_secs(row.confirmed), Duration::from_secs(row.life))))
    }
}

fn person_place(user: &Identity) -> String {
    format!("{PERSON}{}/{}", user.kind().segment(), user.name())
}
