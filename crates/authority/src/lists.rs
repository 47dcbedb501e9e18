//! The revocation lists of all issuers: made with each revocation, and before they run out.

use std::collections::BTreeSet;
use std::time::Duration;

use rcgen::Issuer;
use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Store, Transaction};

use crate::authority::{Authority, BACKDATE, is_ahead};
use crate::certificate;
use crate::crl::{self, By, Crl, Delta, Previous, PreviousDelta, Revoked};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::issuers::CaSigner;
use crate::key::AuthorityKey;
use crate::state::{IssuerKind, IssuerRecord, KeyPlace, State, crl_key, delta_key, list_due_key};

/// So long a device that was away is not asked again for lists that somebody wants.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// The lists of one issuer as they are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    full: Option<Previous>,
    delta: Option<PreviousDelta>,
    /// Whether a revocation is on neither: the device was away that signs them.
    unlisted: bool,
}

/// What has to be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Delta,
    Both,
}

impl Lists {
    pub(crate) fn read(store: &dyn Store, issuer: IssuerId) -> Result<Self, AuthorityError> {
        let corrupt = || AuthorityError::Corrupt { record: format!("CRL of {issuer}") };
        // The full list last: what is revoked meanwhile may be missed on one that has it, and not the other way round.
        let unlisted = store.get(&list_due_key(issuer))?.is_some();
        let delta = store.get(&delta_key(issuer))?.map(|stored| {
            PreviousDelta::from_bytes(issuer, &stored.value, stored.version).ok_or_else(corrupt)
        });
        let full = store.get(&crl_key(issuer))?.map(|stored| {
            Previous::from_bytes(issuer, &stored.value, stored.version).ok_or_else(corrupt)
        });
        Ok(Self { full: full.transpose()?, delta: delta.transpose()?, unlisted })
    }

    /// The full list, with its version.
    pub(crate) fn into_previous(self) -> Option<Previous> {
        self.full
    }

    /// The full list.
    pub(crate) fn into_full(self) -> Option<Crl> {
        self.full.map(|full| full.crl)
    }

    /// The delta.
    pub(crate) fn into_delta(self) -> Option<Crl> {
        self.delta.map(|delta| delta.crl)
    }

    /// The number of what is made next.
    fn number(&self) -> u64 {
        let full = self.full.as_ref().map(|full| full.crl.number);
        let delta = self.delta.as_ref().map(|delta| delta.crl.number);
        full.max(delta).unwrap_or(0) + 1
    }

    /// How many revocations the full list lacks.
    fn pending(&self) -> u64 {
        self.delta.as_ref().map_or(0, |delta| delta.delta.pending)
    }

    /// Whether the full list lacks a revocation that is committed.
    pub(crate) fn full_lacks(&self) -> bool {
        self.unlisted || self.pending() > 0
    }

    /// Whether the delta does.
    pub(crate) fn delta_lacks(&self) -> bool {
        self.unlisted
    }

    /// Whether the full list has stood for so long that another may be made.
    fn has_rested(&self, now: Timestamp) -> bool {
        let rested = |full: &Previous| now >= full.crl.this_update.plus(BACKDATE + crl::FULL_AFTER);
        self.full.as_ref().is_none_or(rested)
    }

    /// What is due; `left` is whether the full list was left behind by a process that has ended.
    fn due(&self, now: Timestamp, left: bool) -> Due {
        let Some(full) = self.full.as_ref().filter(|_| !self.unlisted) else { return Due::Both };
        let ahead = |crl: &Crl| is_ahead(crl.this_update, now);
        if ahead(&full.crl) || self.delta.as_ref().is_some_and(|delta| ahead(&delta.crl)) {
            return Due::Both;
        }
        let lacks = self.pending() > 0 && (left || self.has_rested(now));
        if lacks || full.crl.next_update < now.plus(crl::MARGIN) {
            return Due::Both;
        }
        let ends = |delta: &PreviousDelta| delta.crl.next_update < now.plus(crl::DELTA_MARGIN);
        if self.delta.as_ref().is_none_or(ends) { Due::Delta } else { Due::Nothing }
    }
}

