//! The Docker engine as Sealock sees it: containers with the facts that deliveries need, events,
//! `exec` with attached streams, signals, and a tar archive into a container.
//!
//! One [`Engine`] is one address; it keeps no connection open between calls, so it survives an
//! engine that restarts. Every call that is not a stream has a deadline and ends in a typed
//! [`EngineError`] that names its subject.
//!
//! Trust: the engine is trusted (who controls it is root on its host). What it repeats of others
//! (labels, names, output of commands) is not, and is handed on as plain text without being
//! interpreted. A container reference from outside is checked before it becomes part of a URL.

mod connect;
mod container;
mod error;
mod events;
mod exec;
mod scratch;
mod sidecar;
mod tls;
mod url;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, InspectNetworkOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

pub use container::{Container, ContainerReference, Mount, Network, StartedAt};
pub use error::EngineError;
pub use events::{EngineEvent, EventKind};
pub use exec::{Exec, ExecHandle, ExecInput, ExecOutput, ExecRequest, Output, Ran};
pub use scratch::{Labelled, ScratchContainer};
pub use sidecar::{Listed, Sidecar};
pub use tls::{TlsFiles, TlsMaterial};
pub use url::EngineUrl;

use error::Subject;

/// How long one answer of the engine may take, unless the call says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How many containers are inspected at once by [`Engine::list_running`].
const INSPECTIONS_AT_ONCE: usize = 8;

/// What `GET /version` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// The engine's release, such as `20.10.24`.
    pub version: String,
    /// The newest API version it speaks, such as `1.41`.
    pub api_version: String,
    /// Its operating system, such as `linux`.
    pub os: String,
    /// Its architecture in Go's words, such as `amd64`.
    pub arch: String,
}

/// A client of one Docker engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    client: Arc<OnceLock<Docker>>,
    url: EngineUrl,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("url", &self.url.to_string()).finish()
    }
}

impl Engine {
    /// Makes a client for `url` and asks the engine for a sign of life, so that an address where nothing
    /// answers fails here. (Its version costs an engine 5 ms, this a tenth of one.)
    ///
    /// # Errors
    /// [`EngineError::Unreachable`], [`EngineError::NoSocket`], [`EngineError::PermissionDenied`],
    /// or what is wrong with the TLS files.
    pub async fn connect(url: &EngineUrl) -> Result<Self, EngineError> {
        let engine = Self::without_connecting(url)?;
        engine.ping().await?;
        Ok(engine)
    }

    /// Makes a client for `url` without asking the engine anything. Its socket may not be there yet.
    ///
    /// # Errors
    /// What is wrong with the TLS files.
    pub fn without_connecting(url: &EngineUrl) -> Result<Self, EngineError> {
        let engine = Self { client: Arc::default(), url: url.clone() };
        match engine.docker() {
            Err(error) if !error.is_away() => Err(error),
            _ => Ok(engine),
        }
    }

    /// The client library's client, which can only be made once there is a socket.
    fn docker(&self) -> Result<&Docker, EngineError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = connect::client(&self.url)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The address this client talks to.
    pub fn url(&self) -> &EngineUrl {
        &self.url
    }

    /// Whether the engine is addressed through a socket of this machine. (That its containers are
    /// processes of this machine is for the caller to check: sockets can be forwarded.)
    pub fn is_local(&self) -> bool {
        matches!(self.url, EngineUrl::Unix(_))
    }

    /// A sign of life.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] and its like.
    pub async fn ping(&self) -> Result<(), EngineError> {
        self.within("ping", Subject::None, self.docker()?.ping()).await.map(drop)
    }

    /// The engine's version.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] and its like.
    pub async fn version(&self) -> Result<EngineVersion, EngineError> {
        let answer = self.within("version", Subject::None, self.docker()?.version()).await?;
        Ok(EngineVersion {
            version: answer.version.unwrap_or_default(),
            api_version: answer.api_version.unwrap_or_default(),
            os: answer.os.unwrap_or_default(),
            arch: answer.arch.unwrap_or_default(),
        })
    }

