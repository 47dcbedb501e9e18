//! The list of revocations as it is signed: each entry names the one before it, and a head says how far the list goes.
//!
//! Whoever holds the head knows the whole list: an entry that is left out, added, changed or moved does not fit the
//! hashes. An entry's own signature is for who hears it as it is made; later its key may be gone, and the head, which is
//! signed anew each time, stands for it. The head names the broker's keys as well, and the CAs that are revoked: with it
//! they are vouched for by what was known before.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::Revocation;
use crate::token::{
    KeySet, Refusal, SigningKey, TokenError, open_statement, read_statement, sign_statement,
};

/// `typ` of an entry.
const ENTRY: &str = "sealock-revocation+jwt";
/// `typ` of a head.
const HEAD: &str = "sealock-revocations+jwt";

/// SHA-256 of an entry's text, of a key set's, of a certificate or of a public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryHash([u8; 32]);

impl EntryHash {
    /// What the first entry names as the one before it.
    pub const START: Self = Self([0; 32]);

    /// That of a text.
    pub fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    /// That of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl From<EntryHash> for String {
    fn from(hash: EntryHash) -> Self {
        BASE64URL_NOPAD.encode(&hash.0)
    }
}

/// A text that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no SHA-256 in base64url")]
pub struct EntryHashError;

impl TryFrom<String> for EntryHash {
    type Error = EntryHashError;

    fn try_from(text: String) -> Result<Self, EntryHashError> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| EntryHashError)?;
        bytes.try_into().map(Self).map_err(|_| EntryHashError)
    }
}

/// What an entry says. Its names are none of a token's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Whose list it is: the issuer of the tokens.
    pub log: String,
    /// The entry before it.
    pub previous: EntryHash,
    /// What is revoked, under which number.
    pub revocation: Revocation,
}

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose list it is.
    pub log: String,
    /// The number of the last entry; 0 when there was none.
    pub number: u64,
    /// The last entry.
    pub hash: EntryHash,
    /// The number from which on entries still matter.
    pub from: u64,
    /// The key set that is in force, as it is sent.
    pub keys: EntryHash,
    /// The CAs that are revoked, as they are told.
    pub cas: EntryHash,
    /// When that was so, in seconds since 1970.
    pub at: u64,
}

impl Entry {
    /// The entry as it is signed.
    ///
    /// # Errors
    /// What [`sign_statement`] says.
    pub fn sign(&self, key: &SigningKey) -> Result<String, TokenError> {
        // Texts and numbers, which always can be written.
        sign_statement(key, ENTRY, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// An entry, if one of these keys has signed it.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn open(text: &str, keys: &KeySet) -> Result<Self, Refusal> {
        parsed(&open_statement(text, ENTRY, keys)?)
    }

    /// An entry that is known by its hash.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        parsed(&read_statement(text, ENTRY)?)
    }
}

impl Head {
    /// The head as it is signed.
    ///
    /// # Errors
    /// What [`sign_statement`] says.
    pub fn sign(&self, key: &SigningKey) -> Result<String, TokenError> {
        sign_statement(key, HEAD, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// A head, if one of these keys has signed it.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn open(text: &str, keys: &KeySet) -> Result<Self, Refusal> {
        parsed(&open_statement(text, HEAD, keys)?)
    }
}

fn parsed<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(payload).map_err(|_| Refusal::BadClaim { claim: "the statement" })
}
