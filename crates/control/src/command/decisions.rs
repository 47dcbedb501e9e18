//! What was decided and recorded, and by which rules and settings.

use sealock_core::Timestamp;
use sealock_core::policy::{Explanation, Problem};
use serde::{Deserialize, Serialize};

use super::PolicyStatus;

/// Somebody is in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// Who, as `human/alice`.
    pub member: String,
    /// By the settings; otherwise by a command.
    pub by_settings: bool,
}

/// Records of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// Each a line of JSON, byte for byte as it is chained.
    pub lines: Vec<String>,
    /// The number after which the next page begins; `None` at the end.
    pub next: Option<u64>,
}

/// The result of checking the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Whether chain and checkpoints hold.
    pub intact: bool,
    /// How many records were checked.
    pub records: u64,
    /// How many signed checkpoints.
    pub checkpoints: u64,
    /// The last record that a signed checkpoint covers.
    pub covered: u64,
    /// The first thing that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The result of checking policy files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCheck {
    /// Whether they could be loaded.
    pub valid: bool,
    /// How many rules there are.
    pub rules: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Why a request was decided as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyExplained {
    /// The request id.
    pub request: String,
    /// When it was.
    pub at: Timestamp,
    /// Who asked.
    pub who: String,
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// What was decided then.
    pub allowed_then: bool,
    /// The rules that determined it then.
    pub rules_then: Vec<String>,
    /// The policy that decided then.
    pub epoch_then: u64,
    /// What the loaded policy says now.
    pub now: Explanation,
}

/// A preset that is in the policy folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyUsed {
    /// The file in the policy folder.
    pub file: String,
    /// Whether it was written now.
    pub changed: bool,
    /// The policy that holds now.
    pub policy: PolicyStatus,
}

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingInForce {
    /// Such as `api.listen`.
    pub key: String,
    /// As it is in force.
    pub value: String,
    /// `default`, `file:line`, the variable, or the flag.
    pub source: String,
}