impl Authority {
    /// The revocation list of the active intermediate, made anew first when it is about to run out.
    pub fn crl(&self) -> Result<Crl, AuthorityError> {
        let issuer = self.loaded.load().state.intermediate;
        self.crl_of(issuer)?.ok_or_else(|| AuthorityError::Corrupt { record: "the CRL".into() })
    }

    /// The revocation list of one issuer; `None` for an unknown issuer.
    pub fn crl_of(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        let signed = self.refresh_if_signed(issuer)?;
        let lists = self.lists(issuer)?;
        match signed || !self.is_overdue(issuer, &lists) {
            true => Ok(lists.into_full()),
            false => Err(AuthorityError::ListBehind { issuer }),
        }
    }

    /// The delta of an issuer's list; `None` for an unknown issuer and for roots.
    pub fn delta_of(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        let signed = self.refresh_if_signed(issuer)?;
        let lists = self.lists(issuer)?;
        match signed || !lists.delta_lacks() {
            true => Ok(lists.into_delta()),
            false => Err(AuthorityError::ListBehind { issuer }),
        }
    }

    /// Makes the lists anew that are due. One whose device is away waits for it.
    pub fn keep_lists(&self) -> Result<(), AuthorityError> {
        let now = self.now();
        let state = self.loaded.load().state.clone();
        for issuer in state.issuers.iter().filter(|issuer| issuer.in_use(now)) {
            self.refresh_if_signed(issuer.id)?;
        }
        Ok(())
    }

    /// Makes the full lists that lack a revocation, however short a time they have: for who ends now, so that nobody would
    /// do it later.
    pub fn catch_up(&self) -> Result<(), AuthorityError> {
        let state = self.loaded.load().state.clone();
        for issuer in behind(self.store(), &state)? {
            self.left_behind.lock().insert(issuer);
            self.refresh_if_signed(issuer)?;
        }
        Ok(())
    }

    /// The issuers whose full list is given to nobody now: it lacks a revocation, and the device is away that signs
    /// another.
    pub fn held_back(&self) -> Result<Vec<IssuerId>, AuthorityError> {
        let away = self.left_alone.lock().is_some();
        let state = self.loaded.load().state.clone();
        let mut held = Vec::new();
        for issuer in behind(self.store(), &state)? {
            let lists = self.lists(issuer)?;
            if lists.unlisted || away && self.is_overdue(issuer, &lists) {
                held.push(issuer);
            }
        }
        Ok(held)
    }

    /// The revocation lists of all issuers whose certificates may still be in use, roots included.
    /// webpki (rustls) picks a list by its issuer's name alone, and all roots of a trust domain have one
    /// name: give it these with `only_check_end_entity_revocation`.
    pub fn crls(&self) -> Result<Vec<Crl>, AuthorityError> {
        let now = self.now();
        let state = self.loaded.load().state.clone();
        let in_use = state.issuers.iter().filter(|issuer| issuer.in_use(now));
        in_use.filter_map(|issuer| self.crl_of(issuer.id).transpose()).collect()
    }

    /// While the device is away that signs them, the lists that there are serve on until their `nextUpdate`, unless they
    /// lack a revocation; says whether it was there. Strangers ask, and must not have everybody wait for a device again and
    /// again that does not answer.
    fn refresh_if_signed(&self, issuer: IssuerId) -> Result<bool, AuthorityError> {
        let now = self.now();
        if self.left_alone.lock().is_some_and(|until| now < until) {
            return Ok(false);
        }
        let outcome = self.refresh_crl(issuer, &Actor::daemon("crl"));
        let away = matches!(&outcome, Err(AuthorityError::Device(error)) if error.may_pass);
        *self.left_alone.lock() = away.then(|| now.plus(LEFT_ALONE));
        if away { Ok(false) } else { outcome.map(|_| true) }
    }

    /// Whether a revocation is not on the full list, and it is time that it were.
    fn is_overdue(&self, issuer: IssuerId, lists: &Lists) -> bool {
        let waited = || self.is_left_behind(issuer, lists) || lists.has_rested(self.now());
        lists.unlisted || lists.pending() > 0 && waited()
    }

