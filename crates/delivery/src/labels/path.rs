//! Where in a container what it asks for is to be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::shortened;
use super::{LabelError, LabelName};

/// A path inside a container: absolute, normalised, not the root and not in the kernel's own trees.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerPath(String);

impl ContainerPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &str {
        match self.0.rsplit_once('/') {
            Some((folder, _)) if !folder.is_empty() => folder,
            _ => "/",
        }
    }

    pub(super) fn in_folder(folder: &str, name: &LabelName) -> Self {
        Self(format!("{folder}/{name}"))
    }

    /// The first part of the way from `other` to here; `None` where this is no place below it.
    pub(super) fn first_below(&self, other: &Self) -> Option<&str> {
        self.0.strip_prefix(&other.0)?.strip_prefix('/')?.split('/').next()
    }

    /// Whether this is `other`, or a place below it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let below = self.0.strip_prefix(&other.0);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for ContainerPath {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |why| Err(LabelError::Path { text: shortened(text), why });
        let Some(relative) = text.strip_prefix('/') else {
            return refused("it does not begin with /");
        };
        if relative.is_empty() {
            return refused("it is the root folder");
        }
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return refused("it is longer than 1024 bytes or has control characters");
        }
        for part in relative.split('/') {
            match part {
                "" => return refused("it has an empty part or ends with /"),
                "." | ".." => return refused("it has `.` or `..` in it"),
                long if long.len() > 255 => return refused("a part is longer than 255 bytes"),
                _ => {}
            }
        }
        if matches!(relative.split('/').next(), Some("proc" | "sys")) {
            return refused("the kernel's own trees hold no files");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerPath {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ContainerPath> for String {
    fn from(path: ContainerPath) -> Self {
        path.0
    }
}
