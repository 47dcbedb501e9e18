//! A no, and how long it stands: as long as what it depended on is the same.

use super::entry::{Entry, Reason, World};
use super::ports::Current;
use super::wanted::What;

/// What was denied, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) ground: Ground,
    /// The label that it is about.
    pub(super) label: String,
    pub(super) reason: Reason,
}

/// Who has denied it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ground {
    /// Policy, the authority's own constraints, or a vault that has no such secret.
    Policy(Basis),
    /// The same, about the secret that is the password of a store.
    Password(Basis),
    /// The place in the container, as it is in this life of it.
    Place { started_at: String },
}

/// What an answer of policy depends on besides the labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basis {
    pub(super) policy_epoch: u64,
    /// The container's name, which is its identity (ADR 0015).
    pub(super) container: String,
    /// For a certificate: the trust bundle.
    pub(super) trust: String,
    /// For an imported certificate: what there is of it.
    pub(super) imported: Option<Current>,
    /// For a secret, and the password of a store: what there is of it.
    pub(super) secret: Option<Current>,
}

impl Entry {
    /// What an answer of policy would depend on now.
    pub(super) fn basis(&self, world: &World<'_>) -> Basis {
        let trust = match &self.wanted.what {
            What::Certificate(_) => world.trust.to_owned(),
            What::Secret(_) | What::Trust(_) => String::new(),
        };
        Basis {
            policy_epoch: world.policy_epoch,
            container: self.container.name.clone(),
            trust,
            imported: self.wanted.imported().map(|name| world.source.imported(name)),
            secret: self.current(world),
        }
    }

    /// Whether it was denied, and would be again.
    pub(super) fn still_denied(&self, world: &World<'_>) -> bool {
        self.denied.as_ref().is_some_and(|denied| match &denied.ground {
            Ground::Policy(basis) | Ground::Password(basis) => *basis == self.basis(world),
            Ground::Place { started_at } => started_at == self.started_at(),
        })
    }
}
