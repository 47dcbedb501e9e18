//! What can be given out without any key: lists, answers and certificates that are in the store.

use std::sync::Arc;

use sealock_core::Clock;
use sealock_store::Store;

use super::OcspAnswer;
use super::answers::{place, read};
use super::issuers::{Hash, Issuer};
use super::request::OcspRequest;
use crate::authority::read_state;
use crate::crl::Crl;
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, keys};
use crate::lists::Lists;
use crate::state::IssuerKind;

/// What an authority has published, read from its store: it needs no key, so it is there while the
/// authority is locked. Nothing is made anew; each list and answer ends at its `nextUpdate`.
#[derive(Debug, Clone)]
pub struct Published {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Published {
    /// What is in this store.
    pub fn of(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The full list of an issuer, as it was made last.
    pub fn crl(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        Ok(Lists::read(self.store.as_ref(), issuer)?.into_full())
    }

    /// The delta of an issuer's list, as it was made last.
    pub fn delta(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        Ok(Lists::read(self.store.as_ref(), issuer)?.into_delta())
    }

    /// The certificate of one of the authority's CAs, DER.
    pub fn certificate(&self, issuer: IssuerId) -> Result<Option<Vec<u8>>, AuthorityError> {
        let (state, _) = read_state(self.store.as_ref())?;
        Ok(state.issuer(issuer).map(|record| record.der.0.clone()))
    }

    /// The stored answer to the usual question, while it is good; `tryLater` for a certificate of ours
    /// without one.
    pub fn ocsp(&self, request: &OcspRequest) -> Result<OcspAnswer, AuthorityError> {
        let (state, _) = read_state(self.store.as_ref())?;
        let Some(asked) = request.single() else { return Ok(OcspAnswer::try_later()) };
        let (Some(hash), Some(serial)) = (asked.hash, asked.serial) else {
            return Ok(OcspAnswer::unauthorized());
        };
        for record in state.of_kind(IssuerKind::Intermediate) {
            if !Issuer::new(record.id, &record.der.0)?.is_meant(hash, &asked.id) {
                continue;
            }
            if self.store.get(&keys::serial(serial))?.is_none() {
                return Ok(OcspAnswer::unauthorized());
            }
            let stored = match hash {
                Hash::Sha1 => self.store.get(&place(record.id, serial))?,
                _ => None,
            };
            let good = stored.as_ref().and_then(|stored| read(&stored.value));
            let good = good.filter(|(good, _)| self.clock.now() <= good.next_update);
            return Ok(good.map_or_else(OcspAnswer::try_later, |(good, der)| OcspAnswer {
                der: der.into(),
                good: Some((good.this_update, good.next_update)),
            }));
        }
        Ok(OcspAnswer::unauthorized())
    }
}
