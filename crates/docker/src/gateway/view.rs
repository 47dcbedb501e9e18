//! Which of the engine's objects there are for a client: ownership.

use std::sync::OnceLock;

use sealock_core::policy::{Action, Resource};

use super::answer::Failure;
use super::{Client, Guard};

/// How much a client is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Everything: there is nothing to ask.
    All,
    /// Policy does not permit everything, but its mode lets everything pass: what is named is asked for, so
    /// that it is recorded, and nothing is left out.
    Watched,
    /// What they made themselves, and what policy permits besides.
    Own,
}

/// A client's view of the engine, for one request.
#[derive(Debug)]
pub(super) struct View<'a, G> {
    guard: &'a G,
    pub(super) client: &'a Client,
    sight: Sight,
    me: OnceLock<String>,
}

impl<'a, G: Guard> View<'a, G> {
    pub(super) fn new(guard: &'a G, client: &'a Client) -> Self {
        Self { guard, client, sight: guard.sight(client), me: OnceLock::new() }
    }

    /// Whether they are held to their own objects.
    pub(super) fn is_own(&self) -> bool {
        self.sight == Sight::Own
    }

    /// Whether policy would refuse things to them, and its mode lets them pass.
    pub(super) fn is_watched(&self) -> bool {
        self.sight == Sight::Watched
    }

    /// Whether what they make is theirs. Also where they are only watched: what is learnt of them is about what
    /// they made.
    pub(super) fn is_stamped(&self) -> bool {
        self.sight != Sight::All
    }

    /// The identity, as it stands in a stamp.
    pub(super) fn me(&self) -> &str {
        self.me.get_or_init(|| self.client.principal.identity.to_string())
    }

    pub(super) fn guard(&self) -> &'a G {
        self.guard
    }

    /// Whether they made it.
    pub(super) fn owns(&self, resource: &Resource) -> bool {
        resource.owner().is_some_and(|owner| owner == self.me())
    }

    /// Whether it is in their lists.
    pub(super) fn shows(&self, resource: &Resource) -> bool {
        self.sight != Sight::Own
            || self.owns(resource)
            || self.guard.permits(self.client, Action::DockerSeeOthers, Some(resource))
    }

    /// Records that something which they name is of others, if policy does not show them that.
    pub(super) async fn note(&self, request: &str, resource: &Resource) {
        if self.sight != Sight::All && !self.owns(resource) {
            self.guard.note_others(self.client, request, resource.clone()).await;
        }
    }

    /// For what is about everybody's objects at once, and cannot be narrowed to somebody's own.
    pub(super) fn needs_all(&self, action: Action) -> Result<(), Failure> {
        if !self.is_own() {
            return Ok(());
        }
        Err(Failure::new(
            hyper::StatusCode::FORBIDDEN,
            format!(
                "{action} is about everybody's objects, and you are shown your own only (Docker::SeeOthers without a condition would permit it)"
            ),
        ))
    }
}
