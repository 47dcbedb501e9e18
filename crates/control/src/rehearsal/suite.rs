//! The file of a rehearsal: objects, and cases with what is expected of each.

mod objects;

use std::collections::BTreeMap;
use std::fmt;

use sealock_core::policy::{Action, Principal, Question, Resource, UnknownAction, plain};
use sealock_core::{Identity, SubjectName, TrustDomain};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::engine::USER_AGENT;
pub(super) use objects::Objects;
use objects::{ContainerEntry, Entry, ImageEntry};

/// The trust domain of a file that names none.
const DEFAULT_TRUST_DOMAIN: &str = "example.sealock";

/// What comes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It is done.
    Allow,
    /// Policy says no.
    Deny,
    /// It is about something that is not there for them: 404.
    Hide,
    /// Policy is not even asked: the request cannot be read, or is none of the API.
    Refuse,
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Hide => "hide",
            Self::Refuse => "refuse",
        })
    }
}

/// Why a file or a case makes no sense.
#[derive(Debug, Error)]
pub enum SuiteError {
    /// It is no such TOML.
    #[error("{0}")]
    Syntax(String),
    /// A file that it names cannot be read.
    #[error("cannot read {file}")]
    File {
        /// As it is named.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something in it is not what it should be.
    #[error("{0}")]
    Wrong(String),
    /// No such action.
    #[error(transparent)]
    Action(#[from] UnknownAction),
}

/// A file with cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Suite {
    /// Files or folders of rules, beside the file.
    #[serde(default)]
    policy: Vec<String>,
    /// Other such files, whose objects and cases count as if they stood in this one.
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    trust_domain: Option<String>,
    /// Who asks, where a case says nothing else.
    #[serde(default)]
    principal: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default, rename = "container")]
    containers: Vec<ContainerEntry>,
    #[serde(default, rename = "image")]
    images: Vec<ImageEntry>,
    #[serde(default, rename = "network")]
    networks: Vec<Entry>,
    #[serde(default, rename = "volume")]
    volumes: Vec<Entry>,
    #[serde(default, rename = "case")]
    cases: Vec<Case>,
    #[serde(skip)]
    objects: Objects,
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    name: String,
    expect: Expected,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    principal: Option<String>,
    #[serde(default)]
    groups: Option<Vec<String>>,
    /// Method and target.
    #[serde(default)]
    request: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    /// The protocol that the connection is to speak afterwards.
    #[serde(default)]
    upgrade: Option<String>,
    /// A text is sent as it is, anything else as JSON.
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    body_file: Option<String>,
    #[serde(skip)]
    body_bytes: Option<Vec<u8>>,
    /// Of a build: what stands in the context.
    #[serde(default)]
    dockerfile: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    resource: Option<About>,
    #[serde(default)]
    context: Option<BTreeMap<String, Value>>,
}

impl Case {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is expected.
    pub fn expected(&self) -> Expected {
        self.expect
    }

    /// The rule that is expected to determine it: its whole id, or what stands in `@id`.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}

/// What a question is about, as a file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum About {
    Engine,
    Container(String),
    Image(String),
    Network(String),
    Volume(String),
    HostPath(String),
    Secret(String),
    Vault,
    Object { kind: String, name: String },
    Dns(String),
    Ip(String),
    Uri(String),
    Email(String),
    Certificate(String),
    Offer,
    Authority,
    Audit,
    Status,
    Policy,
}

/// What is to be tried.
pub(super) enum Asked {
    Question(Box<Question>),
    Request(Box<Sent>),
}

/// A request as it goes over the wire, and who sends it.
pub(super) struct Sent {
    pub(super) principal: Principal,
    pub(super) bytes: Vec<u8>,
}

