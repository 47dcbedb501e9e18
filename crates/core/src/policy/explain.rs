//! Why a question is answered as it is, and the least that would change the answer.

use std::fmt;

use cedar_policy::{Authorizer, Effect, Entities, Expression, Policy, PolicyId, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::action::Action;
use super::entities::{self, Asked, principal_kind, resource_id, resource_kind};
use super::load::Rule;
use super::question::{ContainerFacts, ObjectFacts, Question, Resource};
use super::set::{Mode, PolicySet};
use super::text::{literal, plain};

/// The value of something that a condition reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeValue {
    /// Such as `context.ttl` or `resource.getTag("env")`.
    pub path: String,
    /// What it is in this question, as Cedar writes it; `absent` when it is not there.
    pub value: String,
}

/// A rule that determined the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFinding {
    /// `file#id`.
    pub rule: String,
    /// `file:line:column`.
    pub position: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// What its conditions read.
    pub attributes: Vec<AttributeValue>,
    /// Whether it counts because it could not be evaluated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
}

/// A `permit` whose scope matches, but one condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// `file#id`.
    pub rule: String,
    /// `file:line:column`.
    pub position: String,
    /// The first condition that does not hold, as Cedar text.
    pub condition: String,
    /// What it reads.
    pub attributes: Vec<AttributeValue>,
}

/// Why a question is answered as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What the policy says.
    pub allowed: bool,
    /// In one line.
    pub summary: String,
    /// The policy that was asked.
    pub epoch: u64,
    /// The mode of the action's plane.
    pub mode: Mode,
    /// The rules that determined it; empty for the default denial.
    pub rules: Vec<RuleFinding>,
    /// For the default denial: rules that almost permit it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<NearMiss>,
    /// For the default denial: the smallest rule that would permit it, as Cedar text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// Several lines, for people; the JSON form has it all.
impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "now (policy {}): {}", self.epoch, plain(&self.summary))?;
        for rule in &self.rules {
            let broken = if rule.broken { ", which could not be evaluated" } else { "" };
            let (effect, position) = (plain(&rule.effect), plain(&rule.position));
            writeln!(formatter, "  {effect} {} at {position}{broken}", plain(&rule.rule))?;
            values(formatter, &rule.attributes)?;
        }
        for near in &self.near {
            let (rule, position) = (plain(&near.rule), plain(&near.position));
            writeln!(formatter, "  {rule} at {position} would permit it, but this does not hold:")?;
            writeln!(formatter, "    {}", plain(&near.condition))?;
            values(formatter, &near.attributes)?;
        }
        if let Some(suggestion) = &self.suggestion {
            writeln!(formatter, "the smallest rule that would permit it:")?;
            for line in suggestion.lines() {
                writeln!(formatter, "  {}", plain(line))?;
            }
        }
        Ok(())
    }
}

fn values(formatter: &mut fmt::Formatter<'_>, values: &[AttributeValue]) -> fmt::Result {
    for value in values {
        writeln!(formatter, "      {} is {}", plain(&value.path), plain(&value.value))?;
    }
    Ok(())
}

impl PolicySet {
    /// Explains the answer to a question.
    pub fn explain(&self, question: &Question) -> Explanation {
        let mut explanation = Explanation {
            allowed: false,
            summary: String::new(),
            epoch: self.epoch(),
            mode: self.modes().of(question.action.plane()),
            rules: Vec::new(),
            near: Vec::new(),
            suggestion: None,
        };
        let who = question.principal.identity.to_string();
        let what = format!("{} on {}", question.action, question.resource);
        let asked = match entities::ask(&self.words, &self.mentioned, question) {
            Ok(asked) => asked,
            Err(fault) => {
                explanation.summary =
                    format!("denied: the question does not fit the schema: {fault}");
                return explanation;
            }
        };
        let kind = resource_kind(&question.resource);
        let verdict = self.slices.evaluate(question.action, kind, &asked);
        explanation.allowed = verdict.allowed();
        let determining = verdict.determining();
        let broken: Vec<String> = verdict.broken.iter().map(|id| plain(id.as_ref())).collect();
        let found = self.rules.iter().filter(|rule| determining.contains(&rule.id));
        explanation.rules =
            found.map(|rule| finding(rule, &asked, broken.contains(&rule.id))).collect();
        explanation.summary = if explanation.allowed {
            format!("allowed: {who} may {what} by {}", determining.join(", "))
        } else if determining.is_empty() {
            let applicable = self.slices.rules(question.action, kind, &asked);
            explanation.near = self.near_misses(&asked, &applicable);
            explanation.suggestion = Some(suggestion(question));
            format!("denied: no rule permits {who} {what}")
        } else {
            format!("denied: {who} {what} is forbidden by {}", determining.join(", "))
        };
        explanation
    }

