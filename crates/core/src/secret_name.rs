//! The name of a secret in the vault: a path such as `prod/db/password`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest name, in bytes.
pub const MAX_SECRET_NAME: usize = 512;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretNameError {
    /// Nothing at all.
    #[error("a secret's name must not be empty")]
    Empty,
    /// Longer than [`MAX_SECRET_NAME`].
    #[error("a secret's name has at most {MAX_SECRET_NAME} bytes")]
    TooLong,
    /// A segment that is empty, `.` or `..`, or that has another character.
    #[error(
        "`{0}` is not a secret's name: segments of letters, digits and `._-+=@:`, separated by `/`"
    )]
    Form(String),
}

/// Segments of ASCII letters, digits and `._-+=@:`, separated by single slashes; none is `.` or `..`. So a name
/// is the same text in rules, in keys of the store, in files and in URLs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last slash.
    pub fn last_segment(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, last)| last)
    }

    /// Whether this is `path` itself or a name below it.
    pub fn is_within(&self, path: &Self) -> bool {
        self.below(path).is_some()
    }

    /// What comes after `path` and its slash; empty for `path` itself.
    pub fn below(&self, path: &Self) -> Option<&str> {
        let rest = self.0.strip_prefix(&path.0)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(SecretNameError::Empty);
        }
        if text.len() > MAX_SECRET_NAME {
            return Err(SecretNameError::TooLong);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+=@:".contains(c);
        let good = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(allowed);
        if text.split('/').all(good) {
            return Ok(Self(text.to_owned()));
        }
        let shown = text.chars().take(80).flat_map(char::escape_default).collect();
        Err(SecretNameError::Form(shown))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["a", "prod/db/password", "a.b/c-d_e", "user@host:22/key", "...", "A+=/1"] {
            assert_eq!(good.parse::<SecretName>().unwrap().to_string(), good);
        }
        for bad in
            ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a b", "ä", "a\0", "a\nb", "*"]
        {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
        assert_eq!("a".repeat(513).parse::<SecretName>(), Err(SecretNameError::TooLong));
    }

    #[test]
    fn a_path_is_no_prefix_of_text() {
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        assert_eq!(name("prod/db/password").below(&name("prod")), Some("db/password"));
        assert_eq!(name("prod").below(&name("prod")), Some(""));
        assert!(!name("production/db").is_within(&name("prod")));
        assert_eq!(name("prod/db").last_segment(), "db");
    }
}
