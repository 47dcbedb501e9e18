//! A [`Question`] as Cedar sees it: entities, and a request that was checked against the schema.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
    Schema,
};
use serde_json::Value;

use super::action::Action;
use super::error::PolicyError;
use super::load::Mentioned;
use super::question::{ContainerFacts, Principal, Question, Resource};
use super::text::plain;
use crate::identity::{Identity, IdentityKind};
use crate::name::{DnsName, SubjectName};

/// The schema, as `sealock policy schema` prints it.
pub(super) const SCHEMA: &str = include_str!("sealock.cedarschema");

/// The same as Cedar's JSON, which is read in half the time; `examples/schema_json.rs` makes it.
pub(super) const SCHEMA_JSON: &str = include_str!("sealock.cedarschema.json");

macro_rules! kinds {
    ($($name:ident),*) => {
        /// The entity types of the schema.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Kind { $($name,)* }

        impl Kind {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

kinds!(
    Group,
    Human,
    Service,
    Host,
    Domain,
    Network,
    DnsName,
    IpAddress,
    Uri,
    Email,
    Certificate,
    ImportedCertificate,
    Container,
    DockerEngine,
    Repository,
    DockerImage,
    DockerNetwork,
    DockerVolume,
    DockerObject,
    HostPath,
    Secret,
    Vault,
    Broker,
    Offer,
    Authority,
    Audit,
    Status,
    Policy
);

/// The last part of an entity type's name.
pub(super) fn short_type(name: &EntityTypeName) -> &str {
    name.basename()
}

/// The parsed schema and the names in it, made once per load because parsing names is slow.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    types: HashMap<Kind, EntityTypeName>,
    /// Each action's entity (with its group as parent).
    actions: HashMap<Action, Entity>,
    groups: HashMap<Action, HashSet<EntityUid>>,
}

impl Vocabulary {
    /// The one of this process: there is one schema, and reading it takes milliseconds. Who comes while
    /// another thread reads it waits for that one.
    pub(super) fn shared() -> Result<Arc<Self>, PolicyError> {
        static SHARED: LazyLock<Result<Arc<Vocabulary>, String>> =
            LazyLock::new(|| Vocabulary::new().map(Arc::new));
        SHARED.clone().map_err(PolicyError::Schema)
    }

    fn new() -> Result<Self, String> {
        let fault = |text: &dyn std::fmt::Display| plain(&text.to_string());
        let schema = Schema::from_json_str(SCHEMA_JSON).map_err(|error| fault(&error))?;
        let mut types = HashMap::new();
        for kind in Kind::ALL {
            let name = format!("Sealock::{}", kind.name());
            types.insert(*kind, name.parse().map_err(|error| fault(&error))?);
        }
        let entities = schema.action_entities().map_err(|error| fault(&error))?;
        let (mut actions, mut groups) = (HashMap::new(), HashMap::new());
        for action in Action::ALL {
            let found =
                entities.iter().find(|entity| entity.uid().id().unescaped() == action.as_str());
            let entity = found.ok_or_else(|| fault(&format!("no action {action}")))?;
            let above = entities.ancestors(&entity.uid()).into_iter().flatten();
            groups.insert(*action, above.cloned().collect());
            actions.insert(*action, entity.clone());
        }
        Ok(Self { schema, types, actions, groups })
    }

    /// The groups that an action is in.
    pub(super) fn groups(&self, action: Action) -> HashSet<EntityUid> {
        self.groups.get(&action).cloned().unwrap_or_default()
    }

    pub(super) fn is_in_group(&self, action: Action, group: &str) -> bool {
        let groups = self.groups.get(&action).into_iter().flatten();
        groups.map(EntityUid::id).any(|id| id.unescaped() == group)
    }

    pub(super) fn uid(&self, kind: Kind, id: &str) -> Result<EntityUid, String> {
        let name = self.types.get(&kind).ok_or("unknown entity type")?;
        Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id)))
    }

    pub(super) fn action(&self, action: Action) -> Result<&Entity, String> {
        self.actions.get(&action).ok_or_else(|| format!("unknown action {action}"))
    }

    pub(super) fn kind_of(&self, name: &EntityTypeName) -> Option<Kind> {
        self.types.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// The kind of entity that a resource is.
pub(super) fn resource_kind(resource: &Resource) -> Kind {
    match resource {
        Resource::Name(SubjectName::Dns(_)) => Kind::DnsName,
        Resource::Name(SubjectName::Ip(_)) => Kind::IpAddress,
        Resource::Name(SubjectName::Uri(_)) => Kind::Uri,
        Resource::Name(SubjectName::Email(_)) => Kind::Email,
        Resource::Certificate { .. } => Kind::Certificate,
        Resource::ImportedCertificate(_) => Kind::ImportedCertificate,
        Resource::Container(_) => Kind::Container,
        Resource::DockerEngine => Kind::DockerEngine,
        Resource::DockerImage(_) => Kind::DockerImage,
        Resource::DockerNetwork(_) => Kind::DockerNetwork,
        Resource::DockerVolume(_) => Kind::DockerVolume,
        Resource::DockerObject { .. } => Kind::DockerObject,
        Resource::HostPath(_) => Kind::HostPath,
        Resource::Secret(_) => Kind::Secret,
        Resource::Vault => Kind::Vault,
        Resource::Service { .. } => Kind::Service,
        Resource::Broker => Kind::Broker,
        Resource::Offer => Kind::Offer,
        Resource::Authority => Kind::Authority,
        Resource::Audit => Kind::Audit,
        Resource::Status => Kind::Status,
        Resource::Policy => Kind::Policy,
    }
}

/// The id of a resource's entity.
pub(super) fn resource_id(resource: &Resource) -> String {
    match resource {
        Resource::Name(name) => name.to_string(),
        Resource::Certificate { serial, .. } => serial.clone(),
        Resource::ImportedCertificate(name) => name.clone(),
        Resource::Container(facts) => facts.id.clone(),
        Resource::DockerEngine => "engine".to_owned(),
        Resource::DockerImage(facts) => facts.reference.clone(),
        Resource::DockerNetwork(facts) | Resource::DockerVolume(facts) => facts.id.clone(),
        Resource::DockerObject { kind, name } => format!("{kind}/{name}"),
        Resource::HostPath(path) => path.clone(),
        Resource::Secret(name) => name.as_str().to_owned(),
        Resource::Service { identity, .. } => identity.name().to_owned(),
        other => resource_kind(other).name().to_ascii_lowercase(),
    }
}

/// The kind of entity that a principal is.
pub(super) fn principal_kind(principal: &Principal) -> Kind {
    match principal.identity.kind() {
        IdentityKind::Human => Kind::Human,
        IdentityKind::Service => Kind::Service,
        IdentityKind::Host => Kind::Host,
    }
}

/// What Cedar is asked.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) entities: Entities,
    /// The resource and what it is in: all that a rule's scope can name and match.
    pub(super) resources: Vec<EntityUid>,
    /// The principal and its groups, likewise.
    pub(super) principals: Vec<EntityUid>,
}