    /// Where these rules stand, those that are loaded.
    pub fn findings(&self, ids: &[String]) -> Vec<RuleFinding> {
        let rules = self.rules.iter().filter(|rule| ids.contains(&rule.id));
        rules
            .map(|rule| RuleFinding {
                rule: rule.id.clone(),
                position: rule.position.clone(),
                effect: effect(rule).to_owned(),
                attributes: Vec::new(),
                broken: false,
            })
            .collect()
    }

    fn near_misses(&self, asked: &Asked, applicable: &[PolicyId]) -> Vec<NearMiss> {
        let permits = self.rules.iter().filter(|rule| {
            rule.policy.effect() == Effect::Permit && applicable.contains(rule.policy.id())
        });
        permits.filter_map(|rule| near_miss(rule, asked)).collect()
    }
}

fn effect(rule: &Rule) -> &'static str {
    if rule.policy.effect() == Effect::Permit { "permit" } else { "forbid" }
}

fn finding(rule: &Rule, asked: &Asked, broken: bool) -> RuleFinding {
    let effect = effect(rule);
    let bodies = conditions(&rule.est).map(|(_, body)| body);
    let mut attributes: Vec<AttributeValue> =
        bodies.flat_map(|body| attributes_of(body, &asked.request, &asked.entities)).collect();
    attributes.dedup();
    let (id, position) = (rule.id.clone(), rule.position.clone());
    RuleFinding { rule: id, position, effect: effect.to_owned(), attributes, broken }
}

/// The rule's first condition that does not hold, when its scope matches.
fn near_miss(rule: &Rule, asked: &Asked) -> Option<NearMiss> {
    let part = |name: &str| rule.est.get(name).cloned().unwrap_or(Value::Null);
    let scope = [part("principal"), part("action"), part("resource")];
    if !holds(&scope, &Value::Array(Vec::new()), asked) {
        return None;
    }
    let any = || json!({ "op": "All" });
    for (kind, body) in conditions(&rule.est) {
        let conjuncts = if kind == "when" { split(body) } else { vec![body] };
        for conjunct in conjuncts {
            let clause = json!([{ "kind": kind, "body": conjunct }]);
            if !holds(&[any(), any(), any()], &clause, asked) {
                return Some(NearMiss {
                    rule: rule.id.clone(),
                    position: rule.position.clone(),
                    condition: condition_text(&clause),
                    attributes: attributes_of(conjunct, &asked.request, &asked.entities),
                });
            }
        }
    }
    None
}

fn conditions(est: &Value) -> impl Iterator<Item = (&str, &Value)> {
    est.get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|condition| Some((condition.get("kind")?.as_str()?, condition.get("body")?)))
}

/// The operands of a chain of `&&`, left to right.
fn split(body: &Value) -> Vec<&Value> {
    match body.get("&&").map(|and| (and.get("left"), and.get("right"))) {
        Some((Some(left), Some(right))) => {
            let mut parts = split(left);
            parts.extend(split(right));
            parts
        }
        _ => vec![body],
    }
}

fn permit(scope: &[Value; 3], conditions: &Value) -> Option<Policy> {
    let [principal, action, resource] = scope;
    let est = json!({
        "effect": "permit", "principal": principal, "action": action, "resource": resource,
        "conditions": conditions,
    });
    Policy::from_json(None, est).ok()
}

fn holds(scope: &[Value; 3], conditions: &Value, asked: &Asked) -> bool {
    let set = permit(scope, conditions)
        .and_then(|policy| cedar_policy::PolicySet::from_policies([policy]).ok());
    set.is_some_and(|set| {
        let response = Authorizer::new().is_authorized(&asked.request, &set, &asked.entities);
        response.decision() == cedar_policy::Decision::Allow
    })
}

