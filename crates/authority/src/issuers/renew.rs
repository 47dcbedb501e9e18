//! The next certificate of an issuer is asked for in time, for the key that it has.
//!
//! A CSR for the same key is the harmless one: what comes back takes the chain's place, and everything that was signed
//! stays good. A new key is made only where somebody asks for it ([`Authority::request_issuer`]).

use sealock_core::audit::{Actor, Fact};
use sealock_core::{IssuerName, Timestamp};
use sealock_store::{Change, Transaction};

use super::error::IssuerError;
use super::record::{Anew, Line};
use super::standing::due;
use crate::authority::{Authority, read_state};
use crate::error::AuthorityError;
use crate::imported::{authority_csr, subject_der_of};
use crate::state::{Der, IssuerRecord, STATE, State};

impl Authority {
    /// Writes the CSR of every issuer of whose certificate a third is left, each in a commit of its own. Called again and
    /// again; what is asked for already, or waits for a successor, is left alone. Says how many were made and, where one
    /// was not, why; that keeps none of the others.
    pub fn request_issuers_anew(&self, actor: &Actor) -> (usize, Option<IssuerError>) {
        let loaded = self.loaded.load_full();
        let (mut made, mut failed) = (0, None);
        for line in &loaded.state.lines {
            if due_record(&loaded.state, line, self.now()).is_none() {
                continue;
            }
            match self.request_issuer_anew(&line.name, actor) {
                Ok(true) => made += 1,
                // Somebody else was at it: the next call sees what is there now.
                Ok(false) => {}
                Err(error) => failed = failed.or(Some(error.into())),
            }
        }
        (made, failed)
    }

    /// Signs, which may take as long as a device does, and only then takes the lock.
    fn request_issuer_anew(
        &self,
        name: &IssuerName,
        actor: &Actor,
    ) -> Result<bool, AuthorityError> {
        let (mut state, version) = read_state(self.store())?;
        let now = self.now();
        let Some(mut line) = state.line(name).cloned() else { return Ok(false) };
        let Some(record) = due_record(&state, &line, now) else { return Ok(false) };
        let key = self.ca_key(record)?;
        // The subject that it has, whatever was asked for: with another it would not be taken.
        let corrupt = || AuthorityError::Corrupt { record: record.title() };
        let (subject, text) = subject_der_of(&record.der.0).ok_or_else(corrupt)?;
        let csr = Der(authority_csr(&subject, record.key_type, &key)?);
        let fact = Fact::IssuerRequested {
            issuer: name.to_string(),
            subject: text,
            key: record.id.to_string(),
        };
        line.anew = Some(Anew { since: now, csr });
        state.put_line(line);
        let value = serde_json::to_vec(&state)?;
        let transaction = Transaction::new().replace(STATE, version, value);
        let _changing = self.changing.lock();
        match self.commit("the request", Change::new(transaction, actor.event(now, fact))) {
            Ok(_) => self.reload().map(|()| true),
            Err(error) if error.conflict().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The certificate that is to be asked for anew.
fn due_record<'a>(state: &'a State, line: &Line, now: Timestamp) -> Option<&'a IssuerRecord> {
    let asked = line.disabled || line.pending.is_some() || line.anew.is_some();
    let record = line.active.filter(|_| !asked).and_then(|id| state.issuer(id))?;
    (now >= due(record.not_before, record.not_after)).then_some(record)
}
