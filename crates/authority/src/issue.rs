//! Issuing and renewing.
//!
//! The way of an order: lint, constraints of the chain, key, signature, then one durable commit of the
//! inventory's entries and the audit event; only then is the certificate handed out. The commit's
//! conditions are that the serial is new and that the authority is still the one that signed, so a
//! rotation in between makes the order start again under the new intermediate.

use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{Identity, IssuerName, SecretBytes, SubjectName, Timestamp};
use sealock_store::{BoxedError, Change, Condition, JournalError, Transaction};

use crate::authority::{ATTEMPTS, Authority, BACKDATE, Loaded};
use crate::certificate::{self, LeafPlan, Validity};
use crate::chain::Chain;
use crate::error::AuthorityError;
use crate::inventory::{Entry, Found, IssuerId, Note};
use crate::issued::Issued;
use crate::key::{KeyType, NewKey, PublicKey, PublicKeyKind};
use crate::make::new_serial;
use crate::order::{KeySource, Order, OrderError, Usages};
use crate::pem;
use crate::serial::Serial;
use crate::state::{STATE, State};

/// What a renewal is to do differently than the certificate that it renews.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Another life; else as long as the old one was ordered for.
    pub ttl: Option<Duration>,
    /// Another key; else a new one of the same kind.
    pub key: Option<KeySource>,
    /// Other names; else the same.
    pub names: Option<Vec<SubjectName>>,
    /// Another issuer; else the one of that name that signs now.
    pub issuer: Option<IssuerName>,
    /// Another identity; else the same, where the issuer is our own.
    pub identity: Option<Identity>,
    /// Other usages; else the same.
    pub usages: Option<Usages>,
    /// Another profile; else the same.
    pub profile: Option<String>,
}

/// When a certificate is to begin and end, where whoever ordered it has said: then or not at all. In whole seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exactly {
    /// Else a little before now.
    pub not_before: Option<Timestamp>,
    /// Else as long from now as is ordered.
    pub not_after: Option<Timestamp>,
}

/// An order that is signed and not yet recorded.
struct Signed {
    change: Change,
    issued: Issued,
}

/// A key to certify, and the private half if it was made here.
struct Key {
    public: PublicKey,
    private: Option<SecretBytes>,
}

impl Authority {
    /// Issues a certificate. It is durable in the inventory and in the audit log when this returns.
    pub fn issue(&self, order: &Order, actor: &Actor) -> Result<Issued, AuthorityError> {
        self.attempt(|loaded| {
            let signed = self.sign(loaded, order, None, actor)?;
            self.commit("the certificate", signed.change)?;
            Ok(signed.issued)
        })
    }

    /// Issues a certificate together with a change of somebody else's, in one commit: there is the certificate and what
    /// goes with it, or neither. `along` is asked anew whenever another change of the authority came in between. It begins and
    /// ends `exactly` then, where that is said.
    ///
    /// # Errors
    /// [`AuthorityError::Overtaken`] when a condition of what goes along does not hold.
    pub fn issue_along(
        &self,
        order: &Order,
        exactly: Exactly,
        actor: &Actor,
        along: impl Fn(&Issued) -> Result<Transaction, BoxedError>,
    ) -> Result<Issued, AuthorityError> {
        self.attempt(|loaded| {
            let signed = self.sign_exactly(loaded, order, exactly, None, actor)?;
            let Signed { mut change, issued } = signed;
            let along = along(&issued).map_err(AuthorityError::Along)?;
            let conditions = along.conditions.clone();
            change.transaction.conditions.extend(along.conditions);
            change.transaction.operations.extend(along.operations);
            match self.commit("the certificate", change) {
                Err(error) if error.conflict().is_some_and(|it| conditions.contains(it)) => {
                    Err(AuthorityError::Overtaken)
                }
                outcome => outcome.map(|_| issued),
            }
        })
    }

    /// [`Authority::issue`] for async callers: signs on the polling thread (some tens of microseconds;
    /// a tenth of a second and more for a new RSA key; as long as the device takes, where the issuer's key is in
    /// one), then waits for the disk without blocking it.
    pub async fn issue_async(
        &self,
        order: &Order,
        actor: &Actor,
    ) -> Result<Issued, AuthorityError> {
        let what = "the certificate";
        for attempt in 1.. {
            let signed = {
                let loaded = self.loaded.load_full();
                self.sign(&loaded, order, None, actor)?
            };
            match self.journal.commit(signed.change).await {
                Ok(_) => return Ok(signed.issued),
                Err(source @ JournalError::Conflict(_)) if attempt < ATTEMPTS => {
                    self.after_conflict(&AuthorityError::Commit { what, source })?;
                }
                Err(source) => return Err(AuthorityError::Commit { what, source }),
            }
        }
        Err(AuthorityError::Contended)
    }

