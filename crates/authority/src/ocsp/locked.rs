//! What can be given out without any key: lists, answers and certificates that are in the store.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use sealock_core::Clock;
use sealock_store::Store;

use super::OcspAnswer;
use super::answers::{place, read};
use super::issuers::{Issuer, Naming};
use super::request::OcspRequest;
use crate::authority::read_state;
use crate::crl::Crl;
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, keys};
use crate::lists::{self, Lists};
use crate::state::{IssuerKind, STATE};

/// What an authority has published, read from its store: it needs no key, so it is there while the
/// authority is locked. Nothing is made anew; each list and answer ends at its `nextUpdate`, and a list that lacks a
/// revocation is given to nobody.
#[derive(Debug)]
pub struct Published {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Of one version of the authority's state: strangers ask, so it is not worked out for each of them.
    issuers: ArcSwapOption<(u64, Vec<Issuer>)>,
}

impl Published {
    /// What is in this store.
    pub fn of(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, issuers: ArcSwapOption::empty() }
    }

    fn issuers(&self) -> Result<Arc<(u64, Vec<Issuer>)>, AuthorityError> {
        let version = self.store.get(STATE)?.ok_or(AuthorityError::Missing)?.version;
        if let Some(known) = self.issuers.load_full().filter(|known| known.0 == version) {
            return Ok(known);
        }
        let (state, version) = read_state(self.store.as_ref())?;
        let intermediates = state.of_kind(IssuerKind::Intermediate);
        let all = intermediates.map(Issuer::of);
        let known = Arc::new((version, all.collect::<Result<_, _>>()?));
        self.issuers.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    /// The full list of an issuer, as it was made last; `None` once its `nextUpdate` is over.
    pub fn crl(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        let lists = Lists::read(self.store.as_ref(), issuer)?;
        match lists.full_lacks() {
            true => Err(AuthorityError::ListBehind { issuer }),
            false => Ok(self.current(lists.into_full())),
        }
    }

    /// The delta of an issuer's list, as it was made last; `None` once its `nextUpdate` is over.
    pub fn delta(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        let lists = Lists::read(self.store.as_ref(), issuer)?;
        match lists.delta_lacks() {
            true => Err(AuthorityError::ListBehind { issuer }),
            false => Ok(self.current(lists.into_delta())),
        }
    }

    /// The issuers whose full list lacks a revocation.
    pub fn held_back(&self) -> Result<Vec<IssuerId>, AuthorityError> {
        let (state, _) = read_state(self.store.as_ref())?;
        Ok(lists::behind(self.store.as_ref(), &state)?.into_iter().collect())
    }

    fn current(&self, list: Option<Crl>) -> Option<Crl> {
        let now = self.clock.now();
        list.filter(|list| now <= list.next_update)
    }

    /// The certificate of one of the authority's CAs, DER.
    pub fn certificate(&self, issuer: IssuerId) -> Result<Option<Vec<u8>>, AuthorityError> {
        let (state, _) = read_state(self.store.as_ref())?;
        Ok(state.issuer(issuer).map(|record| record.der.0.clone()))
    }

    /// The stored answer to the usual question, while it is good; `tryLater` for a certificate of ours
    /// without one.
    pub fn ocsp(&self, request: &OcspRequest) -> Result<OcspAnswer, AuthorityError> {
        let Some(asked) = request.single() else { return Ok(OcspAnswer::try_later()) };
        let (Some(naming), Some(serial)) = (asked.hash, asked.serial) else {
            return Ok(OcspAnswer::unauthorized());
        };
        let issuers = self.issuers()?;
        let Some(issuer) = issuers.1.iter().find(|it| it.is_meant(naming, &asked.id)) else {
            return Ok(OcspAnswer::unauthorized());
        };
        if self.store.get(&keys::serial(serial))?.is_none() {
            return Ok(OcspAnswer::unauthorized());
        }
        let usual = naming == Naming::USUAL && issuer.name_of(naming, serial)? == asked.id;
        let stored = match usual {
            true => self.store.get(&place(issuer, serial))?,
            false => None,
        };
        let now = self.clock.now();
        let good = stored.as_ref().and_then(|stored| read(&stored.value));
        let good = good.filter(|(good, _)| now <= good.next_update);
        Ok(good.map_or_else(OcspAnswer::try_later, |(good, der)| OcspAnswer {
            der: der.into(),
            good: Some((good.this_update, good.next_update)),
        }))
    }
}
