//! What the engine of a rehearsal has.

use std::collections::BTreeMap;

use sealock_core::TrustDomain;
use sealock_core::policy::{ContainerFacts, ImageFacts, ObjectFacts, Resource};
use sealock_docker::filters::{IMAGE_OWNER_LABEL, OWNER_LABEL};
use sealock_docker::route::image_name::ImageName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{SuiteError, identity, wrong};

type Labels = BTreeMap<String, String>;

/// `[[container]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ContainerEntry {
    name: String,
    /// 64 digits.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    image: Option<String>,
    /// Who made it through the gateway.
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    labels: Labels,
    /// The id of a command in it.
    #[serde(default)]
    exec: Option<String>,
}

/// `[[image]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ImageEntry {
    name: String,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    labels: Labels,
    /// Instructions that a build on it carries out.
    #[serde(default)]
    on_build: Vec<String>,
}

/// `[[network]]` and `[[volume]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Entry {
    name: String,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    labels: Labels,
    /// Of a volume: what its driver mounts.
    #[serde(default)]
    options: Labels,
}

/// What the engine has, as facts; answers are written from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    containers: Vec<ContainerFacts>,
    images: Vec<(ImageFacts, Vec<String>)>,
    networks: Vec<ObjectFacts>,
    volumes: Vec<(ObjectFacts, Labels)>,
    /// Ids of commands, and of the containers they are in.
    execs: BTreeMap<String, String>,
}

/// The image that containers of a rehearsal are made of.
fn any_image() -> String {
    format!("sha256:{}", "0".repeat(64))
}

