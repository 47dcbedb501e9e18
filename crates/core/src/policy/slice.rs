//! Which rules can apply to a question: by action, by the resource's type, by the principal and resource
//! that a rule's scope names. Cedar's answer over the slices is its answer over all rules, because a rule that is left
//! out has a scope that does not match, and an unmatched scope never determines anything.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Decision, Effect, EntityUid, PolicyId,
    PolicySet, PrincipalConstraint, ResourceConstraint,
};

use super::action::Action;
use super::entities::{Asked, Kind, Vocabulary};
use super::load::Rule;

/// The rules of one action and one resource type, by the entities that their scopes name (`==` or `in`)
/// as principal and as resource; `None` where a scope names no entity.
type Slice = HashMap<Named, PolicySet>;

/// Principal and resource.
type Named = (Option<EntityUid>, Option<EntityUid>);

/// All slices.
#[derive(Debug, Clone, Default)]
pub(super) struct Slices(HashMap<(Action, Kind), Slice>);

/// What the applicable rules say together.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) permits: Vec<PolicyId>,
    pub(super) forbids: Vec<PolicyId>,
    /// `forbid` rules that could not be evaluated: they count as satisfied.
    pub(super) broken: Vec<PolicyId>,
}

impl Verdict {
    pub(super) fn allowed(&self) -> bool {
        self.forbids.is_empty() && self.broken.is_empty() && !self.permits.is_empty()
    }

    /// The rules that determined it.
    pub(super) fn determining(&self) -> Vec<String> {
        let ids = if self.forbids.is_empty() && self.broken.is_empty() {
            &self.permits
        } else {
            return sorted(self.forbids.iter().chain(&self.broken));
        };
        sorted(ids.iter())
    }
}

fn sorted<'a>(ids: impl Iterator<Item = &'a PolicyId>) -> Vec<String> {
    let mut ids: Vec<String> = ids.map(|id| super::plain(id.as_ref())).collect();
    ids.sort();
    ids.dedup();
    ids
}

impl Slices {
    pub(super) fn new(words: &Vocabulary, rules: &[Rule]) -> Result<Self, String> {
        let mut slices = Self::default();
        for rule in rules {
            for action in actions_of(words, rule)? {
                for (kind, anchor) in resources_of(words, action, rule)? {
                    let slice = slices.0.entry((action, kind)).or_default();
                    let set = slice.entry((principal_of(rule), anchor)).or_default();
                    set.add(rule.policy.clone()).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(slices)
    }

    fn applicable<'a>(
        &'a self,
        action: Action,
        kind: Kind,
        asked: &Asked,
    ) -> impl Iterator<Item = &'a PolicySet> {
        let slice = self.0.get(&(action, kind));
        let names = |uids: &[EntityUid]| -> Vec<Option<EntityUid>> {
            std::iter::once(None).chain(uids.iter().cloned().map(Some)).collect()
        };
        let (principals, resources) = (names(&asked.principals), names(&asked.resources));
        let pairs = principals.into_iter().flat_map(move |principal| {
            resources.clone().into_iter().map(move |resource| (principal.clone(), resource))
        });
        pairs.filter_map(move |named| slice?.get(&named))
    }

    /// The rules that a question is put to.
    pub(super) fn rules(&self, action: Action, kind: Kind, asked: &Asked) -> Vec<PolicyId> {
        let sets = self.applicable(action, kind, asked);
        sets.flat_map(|set| set.policies().map(|policy| policy.id().clone())).collect()
    }

    pub(super) fn evaluate(&self, action: Action, kind: Kind, asked: &Asked) -> Verdict {
        let authorizer = Authorizer::new();
        let mut verdict = Verdict::default();
        for set in self.applicable(action, kind, asked) {
            let response = authorizer.is_authorized(&asked.request, set, &asked.entities);
            let diagnostics = response.diagnostics();
            let reasons = diagnostics.reason().cloned();
            match response.decision() {
                Decision::Allow => verdict.permits.extend(reasons),
                // A default denial has no reasons.
                Decision::Deny => verdict.forbids.extend(reasons),
            }
            for error in diagnostics.errors() {
                let AuthorizationError::PolicyEvaluationError(error) = error;
                let id = error.policy_id();
                if set.policy(id).is_none_or(|policy| policy.effect() == Effect::Forbid) {
                    verdict.broken.push(id.clone());
                }
            }
        }
        verdict
    }
}

/// Whether a rule can matter to an action on this one resource, in whatever groups it is and whoever acts: by its scope.
pub(super) fn can_be_about(
    words: &Vocabulary,
    rule: &Rule,
    action: Action,
    kind: Kind,
    resource: &EntityUid,
) -> Result<bool, String> {
    if !actions_of(words, rule)?.contains(&action) {
        return Ok(false);
    }
    let fits = |(found, anchor): &(Kind, Option<EntityUid>)| {
        let other =
            |named: &EntityUid| named.type_name() == resource.type_name() && named != resource;
        *found == kind && !anchor.as_ref().is_some_and(other)
    };
    Ok(resources_of(words, action, rule)?.iter().any(fits))
}

pub(super) fn actions_of(words: &Vocabulary, rule: &Rule) -> Result<Vec<Action>, String> {
    let constraint = rule.policy.action_constraint();
    let mut found = Vec::new();
    for action in Action::ALL {
        let uid = words.action(*action)?.uid();
        let groups = words.groups(*action);
        let within = |named: &EntityUid| *named == uid || groups.contains(named);
        let applies = match &constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(named) => *named == uid,
            ActionConstraint::In(list) => list.iter().any(within),
        };
        if applies {
            found.push(*action);
        }
    }
    Ok(found)
}

/// The principal that a rule's scope names.
fn principal_of(rule: &Rule) -> Option<EntityUid> {
    match rule.policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::Eq(uid)
        | PrincipalConstraint::In(uid)
        | PrincipalConstraint::IsIn(_, uid) => Some(uid),
    }
}

/// The resource types a rule can apply to, each with the entity its scope names.
fn resources_of(
    words: &Vocabulary,
    action: Action,
    rule: &Rule,
) -> Result<Vec<(Kind, Option<EntityUid>)>, String> {
    let action_uid = words.action(action)?.uid();
    let types = words.schema.resources_for_action(&action_uid).into_iter().flatten();
    let kinds: Vec<Kind> = types.filter_map(|name| words.kind_of(name)).collect();
    let constraint = rule.policy.resource_constraint();
    let of_type = |name: &cedar_policy::EntityTypeName| {
        let kind = words.kind_of(name);
        kinds.iter().copied().filter(move |known| Some(*known) == kind).collect::<Vec<_>>()
    };
    let (kinds, anchor) = match constraint {
        ResourceConstraint::Any => (kinds, None),
        ResourceConstraint::Is(name) => (of_type(&name), None),
        ResourceConstraint::Eq(uid) => (of_type(uid.type_name()), Some(uid)),
        ResourceConstraint::In(uid) => (kinds, Some(uid)),
        ResourceConstraint::IsIn(name, uid) => (of_type(&name), Some(uid)),
    };
    Ok(kinds.into_iter().map(|kind| (kind, anchor.clone())).collect())
}
