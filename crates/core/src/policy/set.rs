//! The loaded policy, and what it decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::{Action, Plane};
use super::cache::{Decisions, Known, Permitted};
use super::defaults::Defaults;
use super::entities::{self, Vocabulary};
use super::error::{PolicyError, Problem};
use super::load::{self, Mentioned, Rule};
use super::question::{Principal, Question, Resource};
use super::scope::Scopes;
use super::slice::{self, Slices};
use super::text::plain;
use crate::audit::DecisionNote;
use crate::secret_name::SecretName;

/// What a denial leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What is denied is not done.
    #[default]
    Enforce,
    /// What would be denied is done and recorded.
    Audit,
    /// As `audit`; the records are meant for writing the smallest policy from them.
    Learn,
}

/// The mode of each plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Modes(BTreeMap<Plane, Mode>);

impl Modes {
    /// The mode of a plane: `enforce` unless it was set.
    pub fn of(&self, plane: Plane) -> Mode {
        self.0.get(&plane).copied().unwrap_or_default()
    }

    /// The same modes with one set.
    #[must_use]
    pub fn with(mut self, plane: Plane, mode: Mode) -> Self {
        self.0.insert(plane, mode);
        self
    }
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the policy says, whatever the mode.
    pub allowed: bool,
    /// The rules that determined it; empty for the default denial.
    pub rules: Vec<String>,
    /// The number of the policy that decided.
    pub epoch: u64,
    /// The mode of the action's plane.
    pub mode: Mode,
    /// Why the question could not be put to the policy at all (which denies it).
    pub fault: Option<String>,
    label_keys: Option<Arc<BTreeSet<String>>>,
}

impl Decision {
    /// Whether to go ahead: allowed, or only recorded in this mode. A faulty question never goes ahead.
    pub fn permits(&self) -> bool {
        self.allowed || (self.mode != Mode::Enforce && self.fault.is_none())
    }

    /// The record for the audit log. A denial carries the question, with only those labels that the
    /// policy reads: labels may hold what nobody should find in a log.
    pub fn note(&self, question: &Question) -> DecisionNote {
        DecisionNote {
            allowed: self.allowed,
            action: question.action.to_string(),
            resource: question.resource.to_string(),
            rules: self.rules.clone(),
            epoch: self.epoch,
            question: if self.allowed { None } else { self.recorded(question) },
            further: Vec::new(),
        }
    }

    fn recorded(&self, question: &Question) -> Option<serde_json::Value> {
        let mut question = question.clone();
        let keys = self.label_keys.as_deref();
        if let Some(labels) = question.resource.labels_mut() {
            labels.retain(|key, _| keys.is_none_or(|keys| keys.contains(key)));
        }
        if let Some(facts) = &mut question.principal.container {
            facts.labels.retain(|key, _| keys.is_none_or(|keys| keys.contains(key)));
        }
        serde_json::to_value(question).ok()
    }
}

/// A folder of rules, parsed, validated and sliced; immutable.
#[derive(Debug, Clone)]
pub struct PolicySet {
    pub(super) words: Arc<Vocabulary>,
    pub(super) rules: Vec<Rule>,
    pub(super) mentioned: Mentioned,
    pub(super) slices: Slices,
    scopes: Scopes,
    label_keys: Option<Arc<BTreeSet<String>>>,
    warnings: Vec<Problem>,
    modes: Modes,
    epoch: u64,
    sha256: String,
    /// Shared by clones, which are the same set.
    taken: Arc<Decisions>,
    known: Arc<Known>,
}

