//! Who wants to do what to what: the typed form in which every plane asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action::Action;
use super::text::plain;
use crate::identity::Identity;
use crate::name::SubjectName;
use crate::secret_name::SecretName;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The authenticated identity.
    pub identity: Identity,
    /// The groups it is in, from the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// For a service that was recognised as a container of this host: that container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerFacts>,
}

impl Principal {
    /// A principal in no group and without a container.
    pub fn new(identity: Identity) -> Self {
        Self { identity, groups: Vec::new(), container: None }
    }

    /// The same principal, also in `group`.
    #[must_use]
    pub fn in_group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }

    /// The same principal, recognised as this container.
    #[must_use]
    pub fn of_container(mut self, container: ContainerFacts) -> Self {
        self.container = Some(container);
        self
    }
}

/// What is known of a container. All of it was chosen by whoever created the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// 64 hex digits.
    pub id: String,
    /// The name, without the engine's leading slash.
    pub name: String,
    /// The image as it was named at creation.
    pub image: String,
    /// The compose service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The compose project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// All labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who made it, as the gateway's stamp has it: an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Name, compose service, network aliases and host name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub own_names: BTreeSet<String>,
}

/// What is known of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The whole reference in its long form (`docker.io/library/nginx:1.27`), or an id.
    pub reference: String,
    /// Registry and path (`docker.io/library/nginx`); empty for an id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The tag, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest (`sha256:…`), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Who made it, as the gateway's stamp has it: an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// All labels, where the image is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What is known of a network or volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// The id; for a volume its name.
    pub id: String,
    /// The name.
    pub name: String,
    /// Who made it, as the gateway's stamp has it: an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// All labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What it is to be done to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "is", rename_all = "kebab-case")]
pub enum Resource {
    /// A name that is to stand in a certificate.
    Name(SubjectName),
    /// A certificate that was issued.
    Certificate {
        /// Hex.
        serial: String,
        /// The name under which it was ordered.
        name: String,
    },
    /// A certificate that another authority signs, by the name that it has here.
    ImportedCertificate(String),
    /// A container.
    Container(ContainerFacts),
    /// The engine itself.
    DockerEngine,
    /// An image, by the name that it is asked for.
    DockerImage(ImageFacts),
    /// A network of the engine.
    DockerNetwork(ObjectFacts),
    /// A volume.
    DockerVolume(ObjectFacts),
    /// A plugin, or something of a swarm.
    DockerObject {
        /// Such as `service` or `plugin`.
        kind: String,
        /// Name or id, as it is asked for.
        name: String,
    },
    /// An absolute path of the host, without `.`, `..` and doubled slashes.
    HostPath(String),
    /// A secret of the vault, by its name; or all those below that path.
    Secret(SecretName),
    /// The vault itself.
    Vault,
    /// A service that is called, or that a token is for.
    Service {
        /// Its identity.
        identity: Identity,
        /// The groups it is in.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<String>,
    },
    /// Who may ask for tokens, and what was revoked.
    Broker,
    /// A one-shot offer, bound to no container.
    Offer,
    /// The certificate authority.
    Authority,
    /// The audit log.
    Audit,
    /// The daemon's state.
    Status,
    /// The policy.
    Policy,
}

impl Resource {
    /// Who made it, of what can have an owner.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Container(facts) => facts.owner.as_deref(),
            Self::DockerImage(facts) => facts.owner.as_deref(),
            Self::DockerNetwork(facts) | Self::DockerVolume(facts) => facts.owner.as_deref(),
            _ => None,
        }
    }

    /// The labels of what has some.
    pub(super) fn labels_mut(&mut self) -> Option<&mut BTreeMap<String, String>> {
        match self {
            Self::Container(facts) => Some(&mut facts.labels),
            Self::DockerImage(facts) => Some(&mut facts.labels),
            Self::DockerNetwork(facts) | Self::DockerVolume(facts) => Some(&mut facts.labels),
            _ => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{}:{name}", name.kind()),
            Self::Certificate { serial, name } => {
                write!(formatter, "certificate {} ({})", plain(serial), plain(name))
            }
            Self::ImportedCertificate(name) => {
                write!(formatter, "imported certificate {}", plain(name))
            }
            Self::Container(facts) => {
                let short: String = facts.id.chars().take(12).collect();
                write!(formatter, "container {} ({})", plain(&facts.name), plain(&short))
            }
            Self::DockerEngine => formatter.write_str("engine"),
            Self::DockerImage(image) => write!(formatter, "image {}", plain(&image.reference)),
            Self::DockerNetwork(facts) => write!(formatter, "network {}", plain(&facts.name)),
            Self::DockerVolume(facts) => write!(formatter, "volume {}", plain(&facts.name)),
            Self::DockerObject { kind, name } => {
                write!(formatter, "{} {}", plain(kind), plain(name))
            }
            Self::HostPath(path) => write!(formatter, "host path {}", plain(path)),
            Self::Secret(name) => write!(formatter, "secret {name}"),
            Self::Vault => formatter.write_str("vault"),
            Self::Service { identity, .. } => write!(formatter, "service {}", identity.name()),
            Self::Broker => formatter.write_str("broker"),
            Self::Offer => formatter.write_str("offer"),
            Self::Authority => formatter.write_str("authority"),
            Self::Audit => formatter.write_str("audit"),
            Self::Status => formatter.write_str("status"),
            Self::Policy => formatter.write_str("policy"),
        }
    }
}

/// Who wants to do what to what, and under which circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Question {
    /// Who.
    pub principal: Principal,
    /// Wants to do what.
    pub action: Action,
    /// To what.
    pub resource: Resource,
    /// The circumstances, typed by the schema's context of the action.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, Value>,
}

impl Question {
    /// A question with an empty context.
    pub fn new(principal: Principal, action: Action, resource: Resource) -> Self {
        Self { principal, action, resource, context: BTreeMap::new() }
    }

    /// The same question with one more circumstance.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.insert(name.to_owned(), value.into());
        self
    }
}
