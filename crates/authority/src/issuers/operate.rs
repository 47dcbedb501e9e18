//! Issuers are asked for, and said not to be chosen.

use rcgen::PublicKeyData as _;
use sealock_core::audit::{Actor, Fact};
use sealock_core::{IssuerName, Timestamp};
use sealock_store::{Change, Transaction};

use super::error::{IssuerError, MOST};
use super::record::{Line, Pending};
use super::standing::IssuerStanding;
use crate::authority::{Authority, make_homes, read_state};
use crate::device::{KeyHome, unwanted};
use crate::error::AuthorityError;
use crate::imported::{Subject, authority_csr, is_own_subject};
use crate::inventory::IssuerId;
use crate::key::KeyType;
use crate::make::{self, MadeKey};
use crate::state::{Der, KeyPlace, STATE, State, key_name};

/// What is wanted of the company's CA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerWishes {
    /// The CA's subject; that of before by default.
    pub subject: Option<Subject>,
    /// The kind of its key; that of before by default.
    pub key_type: Option<KeyType>,
    /// Where its key is made; where that of before is by default.
    pub home: Option<KeyHome>,
}

/// A request that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedIssuer {
    /// As it stands.
    pub standing: IssuerStanding,
    /// Whether it was made now.
    pub new: bool,
}

/// A new key with its CSR, not recorded yet.
struct Made {
    pending: Pending,
    /// The key, where it is not in the device.
    sealed: Option<Vec<u8>>,
}

impl Authority {
    /// Makes a key and a CSR for an issuing CA. What waits already is not made anew unless `replace` says so; where a
    /// certificate is there, key and CSR are its successor's, and it goes on signing until that is imported.
    pub fn request_issuer(
        &self,
        name: &IssuerName,
        wishes: &IssuerWishes,
        replace: bool,
        actor: &Actor,
    ) -> Result<RequestedIssuer, IssuerError> {
        if name.is_own() {
            return Err(IssuerError::Own);
        }
        let _changing = self.changing.lock();
        self.try_remove_unwanted();
        let (mut state, version) = read_state(self.store())?;
        let before = state.line(name).cloned();
        let mut line = self.wanted(name, wishes, before.as_ref(), &state)?;
        let there = before.as_ref().map(|line| home_of(&state, line)).unwrap_or_default();
        let home = wishes.home.unwrap_or(there);
        if let Some(waiting) = before.as_ref().filter(|line| line.pending.is_some() && !replace) {
            let other = (&waiting.subject, waiting.key_type, there);
            if other != (&line.subject, line.key_type, home) {
                return Err(IssuerError::OtherWishes(name.clone()));
            }
            let standing = IssuerStanding::of(&state, waiting, self.now());
            return Ok(RequestedIssuer { standing, new: false });
        }
        let made = self.make_issuer_request(&state, &line, home)?;
        let id = made.pending.id;
        let mut transaction = Transaction::new();
        if let Some(old) = &line.pending {
            transaction = unwanted::give_up(transaction, &old.place(), old.id)?;
        }
        transaction = match (&made.pending.device, made.sealed) {
            (Some(at), _) => transaction.delete(unwanted::note(at)),
            (None, Some(sealed)) => transaction.create(key_name(id).into_bytes(), sealed),
            (None, None) => transaction,
        };
        let fact = Fact::IssuerRequested {
            issuer: name.to_string(),
            subject: line.subject.to_string(),
            key: id.to_string(),
        };
        line.pending = Some(made.pending);
        // Whoever signs is asked for one thing at a time.
        line.anew = None;
        state.put_line(line.clone());
        let value = serde_json::to_vec(&state).map_err(AuthorityError::from)?;
        let transaction = transaction.replace(STATE, version, value);
        self.commit("the request", Change::new(transaction, actor.event(self.now(), fact)))?;
        self.reload()?;
        self.try_remove_unwanted();
        Ok(RequestedIssuer { standing: IssuerStanding::of(&state, &line, self.now()), new: true })
    }

    /// The line as it is wanted, its pending request and its active certificate as they are.
    fn wanted(
        &self,
        name: &IssuerName,
        wishes: &IssuerWishes,
        before: Option<&Line>,
        state: &State,
    ) -> Result<Line, IssuerError> {
        let subject = wishes.subject.clone().or_else(|| before.map(|line| line.subject.clone()));
        let subject = subject.filter(|it| !it.is_empty()).ok_or(IssuerError::NoSubject)?;
        if is_own_subject(&subject, &state.trust_domain) {
            return Err(IssuerError::OwnSubject(subject.to_string()));
        }
        if before.is_none() && state.lines.len() >= MOST {
            return Err(IssuerError::TooMany);
        }
        let key_type = wishes.key_type.or_else(|| before.map(|line| line.key_type));
        Ok(Line {
            name: name.clone(),
            subject,
            key_type: key_type.unwrap_or_default(),
            pending: before.and_then(|line| line.pending.clone()),
            anew: before.and_then(|line| line.anew.clone()),
            active: before.and_then(|line| line.active),
            disabled: before.is_some_and(|line| line.disabled),
        })
    }

