//! The keys that sign: published before they sign, and until their last token has died.

use std::time::Duration;

use data_encoding::BASE64;
use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Condition, KeyRange, Keyring, Operation, Store, Transaction};
use serde::{Deserialize, Serialize};

use super::{Broker, BrokerError, LONGEST};
use crate::token::{Algorithm, KeySet, SKEW, SigningKey};

/// A new key is in the key set for so long before it signs: who keeps the set has it by then.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(600);
/// A key signs for so long before it is replaced.
const SIGNS: Duration = Duration::from_secs(30 * 24 * 3600);
/// Where there are so many, none is made ahead of its time. A verifier reads them all, and no more than a few are needed:
/// those that are over are removed.
pub(super) const MOST: usize = 16;
/// So many are read. In the place of a key that is revoked another is made at once, however many there are.
const READ: usize = 64;

/// A key as others may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// RFC 7638 thumbprint.
    pub id: String,
    /// Of its signatures.
    pub algorithm: Algorithm,
    /// Since when it signs.
    pub signs_from: Timestamp,
    /// Whether new tokens are signed by it now.
    pub current: bool,
}

pub(super) struct Signer {
    number: u64,
    signs_from: Timestamp,
    pub(super) key: SigningKey,
}

/// All keys, the oldest first.
pub(super) struct Signers(Vec<Signer>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    algorithm: String,
    /// Milliseconds.
    signs_from: i64,
    /// Base64 of what the keyring sealed.
    sealed: String,
}

const PREFIX: &[u8] = b"traffic/key/";

impl Broker {
    /// Whether a store has a broker, which has issued tokens or could have.
    ///
    /// # Errors
    /// What the store says.
    pub fn is_there(store: &dyn Store) -> Result<bool, BrokerError> {
        Ok(!store.range(&KeyRange::prefix(PREFIX), 1)?.is_empty())
    }
}

fn place(number: u64) -> String {
    format!("traffic/key/{number:010}")
}

