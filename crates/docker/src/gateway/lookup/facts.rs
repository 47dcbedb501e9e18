//! The engine's JSON, as far as policy is shown it.

use std::collections::BTreeMap;

use sealock_core::policy::{ContainerFacts, ImageFacts, ObjectFacts};
use serde::Deserialize;

use crate::filters::{IMAGE_OWNER_LABEL, OWNER_LABEL};
use crate::route::image_name::ImageName;

type Labels = BTreeMap<String, String>;

/// A container, inspected.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    name: String,
    /// The id of its image.
    #[serde(default)]
    pub(super) image: String,
    config: Config,
    network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    #[serde(default)]
    hostname: String,
    labels: Option<Labels>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Endpoint>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    aliases: Option<Vec<String>>,
}

impl Inspected {
    pub(super) fn labels(&self) -> Option<&Labels> {
        self.config.labels.as_ref()
    }

    /// All but the owner, who is not to be believed yet.
    pub(super) fn facts(self) -> ContainerFacts {
        let networks = self.network_settings.and_then(|settings| settings.networks);
        let aliases =
            networks.unwrap_or_default().into_values().filter_map(|endpoint| endpoint.aliases);
        let labels = self.config.labels.unwrap_or_default();
        let name = self.name.trim_start_matches('/').to_owned();
        let others = std::iter::once(self.config.hostname).chain(aliases.flatten());
        container(self.id, name, self.config.image, labels, others)
    }
}

/// A container in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct ListedContainer {
    id: String,
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(rename = "ImageID", default)]
    pub(in super::super) image_id: String,
    pub(in super::super) labels: Option<Labels>,
}

impl ListedContainer {
    /// All but the owner, who is not to be believed yet.
    pub(in super::super) fn facts(self) -> ContainerFacts {
        let names = self.names.unwrap_or_default();
        // Links give more names, with the name of the linking container before them.
        let own = |name: &&str| !name.contains('/');
        let mut names = names.iter().map(|name| name.trim_start_matches('/')).filter(own);
        let name = names.next().unwrap_or_default().to_owned();
        container(self.id, name, self.image, self.labels.unwrap_or_default(), None)
    }
}

fn container(
    id: String,
    name: String,
    image: String,
    labels: Labels,
    others: impl IntoIterator<Item = String>,
) -> ContainerFacts {
    let label = |name: &str| labels.get(name).cloned();
    let (service, project) =
        (label("com.docker.compose.service"), label("com.docker.compose.project"));
    let own_names = std::iter::once(name.clone())
        .chain(service.clone())
        .chain(others)
        // An id is no name: whoever is called so has only not been called anything else.
        .filter(|name| !name.is_empty() && !id.starts_with(name.as_str()))
        .collect();
    ContainerFacts { id, name, image, service, project, labels, own_names, owner: None }
}

#[derive(Debug, Deserialize)]
pub(super) struct Exec {
    #[serde(rename = "ContainerID")]
    pub(super) container: String,
}

/// A network or volume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct NamedObject {
    #[serde(default)]
    id: String,
    name: String,
    labels: Option<Labels>,
    #[serde(default)]
    driver: String,
    options: Option<BTreeMap<String, String>>,
}

impl NamedObject {
    pub(super) fn take_driver(&mut self) -> (String, BTreeMap<String, String>) {
        (std::mem::take(&mut self.driver), self.options.take().unwrap_or_default())
    }

    pub(in super::super) fn facts(self) -> ObjectFacts {
        let labels = self.labels.unwrap_or_default();
        let owner = labels.get(OWNER_LABEL).filter(|owner| !owner.is_empty()).cloned();
        ObjectFacts { id: self.id, name: self.name, labels, owner }
    }

    /// A volume's name is its id.
    pub(in super::super) fn volume_facts(self) -> ObjectFacts {
        ObjectFacts { id: self.name.clone(), ..self.facts() }
    }
}

/// An image, inspected.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    #[serde(default)]
    id: String,
    config: Option<ImageConfig>,
    repo_digests: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    labels: Option<Labels>,
    on_build: Option<Vec<String>>,
}

impl Image {
    pub(super) fn take_id(&mut self) -> String {
        std::mem::take(&mut self.id)
    }

    pub(super) fn labels(&self) -> Option<&Labels> {
        self.config.as_ref()?.labels.as_ref()
    }

    pub(super) fn take_on_build(&mut self) -> Vec<String> {
        let config = self.config.as_mut();
        config.and_then(|config| config.on_build.take()).unwrap_or_default()
    }

    pub(super) fn facts(self, name: &ImageName) -> ImageFacts {
        let mut facts = name.facts();
        if facts.digest.is_none() {
            let digests = self.repo_digests.iter().flatten();
            let mut named = digests.filter_map(|digest| ImageName::parse_named(digest).ok());
            let of_this = named.find(|found| found.repository() == name.repository());
            facts.digest = of_this.and_then(|found| found.digest().map(str::to_owned));
        }
        labelled(facts, self.config.and_then(|config| config.labels))
    }
}

/// An image in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in super::super) struct ListedImage {
    id: String,
    repo_tags: Option<Vec<String>>,
    labels: Option<Labels>,
}

impl ListedImage {
    /// By its first name, or by its id.
    pub(in super::super) fn facts(self) -> ImageFacts {
        let names = self.repo_tags.unwrap_or_default();
        let named = names.iter().find_map(|name| ImageName::parse_named(name).ok());
        let facts = match named {
            Some(name) => name.facts(),
            None => ImageFacts { reference: self.id, ..ImageFacts::default() },
        };
        labelled(facts, self.labels)
    }
}

fn labelled(mut facts: ImageFacts, labels: Option<Labels>) -> ImageFacts {
    facts.labels = labels.unwrap_or_default();
    facts.owner = facts.labels.get(IMAGE_OWNER_LABEL).filter(|owner| !owner.is_empty()).cloned();
    facts
}
