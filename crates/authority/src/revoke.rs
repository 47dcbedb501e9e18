//! Revoking: inventory, lists and OCSP in one commit.

use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Transaction};

use crate::authority::{ATTEMPTS, Authority};
use crate::error::AuthorityError;
use crate::inventory::{CertSummary, Entry, Found, Note, Reason, Revocation, keys};
use crate::lists::made_list;
use crate::serial::Serial;

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
        let responders = self.responders_for_revocation();
        let _changing = self.changing.lock();
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let found = self
                .inventory
                .by_serial(serial)?
                .ok_or_else(|| AuthorityError::Unknown(serial.to_string()))?;
            if found.entry.note.revoked.is_some() {
                let certificate = self.judged(found.entry);
                return Ok(RevokeOutcome { certificate, already: true });
            }
            let revoked = Some(Revocation { at: now, reason });
            let entry = found.entry.noted(Note { revoked, ..found.entry.note.clone() });
            let mut change = self.revocation(&found, &entry, now, reason, actor)?;
            let answer =
                self.ocsp_revocation(responders.as_deref(), entry.issuer, serial, now, reason);
            change.transaction = change.transaction.with(answer);
            match self.commit("the revocation", change) {
                Err(error) if error.conflict().is_some() => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    self.answers.revoked(entry.issuer, serial);
                    let certificate = self.judged(entry);
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
        let (with_lists, full) =
            self.list_revocation(entry.issuer, (serial, now, reason), now, transaction)?;
        transaction = with_lists;
        events.extend(full.map(|list| actor.event(now, made_list(&list))));
        Ok(Change { transaction, events })
    }
}
