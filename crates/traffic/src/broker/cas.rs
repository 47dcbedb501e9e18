//! CAs of ours that are revoked. Whoever checks certificates by the roots alone believes what is below such a CA, until it is
//! told that the CA is no longer good.
//!
//! A CA is known here by its public key and not by its certificate: whatever certifies that key, another root included, who
//! has stolen it signs as well with the one as with the other. It is told of until its own certificate ends, for nothing
//! below it holds longer.
//!
//! The set is told as a whole, as a text that a [`Head`](super::Head) names by its hash, like the keys: it is small, and goes
//! on for years, while the list of revocations is about the few minutes that a token lives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EntryHash;

/// So many are told of. Each has needed the root's key.
pub const MOST_CAS: usize = 256;
/// So many are remembered, of all that was ever told.
const KEPT: usize = 4 * MOST_CAS;

/// Revoked CAs: the SHA-256 of each one's public key (SubjectPublicKeyInfo, DER), and when its certificate ends, in seconds
/// since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Written>", into = "Vec<Written>")]
pub struct RevokedCas(BTreeMap<EntryHash, u64>);

/// Why a set is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevokedCasError {
    /// It has more than are told of.
    #[error("more than {MOST_CAS} revoked CAs")]
    Many,
    /// One stands twice, or not in its place.
    #[error("revoked CAs that are not in their order")]
    Order,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: EntryHash,
    until: u64,
}

impl RevokedCas {
    /// Of the public keys, as [`public_keys`](sealock_net::tls::public_keys) gives them, and the ends of their certificates.
    ///
    /// # Errors
    /// There are more than are told of.
    pub fn new(all: impl IntoIterator<Item = (Vec<u8>, u64)>) -> Result<Self, RevokedCasError> {
        let mut cas = Self::default();
        for (key, until) in all {
            cas.add(EntryHash::of_bytes(&key), until);
        }
        if cas.0.len() > MOST_CAS { Err(RevokedCasError::Many) } else { Ok(cas) }
    }

    /// Reads what [`RevokedCas::to_text`] has written, and nothing else that means the same.
    pub fn read(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        if read.to_text() == text { Some(read) } else { None }
    }

    /// As it is told, and named by its hash.
    pub fn to_text(&self) -> String {
        // Texts and numbers, which always can be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a chain of certificates goes by one of them. Whatever leads to a leaf that such a CA has signed has to show
    /// the CA's key; one that is shown needlessly is taken for the same.
    pub fn are_in(&self, chain: &[EntryHash]) -> bool {
        !self.0.is_empty() && chain.iter().any(|key| self.0.contains_key(key))
    }

    /// Whether all of another set are in this one.
    pub fn has_all(&self, other: &Self) -> bool {
        other.0.keys().all(|key| self.0.contains_key(key))
    }

    /// Adds all of another set. What has ended by `now` is forgotten, and of more than can be kept what ends first.
    pub fn merge(&mut self, other: &Self, now: u64) {
        for (key, until) in &other.0 {
            self.add(*key, *until);
        }
        self.0.retain(|_, until| *until >= now);
        while self.0.len() > KEPT {
            let first = self.0.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key);
            if let Some(first) = first {
                self.0.remove(&first);
            }
        }
    }

    fn add(&mut self, key: EntryHash, until: u64) {
        let kept = self.0.entry(key).or_default();
        *kept = until.max(*kept);
    }
}

impl From<RevokedCas> for Vec<Written> {
    fn from(cas: RevokedCas) -> Self {
        cas.0.into_iter().map(|(key, until)| Written { key, until }).collect()
    }
}

impl TryFrom<Vec<Written>> for RevokedCas {
    type Error = RevokedCasError;

    fn try_from(all: Vec<Written>) -> Result<Self, RevokedCasError> {
        if all.len() > MOST_CAS {
            return Err(RevokedCasError::Many);
        }
        if !all.is_sorted_by(|one, next| one.key < next.key) {
            return Err(RevokedCasError::Order);
        }
        Ok(Self(all.into_iter().map(|it| (it.key, it.until)).collect()))
    }
}

/// What of a chain is held against [`RevokedCas`]: the public key of each certificate that was shown.
pub fn keys_of(chain: Option<&[rustls_pki_types::CertificateDer<'_>]>) -> Vec<EntryHash> {
    let keys = sealock_net::tls::public_keys(chain.unwrap_or_default());
    keys.iter().map(|key| EntryHash::of_bytes(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: &[(u8, u64)]) -> RevokedCas {
        RevokedCas::new(keys.iter().map(|(key, until)| (vec![*key], *until))).unwrap()
    }

    #[test]
    fn it_is_read_as_it_was_written_and_in_no_other_spelling() {
        for keys in [&[][..], &[(1, 10)], &[(1, 10), (2, 20), (3, 5)]] {
            let text = set(keys).to_text();
            assert_eq!(RevokedCas::read(&text), Some(set(keys)), "{text}");
            assert_eq!(RevokedCas::read(&format!("{text} ")), None);
        }
        let [one, two] = [set(&[(1, 10)]), set(&[(2, 10)])].map(|it| it.to_text());
        let inside = |text: &str| text[1..text.len() - 1].to_owned();
        let twice = format!("[{0},{0}]", inside(&one));
        let both = [
            format!("[{},{}]", inside(&one), inside(&two)),
            format!("[{},{}]", inside(&two), inside(&one)),
        ];
        assert_eq!(both.iter().filter(|text| RevokedCas::read(text).is_some()).count(), 1);
        let more = one.replace("\"until\"", "\"more\":1,\"until\"");
        for bad in
            ["", "{}", "null", "[1]", "[{}]", &twice, &more, "[{\"key\":\"AA\",\"until\":1}]"]
        {
            assert_eq!(RevokedCas::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn there_are_no_more_than_can_be_told_and_kept() {
        let keys = |from: u32, count: u32| {
            (from..from + count).map(|key| (key.to_be_bytes().to_vec(), u64::from(key) + 1000))
        };
        let most = u32::try_from(MOST_CAS).unwrap();
        assert!(RevokedCas::new(keys(0, most)).is_ok());
        assert_eq!(RevokedCas::new(keys(0, most + 1)), Err(RevokedCasError::Many));
        let mut all = RevokedCas::default();
        for round in 0..8 {
            all.merge(&RevokedCas::new(keys(round * most, most)).unwrap(), 0);
        }
        assert_eq!(all.0.len(), KEPT);
        assert!(all.has_all(&RevokedCas::new(keys(7 * most, most)).unwrap()), "the last ones");
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(RevokedCas::read(&text), None, "more than are told of");
    }

    #[test]
    fn what_was_revoked_stays_so_until_its_certificate_ends() {
        let chain = |keys: &[u8]| -> Vec<EntryHash> {
            keys.iter().map(|key| EntryHash::of_bytes(&[*key])).collect()
        };
        let mut all = set(&[(1, 10), (2, 20)]);
        assert!(all.are_in(&chain(&[9, 1])) && all.are_in(&chain(&[2])));
        assert!(!all.are_in(&chain(&[9])) && !all.are_in(&[]));
        all.merge(&set(&[]), 10);
        assert!(all.are_in(&chain(&[1])));
        all.merge(&set(&[(3, 30), (2, 5)]), 11);
        assert!(!all.are_in(&chain(&[1])), "nothing below it holds any more");
        assert!(all.are_in(&chain(&[2])) && all.has_all(&set(&[(3, 1)])));
        assert!(!all.has_all(&set(&[(1, 1)])));
    }
}
