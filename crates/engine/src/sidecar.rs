//! Containers that are started beside others, in their network, and confined; and a list to find them in.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, HostConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};

use crate::error::Subject;
use crate::{ContainerReference, DEADLINE, Engine, EngineError};

/// A container as lists show it, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The full id.
    pub id: String,
    /// The name, without the slash.
    pub name: String,
    /// The image's digest.
    pub image_id: String,
    /// Whether it runs. Paused containers run too.
    pub running: bool,
    /// The engine's words for it, such as `Exited (1) 3 seconds ago`.
    pub status: String,
    /// Its labels, those of its image included.
    pub labels: BTreeMap<String, String>,
}

/// A container to be made beside another: with the network of that one and nothing else of it, a file system that cannot be
/// written to, no capability, no way to get one, and no restart but the owner's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sidecar {
    /// Its name.
    pub name: String,
    /// The image's id.
    pub image: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The id of the container whose network it shares.
    pub beside: String,
    /// Folders of the host, as `HOST:CONTAINER:ro`.
    pub binds: Vec<String>,
    /// Folders in memory, with the options of their mount.
    pub tmpfs: Vec<(String, String)>,
    /// `UID:GID`.
    pub user: String,
    /// The most memory, in bytes; nothing of it is swapped.
    pub memory: i64,
    /// The most processes and threads.
    pub processes: i64,
}

impl Engine {
    /// All containers in one call, running or not.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn list_all(&self) -> Result<Vec<Listed>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let call = self.docker()?.list_containers(Some(options));
        let found = self.within("list containers", Subject::None, call).await?;
        Ok(found.into_iter().filter_map(Listed::from_engine).collect())
    }

    /// Makes a container beside another, and does not start it. Gives its id.
    ///
    /// # Errors
    /// [`EngineError::Refused`] (no such image, name in use), and as [`Engine::connect`].
    pub async fn create_sidecar(&self, wanted: &Sidecar) -> Result<String, EngineError> {
        let beside = ContainerReference::parse(&wanted.beside)?;
        let body = ContainerCreateBody {
            image: Some(wanted.image.clone()),
            entrypoint: Some(Vec::new()),
            cmd: Some(wanted.command.clone()),
            user: Some(wanted.user.clone()),
            labels: Some(wanted.labels.clone().into_iter().collect()),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{}", beside.as_str())),
                binds: Some(wanted.binds.clone()),
                tmpfs: Some(wanted.tmpfs.iter().cloned().collect::<HashMap<_, _>>()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                memory: Some(wanted.memory),
                memory_swap: Some(wanted.memory),
                pids_limit: Some(wanted.processes),
                restart_policy: Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::NO),
                    maximum_retry_count: None,
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&wanted.name).build();
        let call = self.docker()?.create_container(Some(options), body);
        Ok(self.within("create container", Subject::None, call).await?.id)
    }

    /// Starts a container that was made, or has ended.
    ///
    /// # Errors
    /// [`EngineError::Refused`] (whose network it shares does not run), and as [`Engine::inspect`].
    pub async fn start(&self, reference: &str) -> Result<(), EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let call =
            self.docker()?.start_container(reference.as_str(), None::<StartContainerOptions>);
        self.within("start container", Subject::Container(reference.as_str()), call).await
    }

    /// Asks a container to end by SIGTERM, and ends it when it has not after `seconds`. One that does not run is no error.
    ///
    /// # Errors
    /// As [`Engine::inspect`].
    pub async fn stop(&self, reference: &str, seconds: u8) -> Result<(), EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let options = StopContainerOptionsBuilder::default().t(i32::from(seconds)).build();
        let call = self.docker()?.stop_container(reference.as_str(), Some(options));
        let subject = Subject::Container(reference.as_str());
        let deadline = DEADLINE + std::time::Duration::from_secs(u64::from(seconds));
        match self.within_deadline("stop container", subject, deadline, call).await {
            // Not modified: it does not run.
            Err(EngineError::Refused { status: 304, .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether there is an image with this id or tag.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn has_image(&self, image: &str) -> Result<bool, EngineError> {
        let call = self.docker()?.inspect_image(image);
        match self.within("inspect image", Subject::None, call).await {
            Ok(_) => Ok(true),
            Err(EngineError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Listed {
    fn from_engine(found: ContainerSummary) -> Option<Self> {
        let name = found.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let running = [ContainerSummaryStateEnum::RUNNING, ContainerSummaryStateEnum::PAUSED];
        Some(Self {
            id: found.id?,
            name: name.trim_start_matches('/').to_owned(),
            image_id: found.image_id.unwrap_or_default(),
            running: found.state.is_some_and(|state| running.contains(&state)),
            status: found.status.unwrap_or_default(),
            labels: found.labels.unwrap_or_default().into_iter().collect(),
        })
    }
}