/// Builds the request, or says why the question does not fit the schema.
pub(super) fn ask(
    words: &Vocabulary,
    mentioned: &Mentioned,
    question: &Question,
) -> Result<Asked, String> {
    let (principal, mut principals) = principal_entity(words, &question.principal)?;
    principals.push(principal.uid());
    let (resource, mut resources) = resource_entity(words, mentioned, &question.resource)?;
    let action = words.action(question.action)?;
    let context = context(&question.context)?;
    resources.push(resource.uid());
    let request =
        Request::new(principal.uid(), action.uid(), resource.uid(), context, Some(&words.schema))
            .map_err(|error| plain(&error.to_string()))?;
    let request_principal = principal.uid();
    let mut all = vec![principal, action.clone()];
    if let Some(facts) = &question.principal.container {
        let container = container_entity(words, mentioned, facts)?;
        if container.uid() != resource.uid() {
            all.push(container);
        }
    }
    // A service that calls itself is one entity: as who asks it has all its attributes.
    if resource.uid() != request_principal {
        all.push(resource);
    }
    let entities = Entities::from_entities(all, None).map_err(|error| plain(&error.to_string()))?;
    Ok(Asked { request, entities, resources, principals })
}

/// The context; whether it fits the action is checked when the request is made of it.
fn context(values: &BTreeMap<String, Value>) -> Result<Context, String> {
    if values.is_empty() {
        return Ok(Context::empty());
    }
    let pairs = values.iter().map(|(name, value)| Ok((name.clone(), circumstance(value)?)));
    Context::from_pairs(pairs.collect::<Result<Vec<_>, String>>()?)
        .map_err(|error| plain(&error.to_string()))
}