impl Signers {
    pub(super) fn load(store: &dyn Store, keyring: &Keyring) -> Result<Self, BrokerError> {
        let mut all = Vec::new();
        for (key, entry) in store.range(&KeyRange::prefix(PREFIX), READ)? {
            let name = String::from_utf8_lossy(&key).into_owned();
            let read = || {
                let number: u64 = name.strip_prefix("traffic/key/")?.parse().ok()?;
                let row: Row = serde_json::from_slice(&entry.value).ok()?;
                let algorithm = algorithm(&row.algorithm)?;
                Some((
                    number,
                    algorithm,
                    row.signs_from,
                    BASE64.decode(row.sealed.as_bytes()).ok()?,
                ))
            };
            let Some((number, algorithm, signs_from, sealed)) = read() else {
                return Err(BrokerError::Changed(name));
            };
            let opened = keyring.open_sealed(&place(number), &sealed);
            let opened =
                opened.map_err(|source| BrokerError::Keyring { entry: name.clone(), source })?;
            let key = SigningKey::from_pkcs8(algorithm, opened.expose())
                .map_err(|_| BrokerError::Changed(name))?;
            all.push(Signer { number, signs_from: Timestamp::from_millis(signs_from), key });
        }
        Ok(Self(all))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest that may sign.
    pub(super) fn current(&self, now: Timestamp) -> Option<&Signer> {
        let may = self.0.iter().rev().find(|signer| signer.signs_from <= now);
        // A clock that was set back: the oldest there is.
        may.or_else(|| self.0.first())
    }

    pub(super) fn key_set(&self) -> KeySet {
        self.0.iter().map(|signer| signer.key.public()).collect()
    }

    /// Those whose last token has died: a newer one has signed for that long.
    fn over(&self, now: Timestamp) -> impl Iterator<Item = &Signer> {
        let dead = LONGEST + Duration::from_secs(SKEW);
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs.filter(move |(_, next)| next.signs_from.plus(dead) < now).map(|(signer, _)| signer)
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    [Algorithm::Es256, Algorithm::EdDsa].into_iter().find(|algorithm| algorithm.name() == name)
}

impl Broker {
    /// The keys there are.
    pub fn keys(&self) -> Vec<KeyInfo> {
        let signers = self.signers();
        let current = signers.current(self.now()).map(|signer| signer.number);
        let info = |signer: &Signer| KeyInfo {
            id: signer.key.kid().to_owned(),
            algorithm: signer.key.algorithm(),
            signs_from: signer.signs_from,
            current: Some(signer.number) == current,
        };
        signers.0.iter().map(info).collect()
    }

    /// Makes a key that signs after [`PUBLISHED_BEFORE`].
    ///
    /// # Errors
    /// There are too many, or what keyring and journal say.
    pub fn rotate_key(&self, actor: &Actor) -> Result<KeyInfo, BrokerError> {
        self.make_key(PUBLISHED_BEFORE, actor)
    }

    /// What has to be done now and then: a key in the place of one that has signed for long, and those away that are
    /// over.
    ///
    /// # Errors
    /// What keyring and journal say.
    pub fn keep_keys(&self) -> Result<(), BrokerError> {
        let actor = Actor::daemon("keys");
        let now = self.now();
        let newest = self.signers().0.last().map(|signer| signer.signs_from);
        if newest.is_none_or(|newest| now.since(newest) > SIGNS) {
            self.make_key(PUBLISHED_BEFORE, &actor)?;
        }
        let over: Vec<(u64, String)> = self
            .signers()
            .over(now)
            .map(|signer| (signer.number, signer.key.kid().to_owned()))
            .collect();
        for (number, kid) in over {
            self.remove_key(number, kid, &actor)?;
        }
        Ok(())
    }

    /// Takes a key away at once, with all tokens that it has signed. Another one signs from now on.
    ///
    /// # Errors
    /// There is no such key, or what keyring and journal say.
    pub fn revoke_key(&self, kid: &str, actor: &Actor) -> Result<(), BrokerError> {
        let signers = self.signers();
        let found = signers.0.iter().find(|signer| signer.key.kid() == kid);
        let found = found.ok_or_else(|| BrokerError::UnknownKey(kid.to_owned()))?;
        let now = self.now();
        let another = signers
            .0
            .iter()
            .any(|signer| signer.number != found.number && signer.signs_from <= now);
        if !another {
            self.make_key(Duration::ZERO, actor)?;
        }
        self.remove_key(found.number, kid.to_owned(), actor)
    }

    fn remove_key(&self, number: u64, kid: String, actor: &Actor) -> Result<(), BrokerError> {
        let _changing = self.changing.lock();
        let transaction = Transaction::new().with(Operation::delete(place(number)));
        let event = actor.event(self.now(), Fact::TokenKeyRemoved { key: kid });
        self.commit(Change::new(transaction, event))?;
        self.reload()
    }

    pub(super) fn make_key(
        &self,
        published_before: Duration,
        actor: &Actor,
    ) -> Result<KeyInfo, BrokerError> {
        let _changing = self.changing.lock();
        for _ in 0..super::ATTEMPTS {
            let most = if published_before.is_zero() { READ } else { MOST };
            if self.signers().0.len() >= most {
                return Err(BrokerError::TooManySigners);
            }
            let number = self.signers().0.last().map_or(1, |signer| signer.number + 1);
            let entry = place(number);
            let key = SigningKey::generate(self.settings.algorithm)?;
            let sealed = self.keyring.seal(&entry, &key.to_pkcs8()?);
            let sealed =
                sealed.map_err(|source| BrokerError::Keyring { entry: entry.clone(), source })?;
            let signs_from = self.now().plus(published_before);
            let row = Row {
                algorithm: key.algorithm().name().to_owned(),
                signs_from: signs_from.as_millis(),
                sealed: BASE64.encode(&sealed),
            };
            let row = serde_json::to_vec(&row).map_err(|_| BrokerError::Changed(entry.clone()))?;
            let transaction = Transaction::new()
                .when(Condition::Absent(entry.clone().into_bytes()))
                .with(Operation::put(entry, row));
            let fact = Fact::TokenKeyMade {
                key: key.kid().to_owned(),
                algorithm: key.algorithm().name().to_owned(),
                signs_from: signs_from.to_rfc3339(),
            };
            let conflict = self.commit(Change::new(transaction, actor.event(self.now(), fact)))?;
            self.reload()?;
            if conflict.is_none() {
                let id = key.kid().to_owned();
                let (algorithm, current) = (key.algorithm(), published_before.is_zero());
                return Ok(KeyInfo { id, algorithm, signs_from, current });
            }
        }
        Err(BrokerError::Busy)
    }

    fn reload(&self) -> Result<(), BrokerError> {
        let signers = Signers::load(self.store(), &self.keyring)?;
        *self.signers.write() = std::sync::Arc::new(signers);
        Ok(())
    }
}