impl Suite {
    /// Reads a file. `read` gives the content of files that it names.
    pub fn parse(
        text: &str,
        read: impl Fn(&str) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, SuiteError> {
        let mut suite = Self::of(text)?;
        for file in std::mem::take(&mut suite.include) {
            let failed = |source| SuiteError::File { file: plain(&file), source };
            let text = read(&file).and_then(|bytes| {
                String::from_utf8(bytes).map_err(|error| std::io::Error::other(error.utf8_error()))
            });
            suite.take_in(Self::of(&text.map_err(failed)?)?, &file)?;
        }
        suite.objects = suite.look()?;
        for case in &mut suite.cases {
            if let Some(file) = &case.body_file {
                let failed = |source| SuiteError::File { file: plain(file), source };
                case.body_bytes = Some(read(file).map_err(failed)?);
            }
        }
        if suite.cases.is_empty() {
            return Err(SuiteError::Wrong("there is no [[case]] in it".to_owned()));
        }
        Ok(suite)
    }

    fn of(text: &str) -> Result<Self, SuiteError> {
        toml::from_str(text).map_err(|error| SuiteError::Syntax(plain_lines(&error.to_string())))
    }

    fn take_in(&mut self, other: Self, file: &str) -> Result<(), SuiteError> {
        let only_cases = other.include.is_empty()
            && other.policy.is_empty()
            && other.principal.is_none()
            && other.groups.is_empty()
            && other.trust_domain.is_none();
        if !only_cases {
            let text = format!("{} is included, so it has objects and cases only", plain(file));
            return Err(SuiteError::Wrong(text));
        }
        self.containers.extend(other.containers);
        self.images.extend(other.images);
        self.networks.extend(other.networks);
        self.volumes.extend(other.volumes);
        self.cases.extend(other.cases);
        Ok(())
    }

    /// Files and folders of rules, as they are named: beside the file.
    pub fn policy(&self) -> &[String] {
        &self.policy
    }

    /// Its cases.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    fn look(&self) -> Result<Objects, SuiteError> {
        let domain = self.domain()?;
        let mut objects = Objects::default();
        self.containers.iter().try_for_each(|entry| objects.add_container(entry, &domain))?;
        self.images.iter().try_for_each(|entry| objects.add_image(entry, &domain))?;
        self.networks.iter().try_for_each(|entry| objects.add_network(entry, &domain))?;
        self.volumes.iter().try_for_each(|entry| objects.add_volume(entry, &domain))?;
        Ok(objects)
    }

    fn domain(&self) -> Result<TrustDomain, SuiteError> {
        let name = self.trust_domain.as_deref().unwrap_or(DEFAULT_TRUST_DOMAIN);
        name.parse().map_err(wrong)
    }

    /// What a case tries.
    pub(super) fn asked(&self, case: &Case) -> Result<Asked, SuiteError> {
        let principal = self.principal_of(case)?;
        let has_body =
            case.body.is_some() || case.body_file.is_some() || case.content_type.is_some();
        match (&case.request, &case.action) {
            (Some(request), None) if case.resource.is_none() && case.context.is_none() => {
                let bytes = bytes(case, request)?;
                Ok(Asked::Request(Box::new(Sent { principal, bytes })))
            }
            (None, Some(action)) if !has_body => {
                let about = case.resource.as_ref().unwrap_or(&About::Engine);
                let resource = self.resource(about)?;
                let action: Action = action.parse()?;
                let context = case.context.clone().unwrap_or_default();
                Ok(Asked::Question(Box::new(Question { principal, action, resource, context })))
            }
            _ => Err(SuiteError::Wrong(
                "a case has a request, with or without a body; or an action, with or without a resource and a context"
                    .to_owned(),
            )),
        }
    }

    fn principal_of(&self, case: &Case) -> Result<Principal, SuiteError> {
        let who = case.principal.as_ref().or(self.principal.as_ref()).ok_or_else(|| {
            SuiteError::Wrong(
                "neither it nor the file says who asks: principal = \"human/alice\"".into(),
            )
        })?;
        let mut principal = Principal::new(identity(&self.domain()?, who)?);
        principal.groups = case.groups.as_ref().unwrap_or(&self.groups).clone();
        Ok(principal)
    }

