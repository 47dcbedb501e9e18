//! From texts to validated rules.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, Policy, PolicyId, Schema, ValidationMode, Validator};
use serde_json::Value;

use super::defaults::{Defaults, DefaultsError};
use super::entities::short_type;
use super::error::{PolicyError, Problem};
use crate::name::DnsName;
use crate::network::Network;
use crate::secret_name::SecretName;

/// More problems than this are not shown: nobody reads them.
const PROBLEMS_SHOWN: usize = 20;

/// One rule, validated.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// `file#id`, or `file#number`.
    pub(super) id: String,
    pub(super) policy: Policy,
    /// The policy as JSON (Cedar's EST), for `explain`.
    pub(super) est: Value,
    /// `file:line:column`.
    pub(super) position: String,
    /// What stands in `@defaults`.
    pub(super) defaults: Option<Defaults>,
}

/// What rules mention literally; only that can make a difference to a decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Mentioned {
    pub(super) domains: BTreeSet<String>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) repositories: BTreeSet<String>,
    pub(super) host_paths: BTreeSet<String>,
    pub(super) secrets: BTreeSet<String>,
    /// The label keys that rules read; `None` when a rule computes one, so all may be read.
    pub(super) label_keys: Option<BTreeSet<String>>,
}

/// Rules, warnings and mentions of a folder.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) rules: Vec<Rule>,
    pub(super) warnings: Vec<Problem>,
    pub(super) mentioned: Mentioned,
}

/// Parses and validates every source.
pub(super) fn load(schema: &Schema, sources: &[(String, String)]) -> Result<Loaded, PolicyError> {
    let mut problems = Vec::new();
    let mut rules = Vec::new();
    for (file, text) in sources {
        match parse(file, text) {
            Ok(parsed) => rules.extend(parsed),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(doubled(&rules));
    fail_on(&mut problems)?;
    let warnings = validate(schema, sources, &rules)?;
    let mut mentioned = Mentioned { label_keys: Some(BTreeSet::new()), ..Mentioned::default() };
    for rule in &rules {
        problems.extend(mention(rule, sources, &mut mentioned));
    }
    fail_on(&mut problems)?;
    Ok(Loaded { rules, warnings, mentioned })
}

fn fail_on(problems: &mut Vec<Problem>) -> Result<(), PolicyError> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.truncate(PROBLEMS_SHOWN);
    Err(PolicyError::Problems(std::mem::take(problems)))
}

fn parse(file: &str, text: &str) -> Result<Vec<Rule>, Vec<Problem>> {
    let set: cedar_policy::PolicySet =
        text.parse().map_err(|errors: cedar_policy::ParseErrors| {
            errors.iter().map(|error| Problem::of(file, text, error)).collect::<Vec<_>>()
        })?;
    if let Some(template) = set.templates().next() {
        let place = template.to_cedar();
        let offset = text.find('?').unwrap_or_default();
        let slot = if place.contains("?principal") { "?principal" } else { "?resource" };
        let message = format!("templates are not supported: write the rule without `{slot}`");
        return Err(vec![Problem::at(file, text, offset, slot.len(), &message)]);
    }
    let mut policies: Vec<(usize, &Policy)> =
        set.policies().map(|policy| (offset_of(policy), policy)).collect();
    policies.sort_by_key(|(offset, _)| *offset);
    let numbered = policies.into_iter().enumerate();
    numbered.map(|(index, (offset, policy))| rule(file, text, index, offset, policy)).collect()
}

fn offset_of(policy: &Policy) -> usize {
    policy.as_ref().loc().map_or(0, |location| location.start())
}

fn rule(
    file: &str,
    text: &str,
    index: usize,
    offset: usize,
    policy: &Policy,
) -> Result<Rule, Vec<Problem>> {
    let problem = |message: &str| vec![Problem::at(file, text, offset, 1, message)];
    let name = match policy.annotation("id") {
        Some(id) if is_id(id) => id.to_owned(),
        Some(_) => {
            return Err(problem("@id must be of letters, digits, `.`, `_` and `-`, at most 64"));
        }
        None => (index + 1).to_string(),
    };
    let defaults = policy.annotation("defaults").map(str::parse).transpose();
    let defaults = defaults.map_err(|error: DefaultsError| problem(&error.to_string()))?;
    if defaults.is_some() && policy.effect() == Effect::Forbid {
        return Err(problem("@defaults belongs on a rule that permits"));
    }
    let id = format!("{file}#{name}");
    let policy = policy.new_id(PolicyId::new(&id));
    let est = policy.to_json().map_err(|error| problem(&error.to_string()))?;
    let place = Problem::at(file, text, offset, 1, "");
    let position = format!("{}:{}:{}", place.file, place.line, place.column);
    Ok(Rule { id: super::plain(&id), policy, est, position, defaults })
}

fn is_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && text.len() <= 64 && text.chars().all(allowed)
}

