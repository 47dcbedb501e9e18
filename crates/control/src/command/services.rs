//! What is told of the directory of services.

use sealock_core::Timestamp;
use serde::{Deserialize, Serialize};

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// `HOST:PORT`.
    pub address: String,
    /// Who has joined it; otherwise it stands in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it has hung up, and its place is kept for some seconds.
    #[serde(default)]
    pub parting: bool,
    /// Whether Forwarders are told of it.
    pub told: bool,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name, by which it is called.
    pub name: String,
    /// For whom the tokens are.
    pub identity: String,
    /// Other hosts that mean it.
    pub hosts: Vec<String>,
    /// The host that the certificates of its Gatekeepers are for; otherwise they have its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Its instances.
    pub instances: Vec<InstanceReport>,
}
