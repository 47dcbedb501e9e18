//! From what somebody was seen to do to the rules that permit it.
//!
//! A rule is as wide as what was seen, and in three directions wider: any tag of a repository that was used, whatever
//! somebody made themselves where they used such an object, and any plain setting of what they made. Everything that
//! makes a request mightier (its risks and their values, paths of the host, volumes of others, input, force) is held to
//! just what was seen together, or less.
//!
//! What comes out has been asked every question again: [`learn`] gives no policy that does not permit them all.
//!
//! **What an attacker controls:** names, labels and settings in the questions. They are written as literals.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::action::{Action, Plane};
use super::entities::{Kind, principal_kind, resource_id, resource_kind};
use super::error::PolicyError;
use super::load::is_repository;
use super::question::{Question, Resource};
use super::set::PolicySet;
use super::text::literal;
use crate::audit::{DecisionNote, Fact, Record};
use crate::identity::Identity;

/// Questions that were let through though no rule permits them, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(HashMap<Question, u64>);

impl Seen {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what a record of the audit log holds of somebody whom `is_wanted` knows: nothing of a request that
    /// was refused, and nothing of a call of whose path only the beginning is there. Gives an error where a recorded
    /// question cannot be read.
    pub fn take_in(
        &mut self,
        record: &Record,
        is_wanted: impl Fn(&Identity) -> bool,
    ) -> Result<(), serde_json::Error> {
        let is_none =
            matches!(record.event.fact, Fact::Denied { .. } | Fact::CallPassed { cut: true, .. });
        let note = record.event.decision.as_ref().filter(|_| !is_none);
        for question in note.into_iter().flat_map(DecisionNote::questions) {
            let question = Question::deserialize(question)?;
            if is_wanted(&question.principal.identity) {
                self.extend([question]);
            }
        }
        Ok(())
    }
}

impl Extend<Question> for Seen {
    fn extend<I: IntoIterator<Item = Question>>(&mut self, questions: I) {
        for question in questions {
            *self.0.entry(question).or_default() += 1;
        }
    }
}

impl FromIterator<Question> for Seen {
    fn from_iter<I: IntoIterator<Item = Question>>(questions: I) -> Self {
        let mut seen = Self::default();
        seen.extend(questions);
        seen
    }
}

/// The rules that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learnt {
    /// Cedar.
    pub text: String,
    /// How many rules there are.
    pub rules: usize,
    /// How many different questions they were written for, and have passed.
    pub questions: usize,
}

