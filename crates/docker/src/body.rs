//! What a request asks for in its body, read strictly and written anew.
//!
//! [`read`] takes the body of an operation (for a build: its query) and gives [`Asked`]: the context of the
//! question to policy, the mounts that are questions of their own, the objects that are named in it, and the
//! body to forward. What is forwarded is written from what was decided on, never passed through. [`Stamp`]
//! is what the gateway adds.
//!
//! Invariants, which the fuzz target and the tests hold: nothing panics; what is accepted reads the same
//! when it is read again as it is forwarded; a field that the API does not know is named in
//! `unknownFields`, or refused where policy could not decide on it; no value is in an error or in `Debug`.
//!
//! **What an attacker controls:** every byte of body and query.

mod build;
mod error;
mod fields;
mod fuzz;
pub mod json;
mod pin;
pub mod settings;
mod shape;
mod stamp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealock_core::policy::Action;
use serde_json::Value as Attribute;

pub(crate) use build::is_plain_change;
pub use error::BodyError;
pub use fuzz::fuzz;
pub(crate) use pin::Pinned;
pub(crate) use settings::is_ours;
pub use settings::{HostMount, Risk, existing_volume};
pub use stamp::Stamp;

use error::shown;
use json::{Value, same_field};
use settings::Settings;
use shape::Shape;

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one body, in bytes. Whoever takes the body off the wire has to stop there too.
    pub bytes: usize,
}

impl Default for Limits {
    /// 4 MiB: the largest that the API takes is a configuration of 1000 KiB, in base64.
    fn default() -> Self {
        Self { bytes: 4 << 20 }
    }
}

/// What the body of an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// JSON that policy decides on, by the type `DockerSettings`.
    Settings,
    /// JSON that is read strictly and passed on.
    Json,
    /// None.
    Empty,
    /// Bytes that are passed on as they come: an archive, or a connection. [`read`] does not take them,
    /// but for the query of [`Action::DockerImageBuild`].
    Stream,
}

/// What the body of this operation is; `None` for what is no operation of the engine.
pub fn kind(action: Action) -> Option<BodyKind> {
    use Action::{
        DockerBuildCancel, DockerCheckpointCreate, DockerConfigCreate, DockerConfigUpdate,
        DockerContainerArchivePut, DockerContainerAttach, DockerContainerAttachWebsocket,
        DockerContainerCreate, DockerContainerExec, DockerContainerUpdate, DockerExecStart,
        DockerGrpc, DockerImageBuild, DockerImageCommit, DockerImageImport, DockerImageLoad,
        DockerImagePush, DockerImageRun, DockerMount, DockerNetworkConnect, DockerNetworkCreate,
        DockerNetworkDisconnect, DockerNodeUpdate, DockerPluginCreate, DockerPluginPull,
        DockerPluginSet, DockerPluginUpgrade, DockerSecretCreate, DockerSecretUpdate,
        DockerSeeEnvironment, DockerSeeLabels, DockerSeeOthers, DockerServiceCreate,
        DockerServiceUpdate, DockerSession, DockerSwarmInit, DockerSwarmJoin, DockerSwarmUnlock,
        DockerSwarmUpdate, DockerSystemAuth, DockerVolumeCreate, DockerVolumeUpdate,
    };
    match action {
        DockerContainerCreate
        | DockerContainerUpdate
        | DockerContainerExec
        | DockerImageCommit
        | DockerNetworkCreate
        | DockerNetworkConnect
        | DockerVolumeCreate
        | DockerVolumeUpdate
        | DockerServiceCreate
        | DockerServiceUpdate => Some(BodyKind::Settings),
        DockerExecStart
        | DockerNetworkDisconnect
        | DockerSystemAuth
        | DockerSwarmInit
        | DockerSwarmJoin
        | DockerSwarmUpdate
        | DockerSwarmUnlock
        | DockerNodeUpdate
        | DockerSecretCreate
        | DockerSecretUpdate
        | DockerConfigCreate
        | DockerConfigUpdate
        | DockerPluginPull
        | DockerPluginUpgrade
        | DockerPluginSet
        | DockerCheckpointCreate
        | DockerImagePush => Some(BodyKind::Json),
        DockerImageBuild
        | DockerImageLoad
        | DockerImageImport
        | DockerContainerArchivePut
        | DockerPluginCreate
        | DockerSession
        | DockerGrpc
        | DockerContainerAttach
        | DockerContainerAttachWebsocket => Some(BodyKind::Stream),
        DockerMount | DockerImageRun | DockerSeeOthers | DockerSeeEnvironment | DockerSeeLabels => {
            None
        }
        DockerBuildCancel => Some(BodyKind::Empty),
        other => other.as_str().starts_with("Docker::").then_some(BodyKind::Empty),
    }
}