    /// Whether a process before this one has left the full list without a revocation, and nobody has mended that since.
    fn is_left_behind(&self, issuer: IssuerId, lists: &Lists) -> bool {
        let mut left = self.left_behind.lock();
        if lists.pending() == 0 {
            left.remove(&issuer);
        }
        left.contains(&issuer)
    }

    pub(crate) fn lists(&self, issuer: IssuerId) -> Result<Lists, AuthorityError> {
        Lists::read(self.store(), issuer)
    }

    /// Adds the lists with one more revocation to `transaction`, and gives the full one if that was made.
    /// Nothing is added when the issuer's key is gone. When the device is away that has it, what is added is that they
    /// are due: nobody is kept from revoking by a device that does not answer.
    pub(crate) fn list_revocation(
        &self,
        issuer: IssuerId,
        revoked: Revoked,
        now: Timestamp,
        transaction: Transaction,
    ) -> Result<(Transaction, Option<Crl>), AuthorityError> {
        match self.revoked_lists(issuer, revoked, now, transaction.clone()) {
            Err(AuthorityError::Device(error)) if error.may_pass => {
                Ok((transaction.put(list_due_key(issuer), Vec::new()), None))
            }
            outcome => outcome,
        }
    }

    fn revoked_lists(
        &self,
        issuer: IssuerId,
        revoked: Revoked,
        now: Timestamp,
        transaction: Transaction,
    ) -> Result<(Transaction, Option<Crl>), AuthorityError> {
        let Some((record, key)) = self.list_key(issuer)? else { return Ok((transaction, None)) };
        let url = self.publication.load().delta(issuer);
        let by = By { record: &record, key: &key, freshest: url.as_deref() };
        let lists = self.lists(issuer)?;
        let number = lists.number();
        let entries = lists.full.as_ref().map_or(0, |full| full.crl.entries) + lists.pending() + 1;
        let delta = lists.delta.as_ref().map(|delta| delta.delta.clone());
        let short = delta.as_ref().filter(|delta| !delta.is_long());
        // One that comes by itself is on the full list at once, whatever that costs; of many, the others wait for each
        // other.
        let alone = lists.has_rested(now) || self.is_left_behind(issuer, &lists);
        if let (Some(delta), true) = (short, entries > crl::FULL_AT_ONCE && !alone) {
            let delta = delta.clone().with(revoked);
            let (condition, put) = delta.build(by, number, lists.delta.as_ref(), now)?;
            return Ok((transaction.when(condition).with(put), None));
        }
        let mut all = self.still_listed(issuer, lists.full.as_ref(), now)?;
        all.push(revoked);
        let (condition, put, full) = crl::next(by, number, lists.full.as_ref(), now, &all, None)?;
        let transaction = transaction.when(condition).with(put);
        let delta = match delta {
            Some(delta) => delta.with(revoked).settled(&full),
            None => Delta::to(&full),
        };
        let (condition, put) = delta.build(by, number, lists.delta.as_ref(), now)?;
        Ok((transaction.when(condition).with(put), Some(full)))
    }

    /// What is already revoked by an issuer and belongs on its next list.
    fn still_listed(
        &self,
        issuer: IssuerId,
        previous: Option<&Previous>,
        now: Timestamp,
    ) -> Result<Vec<Revoked>, AuthorityError> {
        let since = previous.map_or(now, |before| before.crl.this_update.min(now));
        self.inventory.revoked_by(issuer, since)
    }