fn doubled(rules: &[Rule]) -> Vec<Problem> {
    let mut seen: BTreeMap<&str, &Rule> = BTreeMap::new();
    let mut problems = Vec::new();
    for rule in rules {
        if let Some(first) = seen.insert(rule.id.as_str(), rule) {
            let mut parts = rule.position.rsplitn(3, ':');
            let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(1);
            let (column, line) = (number(), number());
            problems.push(Problem {
                file: parts.next().unwrap_or_default().to_owned(),
                line,
                column,
                message: format!("rule id {} is already at {}", rule.id, first.position),
                help: Some("give each rule an @id of its own".into()),
                source_line: String::new(),
                width: 1,
            });
        }
    }
    problems
}

fn validate(
    schema: &Schema,
    sources: &[(String, String)],
    rules: &[Rule],
) -> Result<Vec<Problem>, PolicyError> {
    let set = cedar_policy::PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone()))
        .map_err(|error| PolicyError::Schema(super::plain(&error.to_string())))?;
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let place = |id: &PolicyId, diagnostic: &dyn miette::Diagnostic| {
        let file = file_of(id.as_ref(), sources);
        Problem::of(&file.0, &file.1, diagnostic)
    };
    let mut problems: Vec<Problem> =
        result.validation_errors().map(|error| place(error.policy_id(), error)).collect();
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    problems.dedup();
    fail_on(&mut problems)?;
    Ok(result.validation_warnings().map(|warning| place(warning.policy_id(), warning)).collect())
}

fn file_of<'a>(rule: &str, sources: &'a [(String, String)]) -> &'a (String, String) {
    static NOWHERE: (String, String) = (String::new(), String::new());
    let file = rule.rsplit_once('#').map_or(rule, |(file, _)| file);
    sources.iter().find(|(name, _)| name == file).unwrap_or(&NOWHERE)
}

/// Collects what a rule mentions, and refuses literals that could never match.
fn mention(rule: &Rule, sources: &[(String, String)], into: &mut Mentioned) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (file, text) = file_of(rule.policy.id().as_ref(), sources);
    let mut refuse = |id: &str, message: String| {
        let start = offset_of(&rule.policy);
        let needle = format!("::\"{id}\"");
        let found = text.get(start..).and_then(|rest| rest.find(&needle));
        let offset = found.map_or(start, |found| start + found + 2);
        problems.push(Problem::at(file, text, offset, id.len() + 2, &message));
    };
    for literal in rule.policy.entity_literals() {
        let id = literal.id().unescaped();
        match short_type(literal.type_name()) {
            "Domain" | "DnsName" => match id.parse::<DnsName>() {
                Ok(name) if name.as_str() == id => {
                    into.domains.insert(id.to_owned());
                }
                Ok(name) => refuse(id, format!("this can match no name: write \"{name}\"")),
                Err(error) => refuse(id, error.to_string()),
            },
            "Network" => match id.parse::<Network>() {
                Ok(network) => {
                    into.networks.insert(id.to_owned(), network);
                }
                Err(error) => refuse(id, error.to_string()),
            },
            "Repository" if is_repository(id) => {
                into.repositories.insert(id.to_owned());
            }
            "Repository" => refuse(
                id,
                "this can match no image: write the long form, such as \"docker.io/library\"".into(),
            ),
            "HostPath" if is_host_path(id) => {
                into.host_paths.insert(id.to_owned());
            }
            "HostPath" => refuse(
                id,
                "this can match no path: write an absolute path without `.`, `..` and `/` at its end"
                    .into(),
            ),
            "Secret" => match id.parse::<SecretName>() {
                Ok(_) => {
                    into.secrets.insert(id.to_owned());
                }
                Err(error) => refuse(id, format!("this can match no secret: {error}")),
            },
            _ => {}
        }
    }
    read_labels(&rule.est, &mut into.label_keys);
    problems
}

/// A registry (which has a dot, a port, or is `localhost`), alone or with a path below it.
pub(super) fn is_repository(id: &str) -> bool {
    let mut parts = id.split('/');
    let registry = parts.next().unwrap_or_default();
    let named = registry == "localhost" || registry.contains(['.', ':']);
    let plain = |part: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        !part.is_empty() && part.chars().all(allowed)
    };
    let registry_allowed = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    named && registry.chars().all(registry_allowed) && parts.all(plain)
}

/// The root, or an absolute path of plain components.
fn is_host_path(id: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    id == "/" || id.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// Finds the keys of `hasTag` and `getTag`.
fn read_labels(est: &Value, keys: &mut Option<BTreeSet<String>>) {
    match est {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "hasTag" || name == "getTag" {
                    let key = value.pointer("/right/Value").and_then(Value::as_str);
                    match (key, keys.as_mut()) {
                        (Some(key), Some(keys)) => {
                            keys.insert(key.to_owned());
                        }
                        (None, _) => *keys = None,
                        (Some(_), None) => {}
                    }
                }
                read_labels(value, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| read_labels(item, keys)),
        _ => {}
    }
}