    fn resource(&self, about: &About) -> Result<Resource, SuiteError> {
        let objects = &self.objects;
        Ok(match about {
            About::Engine => Resource::DockerEngine,
            About::Container(name) => objects.container_facts(name),
            About::Image(name) => objects.image_facts(name)?,
            About::Network(name) => objects.network_facts(name),
            About::Volume(name) => objects.volume_facts(name),
            About::HostPath(path) => Resource::HostPath(path.clone()),
            About::Secret(name) => Resource::Secret(name.parse().map_err(wrong)?),
            About::Vault => Resource::Vault,
            About::Object { kind, name } => {
                Resource::DockerObject { kind: kind.clone(), name: name.clone() }
            }
            About::Dns(name) => Resource::Name(SubjectName::dns(name).map_err(wrong)?),
            About::Ip(address) => Resource::Name(SubjectName::ip(address).map_err(wrong)?),
            About::Uri(uri) => Resource::Name(SubjectName::uri(uri).map_err(wrong)?),
            About::Email(address) => Resource::Name(SubjectName::email(address).map_err(wrong)?),
            About::Certificate(name) => {
                Resource::Certificate { serial: "00".to_owned(), name: name.clone() }
            }
            About::Offer => Resource::Offer,
            About::Authority => Resource::Authority,
            About::Audit => Resource::Audit,
            About::Status => Resource::Status,
            About::Policy => Resource::Policy,
        })
    }
}

/// A whole SPIFFE ID, or such as `human/alice`.
fn identity(domain: &TrustDomain, text: &str) -> Result<Identity, SuiteError> {
    let whole = if text.starts_with("spiffe://") {
        text.to_owned()
    } else {
        format!("spiffe://{domain}/{text}")
    };
    whole.parse().map_err(wrong)
}

fn wrong(error: impl std::error::Error) -> SuiteError {
    SuiteError::Wrong(plain(&error.to_string()))
}

fn plain_lines(text: &str) -> String {
    text.trim_end().lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// The request on the wire. Its target is sent as it stands: that it is refused may be what is tried.
fn bytes(case: &Case, request: &str) -> Result<Vec<u8>, SuiteError> {
    let (method, target) = request.split_once(' ').ok_or_else(|| {
        SuiteError::Wrong("a request is method and target: \"GET /containers/json\"".into())
    })?;
    if target.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SuiteError::Wrong("a target has neither blanks nor control characters".into()));
    }
    let body = match (&case.body, &case.body_bytes, &case.dockerfile) {
        (None, None, None) => None,
        (Some(Value::String(text)), None, None) => Some(text.clone().into_bytes()),
        (Some(json), None, None) => Some(json.to_string().into_bytes()),
        (None, Some(bytes), None) => Some(bytes.clone()),
        (None, None, Some(dockerfile)) => Some(context(dockerfile).map_err(wrong)?),
        _ => {
            return Err(SuiteError::Wrong(
                "a case has one of body, body-file and dockerfile".to_owned(),
            ));
        }
    };
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: docker\r\nUser-Agent: {USER_AGENT}\r\n");
    let usual = if case.dockerfile.is_some() { "application/x-tar" } else { "application/json" };
    let kind = case.content_type.as_deref().or(body.as_ref().map(|_| usual));
    if let Some(kind) = kind {
        if kind.chars().any(char::is_control) {
            return Err(SuiteError::Wrong("a content-type has no control characters".into()));
        }
        head.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    if let Some(protocol) = &case.upgrade {
        if !protocol.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(SuiteError::Wrong("an upgrade is to a protocol, such as h2c".into()));
        }
        head.push_str(&format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n"));
    }
    if let Some(body) = &body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend(body.unwrap_or_default());
    Ok(bytes)
}

/// The context of a build with nothing but this Dockerfile.
fn context(dockerfile: &str) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(dockerfile.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())?;
    archive.into_inner()
}