fn circumstance(value: &Value) -> Result<RestrictedExpression, String> {
    match value {
        Value::String(string) => Ok(text(string.as_str())),
        Value::Bool(truth) => Ok(RestrictedExpression::new_bool(*truth)),
        Value::Number(number) => number
            .as_i64()
            .map(RestrictedExpression::new_long)
            .ok_or_else(|| format!("{number} is not a whole number that fits")),
        Value::Array(items) => {
            let items = items.iter().map(circumstance).collect::<Result<Vec<_>, _>>()?;
            Ok(RestrictedExpression::new_set(items))
        }
        Value::Null | Value::Object(_) => Err("a circumstance is no record and never null".into()),
    }
}

fn text(value: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(value.into())
}

fn entity(
    uid: EntityUid,
    attributes: Vec<(&str, RestrictedExpression)>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, String> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid, attributes, parents.into_iter().collect::<HashSet<_>>())
        .map_err(|error| plain(&error.to_string()))
}

/// The attributes of everybody who has an identity.
fn named(identity: &Identity) -> Vec<(&'static str, RestrictedExpression)> {
    vec![
        ("identity", text(identity.to_string())),
        ("name", text(identity.name())),
        ("trustDomain", text(identity.trust_domain().as_str())),
    ]
}

fn principal_entity(
    words: &Vocabulary,
    principal: &Principal,
) -> Result<(Entity, Vec<EntityUid>), String> {
    let identity = &principal.identity;
    let mut attributes = named(identity);
    if let (Some(facts), IdentityKind::Service) = (&principal.container, identity.kind()) {
        let uid = words.uid(Kind::Container, &facts.id)?;
        attributes.push(("container", RestrictedExpression::new_entity_uid(uid)));
    }
    let groups = principal.groups.iter().map(|group| words.uid(Kind::Group, group));
    let uid = words.uid(principal_kind(principal), identity.name())?;
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    Ok((entity(uid, attributes, groups.iter().cloned())?, groups))
}

fn resource_entity(
    words: &Vocabulary,
    mentioned: &Mentioned,
    resource: &Resource,
) -> Result<(Entity, Vec<EntityUid>), String> {
    let uid = words.uid(resource_kind(resource), &resource_id(resource))?;
    let mut parents = Vec::new();
    let attributes = match resource {
        Resource::Name(SubjectName::Dns(name)) => {
            parents = domains(words, mentioned, name)?;
            let wildcard = RestrictedExpression::new_bool(name.is_wildcard());
            vec![("name", text(name.as_str())), ("wildcard", wildcard)]
        }
        Resource::Name(SubjectName::Ip(address)) => {
            let version = if address.is_ipv4() { 4 } else { 6 };
            for (id, _) in
                mentioned.networks.iter().filter(|(_, network)| network.contains(*address))
            {
                parents.push(words.uid(Kind::Network, id)?);
            }
            let version = RestrictedExpression::new_long(version);
            vec![("address", text(address.to_string())), ("version", version)]
        }
        Resource::Name(SubjectName::Uri(uri)) => vec![("uri", text(uri.as_str()))],
        Resource::Name(SubjectName::Email(address)) => {
            let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
            if let Ok(name) = domain.parse::<DnsName>() {
                parents = domains(words, mentioned, &name)?;
            }
            vec![("address", text(address.as_str())), ("domain", text(domain))]
        }
        Resource::Certificate { serial, name } => {
            vec![("serial", text(serial.as_str())), ("name", text(name.as_str()))]
        }
        Resource::Container(facts) => {
            return Ok((container_entity(words, mentioned, facts)?, parents));
        }
        Resource::DockerImage(facts) => {
            let mut attributes = vec![
                ("reference", text(facts.reference.as_str())),
                ("repository", text(facts.repository.as_str())),
            ];
            let optional =
                [("tag", &facts.tag), ("digest", &facts.digest), ("owner", &facts.owner)];
            for (name, value) in optional {
                attributes.extend(value.as_deref().map(|value| (name, text(value))));
            }
            for repository in above(&facts.repository, &mentioned.repositories) {
                parents.push(words.uid(Kind::Repository, repository)?);
            }
            let image = tagged(uid, attributes, &parents, &facts.labels, mentioned)?;
            return Ok((image, parents));
        }
        Resource::DockerNetwork(facts) | Resource::DockerVolume(facts) => {
            let mut attributes =
                vec![("id", text(facts.id.as_str())), ("name", text(facts.name.as_str()))];
            attributes.extend(facts.owner.as_deref().map(|owner| ("owner", text(owner))));
            return Ok((tagged(uid, attributes, &[], &facts.labels, mentioned)?, parents));
        }
        Resource::DockerObject { kind, name } => {
            vec![("kind", text(kind.as_str())), ("name", text(name.as_str()))]
        }
        Resource::HostPath(path) => {
            let root = Some("/").filter(|root| mentioned.host_paths.contains(*root));
            let folders = above(path, &mentioned.host_paths).into_iter().chain(root);
            parents = others(words, Kind::HostPath, path, folders)?;
            vec![("path", text(path.as_str()))]
        }
        Resource::Secret(name) => {
            let folders = above(name.as_str(), &mentioned.secrets).into_iter();
            parents = others(words, Kind::Secret, name.as_str(), folders)?;
            Vec::new()
        }
        Resource::Service { identity, groups } => {
            for group in groups {
                parents.push(words.uid(Kind::Group, group)?);
            }
            named(identity)
        }
        _ => Vec::new(),
    };
    Ok((entity(uid, attributes, parents.iter().cloned())?, parents))
}