    /// A key at its place, and its CSR. What is cut short leaves at most a key in the device that is noted as unwanted.
    fn make_issuer_request(
        &self,
        state: &State,
        line: &Line,
        home: KeyHome,
    ) -> Result<Made, AuthorityError> {
        let [home] = make_homes(&self.journal, &self.device, [home])?;
        let label = format!("{} issuer {}", state.trust_domain, line.name);
        let (made, key) = make::new_key(line.key_type, &home, &label)?;
        let csr = Der(authority_csr(&line.subject.to_der(), line.key_type, &key)?);
        let id = IssuerId::of(&key.identifier());
        let seal = |source| AuthorityError::Seal { key: "key of an issuer".into(), source };
        let (sealed, device) = match &made {
            MadeKey::Here(pkcs8) => {
                (Some(self.keyring.seal(&key_name(id), pkcs8.expose()).map_err(seal)?), None)
            }
            MadeKey::InDevice { at, .. } => (None, Some(at.clone())),
        };
        let spki = Der(key.subject_public_key_info());
        Ok(Made { pending: Pending { since: self.now(), id, spki, csr, device }, sealed })
    }

    /// Drops what waits. What signs goes on signing.
    pub fn cancel_issuer(
        &self,
        name: &IssuerName,
        actor: &Actor,
    ) -> Result<IssuerStanding, IssuerError> {
        self.change_line(name, "cancelled", actor, |line, transaction| {
            let Some(pending) = line.pending.take() else {
                return Err(IssuerError::NotWaiting(line.name.clone()));
            };
            Ok(Some(unwanted::give_up(transaction, &pending.place(), pending.id)?))
        })
    }

    /// Says whether an issuer is to be chosen. One that is not signs nothing more; its lists are kept up.
    pub fn disable_issuer(
        &self,
        name: &IssuerName,
        disabled: bool,
        actor: &Actor,
    ) -> Result<IssuerStanding, IssuerError> {
        let what = if disabled { "disabled" } else { "enabled" };
        self.change_line(name, what, actor, |line, transaction| {
            let changed = std::mem::replace(&mut line.disabled, disabled) != disabled;
            Ok(changed.then_some(transaction))
        })
    }

    /// Changes a line in one commit; `change` says with what else, or that there is nothing to change. A line that has
    /// neither request nor certificate is gone.
    fn change_line(
        &self,
        name: &IssuerName,
        what: &str,
        actor: &Actor,
        change: impl FnOnce(&mut Line, Transaction) -> Result<Option<Transaction>, IssuerError>,
    ) -> Result<IssuerStanding, IssuerError> {
        if name.is_own() {
            return Err(IssuerError::OwnStays);
        }
        let _changing = self.changing.lock();
        let (mut state, version) = read_state(self.store())?;
        let mut line =
            state.line(name).cloned().ok_or_else(|| IssuerError::Unknown(name.clone()))?;
        let now: Timestamp = self.now();
        let Some(transaction) = change(&mut line, Transaction::new())? else {
            return Ok(IssuerStanding::of(&state, &line, now));
        };
        let standing = IssuerStanding::of(&state, &line, now);
        match line.pending.is_none() && line.active.is_none() {
            true => state.lines.retain(|other| other.name != *name),
            false => state.put_line(line),
        }
        let value = serde_json::to_vec(&state).map_err(AuthorityError::from)?;
        let transaction = transaction.replace(STATE, version, value);
        let fact = Fact::IssuerChanged { issuer: name.to_string(), change: what.to_owned() };
        self.commit("the change of the issuer", Change::new(transaction, actor.event(now, fact)))?;
        self.reload()?;
        self.try_remove_unwanted();
        Ok(standing)
    }
}

/// Where the newest key of a line is; that of one that has left this host was here.
fn home_of(state: &State, line: &Line) -> KeyHome {
    let signs = || line.active.and_then(|id| state.issuer(id)).map(|record| record.key.clone());
    match line.pending.as_ref().map(Pending::place).or_else(signs) {
        Some(KeyPlace::Device(_)) => KeyHome::Device,
        _ => KeyHome::Store,
    }
}
