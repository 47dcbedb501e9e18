//! What is remembered of logins to the HSM, in the state: a daemon that is started again and again with a wrong PIN, or
//! dies in each login, would lock the token otherwise.
//!
//! Of the PIN there is a salted digest, sealed: PINs are short, and a digest alone could be searched through.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE64;
use sealock_core::SecretBytes;
use sealock_core::audit::{Actor, Fact};
use sealock_hsm::{HsmError, Logins};
use sealock_store::{Change, Journal, Keyring, Transaction};
use serde::{Deserialize, Serialize};

const LOGIN: &str = "control/hsm/login";
/// Bytes of the salt.
const SALT: usize = 16;

/// How the last login stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stands {
    /// Begun, and nobody knows how it has ended.
    Begun,
    Refused,
    Taken,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    stands: Stands,
    /// Salt and digest of token and PIN, sealed (base64).
    of: String,
}

/// The record, and what it takes to read it.
pub(super) struct Record {
    journal: Arc<Journal>,
    keyring: Arc<OnceLock<Arc<Keyring>>>,
}

fn unwritten(error: impl std::fmt::Display) -> HsmError {
    HsmError::Unwritten(error.to_string())
}

fn digest(salt: &[u8], token: &str, pin: &SecretBytes) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    // No other token and PIN are the same text.
    context.update(&token.len().to_be_bytes());
    context.update(token.as_bytes());
    context.update(pin.expose());
    context.finish().as_ref().to_vec()
}

impl Record {
    pub(super) fn new(journal: Arc<Journal>, keyring: Arc<OnceLock<Arc<Keyring>>>) -> Self {
        Self { journal, keyring }
    }

    /// Whoever has the device has opened the keyring before.
    fn keyring(&self) -> Result<&Keyring, HsmError> {
        self.keyring.get().map(AsRef::as_ref).ok_or_else(|| unwritten("the keyring is not open"))
    }

    /// How the last login stands, if it was with this PIN.
    fn of(&self, token: &str, pin: &SecretBytes) -> Result<Option<Stands>, HsmError> {
        let Some(entry) = self.journal.store().get(LOGIN.as_bytes()).map_err(unwritten)? else {
            return Ok(None);
        };
        let damaged = || unwritten("the record of the last login is damaged");
        let row: Row = serde_json::from_slice(&entry.value).map_err(|_| damaged())?;
        let sealed = BASE64.decode(row.of.as_bytes()).map_err(|_| damaged())?;
        let opened = self.keyring()?.open_sealed(LOGIN, &sealed).map_err(|_| damaged())?;
        let (salt, known) = opened.expose().split_at_checked(SALT).ok_or_else(damaged)?;
        let same = digest(salt, token, pin) == known;
        Ok(same.then_some(row.stands))
    }

    fn write(
        &self,
        token: &str,
        pin: &SecretBytes,
        stands: Stands,
        fact: Option<Fact>,
    ) -> Result<(), HsmError> {
        let mut salt = [0; SALT];
        aws_lc_rs::rand::fill(&mut salt).map_err(unwritten)?;
        let plain = [&salt[..], &digest(&salt, token, pin)].concat();
        let sealed = self.keyring()?.seal(LOGIN, &plain).map_err(unwritten)?;
        let row = Row { stands, of: BASE64.encode(&sealed) };
        let transaction = Transaction::new()
            .put(LOGIN.as_bytes().to_vec(), serde_json::to_vec(&row).map_err(unwritten)?);
        let now = self.journal.clock().now();
        let events = fact.into_iter().map(|fact| Actor::daemon("hsm").event(now, fact)).collect();
        let written = self.journal.commit_blocking(Change { transaction, events });
        written.map(|_| ()).map_err(unwritten)
    }
}

/// A person says that the PIN may be tried once more.
pub(super) fn forgotten() -> Transaction {
    Transaction::new().delete(LOGIN.as_bytes().to_vec())
}

impl Logins for Record {
    fn begin(&self, token: &str, pin: &SecretBytes) -> Result<(), HsmError> {
        match self.of(token, pin)? {
            Some(Stands::Taken) => Ok(()),
            Some(Stands::Refused) => Err(HsmError::PinRefused),
            Some(Stands::Begun) => Err(HsmError::PinUnsure),
            None => self.write(token, pin, Stands::Begun, None),
        }
    }

    fn end(&self, token: &str, pin: &SecretBytes, taken: bool) {
        let stands = if taken { Stands::Taken } else { Stands::Refused };
        if self.of(token, pin).is_ok_and(|known| known == Some(stands)) {
            return;
        }
        let refused = || {
            let (what, error) = ("login to the HSM", HsmError::PinWrong.to_string());
            Fact::Failed { what: what.to_owned(), error }
        };
        if let Err(error) = self.write(token, pin, stands, (!taken).then(refused)) {
            // It stays written down as one that was begun.
            tracing::warn!(%error, "what has come of a login to the HSM");
        }
    }
}

#[cfg(test)]
mod tests {

    use sealock_core::SystemClock;
    use sealock_store::{NewProtection, SqliteStore, Store};

    use super::*;

    fn pin(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn it_outlives_the_process_and_tells_nothing_of_the_pin() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File).unwrap();
        let keyring = Arc::new(OnceLock::from(Arc::new(keyring)));
        let start = || {
            let clock = Arc::new(SystemClock);
            let path = folder.path().join("state.db");
            let store = SqliteStore::open(&path, clock.clone()).unwrap();
            let journal = Journal::open(Arc::new(store) as Arc<dyn Store>, clock).unwrap();
            Record::new(journal, Arc::clone(&keyring))
        };
        start().begin("1", &pin("4711")).unwrap();
        assert_eq!(start().begin("1", &pin("4711")), Err(HsmError::PinUnsure));
        // Another token, another PIN.
        start().begin("2", &pin("4711")).unwrap();
        start().begin("1", &pin("4712")).unwrap();
        start().end("1", &pin("4712"), false);
        assert_eq!(start().begin("1", &pin("4712")), Err(HsmError::PinRefused));
        let record = start();
        let change = Change { transaction: forgotten(), events: Vec::new() };
        record.journal.commit_blocking(change).unwrap();
        record.begin("1", &pin("4712")).unwrap();
        record.end("1", &pin("4712"), true);
        // The token has taken it: nothing is written down any more, and nothing keeps anybody from it.
        let before = record.journal.store().get(LOGIN.as_bytes()).unwrap().unwrap();
        for _ in 0..3 {
            start().begin("1", &pin("4712")).unwrap();
        }
        record.end("1", &pin("4712"), true);
        let after = record.journal.store().get(LOGIN.as_bytes()).unwrap().unwrap();
        assert_eq!(before.version, after.version);
        let row: Row = serde_json::from_slice(&after.value).unwrap();
        let sealed = BASE64.decode(row.of.as_bytes()).unwrap();
        assert!(sealed.len() > SALT + 32, "it is sealed");
        // One that cannot be read lets nobody try.
        let transaction = Transaction::new().put(LOGIN.as_bytes().to_vec(), b"{}".to_vec());
        record.journal.commit_blocking(Change { transaction, events: Vec::new() }).unwrap();
        assert!(matches!(record.begin("1", &pin("4713")), Err(HsmError::Unwritten(_))));
    }
}
