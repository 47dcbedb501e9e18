//! The public keys by which tokens are checked: a JWK Set (RFC 7517 §5).

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::{KeyFault, KeySetError};
use super::json::{self, Value};
use super::key::{Jwk, PublicKey};

/// The longest key set, in bytes.
pub const MAXIMUM_KEY_SET: usize = 64 * 1024;

/// How many keys a set may have.
pub const MAXIMUM_KEYS: usize = 64;

/// Public keys by their `kid`.
///
/// It is read as a whole or not at all. RFC 7517 would pass over keys that it cannot use; the broker publishes none,
/// so one of these says that this is not its set, or that someone is at work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(BTreeMap<String, PublicKey>);

impl KeySet {
    /// Reads a set. There may be other members beside `keys`.
    pub fn from_json(json: &[u8]) -> Result<Self, KeySetError> {
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
                Value::Object(members) => PublicKey::from_members(members),
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
