//! The one checker of host settings, for every endpoint that can carry them.
//!
//! It turns a body whose fields are of their types into what policy decides on: the attributes of
//! `DockerSettings` in the schema, and the risks, each of which is something that reaches beyond a plain
//! container. Whatever the API knows and the table does not name is harmless and passes; whatever the API
//! does not know is the risk `unknown-field`.
//!
//! The risks are in [`RISKS`].
//!
//! Folders of the host that are mounted are not risks: each is asked for as `Docker::Mount`, whichever
//! field it came by. Paths are normalised as text. Symbolic links on the host are a matter of whoever
//! writes the policy: a rule for `/srv/ci` is a rule for what its links lead to. So a folder in which
//! somebody who may mount it can make links of the host should not be permitted.
//!
//! Harmless on purpose: `Dns*`, `ExtraHosts`, `Hostname`, `MacAddress` and fixed addresses (they are the
//! container's own), `ShmSize` and limits (they count as its memory), `Init`, `AutoRemove`, `OnBuild`.

mod container;
mod mount;
mod network;
mod options;
mod path;
mod resources;
mod risk;
mod security;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Attribute;

pub use mount::{HostMount, existing_volume};
pub use risk::Risk;

pub(super) use container::{container, exec, image_config, update};
pub(super) use mount::volume_create;
pub(super) use network::{network_connect, network_create, network_mode};
use path::host_path;
pub(super) use resources::effective_cpus;
pub(super) use security::{has_no_new_privileges, security_options};
pub(super) use service::service;

use super::json::Value;

/// What each risk is set by, and why it is one, as a table in Markdown.
pub const RISKS: &str = include_str!("risks.md");

/// Labels of one object, of which more are a risk and not looked at.
const MANY_LABELS: usize = 1000;

/// What was found in a body.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    risks: BTreeSet<Risk>,
    unknown: BTreeSet<String>,
    attributes: BTreeMap<&'static str, Attribute>,
    sets: BTreeMap<&'static str, BTreeSet<String>>,
    ports: Option<BTreeSet<u16>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) mounts: Vec<HostMount>,
    pub(super) image: Option<String>,
    pub(super) containers: BTreeSet<String>,
    pub(super) networks: BTreeSet<String>,
    pub(super) volumes: BTreeSet<String>,
}

impl Settings {
    /// With the sets that a container always has, so that rules need not ask whether they are there.
    fn of_container(&mut self) {
        for name in [
            "bindSources",
            "capAdd",
            "capDrop",
            "devices",
            "labelKeys",
            "mountTypes",
            "networks",
            "publishedAddresses",
            "securityOpt",
            "sysctls",
            "volumes",
        ] {
            self.sets.entry(name).or_default();
        }
        self.ports.get_or_insert_default();
    }

    pub(super) fn risk(&mut self, risk: Risk) {
        self.risks.insert(risk);
    }

    pub(super) fn risk_if(&mut self, condition: bool, risk: Risk) {
        if condition {
            self.risks.insert(risk);
        }
    }

    pub(super) fn unknown(&mut self, path: String) {
        self.risk(Risk::UnknownField);
        self.unknown.insert(path);
    }

    /// An attribute; an empty text is none, as it is for the engine.
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.attributes.insert(name, text.into());
        }
    }

    pub(super) fn flag(&mut self, name: &'static str, flag: bool) {
        self.attributes.insert(name, flag.into());
    }

    /// A limit; nought or less is none, as it is for the engine.
    pub(super) fn limit(&mut self, name: &'static str, limit: Option<i64>) {
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            self.attributes.insert(name, limit.into());
        }
    }

    pub(super) fn add(&mut self, set: &'static str, text: impl Into<String>) {
        self.sets.entry(set).or_default().insert(text.into());
    }

    fn port(&mut self, port: u16) {
        self.risk(Risk::PublishedPorts);
        self.ports.get_or_insert_default().insert(port);
    }

    /// The labels that the object gets.
    pub(super) fn labels_of(&mut self, value: &Value) {
        self.sets.entry("labelKeys").or_default();
        // Nobody has so many; a question about them would keep others waiting.
        self.risk_if(value.members("Labels").len() > MANY_LABELS, Risk::UnknownField);
        for (key, text) in value.members("Labels").iter().take(MANY_LABELS + 1) {
            self.label(key, text.as_text().unwrap_or_default());
        }
    }

    pub(super) fn label(&mut self, key: &str, text: &str) {
        self.risk_if(is_ours(key), Risk::SealockLabels);
        self.add("labelKeys", key);
        self.labels.insert(key.to_owned(), text.to_owned());
    }

    /// Labels of something that is made along the way.
    fn foreign_labels(&mut self, value: &Value) {
        for (key, _) in value.members("Labels") {
            self.risk_if(is_ours(key), Risk::SealockLabels);
            self.add("labelKeys", key);
        }
    }

    /// The context of a question about them.
    pub(super) fn context(&self) -> BTreeMap<String, Attribute> {
        let mut context: BTreeMap<String, Attribute> = self
            .attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        for (name, set) in &self.sets {
            context.insert((*name).to_owned(), set.iter().cloned().collect());
        }
        if let Some(ports) = &self.ports {
            context.insert("publishedPorts".to_owned(), ports.iter().copied().collect());
        }
        let risks: Attribute = self.risks.iter().map(|risk| risk.as_str()).collect();
        context.insert("risks".to_owned(), risks);
        context.insert("unknownFields".to_owned(), self.unknown.iter().cloned().collect());
        context
    }
}

/// Whether Sealock acts on a label. Its case does not matter here, so that no reader's way of comparing does.
pub(crate) fn is_ours(key: &str) -> bool {
    const PREFIX: &str = "sealock.";
    key.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// What a `container:<reference>` refers to.
fn container_of(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:").filter(|reference| !reference.is_empty())
}

/// A list of texts under a key of which one may be empty, which the engine refuses or reads past.
fn filled<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    value.texts(key).filter(|text| !text.is_empty())
}

/// A list that has something in it.
fn has_items(value: &Value, key: &str) -> bool {
    !value.list(key).is_empty()
}

fn has_members(value: &Value, key: &str) -> bool {
    !value.members(key).is_empty()
}
