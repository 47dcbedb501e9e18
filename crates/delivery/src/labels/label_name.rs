//! How containers call what they ask for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::LabelError;
use super::error::shortened;

/// The name of a certificate or secret within its container: `a-z 0-9 - _ .`, at most 64 characters, a letter or
/// digit at both ends (so that it can be a folder's name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelName(String);

impl LabelName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of a request that only finds out what else is wrong.
    pub(super) fn scratch() -> Self {
        Self("scratch".to_owned())
    }
}

impl FromStr for LabelName {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = !text.is_empty()
            && text.len() <= 64
            && text.chars().all(|c| alphanumeric(c) || "-_.".contains(c))
            && text.starts_with(alphanumeric)
            && text.ends_with(alphanumeric);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(LabelError::LabelName { text: shortened(text) })
        }
    }
}

impl fmt::Display for LabelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for LabelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for LabelName {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LabelName> for String {
    fn from(name: LabelName) -> Self {
        name.0
    }
}
