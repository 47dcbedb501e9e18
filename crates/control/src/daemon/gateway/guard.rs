//! The gateway's questions, put to the service.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealock_core::audit::{Actor, DecisionNote, Fact};
use sealock_core::policy::{
    Action, Decision, Defaults, Mode, Plane, PolicySet, Question, Resource,
};
use sealock_docker::gateway::{Allowance, Ask, Client, Guard, Over, Refused, Session, Sight};
use sealock_net::proxy::Cut;
use sealock_store::Change;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

use super::super::blocking;
use super::sessions::Entered;
use crate::api::identified;
use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, new_request_id};

/// Texts and numbers in the circumstances of a usual request; ranges of ports have thousands.
const LARGE: usize = 256;

/// A connection of somebody with a certificate in force.
struct Connected {
    entered: Entered,
    cut: Cut,
    /// Cuts it when the certificate ends.
    end: AbortHandle,
}

impl Session for Connected {
    fn client(&self) -> Arc<Client> {
        self.entered.client()
    }

    fn cut(&self) -> Cut {
        self.cut.clone()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.end.abort();
    }
}

/// Asks the service.
pub(in super::super) struct ServiceGuard(pub(super) Arc<Service>);

impl Guard for ServiceGuard {
    type Session = Box<dyn Session>;

    async fn attest(&self, stream: &UnixStream) -> Result<Box<dyn Session>, Refused> {
        super::super::workload::session(&self.0, stream).await
    }

    async fn identify(&self, leaf: CertificateDer<'static>) -> Result<Box<dyn Session>, Refused> {
        let service = Arc::clone(&self.0);
        let look = Arc::clone(&service);
        let regrouped = service.regrouped();
        let found = blocking(move || identified(&look, Some(leaf))).await.map_err(refused)?;
        let Caller { who, principal, .. } = found.caller;
        let cut = Cut::default();
        let identity = principal.identity.clone();
        let (serial, client) = (found.serial.clone(), Client { who, principal });
        let entered = Entered::new(Arc::clone(&service), found.serial, client, &cut);
        let left = found.not_after.since(service.journal().clock().now());
        let at_end = cut.clone();
        let end = tokio::spawn(async move {
            tokio::time::sleep(left).await;
            at_end.now();
        });
        let session = Connected { entered, cut, end: end.abort_handle() };
        // It may have been revoked, or its groups changed, after it was looked up and before it was entered.
        let look = Arc::clone(&service);
        let checked = blocking(move || {
            if look.regrouped() != regrouped {
                look.sessions().regroup(&identity, || look.groups_of(&identity))?;
            }
            look.is_revoked(&serial)
        });
        match checked.await {
            Ok(false) => Ok(Box::new(session)),
            Ok(true) => Err(Refused::Unknown("the client certificate is revoked".to_owned())),
            Err(error) => Err(refused(error)),
        }
    }