/// An id for what has none in the file: the same for the same name.
fn made_up_id(name: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

fn owner_of(owner: Option<&String>, domain: &TrustDomain) -> Result<Option<String>, SuiteError> {
    owner.map(|owner| identity(domain, owner).map(|owner| owner.to_string())).transpose()
}

fn object(entry: &Entry, id: String, domain: &TrustDomain) -> Result<ObjectFacts, SuiteError> {
    let owner = owner_of(entry.owner.as_ref(), domain)?;
    let labels = stamped(&entry.labels, OWNER_LABEL, owner.as_ref());
    Ok(ObjectFacts { id, name: entry.name.clone(), owner, labels })
}

fn stamped(labels: &Labels, key: &str, owner: Option<&String>) -> Labels {
    let stamp = owner.map(|owner| (key.to_owned(), owner.clone()));
    labels.clone().into_iter().chain(stamp).collect()
}

impl Objects {
    pub(super) fn add_container(
        &mut self,
        entry: &ContainerEntry,
        domain: &TrustDomain,
    ) -> Result<(), SuiteError> {
        let owner = owner_of(entry.owner.as_ref(), domain)?;
        let id = entry.id.clone().unwrap_or_else(|| made_up_id(&entry.name));
        if let Some(exec) = &entry.exec {
            self.execs.insert(exec.clone(), id.clone());
        }
        let label = |name: &str| entry.labels.get(name).cloned();
        self.containers.push(ContainerFacts {
            id,
            name: entry.name.clone(),
            image: entry.image.clone().unwrap_or_default(),
            service: label("com.docker.compose.service"),
            project: label("com.docker.compose.project"),
            labels: stamped(&entry.labels, OWNER_LABEL, owner.as_ref()),
            owner,
            own_names: [entry.name.clone()].into(),
        });
        Ok(())
    }

    pub(super) fn add_image(
        &mut self,
        entry: &ImageEntry,
        domain: &TrustDomain,
    ) -> Result<(), SuiteError> {
        let owner = owner_of(entry.owner.as_ref(), domain)?;
        let mut facts = named_image(&entry.name)?;
        facts.labels = stamped(&entry.labels, IMAGE_OWNER_LABEL, owner.as_ref());
        facts.owner = owner;
        self.images.push((facts, entry.on_build.clone()));
        Ok(())
    }

    pub(super) fn add_network(
        &mut self,
        entry: &Entry,
        domain: &TrustDomain,
    ) -> Result<(), SuiteError> {
        self.networks.push(object(entry, made_up_id(&entry.name), domain)?);
        Ok(())
    }

    pub(super) fn add_volume(
        &mut self,
        entry: &Entry,
        domain: &TrustDomain,
    ) -> Result<(), SuiteError> {
        let facts = object(entry, entry.name.clone(), domain)?;
        self.volumes.push((facts, entry.options.clone()));
        Ok(())
    }

    fn find_container(&self, name: &str) -> Option<&ContainerFacts> {
        self.containers.iter().find(|facts| is_named(name, &facts.name, &facts.id))
    }

    fn find_network(&self, name: &str) -> Option<&ObjectFacts> {
        self.networks.iter().find(|facts| is_named(name, &facts.name, &facts.id))
    }

    fn find_image(&self, name: &str) -> Option<&(ImageFacts, Vec<String>)> {
        let wanted = named_image(name).ok()?;
        self.images.iter().find(|(facts, _)| facts.reference == wanted.reference)
    }

    /// As policy sees a container of that name, whether it is there or not; likewise below.
    pub(super) fn container_facts(&self, name: &str) -> Resource {
        let found = self.find_container(name).cloned();
        let unknown = || ContainerFacts { name: name.to_owned(), ..ContainerFacts::default() };
        Resource::Container(found.unwrap_or_else(unknown))
    }

    pub(super) fn image_facts(&self, name: &str) -> Result<Resource, SuiteError> {
        let facts = match self.find_image(name) {
            Some((found, _)) => found.clone(),
            None => named_image(name)?,
        };
        Ok(Resource::DockerImage(facts))
    }

    pub(super) fn network_facts(&self, name: &str) -> Resource {
        Resource::DockerNetwork(self.find_network(name).cloned().unwrap_or_else(|| unknown(name)))
    }

    pub(super) fn volume_facts(&self, name: &str) -> Resource {
        let found = self.volumes.iter().find(|(facts, _)| facts.name == name);
        let facts = found.map_or_else(|| unknown(name), |(facts, _)| facts.clone());
        Resource::DockerVolume(facts)
    }

    /// As an inspection shows it; likewise below.
    pub(crate) fn container(&self, name: &str) -> Option<Value> {
        self.find_container(name).map(|facts| {
            json!({
                "Id": facts.id,
                "Name": format!("/{}", facts.name),
                "Image": any_image(),
                "Config": { "Image": facts.image, "Hostname": "", "Labels": facts.labels, "Env": [] },
                "NetworkSettings": { "Networks": {} },
            })
        })
    }

    pub(crate) fn image(&self, name: &str) -> Option<Value> {
        let nothing = Labels::new();
        let (labels, on_build) = match self.find_image(name) {
            Some((facts, on_build)) => (&facts.labels, on_build.as_slice()),
            None if name == any_image() => (&nothing, [].as_slice()),
            None => return None,
        };
        Some(json!({
            "Id": format!("sha256:{}", made_up_id(name)),
            "RepoTags": [name],
            "RepoDigests": [],
            "Config": { "Labels": labels, "OnBuild": on_build },
        }))
    }

    pub(crate) fn exec(&self, id: &str) -> Option<Value> {
        self.execs.get(id).map(|container| json!({ "ID": id, "ContainerID": container }))
    }

    pub(crate) fn network(&self, name: &str) -> Option<Value> {
        let shown = |facts: &ObjectFacts| json!({ "Id": facts.id, "Name": facts.name, "Driver": "bridge", "Labels": facts.labels });
        let built_in = ["bridge", "host", "none"].contains(&name);
        let of_the_engine =
            || json!({ "Id": made_up_id(name), "Name": name, "Driver": name, "Labels": {} });
        self.find_network(name).map(shown).or_else(|| built_in.then(of_the_engine))
    }

    pub(crate) fn volume(&self, name: &str) -> Option<Value> {
        self.volumes.iter().find(|(facts, _)| facts.name == name).map(|(facts, options)| {
            let (name, labels) = (&facts.name, &facts.labels);
            json!({ "Name": name, "Driver": "local", "Options": options, "Labels": labels })
        })
    }

    /// What every other request is answered. Lists are empty: whatever is in them, they are allowed or not.
    pub(crate) fn list(&self, path: &str) -> Value {
        let is_list = [
            "/json",
            "/networks",
            "/services",
            "/tasks",
            "/nodes",
            "/secrets",
            "/configs",
            "/plugins",
        ];
        if path.ends_with("/volumes") {
            json!({ "Volumes": [] })
        } else if is_list.iter().any(|end| path.ends_with(end)) {
            json!([])
        } else {
            json!({})
        }
    }
}

fn named_image(name: &str) -> Result<ImageFacts, SuiteError> {
    Ok(ImageName::parse(name).map_err(wrong)?.or_latest().facts())
}

fn unknown(name: &str) -> ObjectFacts {
    ObjectFacts { name: name.to_owned(), ..ObjectFacts::default() }
}

/// By name, id, or the prefix of an id.
fn is_named(wanted: &str, name: &str, id: &str) -> bool {
    wanted == name || (wanted.len() >= 4 && id.starts_with(wanted))
}
