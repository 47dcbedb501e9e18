//! Images and containers that somebody makes only to remove them again: the demo, and tests.
//!
//! No registry is involved: an image is imported from an archive that the caller has.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptions, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    StartContainerOptions,
};
use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::error::Subject;
use crate::{ContainerReference, Engine, EngineError};

/// How long an import may take.
const IMPORT_DEADLINE: Duration = Duration::from_secs(120);

/// An id and all its labels.
pub type Labelled = (String, HashMap<String, String>);

/// A container to be made and started.
#[derive(Debug, Clone, Default)]
pub struct ScratchContainer {
    /// Its name.
    pub name: String,
    /// The image's id or tag.
    pub image: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Folders with an empty tmpfs.
    pub tmpfs: Vec<String>,
    /// Folders of the host, as `HOST:CONTAINER[:ro]`.
    pub binds: Vec<String>,
    /// `none`, `bridge`, or a network's name; the engine's default when empty.
    pub network: String,
    /// Whether its root file system is read-only.
    pub read_only: bool,
}

impl Engine {
    /// Makes an image of one layer from a tar archive and gives its id.
    ///
    /// # Errors
    /// [`EngineError::Refused`], [`EngineError::Deadline`], and as [`Engine::connect`].
    pub async fn import_image(
        &self,
        repository: &str,
        tag: &str,
        archive: Bytes,
        labels: &HashMap<String, String>,
    ) -> Result<String, EngineError> {
        let changes = labels.iter().map(|(key, value)| format!("LABEL {key:?}={value:?}"));
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
            changes: changes.collect(),
            ..CreateImageOptions::default()
        };
        let docker = self.docker()?.clone().with_timeout(IMPORT_DEADLINE);
        let call = docker
            .create_image(Some(options), Some(bollard::body_full(archive)), None)
            .try_fold(None, |last, said| async move { Ok(said.status.or(last)) });
        let last =
            self.within_deadline("import image", Subject::None, IMPORT_DEADLINE, call).await?;
        last.filter(|status| status.starts_with("sha256:")).ok_or_else(|| EngineError::BadAnswer {
            operation: "import image",
            source: "no image id in the answer".into(),
        })
    }

    /// Makes a container and starts it; gives its id. A container that cannot be started is removed.
    ///
    /// # Errors
    /// [`EngineError::Refused`] (no such image, name in use), and as [`Engine::connect`].
    pub async fn start_scratch(&self, wanted: &ScratchContainer) -> Result<String, EngineError> {
        let tmpfs = wanted.tmpfs.iter().map(|path| (path.clone(), String::new())).collect();
        let network = Some(wanted.network.clone()).filter(|network| !network.is_empty());
        let body = ContainerCreateBody {
            image: Some(wanted.image.clone()),
            cmd: Some(wanted.command.clone()),
            labels: Some(wanted.labels.clone()),
            host_config: Some(HostConfig {
                tmpfs: Some(tmpfs),
                binds: Some(wanted.binds.clone()),
                network_mode: network,
                readonly_rootfs: Some(wanted.read_only),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&wanted.name).build();
        let call = self.docker()?.create_container(Some(options), body);
        let made = self.within("create container", Subject::None, call).await?;
        let call = self.docker()?.start_container(&made.id, None::<StartContainerOptions>);
        let subject = Subject::Container(&made.id);
        if let Err(error) = self.within("start container", subject, call).await {
            // The first error is the one to report; what is left behind would be in the way.
            let _ = self.remove_container(&made.id).await;
            return Err(error);
        }
        Ok(made.id)
    }

    /// All containers, stopped ones too, that have this label: their ids and labels.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn labelled_containers(&self, label: &str) -> Result<Vec<Labelled>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let call = self.docker()?.list_containers(Some(options));
        let found = self.within("list containers", Subject::None, call).await?;
        let pair = |found: bollard::models::ContainerSummary| {
            Some((found.id?, found.labels.unwrap_or_default()))
        };
        Ok(found.into_iter().filter_map(pair).collect())
    }

    /// All images that have this label: their ids and labels.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn labelled_images(&self, label: &str) -> Result<Vec<Labelled>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = ListImagesOptionsBuilder::default().all(true).filters(&filters).build();
        let call = self.docker()?.list_images(Some(options));
        let found = self.within("list images", Subject::None, call).await?;
        Ok(found.into_iter().map(|image| (image.id, image.labels)).collect())
    }

    /// Kills and removes a container with its anonymous volumes; one that is gone already is no error.
    ///
    /// # Errors
    /// As [`Engine::kill`].
    pub async fn remove_container(&self, reference: &str) -> Result<(), EngineError> {
        let reference = ContainerReference::parse(reference)?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let call = self.docker()?.remove_container(reference.as_str(), Some(options));
        let subject = Subject::Container(reference.as_str());
        match self.within("remove container", subject, call).await {
            Err(EngineError::NoSuchContainer { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes an image by id or tag; one that is gone already is no error.
    ///
    /// # Errors
    /// [`EngineError::Refused`] (still in use), and as [`Engine::connect`].
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        let call = self.docker()?.remove_image(image, Some(options), None);
        match self.within("remove image", Subject::None, call).await {
            Err(EngineError::Refused { status: 404, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