/// What a request asks for, and what is to be forwarded for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// The operation.
    pub action: Action,
    /// The context of the question, but for `via`.
    pub context: BTreeMap<String, Attribute>,
    /// Each is to be asked as [`Action::DockerMount`].
    pub mounts: Vec<HostMount>,
    /// The name in the body, of a network, a volume or a service. A container's is in the query.
    pub name: Option<String>,
    /// The image that is to run, as the caller writes it.
    pub image: Option<String>,
    /// The names that the result is to have: a build's tags, a commit's name.
    pub tags: Vec<String>,
    /// The labels that the object is to have.
    pub labels: BTreeMap<String, String>,
    /// Containers that are named in the body, by name or id.
    pub containers: BTreeSet<String>,
    /// Networks that are named in the body, by name or id, but for the built-in ones.
    pub networks: BTreeSet<String>,
    /// Volumes that are named in the body. One that is there already has options of its own.
    pub volumes: BTreeSet<String>,
    body: Option<Value>,
    query: Vec<(String, String)>,
}

impl Asked {
    /// The body to forward; empty where the operation has none.
    pub fn body(&self) -> Vec<u8> {
        self.body.as_ref().map(Value::emit).unwrap_or_default().into_bytes()
    }

    /// A number at the root of the body.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.body.as_ref()?.number(key)
    }

    /// A parameter of the query, set to this.
    pub(crate) fn set_query(&mut self, name: &str, value: &str) {
        self.query.retain(|(key, _)| key != name);
        self.query.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a parameter out of a query that is read with the body.
    pub(crate) fn remove_query(&mut self, name: &str) {
        self.query.retain(|(key, _)| key != name);
    }

    /// The query to forward.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    fn new(
        action: Action,
        settings: Settings,
        body: Option<Value>,
        query: Vec<(String, String)>,
    ) -> Self {
        let name = body.as_ref().map(|body| body.text("Name").to_owned());
        Self {
            action,
            name: name.filter(|name| !name.is_empty()),
            context: settings.context(),
            mounts: settings.mounts,
            image: settings.image,
            tags: Vec::new(),
            labels: settings.labels,
            containers: settings.containers,
            networks: settings.networks,
            volumes: settings.volumes,
            body,
            query,
        }
    }
}

/// Without texts of the caller but for names: the body and the query may hold secrets.
impl fmt::Debug for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Asked")
            .field("action", &self.action)
            .field("context", &self.context)
            .field("mounts", &self.mounts)
            .field("name", &self.name)
            .field("image", &self.image)
            .field("tags", &self.tags)
            .field("labels", &self.labels.keys().collect::<Vec<_>>())
            .field("containers", &self.containers)
            .field("networks", &self.networks)
            .field("volumes", &self.volumes)
            .finish_non_exhaustive()
    }
}

/// Reads what an operation asks for. `version` is that of the path, where it has one.
///
/// For [`Action::DockerImageBuild`] only the query is read, and `body` is not looked at: it is an archive.
pub fn read(
    action: Action,
    version: Option<(u32, u32)>,
    query: &[(String, String)],
    body: &[u8],
    limits: Limits,
) -> Result<Asked, BodyError> {
    if version.is_some_and(|version| version < (1, 24)) {
        return Err(BodyError::Version);
    }
    let query = query.to_vec();
    let mut asked = if action == Action::DockerImageBuild {
        build::build(query, limits)?
    } else {
        match kind(action) {
            Some(BodyKind::Settings) => settings_of(action, query, body, limits)?,
            Some(BodyKind::Json) => json_of(action, query, body, limits)?,
            Some(BodyKind::Empty) => empty(action, query, body, limits)?,
            Some(BodyKind::Stream) | None => return Err(BodyError::NotRead { action }),
        }
    };
    if let Some((major, minor)) = version {
        asked.context.insert("apiVersion".to_owned(), format!("{major}.{minor}").into());
    }
    Ok(asked)
}

