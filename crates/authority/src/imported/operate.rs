//! Requests: made, shown, dropped.

use sealock_core::audit::{Actor, Fact};
use sealock_core::{ImportedName, Timestamp};
use sealock_store::{Change, Condition, Keyring, Transaction};
use thiserror::Error;

use super::csr::{self, Asked};
use super::error::ImportError;
use super::known::Known;
use super::record::{FORMAT, Held, KeyRef, Pending, Record, Wishes, place};
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::key::{AuthorityKey, NewKey};
use crate::order::{MOST_NAMES, OrderError};
use crate::pem;
use crate::profile::{Profile, ProfileError};
use crate::state::Der;

/// The most names that imported certificates may have here.
const MOST: usize = 1000;

/// Why a request was not made or changed, or a certificate not taken.
#[derive(Debug, Error)]
pub enum RequestError {
    /// Nothing to ask for.
    #[error("the certificate would have no name: it needs a DNS name, address, URI or e-mail")]
    NoNames,
    /// Too many.
    #[error("{0} names are more than a certificate may have ({MOST_NAMES})")]
    TooManyNames(usize),
    /// Usages that no certificate has, or names that do not go with them.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Names of kinds that certificates for this do not have.
    #[error("the names do not go with the usage {usages}")]
    Names {
        /// What it was to be for.
        usages: String,
        /// Which names.
        source: ProfileError,
    },
    /// For code, in nobody's name.
    #[error("a certificate for code needs a subject")]
    NoSubject,
    /// No more room.
    #[error("there are {MOST} imported certificates already")]
    TooMany,
    /// The same name with other wishes.
    #[error("there is `{0}` already, with other wishes")]
    OtherWishes(ImportedName),
    /// Nothing of that name.
    #[error("there is no request and no imported certificate `{0}`")]
    Unknown(ImportedName),
    /// There is nothing to cancel or show.
    #[error("`{0}` waits for no signature")]
    NotWaiting(ImportedName),
    /// There is nothing to serve.
    #[error("`{0}` waits for the signature: there is no certificate yet")]
    Waiting(ImportedName),
    /// A key that came along is none.
    #[error("the private key in the files cannot be used: {0}")]
    Key(crate::key::KeyError),
    /// What came back.
    #[error("the certificate for `{name}` was not taken")]
    Import {
        /// For which.
        name: ImportedName,
        /// Why not.
        source: ImportError,
    },
    /// Others are at it.
    #[error("`{0}`, or the known roots, changed again and again while the certificate was checked")]
    Changed(ImportedName),
    /// The state.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl RequestError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoNames => "give names with --dns, --ip, --email or --uri".into(),
            Self::Order(OrderError::MixedUsages(_)) => {
                "ask for one certificate for each: `code` goes alone, `email` with `client` at most"
                    .into()
            }
            Self::Order(OrderError::NoAddress) => "give it with --email".into(),
            Self::NoSubject => "give one with --subject, or a name with --dns or --email".into(),
            Self::OtherWishes(name) => format!(
                "`sealock cert request {name} --show` prints what waits; --replace makes a new key and CSR"
            ),
            Self::Unknown(name) => {
                format!(
                    "see `sealock cert requests`; `sealock cert request {name} --dns …` makes one"
                )
            }
            Self::NotWaiting(name) => {
                format!("`sealock cert request {name} --forget` removes certificate and key")
            }
            Self::Waiting(name) => format!("`sealock cert import {name} FILE…` once it is signed"),
            Self::Import { name, source: ImportError::OtherKey { .. } } => format!(
                "it may be for an older CSR: send the one that `sealock cert request {name} --show` prints"
            ),
            Self::Import { source, .. } => return source.hint(),
            Self::Changed(_) => "import it again".into(),
            Self::Authority(error) => return error.hint(),
            _ => return None,
        })
    }
}