    /// Makes an intermediate's lists anew when little is left of them, or when the full one has lacked a
    /// revocation for long enough. A root's list is made with the certificates below it and lives as long
    /// as they do: the root key may be elsewhere. Gives the full list if it was made.
    pub(crate) fn refresh_crl(
        &self,
        issuer: IssuerId,
        actor: &Actor,
    ) -> Result<Option<Crl>, AuthorityError> {
        let state = self.loaded.load().state.clone();
        let record = state.issuer(issuer).filter(|record| record.kind == IssuerKind::Intermediate);
        if record.is_none() || self.due(issuer, &self.lists(issuer)?, self.now()) == Due::Nothing {
            return Ok(None);
        }
        let _changing = self.changing.lock();
        let now = self.now();
        let lists = self.lists(issuer)?;
        let due = self.due(issuer, &lists, now);
        let key = self.list_key(issuer)?.filter(|_| due != Due::Nothing);
        let Some((record, key)) = key else { return Ok(None) };
        let url = self.publication.load().delta(issuer);
        let by = By { record: &record, key: &key, freshest: url.as_deref() };
        let mut number = lists.number();
        let before = lists.delta.as_ref();
        let (delta, full) = match (before, &lists.full, due) {
            (Some(before), _, Due::Delta) => (before.delta.clone(), None),
            (None, Some(full), Due::Delta) => {
                // It says the same, so it has the same number (RFC 5280 §5.2.3).
                number = full.crl.number;
                (Delta::to(&full.crl), None)
            }
            _ => {
                let revoked = self.still_listed(issuer, lists.full.as_ref(), now)?;
                let made = crl::next(by, number, lists.full.as_ref(), now, &revoked, None)?;
                (Delta::to(&made.2), Some(made))
            }
        };
        let (condition, put) = delta.build(by, number, before, now)?;
        let mut transaction = Transaction::new().when(condition).with(put);
        if due == Due::Both {
            transaction = transaction.delete(list_due_key(issuer));
        }
        let mut events = Vec::new();
        let full = full.map(|(condition, put, full)| {
            transaction = std::mem::take(&mut transaction).when(condition).with(put);
            events.push(actor.event(now, made_list(&full)));
            full
        });
        self.commit("the revocation list", Change { transaction, events })?;
        Ok(full)
    }

    fn due(&self, issuer: IssuerId, lists: &Lists, now: Timestamp) -> Due {
        lists.due(now, self.is_left_behind(issuer, lists))
    }

    /// An intermediate and its key; `None` when that is gone.
    fn list_key(
        &self,
        id: IssuerId,
    ) -> Result<Option<(IssuerRecord, AuthorityKey)>, AuthorityError> {
        let state = self.loaded.load().state.clone();
        let Some(record) = state.issuer(id).filter(|record| record.key.is_usable()) else {
            return Ok(None);
        };
        Ok(Some((record.clone(), self.ca_key(record)?)))
    }

    /// The key of a CA of the authority's own, from the store; one that is in the device signs there.
    pub(crate) fn ca_key(&self, record: &IssuerRecord) -> Result<AuthorityKey, AuthorityError> {
        if let KeyPlace::Device(at) = &record.key {
            return certificate::key_in_device(record, at, self.device.clone());
        }
        let key = self.unseal(record.id, &record.title())?;
        if !certificate::belongs(&record.der.0, &key) {
            let record = format!("{}: its key is another one", record.title());
            return Err(AuthorityError::Corrupt { record });
        }
        Ok(key)
    }

    /// The same, ready to sign certificates, whoever has made the CA's certificate.
    pub(crate) fn signer_of(&self, record: &IssuerRecord) -> Result<CaSigner, AuthorityError> {
        CaSigner::new(record, self.ca_key(record)?)
    }

    /// The same for a certificate of our own.
    pub(crate) fn issuer_of(
        &self,
        record: &IssuerRecord,
    ) -> Result<Issuer<'static, AuthorityKey>, AuthorityError> {
        certificate::issuer(&record.der.0, self.ca_key(record)?)
            .map_err(|source| AuthorityError::Build { what: "the issuer", source })
    }
}

/// The issuers whose full list lacks a revocation that is committed.
pub(crate) fn behind(
    store: &dyn Store,
    state: &State,
) -> Result<BTreeSet<IssuerId>, AuthorityError> {
    let mut behind = BTreeSet::new();
    for issuer in state.of_kind(IssuerKind::Intermediate).map(|record| record.id) {
        // Of lists that cannot be read, whoever reads them says so.
        let delta = store
            .get(&delta_key(issuer))?
            .and_then(|stored| PreviousDelta::from_bytes(issuer, &stored.value, stored.version));
        let lacks = delta.is_some_and(|delta| delta.delta.pending > 0);
        if lacks || store.get(&list_due_key(issuer))?.is_some() {
            behind.insert(issuer);
        }
    }
    Ok(behind)
}

pub(crate) fn made_list(list: &Crl) -> Fact {
    Fact::CrlMade { number: list.number, entries: list.entries }
}