    /// The facts of one container, by id, unambiguous id prefix or name; running or not.
    ///
    /// # Errors
    /// [`EngineError::NoSuchContainer`], [`EngineError::Ambiguous`],
    /// [`EngineError::BadReference`], or an engine that does not answer.
    pub async fn inspect(&self, reference: &str) -> Result<Container, EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let call = self.docker()?.inspect_container(reference.as_str(), None);
        let answer = self.within("inspect", Subject::Container(reference.as_str()), call).await?;
        Container::from_inspect(answer)
    }

    /// As [`Engine::inspect`], and the container must be running (paused is not running).
    ///
    /// # Errors
    /// As `inspect`, and [`EngineError::NotRunning`] or [`EngineError::Paused`].
    pub async fn inspect_running(&self, reference: &str) -> Result<Container, EngineError> {
        let container = self.inspect(reference).await?;
        if container.paused {
            return Err(EngineError::Paused { reference: reference.to_owned() });
        }
        if !container.running || container.pid.is_none() {
            return Err(EngineError::NotRunning { reference: reference.to_owned() });
        }
        Ok(container)
    }

    /// All running containers. One that ends while the list is made is left out.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn list_running(&self) -> Result<Vec<Container>, EngineError> {
        let inspected = stream::iter(self.running_ids().await?)
            .map(|id| async move {
                match self.inspect(&id).await {
                    Ok(container) => Ok(Some(container)),
                    Err(EngineError::NoSuchContainer { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(INSPECTIONS_AT_ONCE);
        let mut containers: Vec<Container> =
            inspected.try_filter_map(|found| async move { Ok(found) }).try_collect().await?;
        containers.retain(|container| container.running);
        containers.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(containers)
    }

    /// The ids of all running containers. One call, whatever state each of them is in: an engine that
    /// hangs over one container still answers it.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn running_ids(&self) -> Result<Vec<String>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(false).build();
        let list = self.docker()?.list_containers(Some(options));
        let summaries = self.within("list containers", Subject::None, list).await?;
        Ok(summaries.into_iter().filter_map(|summary| summary.id).collect())
    }

    /// The host's address on a network: its gateway, where containers on it reach this machine.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where there is no such network, and an engine that does not answer.
    pub async fn gateway(&self, network: &str) -> Result<Option<IpAddr>, EngineError> {
        let call = self.docker()?.inspect_network(network, None::<InspectNetworkOptions>);
        let found = self.within("inspect network", Subject::None, call).await?;
        let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        Ok(configs.into_iter().find_map(|config| config.gateway?.parse().ok()))
    }

    /// Sends a signal (`HUP`, `SIGHUP` or a number) to a container's first process.
    ///
    /// # Errors
    /// [`EngineError::NotRunning`], [`EngineError::BadSignal`], and as [`Engine::inspect`].
    pub async fn kill(&self, reference: &str, signal: &str) -> Result<(), EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let known = !signal.is_empty()
            && signal.len() <= 16
            && signal.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte));
        if !known {
            return Err(EngineError::BadSignal { signal: signal.to_owned() });
        }
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let call = self.docker()?.kill_container(reference.as_str(), Some(options));
        let subject = Subject::Signal { container: reference.as_str(), signal };
        self.within("kill", subject, call).await
    }

    /// Unpacks a tar archive into `folder` of a container, as `docker cp` does: mounts made at run
    /// time (tmpfs) are not seen by it.
    ///
    /// # Errors
    /// [`EngineError::NoSuchPath`], [`EngineError::ReadOnly`], and as [`Engine::inspect`].
    pub async fn put_archive(
        &self,
        reference: &str,
        folder: &str,
        archive: Bytes,
        deadline: Duration,
    ) -> Result<(), EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let docker = self.docker()?.clone().with_timeout(deadline);
        let body = bollard::body_full(archive);
        let call = docker.upload_to_container(reference.as_str(), Some(options), body);
        let subject = Subject::Path { container: reference.as_str(), path: folder };
        self.within_deadline("put archive", subject, deadline, call).await
    }

    /// Whether something stands at `path` in a container's image or volumes; mounts made at run time
    /// (tmpfs) are not seen.
    ///
    /// # Errors
    /// As [`Engine::inspect`].
    pub async fn exists(&self, reference: &str, path: &str) -> Result<bool, EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        let call = self.docker()?.get_container_archive_info(reference.as_str(), Some(options));
        let subject = Subject::Path { container: reference.as_str(), path };
        match self.within("look at a path", subject, call).await {
            Ok(_) => Ok(true),
            Err(EngineError::NoSuchPath { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        subject: Subject<'_>,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        self.within_deadline(operation, subject, DEADLINE, call).await
    }

    async fn within_deadline<T>(
        &self,
        operation: &'static str,
        subject: Subject<'_>,
        deadline: Duration,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(deadline, call).await {
            Ok(answer) => {
                answer.map_err(|error| error::translate(operation, subject, &self.url, error))
            }
            Err(_) => Err(EngineError::Deadline { operation, url: self.url.to_string() }),
        }
    }
}