    /// Renews a certificate: a new serial and key, the same names, usages and life unless `renewal` says
    /// otherwise. The old one stays valid until it expires; the inventory ties the two together. A
    /// revoked one is not renewed, an expired one is.
    pub fn renew(
        &self,
        serial: Serial,
        renewal: &Renewal,
        actor: &Actor,
    ) -> Result<Issued, AuthorityError> {
        self.attempt(|loaded| {
            let old = self
                .inventory
                .by_serial(serial)?
                .ok_or_else(|| AuthorityError::Unknown(serial.to_string()))?;
            if old.entry.note.revoked.is_some() {
                return Err(AuthorityError::Revoked(serial));
            }
            let order = renewed_order(&loaded.state, &old.entry, renewal);
            let signed = self.sign(loaded, &order, Some(&old), actor)?;
            self.commit("the renewed certificate", signed.change)?;
            Ok(signed.issued)
        })
    }

    /// Runs `step`, again when its commit met another change.
    fn attempt<T>(
        &self,
        step: impl Fn(&Loaded) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        for _ in 0..ATTEMPTS {
            let loaded = self.loaded.load_full();
            match step(&loaded) {
                Err(error) if error.conflict().is_some() => self.after_conflict(&error)?,
                outcome => return outcome,
            }
        }
        Err(AuthorityError::Contended)
    }

    fn after_conflict(&self, error: &AuthorityError) -> Result<(), AuthorityError> {
        if error.conflict().is_some_and(|condition| condition.key() == STATE) {
            self.reload()?;
        }
        Ok(())
    }

    fn sign(
        &self,
        loaded: &Loaded,
        order: &Order,
        replaced: Option<&Found>,
        actor: &Actor,
    ) -> Result<Signed, AuthorityError> {
        self.sign_exactly(loaded, order, Exactly::default(), replaced, actor)
    }

    fn sign_exactly(
        &self,
        loaded: &Loaded,
        order: &Order,
        exactly: Exactly,
        replaced: Option<&Found>,
        actor: &Actor,
    ) -> Result<Signed, AuthorityError> {
        order.lint(&loaded.state.trust_domain)?;
        let now = self.now();
        let chain = loaded.chain_of(order.issuer.as_ref())?;
        self.check_root(chain)?;
        let validity = validity(chain, now, order.ttl, exactly)?;
        chain.check_usages(order.usages)?;
        let names = order.all_names();
        for name in &names {
            chain.check_name(name)?;
        }
        let key = key(&order.key)?;
        if chain.is_own_key(IssuerId::of(&key.public.identifier())) {
            return Err(OrderError::OwnKey.into());
        }
        let mut common_names = order.common_names().into_iter();
        // What does not fit is left out: the name is among the alternative names, and an empty subject fits everywhere.
        let common_name = common_names.find(|name| chain.permits_subject(name));
        if order.usages.code && common_name.is_none() {
            return Err(OrderError::NoSubject.into());
        }
        let serial = new_serial()?;
        let mut urls = self.publication.load().urls(chain.id, loaded.state.crl_url.as_deref());
        urls.ocsp = urls.ocsp.filter(|_| chain.ocsp);
        let plan = LeafPlan {
            serial,
            validity,
            common_name: common_name.as_deref(),
            names: &names,
            usages: order.usages,
            public: &key.public,
            urls: &urls,
        };
        let der = certificate::leaf_below(&plan, &chain.issuer)?;
        let note = Note {
            name: order.name.clone(),
            by: actor.who.clone(),
            issuer_number: chain.number,
            under: chain.name.is_some().then_some(chain.id),
            replaces: replaced.map(|found| found.entry.serial),
            replaced_by: None,
            revoked: None,
            profile: order.profile.clone(),
        };
        let entry = Entry {
            serial,
            issuer: chain.id,
            issued: now,
            not_before: validity.not_before,
            not_after: validity.not_after,
            identity: order.identity.clone(),
            names,
            common_name,
            usages: order.usages,
            key: key.public.kind(),
            note,
        };
        let change = change(&entry, &der, chain.name.as_ref(), loaded.version, replaced, actor)?;
        let issued = Issued {
            serial,
            name: entry.note.name,
            issuer: entry.issuer,
            not_before: validity.not_before,
            not_after: validity.not_after,
            leaf_der: der,
            intermediates: chain.intermediates(now),
            roots: chain.roots(now),
            key_pem: key.private,
        };
        Ok(Signed { change, issued })
    }
}