/// The text of one clause, without the policy around it.
fn condition_text(clause: &Value) -> String {
    let any = || json!({ "op": "All" });
    let text = permit(&[any(), any(), any()], clause).and_then(|policy| policy.to_cedar());
    let text = text.unwrap_or_default();
    let start = text.find(") ").map_or(0, |at| at + 2);
    let clause = text.get(start..).unwrap_or_default().trim().trim_end_matches(';');
    plain(&clause.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What an expression reads of principal, resource and context, with the values it has here.
fn attributes_of(body: &Value, request: &Request, entities: &Entities) -> Vec<AttributeValue> {
    let mut paths = Vec::new();
    collect(body, &mut paths);
    let mut seen = Vec::new();
    for path in paths {
        if seen.iter().any(|known: &AttributeValue| known.path == path) {
            continue;
        }
        let value = path
            .parse::<Expression>()
            .ok()
            .and_then(|expression| {
                cedar_policy::eval_expression(request, entities, &expression).ok()
            })
            .map_or_else(|| "absent".to_owned(), |value| plain(&value.to_string()));
        seen.push(AttributeValue { path, value });
    }
    seen
}

fn collect(body: &Value, paths: &mut Vec<String>) {
    if let Some(path) = path_of(body) {
        paths.push(path);
        return;
    }
    match body {
        Value::Object(fields) => fields.values().for_each(|value| collect(value, paths)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, paths)),
        _ => {}
    }
}

/// `context.ttl`, `principal.container.name`, `resource.getTag("env")`; `has` and `hasTag` name the
/// same attribute.
fn path_of(body: &Value) -> Option<String> {
    for operator in [".", "has"] {
        if let Some(access) = body.get(operator) {
            let attribute = access.get("attr")?.as_str()?;
            let base = base_of(access.get("left")?)?;
            return Some(if is_identifier(attribute) {
                format!("{base}.{attribute}")
            } else {
                format!("{base}[{}]", literal(attribute))
            });
        }
    }
    for operator in ["getTag", "hasTag"] {
        if let Some(access) = body.get(operator) {
            let key = access.pointer("/right/Value")?.as_str()?;
            return Some(format!("{}.getTag({})", base_of(access.get("left")?)?, literal(key)));
        }
    }
    None
}

fn base_of(left: &Value) -> Option<String> {
    match left.get("Var").and_then(Value::as_str) {
        Some(variable) => Some(variable.to_owned()),
        None => path_of(left),
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What of the circumstances a suggested rule holds fast: whatever makes a request mightier.
const HELD_FAST: [&str; 14] = [
    "risks",
    "unknownFields",
    "capAdd",
    "devices",
    "securityOpt",
    "sysctls",
    "networkMode",
    "pidMode",
    "ipcMode",
    "usernsMode",
    "cgroupParent",
    "runtime",
    "volumeDriver",
    "readOnly",
];

/// Likewise of a call: a service has doors that are mightier than others.
const OF_A_CALL: [&str; 2] = ["method", "path"];

/// The smallest `permit` for this question. Containers and certificates are named by name, because
/// their ids do not outlive them.
fn suggestion(question: &Question) -> String {
    let principal = principal_kind(&question.principal).name();
    let who = literal(question.principal.identity.name());
    let action = literal(question.action.as_str());
    let kind = resource_kind(&question.resource).name();
    let mut conditions = Vec::new();
    let scope = match &question.resource {
        Resource::Container(ContainerFacts { name, .. })
        | Resource::Certificate { name, .. }
        | Resource::DockerNetwork(ObjectFacts { name, .. })
        | Resource::DockerVolume(ObjectFacts { name, .. }) => {
            conditions.push(format!("resource.name == {}", literal(name)));
            format!("resource is Sealock::{kind}")
        }
        other => format!("resource == Sealock::{kind}::{}", literal(&resource_id(other))),
    };
    let of_a_call: &[&str] = if question.action == Action::HttpCall { &OF_A_CALL } else { &[] };
    let names = HELD_FAST.iter().chain(of_a_call);
    conditions.extend(names.filter_map(|name| held(name, question.context.get(*name)?)));
    let when = if conditions.is_empty() {
        String::new()
    } else {
        format!("\nwhen {{ {} }}", conditions.join(" &&\n  "))
    };
    format!(
        "permit (\n  principal == Sealock::{principal}::{who},\n  \
         action == Sealock::Action::{action},\n  {scope}\n){when};\n"
    )
}

/// That a circumstance is as it was, or less of it.
fn held(name: &str, value: &Value) -> Option<String> {
    // Those that are always there need not be looked for.
    let there = match name {
        "risks" | "unknownFields" | "readOnly" | "method" | "path" => String::new(),
        _ => format!("context has {name} && "),
    };
    let condition = match value {
        Value::Array(items) if items.is_empty() => format!("context.{name}.isEmpty()"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(Value::as_str).map(literal).collect();
            format!("[{}].containsAll(context.{name})", items.join(", "))
        }
        Value::String(text) => format!("context.{name} == {}", literal(text)),
        Value::Bool(truth) => format!("context.{name} == {truth}"),
        _ => return None,
    };
    Some(format!("{there}{condition}"))
}