/// A CSR that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Since when.
    pub since: Timestamp,
    /// Whether it is for the successor of a certificate that is served.
    pub renewal: bool,
    /// The CSR in PEM.
    pub csr: String,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`), in hex.
    pub key: String,
}

/// Where a certificate stands that another authority signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What it is called.
    pub name: ImportedName,
    /// What is asked for.
    pub wishes: Wishes,
    /// What waits for a signature.
    pub waiting: Option<Waiting>,
    /// What is served.
    pub held: Option<Held>,
}

impl Standing {
    pub(super) fn of(name: &ImportedName, record: &Record) -> Self {
        let waiting = record.pending.as_ref().map(|pending| Waiting {
            since: pending.since,
            renewal: pending.renewal,
            csr: pem::encode("CERTIFICATE REQUEST", &pending.csr.0),
            key: pending.key.id.clone(),
        });
        Self {
            name: name.clone(),
            wishes: record.wishes.clone(),
            waiting,
            held: record.held.clone(),
        }
    }
}

/// A request that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// As it stands.
    pub standing: Standing,
    /// Whether it was made now.
    pub new: bool,
}

/// A new key with its CSR, not recorded yet.
pub(super) struct Made {
    pub(super) pending: Pending,
    sealed: Vec<u8>,
}

impl Made {
    /// Adds the sealed key to `transaction`.
    pub(super) fn seal_into(self, name: &ImportedName, transaction: Transaction) -> Transaction {
        transaction.create(self.pending.key.entry(name).into_bytes(), self.sealed)
    }
}

impl Authority {
    /// Everything that others sign, by name.
    pub fn requests(&self) -> Vec<Standing> {
        let known = self.known.load();
        known.records.iter().map(|(name, (record, _))| Standing::of(name, record)).collect()
    }

    /// How one stands.
    pub fn standing(&self, name: &ImportedName) -> Option<Standing> {
        let known = self.known.load();
        known.records.get(name).map(|(record, _)| Standing::of(name, record))
    }

    /// Makes a key and a CSR. The same again changes nothing, also when the certificate is here already; a new key, or
    /// other wishes, take `replace`. What is served goes on being served.
    pub fn request(
        &self,
        name: &ImportedName,
        wishes: &Wishes,
        replace: bool,
        actor: &Actor,
    ) -> Result<Requested, RequestError> {
        check(wishes)?;
        let _changing = self.changing.lock();
        let known = self.known.load_full();
        let before = known.records.get(name);
        if let Some((record, _)) = before.filter(|_| !replace) {
            if record.wishes != *wishes {
                return Err(RequestError::OtherWishes(name.clone()));
            }
            return Ok(Requested { standing: Standing::of(name, record), new: false });
        }
        if before.is_none() && known.records.len() >= MOST {
            return Err(RequestError::TooMany);
        }
        let held = before.and_then(|(record, _)| record.held.clone());
        // Other wishes are more than a successor.
        let renewal = before.is_some_and(|(record, _)| record.wishes == *wishes);
        let made = self.make_request(name, wishes, renewal && held.is_some())?;
        let record = Record {
            format: FORMAT,
            wishes: wishes.clone(),
            pending: Some(made.pending.clone()),
            held,
            alarmed: before.is_some_and(|(record, _)| record.alarmed),
        };
        self.put_request(name, before, record, Some(made), actor)
            .map(|standing| Requested { standing, new: true })
    }

    /// Writes a record with a new pending request in one commit with its key; the key of one that it takes the place
    /// of goes.
    pub(super) fn put_request(
        &self,
        name: &ImportedName,
        before: Option<&(Record, u64)>,
        record: Record,
        made: Option<Made>,
        actor: &Actor,
    ) -> Result<Standing, RequestError> {
        let renewal = record.pending.as_ref().is_some_and(|pending| pending.renewal);
        let fact = Fact::CertRequested {
            name: name.to_string(),
            subject: record.wishes.subject.to_string(),
            names: record.wishes.names.iter().map(ToString::to_string).collect(),
            key: record.pending.as_ref().map(|it| it.key.id.clone()).unwrap_or_default(),
            renewal,
            upstream: record.wishes.upstream.clone(),
        };
        let mut transaction = write(name, before, &record)?;
        if let Some((Record { pending: Some(old), .. }, _)) = before {
            transaction = transaction.delete(old.key.entry(name).into_bytes());
        }
        if let Some(made) = made {
            transaction = made.seal_into(name, transaction);
        }
        let change = Change::new(transaction, actor.event(self.now(), fact));
        self.commit("the request", change)?;
        self.reload_imported()?;
        Ok(Standing::of(name, &record))
    }

    /// A new key and its CSR.
    pub(super) fn make_request(
        &self,
        name: &ImportedName,
        wishes: &Wishes,
        renewal: bool,
    ) -> Result<Made, RequestError> {
        let NewKey { public, pkcs8 } =
            NewKey::generate(wishes.key_type).map_err(AuthorityError::from)?;
        let key = AuthorityKey::from_pkcs8(&pkcs8).map_err(AuthorityError::from)?;
        let Wishes { subject, names, usages, key_type, .. } = wishes;
        let asked = Asked { subject, names, usages: *usages, key_type: *key_type };
        let csr = csr::write(&asked, &key).map_err(|_| AuthorityError::Random)?;
        let key = KeyRef::of(&public.to_spki_der());
        let sealed = seal(&self.keyring, &key.entry(name), pkcs8.expose())?;
        let pending = Pending { since: self.now(), key, csr: Der(csr), renewal };
        Ok(Made { pending, sealed })
    }

    /// Drops what waits. What is served goes on being served.
    pub fn cancel_request(
        &self,
        name: &ImportedName,
        actor: &Actor,
    ) -> Result<Standing, RequestError> {
        let _changing = self.changing.lock();
        let known = self.known.load_full();
        let before = known.records.get(name).ok_or_else(|| RequestError::Unknown(name.clone()))?;
        let (record, version) = before;
        let Some(pending) = &record.pending else {
            return Err(RequestError::NotWaiting(name.clone()));
        };
        let after = Record { pending: None, ..record.clone() };
        let transaction = match &record.held {
            Some(_) => write(name, Some(before), &after)?,
            None => removal(name, *version),
        };
        let transaction = transaction.delete(pending.key.entry(name).into_bytes());
        self.drop_request(name, &after, transaction, false, actor)
    }

    /// Drops all of it: what waits, what is served, and their keys.
    pub fn forget_imported(
        &self,
        name: &ImportedName,
        actor: &Actor,
    ) -> Result<Standing, RequestError> {
        let _changing = self.changing.lock();
        let known = self.known.load_full();
        let (record, version) =
            known.records.get(name).ok_or_else(|| RequestError::Unknown(name.clone()))?;
        let mut transaction = removal(name, *version);
        let waiting = record.pending.as_ref().map(|pending| &pending.key);
        for key in waiting.into_iter().chain(record.held.as_ref().map(|held| &held.key)) {
            transaction = transaction.delete(key.entry(name).into_bytes());
        }
        self.drop_request(name, record, transaction, true, actor)
    }

    fn drop_request(
        &self,
        name: &ImportedName,
        record: &Record,
        transaction: Transaction,
        certificate: bool,
        actor: &Actor,
    ) -> Result<Standing, RequestError> {
        let fact = Fact::CertRequestDropped { name: name.to_string(), certificate };
        let change = Change::new(transaction, actor.event(self.now(), fact));
        self.commit("the removal", change)?;
        self.reload_imported()?;
        Ok(Standing::of(name, record))
    }

    pub(super) fn reload_imported(&self) -> Result<(), AuthorityError> {
        self.known.store(std::sync::Arc::new(Known::load(self.store())?));
        Ok(())
    }
}

/// The record's removal, on condition that it is the one that was read.
fn removal(name: &ImportedName, version: u64) -> Transaction {
    let key = place(name);
    Transaction::new().when(Condition::Version { key: key.clone(), version }).delete(key)
}

/// The record's write, on condition that it is the one that was read.
pub(super) fn write(
    name: &ImportedName,
    before: Option<&(Record, u64)>,
    record: &Record,
) -> Result<Transaction, AuthorityError> {
    let value = serde_json::to_vec(record)?;
    Ok(match before {
        Some((_, version)) => Transaction::new().replace(place(name), *version, value),
        None => Transaction::new().create(place(name), value),
    })
}

pub(super) fn seal(
    keyring: &Keyring,
    entry: &str,
    pkcs8: &[u8],
) -> Result<Vec<u8>, AuthorityError> {
    keyring.seal(entry, pkcs8).map_err(|source| AuthorityError::Seal {
        key: "key of an imported certificate".into(),
        source,
    })
}

fn check(wishes: &Wishes) -> Result<(), RequestError> {
    let Wishes { subject, names, usages, .. } = wishes;
    if names.is_empty() {
        return Err(RequestError::NoNames);
    }
    if names.len() > MOST_NAMES {
        return Err(RequestError::TooManyNames(names.len()));
    }
    usages.check()?;
    usages.check_names(names, false)?;
    Profile::of(*usages)
        .check_names(None, names)
        .map_err(|source| RequestError::Names { usages: usages.names().join(" and "), source })?;
    match usages.code && subject.is_empty() {
        true => Err(RequestError::NoSubject),
        false => Ok(()),
    }
}
