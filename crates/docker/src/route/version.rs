//! The version of the API, as it leads a target.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A version of the Engine API, `1.24` and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    minor: u16,
}

impl Version {
    /// The oldest that is let through: before it a container's start took a host configuration, and files
    /// could be read by `copy`.
    pub const FLOOR: Self = Self { minor: 24 };
    /// The newest that the route table was written for.
    pub const NEWEST: Self = Self { minor: 51 };

    pub(super) const fn of_minor(minor: u16) -> Self {
        Self { minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.minor)
    }
}

/// Why a version is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VersionError {
    /// Not of the form `1.41`, in this spelling and no other.
    #[error("the API version is malformed; write it like /v1.41/")]
    Malformed,
    /// Below [`Version::FLOOR`].
    #[error(
        "client version {0} is too old. Minimum supported API version is {floor}, please upgrade your client to a newer version",
        floor = Version::FLOOR
    )]
    TooOld(String),
    /// Above what the engine knows.
    #[error("client version {asked} is too new. Maximum supported API version is {ceiling}")]
    TooNew {
        /// What was asked for.
        asked: Version,
        /// The newest that the engine knows.
        ceiling: Version,
    },
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.41`. One version has one spelling: the engine compares numbers, so `1.041` would be
    /// another text for the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("1.").ok_or(VersionError::Malformed)?;
        let well_formed = (1..=4).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        if !well_formed {
            return Err(VersionError::Malformed);
        }
        let version = Self { minor: digits.parse().map_err(|_| VersionError::Malformed)? };
        if version < Self::FLOOR {
            return Err(VersionError::TooOld(version.to_string()));
        }
        Ok(version)
    }
}

/// Takes the version off the front of a path, if there is one.
pub(super) fn split<'s, 't>(
    segments: &'s [std::borrow::Cow<'t, str>],
    ceiling: Version,
) -> Result<(Option<Version>, &'s [std::borrow::Cow<'t, str>]), VersionError> {
    let Some((first, rest)) = segments.split_first() else {
        return Ok((None, segments));
    };
    let Some(number) = first.strip_prefix(['v', 'V']) else {
        return Ok((None, segments));
    };
    if !number.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Ok((None, segments));
    }
    if first.starts_with('V') {
        return Err(VersionError::Malformed);
    }
    let asked: Version = number.parse()?;
    if asked > ceiling {
        return Err(VersionError::TooNew { asked, ceiling });
    }
    Ok((Some(asked), rest))
}
