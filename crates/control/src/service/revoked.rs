//! Which of the delivered certificates are revoked: asked again and again, looked up once after each revocation.

use std::collections::HashMap;

use parking_lot::Mutex;

use sealock_authority::{CertDetail, CertState};
use sealock_core::audit::Actor;
use sealock_traffic::broker::{Broker, EntryHash, Revoked as RevokedTokens};

use super::{Service, broker_error};
use crate::error::ServiceError;

/// More than there are labelled certificates on any host; renewals leave their predecessors here.
const MOST: usize = 10_000;

/// What was looked up since the last revocation.
#[derive(Debug, Default)]
pub(super) struct Revoked(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How many revocations there have been.
    revocations: u64,
    certificates: HashMap<String, bool>,
}

impl Revoked {
    /// Whether it is revoked. What cannot be looked up now is not, and is looked up again.
    pub(super) fn contains(&self, serial: &str, look: impl FnOnce(&str) -> Option<bool>) -> bool {
        let before = {
            let known = self.0.lock();
            if let Some(revoked) = known.certificates.get(serial) {
                return *revoked;
            }
            known.revocations
        };
        let Some(revoked) = look(serial) else { return false };
        let mut known = self.0.lock();
        // One that came meanwhile may have been of this one.
        if known.revocations == before {
            if known.certificates.len() >= MOST {
                known.certificates.clear();
            }
            known.certificates.insert(serial.to_owned(), revoked);
        }
        revoked
    }

    /// There was another revocation, which is durable.
    fn more(&self) {
        let mut known = self.0.lock();
        known.revocations += 1;
        known.certificates.clear();
    }
}

impl Service {
    /// What comes before the revocation of a certificate: the tokens that are bound to it are revoked, for Gatekeepers, which
    /// do not know the inventory. Before it, so that whoever is cut off in between begins with it again; no token that is
    /// bound to it is good from then on, whenever it is issued. What cannot be said there is over with the last token, and
    /// is no reason to keep a certificate.
    pub(super) fn revoke_bound(&self, found: &CertDetail, actor: &Actor) {
        if !found.summary.usages.client || found.summary.state != CertState::Valid {
            return;
        }
        if let Err(error) = self.try_revoke_bound(&found.der, actor) {
            tracing::error!(%error, causes = ?error.causes, "Gatekeepers are not told of a revoked certificate");
        }
    }

    fn try_revoke_bound(&self, der: &[u8], actor: &Actor) -> Result<(), ServiceError> {
        let failed = |error| broker_error(&error);
        // Where there was never a token, none is bound to anything.
        if !Broker::is_there(self.journal.store().as_ref()).map_err(failed)? {
            return Ok(());
        }
        let certificate = RevokedTokens::Certificate(EntryHash::of_bytes(der));
        self.broker()?.revoke(&certificate, actor).map(|_| ()).map_err(failed)
    }

    /// What follows a revocation, whoever asked for it: its connections end, directories lose it, and what has it
    /// (containers, doors of our own) gets another.
    pub(super) fn after_revocation(&self, serial: &str, already: bool) {
        self.metrics.revoked(already);
        self.sessions().cut(serial);
        self.publications().poke();
        self.revoked.more();
        self.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::Revoked;

    #[test]
    fn a_revocation_that_comes_during_a_look_is_not_missed() {
        let revoked = Revoked::default();
        assert!(!revoked.contains("aa", |_| Some(false)));
        assert!(!revoked.contains("aa", |_| panic!("it is known")));
        revoked.more();
        let old = |_: &str| {
            revoked.more();
            Some(false)
        };
        assert!(!revoked.contains("aa", old));
        assert!(revoked.contains("aa", |_| Some(true)));
        assert!(revoked.contains("aa", |_| panic!("it is known")));
        assert!(!revoked.contains("bb", |_| None));
        assert!(revoked.contains("bb", |_| Some(true)));
    }
}
