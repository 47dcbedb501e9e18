//! What the watcher tells of itself: certificates, alarms, counters.

use std::fmt;

use sealock_core::{ImportedName, Timestamp};
use serde::{Deserialize, Serialize};

/// Where something stands that a label asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// Asked for, not delivered yet.
    Waiting,
    /// Delivered and valid.
    Delivered,
    /// The last try failed; the next one is coming.
    Retrying,
    /// Policy says no.
    Refused,
    /// A label cannot be read.
    BadLabel,
    /// The container does not run.
    Stopped,
    /// A secret is there that should not be any more, or a store that is under such a one: it is gone from the vault,
    /// or policy would not give it now. Or a certificate is, that was imported and is not known any more.
    Stale,
}

/// What is known of the service that should serve it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum VerifyState {
    /// No `.verify` label.
    NotAsked,
    /// Not seen yet, within the grace time.
    Pending {
        /// What was seen instead, when anything was.
        reason: Option<String>,
    },
    /// A handshake has shown the serial.
    Served {
        /// When last.
        at: Timestamp,
    },
    /// Not seen within the grace time.
    NotServed {
        /// What was seen instead.
        reason: String,
    },
}

/// One labelled certificate, or one label that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The container's name.
    pub container: String,
    /// The container's id.
    pub container_id: String,
    /// The certificate's name within the container; empty when a label names none.
    pub certificate: String,
    /// What it is called among those that other authorities sign, where it is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedName>,
    /// The subject names.
    pub names: Vec<String>,
    /// The folder inside the container.
    pub path: Option<String>,
    /// Where it stands.
    pub state: DeliveryState,
    /// The serial that was delivered last, hex.
    pub serial: Option<String>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// When it ends.
    pub not_after: Option<Timestamp>,
    /// When it is renewed.
    pub renew_at: Option<Timestamp>,
    /// Whether it is served.
    pub verify: VerifyState,
    /// The label that is at fault.
    pub label: Option<String>,
    /// Why it stands where it stands.
    pub reason: Option<String>,
    /// What a person may do about it.
    pub hint: Option<String>,
}

/// One labelled secret, or one label that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStatus {
    /// The container's name.
    pub container: String,
    /// The container's id.
    pub container_id: String,
    /// The secret's name within the container; empty when a label names none.
    pub name: String,
    /// Its name in the vault.
    pub secret: Option<String>,
    /// The file inside the container.
    pub path: Option<String>,
    /// Where it stands.
    pub state: DeliveryState,
    /// The version that was delivered last.
    pub version: Option<u64>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// The label that is at fault.
    pub label: Option<String>,
    /// Why it stands where it stands.
    pub reason: Option<String>,
    /// What a person may do about it.
    pub hint: Option<String>,
}

/// One labelled trust bundle, or one label that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStatus {
    /// The container's name.
    pub container: String,
    /// The container's id.
    pub container_id: String,
    /// The bundle's name within the container; empty when a label names none.
    pub name: String,
    /// The file inside the container.
    pub path: Option<String>,
    /// Where it stands.
    pub state: DeliveryState,
    /// The digest of the bundle that was delivered last, hex.
    pub bundle: Option<String>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// The label that is at fault.
    pub label: Option<String>,
    /// Why it stands where it stands.
    pub reason: Option<String>,
    /// What a person may do about it.
    pub hint: Option<String>,
}

/// What can be wrong so that a person must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// The service does not show the delivered serial.
    NotServed,
    /// Deliveries fail again and again.
    DeliveryFailed,
    /// The service cannot be told to reload.
    ReloadFailed,
    /// The certificate nears its end, or is past it, without a renewal.
    Expiring,
    /// A container has a secret, or a store under one, that it should not have any more, or an imported certificate that was
    /// forgotten.
    Stale,
    /// The engine does not answer.
    EngineAway,
}

impl AlarmKind {
    /// The kind as it stands in audit events and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotServed => "not-served",
            Self::DeliveryFailed => "delivery-failed",
            Self::ReloadFailed => "reload-failed",
            Self::Expiring => "expiring",
            Self::Stale => "stale",
            Self::EngineAway => "engine-away",
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// With what: `container/certificate`, `container/secret:name`, `container/trust:name`, or `engine`.
    pub subject: String,
    /// Why it was raised.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What happened since the start, as plain numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each counts what its name says")]
pub struct Counters {
    pub deliveries: u64,
    pub delivery_failures: u64,
    pub refusals: u64,
    pub reloads: u64,
    pub reload_failures: u64,
    pub looks: u64,
    pub served: u64,
    pub alarms_raised: u64,
    pub resyncs: u64,
    pub engine_losses: u64,
}
