//! ACME: who vouches for accounts.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// A key that vouches for ACME accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeBind {
    /// Its name, which is the `kid`.
    pub name: String,
    /// As whom its accounts order; the service of its name by default.
    #[serde(default)]
    pub identity: Option<String>,
    /// For how many seconds accounts can be made with it; a week by default.
    #[serde(default)]
    pub life: Option<u64>,
    /// Whether more than one account can be made with it.
    #[serde(default)]
    pub reusable: bool,
}

/// The same, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeBindingReport {
    /// Its name, which is the `kid`.
    pub name: String,
    /// As whom its accounts order.
    pub identity: String,
    /// Since when it is there.
    pub made: Timestamp,
    /// Until when accounts can be made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether more than one account can be made with it.
    pub reusable: bool,
    /// The account that was made with it, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The id of the container that has got it for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// A new one with its key, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeBindingKey {
    /// The binding.
    pub binding: AcmeBindingReport,
    /// The key of the MAC, base64url.
    pub key: SecretText,
}

/// What a container's ACME client needs to order as that container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAttested {
    /// The binding.
    pub binding: AcmeBindingReport,
    /// The key of the MAC, base64url.
    pub key: SecretText,
    /// The names that need no challenge.
    pub names: Vec<String>,
    /// Where the ACME server is.
    pub directory: String,
    /// The roots by which it is known, PEM.
    pub roots: String,
}

/// An account at our ACME server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAccountReport {
    /// Its id, which is the end of its URL.
    pub id: String,
    /// `valid`, `deactivated` (by itself) or `revoked` (by a person here).
    pub status: String,
    /// As whom it orders, where somebody has vouched for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The id of the container that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// `mailto:` URLs that it has given.
    pub contact: Vec<String>,
    /// Since when it is there.
    pub made: Timestamp,
}

/// Accounts at our ACME server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAccountList {
    /// The oldest first.
    pub accounts: Vec<AcmeAccountReport>,
    /// Whether there are more.
    pub more: bool,
}
