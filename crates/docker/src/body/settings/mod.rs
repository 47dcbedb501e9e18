//! The one checker of host settings, for every endpoint that can carry them.
//!
//! It turns a body whose fields are of their types into what policy decides on: the attributes of
//! `DockerSettings` in the schema, and the risks, each of which is something that reaches beyond a plain
//! container. Whatever the API knows and the table does not name is harmless and passes; whatever the API
//! does not know is the risk `unknown-field`.
//!
//! | risk | what sets it | why |
//! |---|---|---|
//! | `annotations` | `Annotations` with any key | runtimes and their hooks act on them |
//! | `build-outputs` | build: `outputs` | BuildKit writes elsewhere than into the image store |
//! | `build-remote` | build: `remote` | the engine fetches a URL from its own network |
//! | `buildkit` | build: `version=2` or `session` | the rest of the build is said in a session that no policy sees |
//! | `cap-add` | `CapAdd` beyond the engine's default capabilities; `ALL` | most of them lead to the host |
//! | `cgroup` | `Cgroup` | another container's cgroup |
//! | `cgroup-parent` | `CgroupParent` | limits of another branch, or none |
//! | `cgroupns-mode` | `CgroupnsMode` other than `private` | the host's cgroups become visible |
//! | `cluster-volume` | volume: `ClusterVolumeSpec` | storage beyond this host |
//! | `commit-changes` | commit: a change that is not of `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `HEALTHCHECK`, `STOPSIGNAL`, `USER`, `VOLUME`, `WORKDIR` on one line | it can set labels by detours |
//! | `container-id-file` | `ContainerIDFile` | a file on the host, for whoever writes it |
//! | `cpu-realtime` | `CpuRealtimePeriod`, `CpuRealtimeRuntime` above 0 | real-time tasks starve the host |
//! | `device-cgroup-rules` | `DeviceCgroupRules` | with `mknod` that is a device of the host |
//! | `device-requests` | `DeviceRequests` | a driver hands out devices |
//! | `devices` | `Devices` | devices of the host |
//! | `endpoint-options` | `DriverOpts` of a network's endpoint | a driver's matter; sysctls among them |
//! | `group-add` | `GroupAdd` | what belongs to a group of the host on a mount becomes readable |
//! | `init-path` | `InitPath` | a program of the host is run |
//! | `ipc-mode` | `IpcMode` other than `private`, `shareable`, `none` | the host's or another container's shared memory |
//! | `isolation` | `Isolation` other than `default` | another kind of isolation |
//! | `limits-lifted` | `MemorySwap` below 0; update: `PidsLimit` of 0 or less, `CpuQuota` below 0 | a limit that was set is gone |
//! | `links` | `Links`, also of an endpoint | the environment of the linked container is handed in |
//! | `log-config` | a log driver other than `json-file`, `local`, `none`; options that are not about size or tags | output is sent to an address or file of the host |
//! | `masked-paths` | `MaskedPaths` or `ReadonlyPaths`, also empty | the default protection of `/proc` and `/sys` is replaced |
//! | `mount-propagation` | propagation `shared`, `rshared` | mounts made inside appear on the host |
//! | `mount-type` | a mount that is no `bind`, `volume` or `tmpfs` | nothing that is decided on |
//! | `network-driver` | network: a driver other than `bridge`; an IPAM driver other than `default` | the host's interfaces, or a plugin |
//! | `network-mode` | `NetworkMode` `host` or `container:…`, an endpoint in `host` | another network stack |
//! | `network-options` | network: options other than MTU, inter-container traffic and masquerading; `Ingress`, `ConfigFrom`, `ConfigOnly`, a `Scope` other than `local` | bridges of the host, routing |
//! | `network-subnet` | network: addresses in `IPAM` | a route on the host for addresses of the caller's choice |
//! | `oom-kill-disable` | `OomKillDisable` | memory that cannot be taken back |
//! | `oom-score` | `OomScoreAdj` below 0 | the host's own processes die first |
//! | `pid-mode` | `PidMode` | processes of the host or of another container |
//! | `privileged` | `Privileged`, also of an exec | root on the host |
//! | `published-ports` | `PortBindings` with a binding, `PublishAllPorts`; service: `Ports` | a listening port of the host |
//! | `relabel` | the options `z`, `Z` of a bind | SELinux labels of the host's files are changed |
//! | `runtime` | `Runtime`, whatever it is | the default may be the strict one |
//! | `sealock-labels` | a label that begins with `sealock.` | Sealock acts on it |
//! | `security-opt` | `SecurityOpt` other than `no-new-privileges`; service: `Privileges` | seccomp, AppArmor and SELinux profiles |
//! | `service-runtime` | service: `Runtime` other than `container`, `PluginSpec`, `NetworkAttachmentSpec` | a plugin with the rights of the host |
//! | `storage-opt` | `StorageOpt` | options of the storage driver, quotas among them |
//! | `swarm-secrets` | service: `Secrets`, `Configs` | whoever names a secret reads it |
//! | `sysctls` | `Sysctls` | kernel settings |
//! | `tmpfs-options` | options of a tmpfs beyond size, owner, mode and the usual flags | other kinds of mounts by the same call |
//! | `ulimits` | `Ulimits` | limits above the engine's own |
//! | `unknown-field` | a field or parameter that is not in the API 1.24 to 1.51 | nobody has looked at it |
//! | `userns-mode` | `UsernsMode` | root inside is root outside |
//! | `uts-mode` | `UTSMode` | the host's name can be changed |
//! | `volume-driver` | a volume driver other than `local` | a plugin acts on the host |
//! | `volume-options` | options of a volume other than those of a tmpfs | the local driver mounts what they say: folders, devices, overlays, NFS, CIFS |
//! | `volumes-from` | `VolumesFrom` | the mounts of another container |
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
