//! What an imported certificate is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const LONGEST: usize = 64;

/// The name of a certificate that another authority signs. It is part of file names, labels and rules, so it has
/// letters, digits, `-`, `_` and `.` only, and begins with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImportedName(String);

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` cannot name an imported certificate (a-z, A-Z, 0-9, `-`, `_`, `.`; at most 64; a letter or digit first)"
)]
pub struct ImportedNameError(String);

impl ImportedName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImportedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ImportedName {
    type Err = ImportedNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && text.len() <= LONGEST && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(ImportedNameError(text.chars().take(80).flat_map(char::escape_default).collect()))
    }
}

impl TryFrom<String> for ImportedName {
    type Error = ImportedNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImportedName> for String {
    fn from(name: ImportedName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["web", "Shop-1", "a.b_c", &"x".repeat(64)] {
            assert_eq!(good.parse::<ImportedName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".web", "-web", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<ImportedName>().is_err(), "{bad:?}");
        }
    }
}