impl PolicySet {
    /// The last of the names that rules mention among a secret and the paths above it, and whether that is the secret
    /// itself (`==` is about that one, `in` about what is below as well). Two secrets with the same of both get the
    /// same answer to every question, because a secret has nothing else that rules can read; so whoever lists many
    /// asks once for each.
    pub fn secret_class<'a>(&self, name: &'a SecretName) -> (&'a str, bool) {
        let above = entities::above(name.as_str(), &self.mentioned.secrets);
        let last = above.last().copied().unwrap_or_default();
        (last, last == name.as_str())
    }

    /// Reads the schema, which the first [`PolicySet::load`] of a process would wait for: for whoever has
    /// a thread to spare until then.
    pub fn prepare() {
        // What is wrong with it the load will say.
        let _ = Vocabulary::shared();
    }

    /// Parses and validates `sources` (file name, text). Rule ids are `file#id` (from `@id`) or
    /// `file#number`, counted from 1.
    pub fn load(sources: &[(String, String)], epoch: u64) -> Result<Self, PolicyError> {
        let words = Vocabulary::shared()?;
        let loaded = load::load(&words.schema, sources)?;
        let slices = Slices::new(&words, &loaded.rules)
            .map_err(|error| PolicyError::Schema(plain(&error)))?;
        let scopes = Scopes::new(&words, &loaded.rules)
            .map_err(|error| PolicyError::Schema(plain(&error)))?;
        Ok(Self {
            words,
            scopes,
            rules: loaded.rules,
            slices,
            label_keys: loaded.mentioned.label_keys.clone().map(Arc::new),
            mentioned: loaded.mentioned,
            warnings: loaded.warnings,
            modes: Modes::default(),
            epoch,
            sha256: digest(sources),
            taken: Arc::default(),
            known: Arc::default(),
        })
    }

    /// The rules that can matter to an action on this one resource, whoever acts, as sources: a set that is loaded from
    /// them decides on it as this one does. For those who are to know no more of the policy than that. What a rule's
    /// conditions say is not looked at, only its scope. The rules keep the ids that `@id` gives them; those with a number
    /// are counted anew.
    ///
    /// # Errors
    /// The resource has a name that no rule could have.
    pub fn about(
        &self,
        action: Action,
        resource: &Resource,
    ) -> Result<Vec<(String, String)>, PolicyError> {
        let failed = |error: String| PolicyError::Schema(plain(&error));
        let kind = entities::resource_kind(resource);
        let uid = self.words.uid(kind, &entities::resource_id(resource)).map_err(failed)?;
        let mut sources: Vec<(String, String)> = Vec::new();
        for rule in &self.rules {
            let fits = slice::can_be_about(&self.words, rule, action, kind, &uid);
            if !fits.map_err(failed)? {
                continue;
            }
            let file = rule.id.rsplit_once('#').map_or(rule.id.as_str(), |(file, _)| file);
            let text = rule.policy.to_cedar().unwrap_or_default();
            match sources.last_mut().filter(|(last, _)| last == file) {
                Some((_, texts)) => {
                    texts.push('\n');
                    texts.push_str(&text);
                }
                None => sources.push((file.to_owned(), text)),
            }
        }
        Ok(sources)
    }

    /// The same set with other modes.
    #[must_use]
    pub fn with_modes(mut self, modes: Modes) -> Self {
        self.modes = modes;
        // A decision names the mode.
        self.taken = Arc::default();
        self
    }

    /// The number under which it was loaded.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Hex SHA-256 over the file names and texts.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The digest that a set loaded from these sources has.
    pub fn digest(sources: &[(String, String)]) -> String {
        digest(sources)
    }

    /// The modes.
    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Whether an action is in a group of the schema, such as `DockerRead`.
    pub fn is_in_group(&self, action: Action, group: &str) -> bool {
        self.words.is_in_group(action, group)
    }

    /// Whether a rule permits the action on everything, whatever the circumstances, and no rule could forbid
    /// it on anything: so that there is no need to ask for each of many things.
    pub fn permits_all(&self, principal: &Principal, action: Action) -> bool {
        self.known.get_or(principal, action, || self.scopes(principal, action)).all
    }

    /// Whether a rule could permit the action on something, under some circumstances: if not, there is nothing to
    /// find out before it is denied.
    pub fn permits_any(&self, principal: &Principal, action: Action) -> bool {
        self.known.get_or(principal, action, || self.scopes(principal, action)).any
    }

    fn scopes(&self, principal: &Principal, action: Action) -> Permitted {
        Permitted {
            all: self.scopes.permit_all(&self.words, principal, action),
            any: self.scopes.permit_any(&self.words, principal, action),
        }
    }

    /// The `@defaults` of all rules in whose scope somebody does something, the strictest of each kind.
    /// Conditions are not looked at: they may be about what the defaults bring.
    pub fn defaults(&self, principal: &Principal, action: Action) -> Defaults {
        self.scopes.defaults(&self.words, principal, action)
    }

    /// What is valid but probably not meant, such as a rule that can never apply.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The Cedar schema as text.
    pub fn schema_text() -> &'static str {
        entities::SCHEMA
    }

    /// As [`PolicySet::decide`], remembering the answer: for questions that are asked again and again.
    pub fn decide_again(&self, question: &Question) -> Decision {
        self.taken.get_or(question, || self.decide(question))
    }

    /// Decides. Never fails: what cannot be put to the policy is denied, with the reason in `fault`.
    pub fn decide(&self, question: &Question) -> Decision {
        let asked = entities::ask(&self.words, &self.mentioned, question);
        let (allowed, rules, fault) = match asked {
            Ok(asked) => {
                let kind = entities::resource_kind(&question.resource);
                let verdict = self.slices.evaluate(question.action, kind, &asked);
                (verdict.allowed(), verdict.determining(), None)
            }
            Err(fault) => (false, Vec::new(), Some(fault)),
        };
        Decision {
            allowed,
            rules,
            epoch: self.epoch,
            mode: self.modes.of(question.action.plane()),
            fault,
            label_keys: self.label_keys.clone(),
        }
    }
}

fn digest(sources: &[(String, String)]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in sources.iter().flat_map(|(file, text)| [file, text]) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    data_encoding::HEXLOWER.encode(context.finish().as_ref())
}
