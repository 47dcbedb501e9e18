//! What is asked about people who want to be let in, and what is answered.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// `login confirm`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginConfirm {
    /// The code that the person reads out.
    pub code: String,
    /// Who the person is. Without it the answer is who they say they are, and nothing is confirmed.
    pub user: Option<String>,
    /// How many seconds their certificate lives; twelve hours by default.
    pub life: Option<u64>,
}

/// `login invite`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginInvite {
    /// Who the person is.
    pub user: String,
    /// How many seconds the code is good; a quarter of an hour by default.
    pub ttl: Option<u64>,
    /// How many seconds their certificate lives; twelve hours by default.
    pub life: Option<u64>,
}

/// `login deny`, and the end of somebody's login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", content = "of", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LoginDeny {
    /// Whoever waits with this code.
    Code(String),
    /// The codes that this person has, and the renewal of their certificates.
    User(String),
}

/// Somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginWaiting {
    /// The code that the person reads.
    pub code: String,
    /// The program, as it calls itself; with ` (proved)` behind it, if it has proved that it is the client of that name.
    pub client: String,
    /// Who they say they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Where they come from.
    pub origin: String,
    /// Since when they wait.
    pub since: Timestamp,
}

/// A code that is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCode {
    /// For whom.
    pub user: String,
    /// `device` or `invite`.
    pub by: String,
    /// Until when.
    pub until: Timestamp,
}

/// `login list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {
    /// Who waits to be confirmed, the first to come first.
    pub waiting: Vec<LoginWaiting>,
    /// Who was given a code, and has not used it.
    pub codes: Vec<LoginCode>,
}

/// What was decided about a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginConfirmed {
    /// Who the person is.
    pub user: String,
    /// Who it was that waited.
    pub waiting: LoginWaiting,
    /// How many seconds their certificate lives.
    pub life: u64,
}

/// A code that was made, and is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginInvited {
    /// For whom.
    pub user: String,
    /// The code; the fingerprint of the authority's root is part of it.
    pub code: SecretText,
    /// Until when.
    pub until: Timestamp,
}
