//! Revoking an intermediate: what it has signed is no longer good anywhere, known here or not.
//!
//! # What a revocation is
//!
//! The root's list names the intermediate, in one commit with the record of it; where it was the active one, its
//! successor is made in the same commit, so that issuing goes on. The inventory is not written anew for it: what a
//! certificate's issuer is worth is looked up when the certificate is ([`State::judged`]), so a revocation costs the same
//! with a million certificates below it as with none.
//!
//! # Its own lists and answers
//!
//! Whoever checks the whole chain never gets to them. Those who look at the leaf alone do, and for their sake they are
//! kept up as those of a retired intermediate are: OCSP answers "revoked" for every certificate below it (RFC 6960 §2.7).
//! Lists and the responder's certificate are all that a revoked CA's key signs.

use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Transaction};

use crate::authority::{Authority, read_state};
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, Reason, Revocation};
use crate::lists::made_list;
use crate::root_key::RootKeyFile;
use crate::serial::Serial;
use crate::state::{IssuerKind, IssuerRecord, STATE, State};

/// What came of the revocation of a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaRevoked {
    /// Which.
    pub id: IssuerId,
    /// Its serial number, as the root's list has it.
    pub serial: Serial,
    /// Whether it was revoked before; then nothing was changed, the first reason stands.
    pub already: bool,
    /// What signs in its place, if it was the active one.
    pub successor: Option<Serial>,
}

impl Authority {
    /// Revokes an intermediate of our own for good, by its id or its serial number. The key of the root above it comes
    /// from the store or the device, or from `root_key` when it was exported. Revoking again changes nothing.
    ///
    /// `key-compromise` is recorded as `ca-compromise`: that is what it is called for a CA (X.509 §9.5.3.1).
    pub fn revoke_ca(
        &self,
        which: &str,
        reason: Reason,
        root_key: Option<&RootKeyFile<'_>>,
        actor: &Actor,
    ) -> Result<CaRevoked, AuthorityError> {
        let changing = self.changing.lock();
        self.try_remove_unwanted();
        let (mut state, version) = read_state(self.store())?;
        let record = named(&state, which)?.clone();
        let (id, serial) = (record.id, record.serial);
        if let Some(under) = &record.under {
            return Err(AuthorityError::RevokedElsewhere { issuer: under.line.clone() });
        }
        if record.kind == IssuerKind::Root {
            return Err(AuthorityError::RootNotRevoked(record.title()));
        }
        if record.revoked.is_some() {
            return Ok(CaRevoked { id, serial, already: true, successor: None });
        }
        let corrupt = || AuthorityError::Corrupt { record: format!("root of {}", record.title()) };
        let root = state.issuer(record.parent).cloned().ok_or_else(corrupt)?;
        let root_issuer = match root_key {
            Some(file) => file.issuer(&root)?,
            None if root.key.is_usable() => self.issuer_of(&root)?,
            None => return Err(AuthorityError::RootKeyAway),
        };
        let reason = match reason {
            Reason::KeyCompromise => Reason::CaCompromise,
            reason => reason,
        };
        let now = self.now();
        let (mut transaction, mut successor) = (Transaction::new(), None);
        if state.intermediate == id {
            let (with, serial) = self.succeed(&mut state, &root, &root_issuer, now, transaction)?;
            (transaction, successor) = (with, Some(serial));
        }
        for one in state.issuers.iter_mut().filter(|one| one.id == id) {
            one.revoked = Some(Revocation { at: now, reason });
            one.retired.get_or_insert(now);
        }
        let (transaction, list) = self.root_list(&state, &root, &root_issuer, now, transaction)?;
        let transaction = transaction.replace(STATE, version, serde_json::to_vec(&state)?);
        let new = successor.map(|serial| Fact::CaRotated {
            what: "intermediate".into(),
            serial: serial.to_string(),
        });
        let revoked = Fact::CaRevoked {
            what: record.title(),
            serial: serial.to_string(),
            reason: reason.to_string(),
            successor: successor.map(|serial| serial.to_string()),
        };
        let facts = new.into_iter().chain([revoked, made_list(&list)]);
        let events = facts.map(|fact| actor.event(now, fact)).collect();
        self.commit("the revocation of the CA", Change { transaction, events })?;
        self.reload()?;
        // Only now: what is answered from here on is made from the new state.
        self.answers.forget();
        drop(changing);
        self.settle_retired()?;
        Ok(CaRevoked { id, serial, already: false, successor })
    }
}

/// The CA certificate with this id, or this serial number.
fn named<'a>(state: &'a State, which: &str) -> Result<&'a IssuerRecord, AuthorityError> {
    let unknown = || {
        let shown = which.chars().take(80).flat_map(char::escape_default).collect();
        AuthorityError::UnknownCa(shown)
    };
    let id: Option<IssuerId> = which.parse().ok();
    let serial: Option<Serial> = which.parse().ok();
    // Of issuers under other roots the serial number is a part of what theirs is, so those are named by id alone.
    let is_meant = |record: &&IssuerRecord| {
        Some(record.id) == id || (record.under.is_none() && Some(record.serial) == serial)
    };
    state.issuers.iter().find(is_meant).ok_or_else(unknown)
}
