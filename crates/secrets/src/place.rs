//! Where what of the vault is in the store. The table is in the crate's documentation.

use sealock_core::SecretName;
use sealock_store::KeyRange;

const KEYS: &[u8] = b"vault/key/";
pub(crate) const SECRETS: &[u8] = b"vault/secret/";
const VERSIONS: &[u8] = b"vault/version/";
const VALUES: &[u8] = b"vault/value/";
const GONE: &[u8] = b"vault/gone/";
/// Between a secret's name and the number of a version: no name has it, and it sorts before what names
/// have, so the versions of `a` are apart from those of `a/b`.
const END: u8 = 0;

/// The name of a vault key's entry, which is also what its seal binds.
pub(crate) fn key_name(number: u32) -> String {
    format!("vault/key/{number:010}")
}

pub(crate) fn key(number: u32) -> Vec<u8> {
    key_name(number).into_bytes()
}

pub(crate) fn keys() -> KeyRange {
    KeyRange::prefix(KEYS)
}

/// The number in a vault key's place.
pub(crate) fn key_number(place: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(place.strip_prefix(KEYS)?).ok()?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (key(number) == place).then_some(number)
}

/// A secret's record.
pub(crate) fn secret(name: &SecretName) -> Vec<u8> {
    [SECRETS, name.as_str().as_bytes()].concat()
}

/// The records of all secrets.
pub(crate) fn secrets() -> KeyRange {
    KeyRange::prefix(SECRETS)
}

/// The records of all secrets below `path`, not its own.
pub(crate) fn below(path: &SecretName) -> KeyRange {
    KeyRange::prefix(&[&secret(path)[..], b"/"].concat())
}

/// The name in a record's place.
pub(crate) fn name_of(place: &[u8]) -> Option<SecretName> {
    std::str::from_utf8(place.strip_prefix(SECRETS)?).ok()?.parse().ok()
}

/// The number that a purged secret had got to.
pub(crate) fn gone(name: &SecretName) -> Vec<u8> {
    [GONE, name.as_str().as_bytes()].concat()
}

pub(crate) fn version(name: &SecretName, number: u64) -> Vec<u8> {
    [VERSIONS, name.as_str().as_bytes(), &[END], &number.to_be_bytes()].concat()
}

/// The rows of all versions of a secret.
pub(crate) fn versions(name: &SecretName) -> KeyRange {
    KeyRange::prefix(&[VERSIONS, name.as_str().as_bytes(), &[END]].concat())
}

/// The number in the place of a version's row or value.
pub(crate) fn number_of(place: &[u8]) -> Option<u64> {
    place.last_chunk().map(|number| u64::from_be_bytes(*number))
}

pub(crate) fn value(name: &SecretName, number: u64) -> Vec<u8> {
    [VALUES, name.as_str().as_bytes(), &[END], &number.to_be_bytes()].concat()
}

/// The long values of all versions of a secret.
pub(crate) fn values(name: &SecretName) -> KeyRange {
    KeyRange::prefix(&[VALUES, name.as_str().as_bytes(), &[END]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn places_read_back() {
        assert_eq!(name_of(&secret(&name("prod/db"))), Some(name("prod/db")));
        assert_eq!(name_of(b"vault/secret/a b"), None);
        assert_eq!(number_of(&version(&name("a"), 515)), Some(515));
        assert_eq!(key_number(&key(u32::MAX)), Some(u32::MAX));
        for bad in ["vault/key/0000000000", "vault/key/1", "vault/key/+000000001", "vault/other"] {
            assert_eq!(key_number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn no_secret_is_among_anothers_versions() {
        let range = versions(&name("a"));
        assert!(
            range.contains(&version(&name("a"), 0))
                && range.contains(&version(&name("a"), u64::MAX))
        );
        for other in ["a/b", "aa", "a.b", "a+"] {
            assert!(!range.contains(&version(&name(other), 1)), "{other}");
        }
        assert!(!below(&name("prod")).contains(&secret(&name("prod-x"))));
        assert!(!below(&name("prod")).contains(&secret(&name("prod"))));
        assert!(below(&name("prod")).contains(&secret(&name("prod/x"))));
        assert!(secret(&name(&"a".repeat(512))).len() <= sealock_store::MAX_KEY);
    }

    #[test]
    fn versions_sort_by_number() {
        let places: Vec<_> =
            [1, 255, 256, 1 << 40].map(|number| version(&name("a"), number)).into();
        assert!(places.is_sorted());
    }
}
