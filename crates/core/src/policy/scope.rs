//! What can be said of rules by their scopes alone, before there is a question.

use std::collections::HashMap;

use cedar_policy::{Effect, EntityTypeName, EntityUid, PrincipalConstraint, ResourceConstraint};

use super::action::Action;
use super::defaults::Defaults;
use super::entities::{Vocabulary, principal_kind};
use super::load::Rule;
use super::question::Principal;
use super::slice::actions_of;

/// A rule as its scope has it.
#[derive(Debug, Clone)]
struct Scope {
    effect: Effect,
    principal: PrincipalConstraint,
    /// Whether it holds for every resource under all circumstances.
    whole: bool,
    defaults: Option<Defaults>,
}

/// The rules of each action.
#[derive(Debug, Clone, Default)]
pub(super) struct Scopes(HashMap<Action, Vec<Scope>>);

impl Scopes {
    pub(super) fn new(words: &Vocabulary, rules: &[Rule]) -> Result<Self, String> {
        let mut scopes = Self::default();
        for rule in rules {
            let any = matches!(rule.policy.resource_constraint(), ResourceConstraint::Any);
            let scope = Scope {
                effect: rule.policy.effect(),
                principal: rule.policy.principal_constraint(),
                whole: any && !rule.policy.has_non_scope_constraint(),
                defaults: rule.defaults.clone(),
            };
            for action in actions_of(words, rule)? {
                scopes.0.entry(action).or_default().push(scope.clone());
            }
        }
        Ok(scopes)
    }

    fn of<'a>(
        &'a self,
        words: &Vocabulary,
        principal: &Principal,
        action: Action,
    ) -> impl Iterator<Item = &'a Scope> {
        let asking = Asking::new(words, principal);
        let scopes = self.0.get(&action).into_iter().flatten();
        scopes
            .filter(move |scope| asking.as_ref().is_ok_and(|asking| asking.fits(&scope.principal)))
    }

    /// Whether a rule permits it on everything, and no rule could forbid it on anything.
    pub(super) fn permit_all(
        &self,
        words: &Vocabulary,
        principal: &Principal,
        action: Action,
    ) -> bool {
        let mut permitted = false;
        for scope in self.of(words, principal, action) {
            match scope.effect {
                Effect::Forbid => return false,
                Effect::Permit => permitted |= scope.whole,
            }
        }
        permitted
    }

    /// Whether there is a rule that could permit it on something.
    pub(super) fn permit_any(
        &self,
        words: &Vocabulary,
        principal: &Principal,
        action: Action,
    ) -> bool {
        self.of(words, principal, action).any(|scope| scope.effect == Effect::Permit)
    }

    /// The defaults of all rules whose scope the principal and the action are in.
    pub(super) fn defaults(
        &self,
        words: &Vocabulary,
        principal: &Principal,
        action: Action,
    ) -> Defaults {
        let found = self.of(words, principal, action).filter_map(|scope| scope.defaults.as_ref());
        found.fold(Defaults::default(), Defaults::and)
    }
}

/// A principal's entities.
struct Asking {
    kind: EntityTypeName,
    own: EntityUid,
    groups: Vec<EntityUid>,
}

impl Asking {
    fn new(words: &Vocabulary, principal: &Principal) -> Result<Self, String> {
        let own = words.uid(principal_kind(principal), principal.identity.name())?;
        let groups = principal
            .groups
            .iter()
            .map(|group| words.uid(super::entities::Kind::Group, group))
            .collect::<Result<_, _>>()?;
        Ok(Self { kind: own.type_name().clone(), own, groups })
    }

    fn fits(&self, constraint: &PrincipalConstraint) -> bool {
        let within = |uid: &EntityUid| *uid == self.own || self.groups.contains(uid);
        match constraint {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => *uid == self.own,
            PrincipalConstraint::In(uid) => within(uid),
            PrincipalConstraint::Is(kind) => *kind == self.kind,
            PrincipalConstraint::IsIn(kind, uid) => *kind == self.kind && within(uid),
        }
    }
}