/// A body that policy decides on.
fn settings_of(
    action: Action,
    query: Vec<(String, String)>,
    body: &[u8],
    limits: Limits,
) -> Result<Asked, BodyError> {
    let (shape, needed) = match action {
        Action::DockerContainerUpdate => (&fields::UPDATE, true),
        Action::DockerContainerExec => (&fields::EXEC, true),
        Action::DockerNetworkCreate => (&fields::NETWORK_CREATE, true),
        Action::DockerNetworkConnect => (&fields::NETWORK_CONNECT, true),
        Action::DockerVolumeCreate => (&fields::VOLUME_CREATE, false),
        Action::DockerVolumeUpdate => (&fields::VOLUME_UPDATE, true),
        Action::DockerServiceCreate | Action::DockerServiceUpdate => (&fields::SERVICE, true),
        Action::DockerImageCommit => (&fields::CREATE, false),
        _ => (&fields::CREATE, true),
    };
    let mut body = object(body, limits, needed)?;
    match action {
        Action::DockerContainerCreate | Action::DockerImageCommit => refuse_at_the_root(&mut body)?,
        Action::DockerContainerExec => rename_detach_keys(&mut body),
        _ => {}
    }
    let mut settings = Settings::default();
    for path in check(shape, &mut body)? {
        settings.unknown(path);
    }
    match action {
        Action::DockerContainerUpdate => settings::update(&mut settings, &body)?,
        Action::DockerContainerExec => settings::exec(&mut settings, &body),
        Action::DockerNetworkCreate => settings::network_create(&mut settings, &body),
        Action::DockerNetworkConnect => settings::network_connect(&mut settings, &mut body),
        Action::DockerVolumeCreate => settings::volume_create(&mut settings, &body)?,
        Action::DockerVolumeUpdate => settings.risk(Risk::ClusterVolume),
        Action::DockerServiceCreate | Action::DockerServiceUpdate => {
            settings::service(&mut settings, &mut body)?;
        }
        Action::DockerImageCommit => return build::commit(settings, body, query),
        _ => settings::container(&mut settings, &mut body)?,
    }
    Ok(Asked::new(action, settings, Some(body), query))
}

/// A body on which policy does not decide.
fn json_of(
    action: Action,
    query: Vec<(String, String)>,
    body: &[u8],
    limits: Limits,
) -> Result<Asked, BodyError> {
    let mut settings = Settings::default();
    let mut force = None;
    let body = match action {
        Action::DockerExecStart => Some(known(&fields::EXEC_START, body, limits)?),
        Action::DockerNetworkDisconnect => {
            let body = known(&fields::NETWORK_DISCONNECT, body, limits)?;
            let container = body.text("Container").to_owned();
            settings.containers.extend(Some(container).filter(|name| !name.is_empty()));
            force = Some(body.flag("Force"));
            Some(body)
        }
        _ if body.is_empty() => None,
        _ => Some(json::read(body, limits.bytes)?),
    };
    let mut asked = Asked::new(action, settings, body, query);
    asked.context = force.map(|force| ("force".to_owned(), force.into())).into_iter().collect();
    Ok(asked)
}

/// No body, or one that says nothing, as some clients send it. A start with settings of the host is the
/// case that matters: the API before 1.24 honours them.
fn empty(
    action: Action,
    query: Vec<(String, String)>,
    body: &[u8],
    limits: Limits,
) -> Result<Asked, BodyError> {
    let says_nothing = body.is_empty()
        || match json::read(body, limits.bytes)? {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
    if !says_nothing {
        return Err(BodyError::Unexpected { action });
    }
    let mut asked = Asked::new(action, Settings::default(), None, query);
    asked.context.clear();
    Ok(asked)
}

/// A body of known fields only.
fn known(shape: &Shape, body: &[u8], limits: Limits) -> Result<Value, BodyError> {
    let mut body = object(body, limits, false)?;
    match check(shape, &mut body)?.into_iter().next() {
        Some(path) => Err(BodyError::UnknownField { path }),
        None => Ok(body),
    }
}

/// Reads an object. Nothing and `null` are an empty one for the engine; where it is needed, they are refused.
fn object(body: &[u8], limits: Limits, needed: bool) -> Result<Value, BodyError> {
    let value = if body.is_empty() { Value::Null } else { json::read(body, limits.bytes)? };
    match value {
        Value::Null if needed => Err(BodyError::Missing),
        Value::Null => Ok(Value::Object(Vec::new())),
        other => Ok(other),
    }
}

fn check(shape: &Shape, body: &mut Value) -> Result<Vec<String>, BodyError> {
    let mut unknown = Vec::new();
    shape.check(body, "", &mut unknown)?;
    Ok(unknown)
}

/// API 1.41 and before take a field of `HostConfig` at the root too, wherever there is no `HostConfig`.
fn refuse_at_the_root(body: &mut Value) -> Result<(), BodyError> {
    for (key, value) in body.as_members() {
        let host = fields::HOST.find(key).is_some() || same_field(key, "cpuset");
        if host && fields::CREATE.find(key).is_none() && *value != Value::Null {
            return Err(BodyError::Misplaced { path: shown(key) });
        }
    }
    Ok(())
}

/// docker-py writes this one field with a small letter.
fn rename_detach_keys(body: &mut Value) {
    if let Value::Object(members) = body {
        for (key, _) in members.iter_mut().filter(|(key, _)| key == "detachKeys") {
            "DetachKeys".clone_into(key);
        }
    }
}
