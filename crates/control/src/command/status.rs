//! What there is, what is due and what is wrong.

use std::path::PathBuf;

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CaReport, CertificateReport, Todo};

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Its address.
    pub url: String,
    /// Whether it answers.
    pub up: bool,
    /// Its release.
    pub version: Option<String>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// A container whose labels ask for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Container id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its certificates.
    pub certificates: Vec<DeliveredStatus>,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<DeliveredSecretStatus>,
    /// Its Gatekeeper and Forwarder, where labels ask for them.
    #[serde(default)]
    pub sidecars: Vec<SidecarStatus>,
    /// Its trust bundles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusts: Vec<DeliveredTrustStatus>,
}

/// A Gatekeeper or Forwarder that labels ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarStatus {
    /// `gatekeeper`, `forwarder`, or `guard` for both where they are refused together.
    pub role: String,
    /// The service that the label names.
    pub service: String,
    /// The name of its container, when it is there.
    pub name: Option<String>,
    /// `serving`, `starting`, `failing`, `nobody to call`, `refused`, `bad label`, `undecided`.
    pub state: String,
    /// Why it does not serve.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A certificate that a label asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredStatus {
    /// The name in the label.
    pub name: String,
    /// What it is called among those that other authorities sign, where it is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
    /// Where it is in the container.
    pub path: String,
    /// `pending`, `delivered`, `served`, `refused`, `failed` …
    pub state: String,
    /// The delivered serial, hex.
    pub serial: Option<String>,
    /// Until when it is valid.
    pub not_after: Option<Timestamp>,
    /// When it is due.
    pub next_renewal: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A secret that a label asks for. Its value is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredSecretStatus {
    /// The name in the label.
    pub name: String,
    /// Its name in the vault; `None` when no label could be read.
    pub secret: Option<String>,
    /// Where it is in the container.
    pub path: String,
    /// `waiting`, `delivered`, `stale`, `refused`, `retrying` …
    pub state: String,
    /// The delivered version.
    pub version: Option<u64>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A trust bundle that a label asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredTrustStatus {
    /// The name in the label.
    pub name: String,
    /// Where it is in the container.
    pub path: String,
    /// `waiting`, `delivered`, `refused`, `retrying` …
    pub state: String,
    /// The digest of the delivered bundle, hex.
    pub bundle: Option<String>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What kind, such as `not-served`.
    pub alarm: String,
    /// Of what.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// The loaded policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its number.
    pub epoch: u64,
    /// How many rules.
    pub rules: usize,
    /// Hex SHA-256 of the folder.
    pub sha256: String,
    /// The folder.
    pub folder: PathBuf,
    /// Why the newest content of the folder is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// What there is, what is due, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Whether a daemon answered.
    pub daemon: bool,
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Option<Timestamp>,
    /// The time of the answer.
    pub now: Timestamp,
    /// The state folder.
    pub state: PathBuf,
    /// The address of the HTTPS listener.
    pub api: Option<String>,
    /// Where the Docker gateway listens.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The gateway's socket for containers.
    #[serde(default)]
    pub gateway_socket: Option<PathBuf>,
    /// Where revocation lists and OCSP are served.
    #[serde(default)]
    pub revocation: Option<String>,
    /// The API's socket for containers.
    #[serde(default)]
    pub workload: Option<PathBuf>,
    /// The authority; `None` before `init`, and while its keys are locked.
    pub ca: Option<CaReport>,
    /// Whether there is an authority whose keys are locked: their passphrase was not given to whoever answers.
    #[serde(default)]
    pub locked: bool,
    /// The engine; `None` when it was not asked.
    pub engine: Option<EngineStatus>,
    /// Containers whose labels ask for something.
    pub containers: Vec<ContainerStatus>,
    /// Certificates in force that expire within a week and are in the last quarter of their life, so that something should
    /// have renewed them; soonest first, at most 20.
    pub expiring: Vec<CertificateReport>,
    /// What needs a person.
    pub alarms: Vec<Alarm>,
    /// What a person has to do by and by, most urgent first.
    #[serde(default)]
    pub todo: Vec<Todo>,
    /// The loaded policy.
    pub policy: PolicyStatus,
    /// The number of the last audit record.
    pub audit_seq: u64,
}