/// The folders but `own`: an entity is not its own parent, that it is in itself goes without saying.
fn others<'a>(
    words: &Vocabulary,
    kind: Kind,
    own: &str,
    folders: impl Iterator<Item = &'a str>,
) -> Result<Vec<EntityUid>, String> {
    folders.filter(|folder| *folder != own).map(|folder| words.uid(kind, folder)).collect()
}

/// The mentioned ones among a slash-separated name and everything above it.
pub(super) fn above<'a>(name: &'a str, mentioned: &BTreeSet<String>) -> Vec<&'a str> {
    let ends = name.match_indices('/').map(|(end, _)| end).chain([name.len()]);
    let all = ends.filter_map(|end| name.get(..end)).filter(|prefix| !prefix.is_empty());
    all.filter(|prefix| mentioned.contains(*prefix)).collect()
}

fn tagged(
    uid: EntityUid,
    attributes: Vec<(&str, RestrictedExpression)>,
    parents: &[EntityUid],
    labels: &BTreeMap<String, String>,
    mentioned: &Mentioned,
) -> Result<Entity, String> {
    let attributes: HashMap<_, _> =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let tags = kept_labels(labels, mentioned.label_keys.as_ref())
        .map(|(key, value)| (key.clone(), text(value.as_str())));
    Entity::new_with_tags(uid, attributes, parents.iter().cloned().collect::<HashSet<_>>(), tags)
        .map_err(|error| plain(&error.to_string()))
}

/// The mentioned domains that a name is in: itself (without `*.`) and everything above it.
fn domains(
    words: &Vocabulary,
    mentioned: &Mentioned,
    name: &DnsName,
) -> Result<Vec<EntityUid>, String> {
    let own = Some(name.as_str()).filter(|_| !name.is_wildcard());
    own.into_iter()
        .chain(name.parents())
        .filter(|domain| mentioned.domains.contains(*domain))
        .map(|domain| words.uid(Kind::Domain, domain))
        .collect()
}

fn container_entity(
    words: &Vocabulary,
    mentioned: &Mentioned,
    facts: &ContainerFacts,
) -> Result<Entity, String> {
    let own_names = facts.own_names.iter().map(|name| text(name.as_str()));
    let mut attributes: HashMap<String, RestrictedExpression> = HashMap::from([
        ("id".to_owned(), text(facts.id.as_str())),
        ("name".to_owned(), text(facts.name.as_str())),
        ("image".to_owned(), text(facts.image.as_str())),
        ("ownNames".to_owned(), RestrictedExpression::new_set(own_names)),
    ]);
    let optional =
        [("service", &facts.service), ("project", &facts.project), ("owner", &facts.owner)];
    for (name, value) in optional {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), text(value.as_str()));
        }
    }
    let tags = kept_labels(&facts.labels, mentioned.label_keys.as_ref())
        .map(|(key, value)| (key.clone(), text(value.as_str())));
    let uid = words.uid(Kind::Container, &facts.id)?;
    Entity::new_with_tags(uid, attributes, HashSet::new(), tags)
        .map_err(|error| plain(&error.to_string()))
}

/// The labels that rules can read.
pub(super) fn kept_labels<'a>(
    labels: &'a BTreeMap<String, String>,
    keys: Option<&'a BTreeSet<String>>,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    labels.iter().filter(move |(key, _)| keys.is_none_or(|keys| keys.contains(*key)))
}