/// Why nothing was learnt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LearnError {
    /// There is no question.
    #[error("there is nothing to learn from")]
    Nothing,
    /// The questions are not of one identity.
    #[error("the questions are of several identities: {0} and {1}")]
    Several(String, String),
    /// A question that cannot be put to any policy.
    #[error("{0} cannot be put to the policy")]
    Faulty(String, #[source] Fault),
    /// A fault of this program: what was written does not permit what was seen.
    #[error("the rules that were written do not permit {0}, which was seen")]
    NotPassed(String),
    /// A fault of this program: what was written is no policy.
    #[error("the rules that were written cannot be loaded")]
    Unloadable(#[source] PolicyError),
}

/// What is wrong with a question.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(String);

/// Writes the rules that permit these questions of one identity.
pub fn learn(seen: &Seen) -> Result<Learnt, LearnError> {
    let first = seen.0.keys().next().ok_or(LearnError::Nothing)?;
    let identity = &first.principal.identity;
    if let Some(other) = seen.0.keys().find(|other| other.principal.identity != *identity) {
        let other = other.principal.identity.to_string();
        return Err(LearnError::Several(identity.to_string(), other));
    }
    let mut alike: BTreeMap<(Action, Scope, Vec<String>), Vec<&Question>> = BTreeMap::new();
    for question in seen.0.keys() {
        let key = (question.action, Scope::of(question), might(question));
        alike.entry(key).or_default().push(question);
    }
    let mut rules = Rules::new();
    for ((action, scope, mut conditions), questions) in alike {
        conditions.extend(names(&scope, &questions));
        conditions.extend(circumstances(action, &questions));
        let (actions, times) = rules.entry((scope, conditions)).or_default();
        actions.insert(action);
        *times += questions.iter().filter_map(|question| seen.0.get(question)).sum::<u64>();
    }
    let count = rules.len();
    let text = written(first, rules);
    replay(&text, seen)?;
    Ok(Learnt { text, rules: count, questions: seen.0.len() })
}

fn replay(text: &str, seen: &Seen) -> Result<(), LearnError> {
    let sources = [("learnt.cedar".to_owned(), text.to_owned())];
    let set = PolicySet::load(&sources, 1).map_err(LearnError::Unloadable)?;
    for question in seen.0.keys() {
        let decision = set.decide(question);
        let what = || format!("{} on {}", question.action, question.resource);
        match decision.fault {
            Some(fault) => return Err(LearnError::Faulty(what(), Fault(fault))),
            None if !decision.allowed => return Err(LearnError::NotPassed(what())),
            None => {}
        }
    }
    Ok(())
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Anything of the kind: the kinds of which there is one, and what is only to be made.
    Any(&'static str),
    /// What the principal made.
    Own(&'static str),
    /// Those of the kind whose names were seen.
    Named(&'static str),
    /// Of a repository and below.
    Repository(String),
    /// Something of a swarm, or a plugin, by the names that were seen.
    Object(String),
    /// Just this.
    Exactly(&'static str, String),
}

impl Scope {
    fn of(question: &Question) -> Self {
        let resource = &question.resource;
        let kind = resource_kind(resource).name();
        let own = question.principal.identity.to_string();
        if resource.owner() == Some(own.as_str()) {
            return Self::Own(kind);
        }
        match resource {
            Resource::Container(_)
            | Resource::DockerNetwork(_)
            | Resource::DockerVolume(_)
            | Resource::Certificate { .. } => Self::Named(kind),
            Resource::DockerImage(image) if is_repository(&image.repository) => {
                Self::Repository(image.repository.clone())
            }
            Resource::DockerObject { kind, .. } => Self::Object(kind.clone()),
            Resource::DockerImage(_)
            | Resource::Name(_)
            | Resource::ImportedCertificate(_)
            | Resource::HostPath(_)
            | Resource::Secret(_)
            | Resource::Service { .. } => Self::Exactly(kind, resource_id(resource)),
            Resource::DockerEngine
            | Resource::Vault
            | Resource::Broker
            | Resource::Offer
            | Resource::Authority
            | Resource::Audit
            | Resource::Status
            | Resource::Policy => Self::Any(kind),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Any(kind) | Self::Own(kind) | Self::Named(kind) => {
                format!("resource is Sealock::{kind}")
            }
            Self::Object(_) => format!("resource is Sealock::{}", Kind::DockerObject.name()),
            Self::Repository(name) => format!("resource in Sealock::Repository::{}", literal(name)),
            Self::Exactly(kind, id) => format!("resource == Sealock::{kind}::{}", literal(id)),
        }
    }
}

/// The conditions about names and owners.
fn names(scope: &Scope, questions: &[&Question]) -> Vec<String> {
    let named = || {
        let names: BTreeSet<&str> =
            questions.iter().filter_map(|question| name_of(&question.resource)).collect();
        match names.iter().next() {
            Some(only) if names.len() == 1 => format!("resource.name == {}", literal(only)),
            _ => format!("{}.contains(resource.name)", set(names.into_iter().map(literal))),
        }
    };
    match scope {
        Scope::Own(_) => {
            vec!["resource has owner".to_owned(), "resource.owner == principal.identity".to_owned()]
        }
        Scope::Named(_) => vec![named()],
        Scope::Object(kind) => vec![format!("resource.kind == {}", literal(kind)), named()],
        Scope::Any(_) | Scope::Repository(_) | Scope::Exactly(..) => Vec::new(),
    }
}

fn name_of(resource: &Resource) -> Option<&str> {
    match resource {
        Resource::Container(facts) => Some(&facts.name),
        Resource::DockerNetwork(facts) | Resource::DockerVolume(facts) => Some(&facts.name),
        Resource::DockerObject { name, .. } | Resource::Certificate { name, .. } => Some(name),
        _ => None,
    }
}

/// Which circumstances a risk consists of. A risk without any is held by its name alone.
const RISKS: [(&str, &[&str]); 16] = [
    ("cap-add", &["capAdd"]),
    ("cgroup-parent", &["cgroupParent"]),
    ("cgroupns-mode", &["cgroupnsMode"]),
    ("devices", &["devices"]),
    ("ipc-mode", &["ipcMode"]),
    ("log-config", &["logDriver"]),
    ("network-driver", &["networkDriver"]),
    ("network-mode", &["networkMode", "networks"]),
    ("pid-mode", &["pidMode"]),
    ("published-ports", &["publishedPorts", "publishedAddresses"]),
    ("runtime", &["runtime"]),
    ("sealock-labels", &["labelKeys"]),
    ("security-opt", &["securityOpt"]),
    ("sysctls", &["sysctls"]),
    ("userns-mode", &["usernsMode"]),
    ("uts-mode", &["utsMode"]),
];

/// What makes a request mighty, as conditions. Requests in which it is not the same get rules of their own, so that
/// no rule permits together what was seen apart.
fn might(question: &Question) -> Vec<String> {
    let mut conditions = Vec::new();
    let context = &question.context;
    if question.action == Action::DockerMount {
        conditions.push(match context.get("propagation") {
            Some(word) => held("propagation", word),
            None => "!(context has propagation)".to_owned(),
        });
    }
    // What was done by one method is not to be permitted by another.
    if question.action == Action::HttpCall {
        conditions.extend(context.get("method").map(|method| held("method", method)));
    }
    let Some(risks) = context.get("risks").and_then(Value::as_array) else { return conditions };
    for name in ["risks", "unknownFields"] {
        conditions.extend(context.get(name).map(|value| at_most(name, value)));
    }
    let is_there = |risk: &str| risks.iter().any(|there| there.as_str() == Some(risk));
    for (_, circumstances) in RISKS.iter().filter(|(risk, _)| is_there(risk)) {
        for name in *circumstances {
            conditions.extend(context.get(*name).map(|value| held(name, value)));
        }
    }
    // A driver of a volume is named in two fields, of which one may be harmless.
    if is_there("volume-driver") || is_there("volume-options") {
        conditions.push(match context.get("volumeDriver") {
            Some(driver) => held("volumeDriver", driver),
            None => "!(context has volumeDriver)".to_owned(),
        });
    }
    conditions
}

/// What else is held of circumstances: over all of the questions, what the widest of them needs.
fn circumstances(action: Action, questions: &[&Question]) -> Vec<String> {
    let given: BTreeSet<&str> =
        questions.iter().flat_map(|question| question.context.keys()).map(String::as_str).collect();
    let is_held = |name: &&str| match action.plane() {
        Plane::Docker => {
            ["stdin", "force", "volumes", "readOnly", "memory", "nanoCpus", "pidsLimit"]
                .contains(name)
        }
        Plane::Traffic if action == Action::HttpCall => *name == "path",
        _ => !matches!(*name, "via" | "apiVersion"),
    };
    given.into_iter().filter(is_held).filter_map(|name| widest(name, questions)).collect()
}

fn widest(name: &str, questions: &[&Question]) -> Option<String> {
    let values: Vec<&Value> =
        questions.iter().filter_map(|question| question.context.get(name)).collect();
    let always = values.len() == questions.len();
    let condition = match values.first()? {
        Value::Bool(_) => {
            // What is true is the mightier, but for this one.
            let weaker = Value::Bool(name == "readOnly");
            let only_weaker = values.iter().all(|value| **value == weaker);
            return match (only_weaker, name) {
                (false, _) => None,
                (true, "readOnly") => Some("context.readOnly".to_owned()),
                (true, _) => Some(format!("!(context has {name} && context.{name})")),
            };
        }
        Value::Number(_) if !always => return None,
        Value::Number(_) => {
            let most = values.iter().filter_map(|value| value.as_i64()).max()?;
            format!("context.{name} <= {most}")
        }
        Value::Array(_) => {
            let items = values.iter().filter_map(|value| value.as_array()).flatten();
            at_most(name, &Value::Array(items.cloned().collect()))
        }
        Value::String(_) => {
            let texts: BTreeSet<String> =
                values.iter().filter_map(|value| written_value(value)).collect();
            format!("{}.contains(context.{name})", set(texts))
        }
        Value::Null | Value::Object(_) => return None,
    };
    Some(match always {
        true => format!("context has {name} && {condition}"),
        false => format!("!(context has {name} && !({condition}))"),
    })
}

/// That a circumstance is there and is as it was, or less of it.
fn held(name: &str, value: &Value) -> String {
    match (value, written_value(value)) {
        (Value::Array(_), _) => format!("context has {name} && {}", at_most(name, value)),
        (_, Some(text)) => format!("context has {name} && context.{name} == {text}"),
        (_, None) => format!("!(context has {name})"),
    }
}

/// That a set has nothing that was not in this one.
fn at_most(name: &str, value: &Value) -> String {
    let items: BTreeSet<String> =
        value.as_array().into_iter().flatten().filter_map(written_value).collect();
    match items.is_empty() {
        true => format!("context.{name}.isEmpty()"),
        false => format!("{}.containsAll(context.{name})", set(items)),
    }
}

fn written_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(literal(text)),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => number.as_i64().map(|number| number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn set(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// By scope and conditions: the actions, and how often they were seen.
type Rules = BTreeMap<(Scope, Vec<String>), (BTreeSet<Action>, u64)>;

fn written(first: &Question, rules: Rules) -> String {
    let identity = &first.principal.identity;
    let kind = principal_kind(&first.principal).name();
    let who = literal(identity.name());
    let mut text = format!(
        "// What {identity} was seen to do, and no other rule permitted. Look at every rule before it is put into\n\
         // force: what was done is not always what should be.\n"
    );
    for (number, ((scope, conditions), (actions, seen))) in rules.into_iter().enumerate() {
        let actions: Vec<String> = actions
            .into_iter()
            .map(|action| format!("Sealock::Action::{}", literal(action.as_str())))
            .collect();
        let action = match actions.as_slice() {
            [only] => format!("action == {only}"),
            _ => format!("action in\n    [{}]", actions.join(",\n     ")),
        };
        let scope = scope.text();
        let times = if seen == 1 { "once".to_owned() } else { format!("{seen} times") };
        let _ = write!(
            text,
            "\n@id(\"learnt-{}\")\n@reason(\"seen {times}\")\npermit (\n  principal == Sealock::{kind}::{who},\n  \
             {action},\n  {scope}\n)",
            number + 1
        );
        match conditions.as_slice() {
            [] => {}
            [only] => drop(write!(text, "\nwhen {{ {only} }}")),
            several => drop(write!(text, "\nwhen\n{{\n  {}\n}}", several.join(" &&\n  "))),
        }
        text.push_str(";\n");
    }
    text
}

#[cfg(test)]
mod tests;
