//! The inventory: every certificate that was issued, and how to find it.
//!
//! # Layout
//!
//! | key | value | for |
//! | --- | --- | --- |
//! | `cert/main/` issued, serial | the DER, and a [`Note`] of what it does not say | everything; newest last |
//! | `cert/serial/` serial | issued | finding by serial; its absence is the condition of an issue |
//! | `cert/expiry/` part, not after, serial | issuer's number, issued | what expires next; pruning |
//! | `cert/name/` name, 0, issued, serial | nothing | finding by name |
//! | `cert/revoked/` issuer, not after, serial | revoked at, reason | the CRL of an issuer |
//!
//! Numbers are 8 bytes, big-endian, so that keys sort by time. The big value goes to the end of its
//! range, so an issue costs the same with a million certificates as with none; only small entries land
//! at random places. The expiry index has two parts, so that a list of what expires need not read what
//! was already replaced or revoked.

mod entry;
pub(crate) mod keys;
mod list;
mod search;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use entry::{Entry, Note, Revocation};
pub use list::{CertDetail, CertState, CertSummary};
pub(crate) use list::{Found, Inventory, summarise};
pub(crate) use search::Issued;
pub use search::{ListFilter, Listed};
pub use tally::Tally;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which of the authority's CA certificates: the first 64 bits of its key identifier, in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerId([u8; 8]);

impl IssuerId {
    pub(crate) fn of(key_identifier: &[u8; 20]) -> Self {
        let mut id = [0; 8];
        id.iter_mut().zip(key_identifier).for_each(|(to, from)| *to = *from);
        Self(id)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for IssuerId {
    type Err = IssuerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| IssuerIdError)?;
        Ok(Self(bytes.try_into().map_err(|_| IssuerIdError)?))
    }
}

/// Not the id of a CA certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a CA certificate (16 hex digits)")]
pub struct IssuerIdError;

impl TryFrom<String> for IssuerId {
    type Error = IssuerIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IssuerId> for String {
    fn from(id: IssuerId) -> Self {
        id.to_string()
    }
}

/// Why a certificate was revoked (RFC 5280 §5.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// None of the others, or not said.
    #[default]
    Unspecified,
    /// The private key is or may be in other hands.
    KeyCompromise,
    /// The issuer's key is.
    CaCompromise,
    /// The names no longer belong to the holder's organisation.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The service is gone.
    CessationOfOperation,
    /// What the certificate allowed was taken away.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All of them. `certificateHold` and `removeFromCRL` are left out: a revocation here is for good.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The name as flags have it, such as `key-compromise`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// The code of `CRLReason`.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Not a reason for a revocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a reason (unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn)"
)]
pub struct ReasonError(String);

impl FromStr for Reason {
    type Err = ReasonError;

    /// Reads `key-compromise` and RFC 5280's `keyCompromise`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|reason| plain(reason.as_str()) == plain(text))
            .ok_or_else(|| ReasonError(text.chars().take(40).collect()))
    }
}
