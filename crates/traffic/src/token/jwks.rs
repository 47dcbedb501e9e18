//! The public keys by which tokens are checked: a JWK Set (RFC 7517 §5).

use std::collections::BTreeMap;

use rustls_pki_types::pem::{PemObject, SectionKind};
use sealock_core::json::{self, Members, Value};
use serde::Serialize;

use super::error::{KeyFault, KeySetError};
use super::key::{Jwk, PublicKey};

/// The longest key set, in bytes.
pub const MAXIMUM_KEY_SET: usize = 64 * 1024;

/// How many keys a set may have.
pub const MAXIMUM_KEYS: usize = 64;

/// How every PEM block begins (RFC 7468 §2).
const BEGIN: &[u8] = b"-----BEGIN";

/// Public keys by their `kid`.
///
/// It is read as a whole or not at all. RFC 7517 would pass over keys that it cannot use; the broker publishes none,
/// so one of these says that this is not its set, or that someone is at work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(BTreeMap<String, PublicKey>);

impl KeySet {
    /// Reads a set. There may be other members beside `keys`.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
        Self::read(json, PublicKey::from_members)
    }

    /// Reads the public keys of a client: a JWK Set, a single JWK, or PEM blocks of `PUBLIC KEY`.
    pub fn of_client(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > MAXIMUM_KEY_SET {
            return Err(KeySetError::TooLong);
        }
        if text.windows(BEGIN.len()).any(|part| part == BEGIN) {
            return Self::from_pem(text);
        }
        let members = json::read(text).map_err(KeySetError::Json)?;
        if members.names().any(|name| name == "keys") {
            return Self::read(text, PublicKey::of_client);
        }
        let key = PublicKey::of_client(members);
        let key = key.map_err(|fault| KeySetError::Key { number: 1, fault })?;
        Ok(std::iter::once(key).collect())
    }

    fn from_pem(text: &[u8]) -> Result<Self, KeySetError> {
        let mut keys = BTreeMap::new();
        for (number, block) in (1..).zip(<(SectionKind, Vec<u8>)>::pem_slice_iter(text)) {
            let wrong = |fault| KeySetError::Key { number, fault };
            let (kind, der) = block.map_err(|_| wrong(KeyFault::Form))?;
            if number > MAXIMUM_KEYS {
                return Err(KeySetError::TooMany);
            }
            match kind {
                SectionKind::PublicKey => {}
                SectionKind::PrivateKey
                | SectionKind::EcPrivateKey
                | SectionKind::RsaPrivateKey => return Err(wrong(KeyFault::Private)),
                _ => return Err(wrong(KeyFault::Form)),
            }
            let key = PublicKey::from_spki(&der).map_err(wrong)?;
            if keys.insert(key.kid().to_owned(), key).is_some() {
                return Err(KeySetError::SameKid { number });
            }
        }
        if keys.is_empty() { Err(KeySetError::NoKeys) } else { Ok(Self(keys)) }
    }

    fn read(
        json: &[u8],
        each: fn(Members) -> Result<PublicKey, KeyFault>,
    ) -> Result<Self, KeySetError> {
        if json.len() > MAXIMUM_KEY_SET {
            return Err(KeySetError::TooLong);
        }
        let Some(Value::List(list)) = json::read(json).map_err(KeySetError::Json)?.take("keys")
        else {
            return Err(KeySetError::NoKeys);
        };
        if list.len() > MAXIMUM_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut keys = BTreeMap::new();
        for (number, value) in (1..).zip(list) {
            let key = match value {
                Value::Object(members) => each(members),
                _ => Err(KeyFault::Form),
            };
            let key = key.map_err(|fault| KeySetError::Key { number, fault })?;
            if keys.insert(key.kid().to_owned(), key).is_some() {
                return Err(KeySetError::SameKid { number });
            }
        }
        Ok(Self(keys))
    }

    /// The set as JSON, in the order of `kid`.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Set<'a> {
            keys: Vec<Jwk<'a>>,
        }
        let set = Set { keys: self.iter().map(PublicKey::jwk).collect() };
        // Only texts are in it, which always can be written.
        serde_json::to_string(&set).unwrap_or_default()
    }

    /// The key of this name.
    pub fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    /// All keys, in the order of `kid`.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PublicKey> for KeySet {
    /// Of two keys with the same `kid` the later one stays.
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid().to_owned(), key)).collect())
    }
}