    async fn decide(&self, client: &Client, request: &str, asks: Vec<Ask>) -> Result<(), Refused> {
        let policy = self.0.policy().current();
        let mut changes = None;
        let mut note: Option<DecisionNote> = None;
        for ask in asks {
            let Ask { action, resource, context } = ask;
            let is_read = policy.is_in_group(action, "DockerRead");
            // Nothing to decide, and nothing to record.
            if is_read && policy.permits_all(&client.principal, action) {
                self.0.metrics().decision(action, true);
                continue;
            }
            let question =
                Question { principal: client.principal.clone(), action, resource, context }
                    .with("via", "gateway");
            let decision = decided(&policy, &question).await?;
            self.0.metrics().decision(action, decision.allowed);
            if !decision.permits() {
                let (service, who) = (Arc::clone(&self.0), client.who.clone());
                let request = request.to_owned();
                let denied = blocking(move || {
                    Ok(service.denied_at_gateway(&who, &request, &policy, &question, &decision))
                });
                return Err(denied.await.map_or_else(refused, refused));
            }
            // What changes nothing and shows no file is recorded only when it is denied.
            if !is_read || !decision.allowed {
                changes.get_or_insert_with(|| question.resource.to_string());
                let this = decision.note(&question);
                note = Some(match note {
                    Some(before) => before.and(this),
                    None => this,
                });
            }
        }
        let (Some(resource), Some(decision)) = (changes, note) else { return Ok(()) };
        let fact = Fact::DockerRequest { operation: decision.action.clone(), resource };
        let who = client.who.clone();
        let actor = Actor { who, request: request.to_owned(), decision: Some(decision) };
        let event = actor.event(self.0.journal().clock().now(), fact);
        let recorded = self.0.journal().commit(Change::event(event)).await;
        recorded.map(|_| ()).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot record a request");
            Refused::Unavailable("the audit log cannot be written, so nothing is done".to_owned())
        })
    }

    fn permits(&self, client: &Client, action: Action, resource: Option<&Resource>) -> bool {
        let policy = self.0.policy().current();
        match resource {
            // In the other modes, too, each operation is asked for, so that it is recorded. What is shown is not.
            None => {
                let is_shown =
                    matches!(action, Action::DockerSeeLabels | Action::DockerSeeEnvironment);
                (is_shown && policy.modes().of(Plane::Docker) != Mode::Enforce)
                    || policy.permits_all(&client.principal, action)
            }
            Some(resource) => policy.decide_again(&seeing(client, action, resource)).permits(),
        }
    }

    fn may_ever(&self, client: &Client, action: Action) -> bool {
        let policy = self.0.policy().current();
        policy.modes().of(Plane::Docker) != Mode::Enforce
            || policy.permits_any(&client.principal, action)
    }

    fn records(&self, action: Action) -> bool {
        !self.0.policy().current().is_in_group(action, "DockerRead")
    }

    fn read_freely(&self, action: Action) {
        self.0.metrics().decision(action, true);
    }

    fn sight(&self, client: &Client) -> Sight {
        let policy = self.0.policy().current();
        if policy.permits_all(&client.principal, Action::DockerSeeOthers) {
            Sight::All
        } else if policy.modes().of(Plane::Docker) != Mode::Enforce {
            Sight::Watched
        } else {
            Sight::Own
        }
    }

    async fn note_others(&self, client: &Client, request: &str, resource: Resource) {
        let policy = self.0.policy().current();
        let question = seeing(client, Action::DockerSeeOthers, &resource);
        let decision = policy.decide_again(&question);
        if decision.allowed {
            return;
        }
        let (service, who) = (Arc::clone(&self.0), client.who.clone());
        let request = request.to_owned();
        // That it was asked for is worth a record; what is answered does not depend on it.
        let record = move || {
            if decision.permits() {
                let (note, resource) = (decision.note(&question), question.resource.to_string());
                let fact = Fact::DockerRequest { operation: note.action.clone(), resource };
                let actor = Actor { who, request, decision: Some(note) };
                let event = actor.event(service.journal().clock().now(), fact);
                return service
                    .journal()
                    .commit_blocking(Change::event(event))
                    .map(|_| ())
                    .map_err(|error| ServiceError::of(ErrorCode::State, &error));
            }
            service.denied_at_gateway(&who, &request, &policy, &question, &decision);
            Ok(())
        };
        if let Err(error) = blocking(record).await {
            tracing::warn!(%error, "cannot record that an object of others was asked for");
        }
    }

    fn defaults(&self, client: &Client, action: Action) -> Defaults {
        self.0.policy().current().defaults(&client.principal, action)
    }

    fn allowance(&self, client: &Client) -> Allowance {
        let identity = &client.principal.identity;
        let member = format!("{}/{}", identity.kind().segment(), identity.name());
        self.0.config().settings.gateway.limits.of(&member, &client.principal.groups)
    }

    async fn over(&self, client: &Client, over: &Over) {
        self.0.metrics().limited(over.limit.as_str());
        if !over.note {
            return;
        }
        tracing::info!(who = client.who, limit = over.setting, "over a limit of the gateway");
        let Some(request) = self.request_id() else { return };
        let fact = Fact::LimitReached { limit: over.setting.clone(), most: over.most.get() };
        let actor = Actor { who: client.who.clone(), request, decision: None };
        let event = actor.event(self.0.journal().clock().now(), fact);
        if let Err(error) = self.0.journal().commit(Change::event(event)).await {
            // Nothing was done that would have to be on record.
            tracing::error!(error = &error as &dyn std::error::Error, "cannot record a limit");
        }
    }

    fn request_id(&self) -> Option<String> {
        new_request_id().ok()
    }
}

/// A question with much in it is decided where it keeps nobody waiting, and is not worth remembering.
async fn decided(policy: &Arc<PolicySet>, question: &Question) -> Result<Decision, Refused> {
    let size = |value: &serde_json::Value| value.as_array().map_or(1, Vec::len);
    if question.context.values().map(size).sum::<usize>() <= LARGE {
        return Ok(policy.decide_again(question));
    }
    let (policy, question) = (Arc::clone(policy), question.clone());
    blocking(move || Ok(policy.decide(&question))).await.map_err(refused)
}

fn seeing(client: &Client, action: Action, resource: &Resource) -> Question {
    Question::new(client.principal.clone(), action, resource.clone()).with("via", "gateway")
}

pub(in super::super) fn refused(error: ServiceError) -> Refused {
    let mut text = error.message.clone();
    for cause in &error.causes {
        text.push_str(": ");
        text.push_str(cause);
    }
    if let Some(hint) = &error.hint {
        text.push_str("; ");
        text.push_str(hint);
    }
    match error.code {
        ErrorCode::Unauthenticated => Refused::Unknown(text),
        ErrorCode::Denied => Refused::Denied(text),
        ErrorCode::Busy => Refused::Busy(text),
        _ => {
            tracing::error!(%error, causes = ?error.causes, "the gateway cannot decide");
            Refused::Unavailable("who may do this cannot be found out now".to_owned())
        }
    }
}
