//! In which states things are (RFC 8555 §7.1.6).

use serde::{Deserialize, Serialize};

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// It can be used.
    Valid,
    /// Its holder has given it up.
    Deactivated,
    /// The server has taken it away.
    Revoked,
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Some identifier is not proven yet.
    Pending,
    /// All are; it can be finalized.
    Ready,
    /// The certificate is being issued.
    Processing,
    /// The certificate is there.
    Valid,
    /// It has failed, or came to its end before.
    Invalid,
}

/// The state of an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizationStatus {
    /// No challenge was answered yet.
    Pending,
    /// The identifier is the account's.
    Valid,
    /// A challenge was answered wrongly, or it came to its end before.
    Invalid,
    /// The account has given it up.
    Deactivated,
    /// It was valid, and its time is over.
    Expired,
    /// The server has taken it away.
    Revoked,
}

/// The state of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeStatus {
    /// It was not answered yet.
    Pending,
    /// It was answered, and is being looked at.
    Processing,
    /// The answer was right.
    Valid,
    /// It was not.
    Invalid,
}
