//! Revoking, the revocation lists, and what has to be done now and then.

use rcgen::Issuer;
use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Transaction};

use crate::authority::{ATTEMPTS, Authority};
use crate::certificate;
use crate::crl::{self, Crl, Previous};
use crate::error::AuthorityError;
use crate::inventory::{
    CertSummary, Entry, Found, IssuerId, Note, Reason, Revocation, keys, summarise,
};
use crate::key::AuthorityKey;
use crate::serial::Serial;
use crate::state::{IssuerKind, IssuerRecord, crl_key};

/// What came of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeOutcome {
    /// The certificate as it stands now.
    pub certificate: CertSummary,
    /// Whether it was revoked before; then nothing was changed, the first reason stands.
    pub already: bool,
}

impl Authority {
    /// Revokes a certificate for good. The inventory, the audit events and the issuer's new revocation
    /// list are one commit. Revoking again changes nothing and is no error.
    pub fn revoke(
        &self,
        serial: Serial,
        reason: Reason,
        actor: &Actor,
    ) -> Result<RevokeOutcome, AuthorityError> {
        let _changing = self.changing.lock();
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let found = self
                .inventory
                .by_serial(serial)?
                .ok_or_else(|| AuthorityError::Unknown(serial.to_string()))?;
            if found.entry.note.revoked.is_some() {
                let certificate = summarise(found.entry, now);
                return Ok(RevokeOutcome { certificate, already: true });
            }
            let revoked = Some(Revocation { at: now, reason });
            let entry = found.entry.noted(Note { revoked, ..found.entry.note.clone() });
            let change = self.revocation(&found, &entry, now, reason, actor)?;
            match self.commit("the revocation", change) {
                Err(error) if error.conflict().is_some() => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let certificate = summarise(entry, now);
                    return Ok(RevokeOutcome { certificate, already: false });
                }
            }
        }
        Err(AuthorityError::Contended)
    }

    fn revocation(
        &self,
        found: &Found,
        entry: &Entry,
        now: Timestamp,
        reason: Reason,
        actor: &Actor,
    ) -> Result<Change, AuthorityError> {
        let serial = entry.serial;
        let fact = Fact::CertRevoked { serial: serial.to_string(), reason: reason.to_string() };
        let mut events = vec![actor.event(now, fact)];
        let index = keys::revoked(entry.issuer, entry.not_after, serial);
        let mut transaction = entry
            .supersede(&found.der, found.version, Transaction::new())?
            .put(index, keys::revocation(now, reason));
        if let Some(issuer) = self.signing_issuer(entry.issuer)? {
            let previous = self.stored_crl(entry.issuer)?;
            let mut revoked = self.still_listed(entry.issuer, previous.as_ref(), now)?;
            revoked.push((serial, now, reason));
            let (condition, put, list) =
                crl::next(entry.issuer, &issuer, previous.as_ref(), now, &revoked, None)?;
            transaction = transaction.when(condition).with(put);
            events.push(actor.event(now, made_list(&list)));
        }
        Ok(Change { transaction, events })
    }

    /// What is already revoked by an issuer and belongs on its next list.
    fn still_listed(
        &self,
        issuer: IssuerId,
        previous: Option<&Previous>,
        now: Timestamp,
    ) -> Result<Vec<crl::Revoked>, AuthorityError> {
        let since = previous.map_or(now, |before| before.crl.this_update.min(now));
        self.inventory.revoked_by(issuer, since)
    }

    /// The revocation list of the active intermediate, made anew first when it is about to run out.
    pub fn crl(&self) -> Result<Crl, AuthorityError> {
        let issuer = self.loaded.load().state.intermediate;
        self.crl_of(issuer)?.ok_or_else(|| AuthorityError::Corrupt { record: "the CRL".into() })
    }

    /// The revocation list of one issuer; `None` for an unknown issuer.
    pub fn crl_of(&self, issuer: IssuerId) -> Result<Option<Crl>, AuthorityError> {
        self.refresh_crl(issuer, &Actor::daemon("crl"))?;
        Ok(self.stored_crl(issuer)?.map(|stored| stored.crl))
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

    /// Makes an intermediate's list anew when little is left of it. A root's list is made with the
    /// certificates below it and lives as long as they do: the root key may be elsewhere.
    pub(crate) fn refresh_crl(
        &self,
        issuer: IssuerId,
        actor: &Actor,
    ) -> Result<Option<Crl>, AuthorityError> {
        let due = |stored: Option<&Previous>| {
            stored.is_none_or(|stored| stored.crl.next_update < self.now().plus(crl::MARGIN))
        };
        let state = self.loaded.load().state.clone();
        let record = state.issuer(issuer).filter(|record| record.kind == IssuerKind::Intermediate);
        if record.is_none() || !due(self.stored_crl(issuer)?.as_ref()) {
            return Ok(None);
        }
        let _changing = self.changing.lock();
        let previous = self.stored_crl(issuer)?;
        let Some(key) = self.signing_issuer(issuer)?.filter(|_| due(previous.as_ref())) else {
            return Ok(None);
        };
        let now = self.now();
        let revoked = self.still_listed(issuer, previous.as_ref(), now)?;
        let (condition, put, list) =
            crl::next(issuer, &key, previous.as_ref(), now, &revoked, None)?;
        let transaction = Transaction::new().when(condition).with(put);
        self.commit(
            "the revocation list",
            Change::new(transaction, actor.event(now, made_list(&list))),
        )?;
        Ok(Some(list))
    }

    pub(crate) fn stored_crl(&self, issuer: IssuerId) -> Result<Option<Previous>, AuthorityError> {
        let Some(stored) = self.store().get(&crl_key(issuer))? else { return Ok(None) };
        Previous::from_bytes(issuer, &stored.value, stored.version)
            .map(Some)
            .ok_or_else(|| AuthorityError::Corrupt { record: format!("CRL of {issuer}") })
    }

    /// An intermediate ready to sign its list; `None` when its key is gone.
    fn signing_issuer(
        &self,
        id: IssuerId,
    ) -> Result<Option<Issuer<'static, AuthorityKey>>, AuthorityError> {
        let state = self.loaded.load().state.clone();
        let Some(record) = state.issuer(id).filter(|record| record.key_here) else {
            return Ok(None);
        };
        self.issuer_of(record).map(Some)
    }

    /// A CA of the authority's own, with its key from the store.
    pub(crate) fn issuer_of(
        &self,
        record: &IssuerRecord,
    ) -> Result<Issuer<'static, AuthorityKey>, AuthorityError> {
        let key = self.unseal(record.id, &record.title())?;
        if !certificate::belongs(&record.der.0, &key) {
            let record = format!("{}: its key is another one", record.title());
            return Err(AuthorityError::Corrupt { record });
        }
        certificate::issuer(&record.der.0, key)
            .map_err(|source| AuthorityError::Build { what: "the issuer", source })
    }
}

pub(crate) fn made_list(list: &Crl) -> Fact {
    Fact::CrlMade { number: list.number, entries: list.entries }
}
