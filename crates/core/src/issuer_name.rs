//! What an issuing CA is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const LONGEST: usize = 64;
/// The issuer that is always there: our own intermediate under our own root.
const OWN: &str = "own";

/// The name of an issuing CA of ours: `own`, or one under a root of somebody else. It stands in labels, settings and
/// rules, so it has small letters, digits, `-`, `_` and `.` only, and begins with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerName(String);

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` cannot name an issuer (a-z, 0-9, `-`, `_`, `.`; at most 64; a letter or digit first)"
)]
pub struct IssuerNameError(String);

impl IssuerName {
    /// Our own intermediate under our own root.
    pub fn own() -> Self {
        Self(OWN.to_owned())
    }

    /// Whether it is that one.
    pub fn is_own(&self) -> bool {
        self.0 == OWN
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for IssuerName {
    type Err = IssuerNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next().is_some_and(letter);
        if first
            && text.len() <= LONGEST
            && text.bytes().all(|it| letter(it) || b"-_.".contains(&it))
        {
            return Ok(Self(text.to_owned()));
        }
        Err(IssuerNameError(text.chars().take(80).flat_map(char::escape_default).collect()))
    }
}

impl TryFrom<String> for IssuerName {
    type Error = IssuerNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IssuerName> for String {
    fn from(name: IssuerName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["own", "corp", "corp-2", "a.b_c", &"x".repeat(64)] {
            assert_eq!(good.parse::<IssuerName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "Own", "corp/1", "-a", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<IssuerName>().is_err(), "{bad:?}");
        }
        assert!(IssuerName::own().is_own());
    }
}