/// The entries and the event of a new certificate.
fn change(
    entry: &Entry,
    der: &[u8],
    issuer: Option<&IssuerName>,
    state_version: u64,
    replaced: Option<&Found>,
    actor: &Actor,
) -> Result<Change, AuthorityError> {
    let unchanged = Condition::Version { key: STATE.to_vec(), version: state_version };
    let mut transaction = entry.create(der, Transaction::new().when(unchanged))?;
    if let Some(old) = replaced {
        let note = Note { replaced_by: Some(entry.serial), ..old.entry.note.clone() };
        let now_replaced = old.entry.noted(note);
        transaction = now_replaced.supersede(&old.der, old.version, transaction)?;
    }
    let not_after = entry.not_after.to_string();
    let fact = match entry.note.replaces {
        Some(replaces) => Fact::CertRenewed {
            serial: entry.serial.to_string(),
            replaces: replaces.to_string(),
            name: entry.note.name.clone(),
            not_after,
            issuer: issuer.map(ToString::to_string),
        },
        None => Fact::CertIssued {
            serial: entry.serial.to_string(),
            name: entry.note.name.clone(),
            names: entry.names.iter().map(ToString::to_string).collect(),
            not_after,
            issuer: issuer.map(ToString::to_string),
        },
    };
    Ok(Change::new(transaction, actor.event(entry.issued, fact)))
}

fn key(source: &KeySource) -> Result<Key, AuthorityError> {
    match source {
        KeySource::PublicKey(public) => Ok(Key { public: public.clone(), private: None }),
        KeySource::Generate(kind) => {
            let NewKey { public, pkcs8 } = NewKey::generate(*kind)?;
            let private = pem::encode_secret("PRIVATE KEY", pkcs8.expose());
            Ok(Key { public, private: Some(private) })
        }
    }
}

/// From a little before now until `ttl` from now, or as was said, within the issuer's own validity.
fn validity(
    chain: &Chain,
    now: Timestamp,
    ttl: Duration,
    exactly: Exactly,
) -> Result<Validity, AuthorityError> {
    if now < chain.not_before {
        return Err(AuthorityError::ClockBehind { now, not_before: chain.not_before });
    }
    if now > chain.not_after {
        return Err(AuthorityError::IssuerExpired(chain.not_after));
    }
    let not_after = exactly.not_after.unwrap_or_else(|| now.plus(ttl));
    let not_after = Timestamp::from_secs(not_after.as_secs());
    if not_after > chain.not_after {
        let (asked, issuer_ends) = (not_after, chain.not_after);
        return Err(AuthorityError::OutlivesIssuer { asked, issuer_ends });
    }
    if let Some(asked) = exactly.not_before {
        let not_before = Timestamp::from_secs(asked.as_secs());
        if not_before < chain.not_before {
            let issuer_begins = chain.not_before;
            return Err(AuthorityError::PredatesIssuer { asked, issuer_begins });
        }
        return Ok(Validity { not_before, not_after });
    }
    let backdated = Timestamp::from_secs(now.minus(BACKDATE).as_secs());
    Ok(Validity { not_before: backdated.max(chain.not_before), not_after })
}

/// Of a line of issuers, the one that signs now renews what those before it have signed.
fn renewed_order(state: &State, old: &Entry, renewal: &Renewal) -> Order {
    let kind = match old.key {
        PublicKeyKind::P256 => KeyType::P256,
        PublicKeyKind::P384 => KeyType::P384,
        PublicKeyKind::Ed25519 => KeyType::Ed25519,
        PublicKeyKind::Rsa(_) => KeyType::Rsa3072,
    };
    let before = || Some(state.issuer(old.issuer)?.under.as_ref()?.line.clone());
    let issuer = renewal.issuer.clone().or_else(before).filter(|issuer| !issuer.is_own());
    let identity = renewal.identity.clone().or_else(|| old.identity.clone());
    let is_identity = |name: &SubjectName| matches!(name, SubjectName::Uri(uri) if old.identity.as_ref().is_some_and(|it| it.to_string() == *uri));
    let mut names = renewal.names.clone().unwrap_or_else(|| old.names.clone());
    if issuer.is_some() {
        // What another issuer signs carries none.
        names.retain(|name| !is_identity(name));
    }
    Order {
        name: old.note.name.clone(),
        identity: identity.filter(|_| issuer.is_none()),
        names,
        issuer,
        usages: renewal.usages.unwrap_or(old.usages),
        profile: renewal.profile.clone().or_else(|| old.note.profile.clone()),
        ttl: renewal.ttl.unwrap_or_else(|| old.ttl()),
        key: renewal.key.clone().unwrap_or(KeySource::Generate(kind)),
    }
}
