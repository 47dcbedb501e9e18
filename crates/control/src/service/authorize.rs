//! The decision before every act, and the record of a denial.

use sealock_core::audit::{Actor, DecisionNote, Fact};
use sealock_core::policy::{Action, Decision, PolicySet, Principal, Question, Resource, plain};
use sealock_store::Change;
use serde_json::Value;

use super::acme::ACME_NOBODY;
use super::{Service, convert};
use crate::caller::{Caller, Door};
use crate::error::{ErrorCode, ServiceError};

/// What was granted: who acts from here on.
#[derive(Debug, Clone)]
pub struct Granted {
    /// For the events of what is done now.
    pub actor: Actor,
}

/// Who asks, under which request id.
pub(super) struct Asking<'a> {
    pub(super) who: &'a str,
    pub(super) principal: &'a Principal,
    pub(super) via: &'static str,
    pub(super) request: &'a str,
}

impl<'a> Asking<'a> {
    pub(super) fn of(caller: &'a Caller, request: &'a str) -> Self {
        let (who, principal) = (caller.who.as_str(), &caller.principal);
        Self { who, principal, via: caller.door.as_str(), request }
    }
}

impl Service {
    /// One action on one resource.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        request: &str,
        action: Action,
        resource: Resource,
        context: &[(&str, Value)],
    ) -> Result<Granted, ServiceError> {
        self.decide(&Asking::of(caller, request), action, vec![resource], context)
    }

    /// One action on every one of these resources; the first denial denies it all.
    pub(super) fn decide(
        &self,
        asking: &Asking<'_>,
        action: Action,
        resources: Vec<Resource>,
        context: &[(&str, Value)],
    ) -> Result<Granted, ServiceError> {
        let policy = self.policy.current();
        let mut notes = Vec::with_capacity(resources.len());
        for resource in resources {
            let mut question =
                Question::new(asking.principal.clone(), action, resource).with("via", asking.via);
            for (name, value) in context {
                question = question.with(name, value.clone());
            }
            let decision = policy.decide(&question);
            notes.push(self.settled(asking, &policy, &question, &decision)?);
        }
        let decision = merged(notes);
        let (who, request) = (asking.who.to_owned(), asking.request.to_owned());
        Ok(Granted { actor: Actor { who, request, decision } })
    }

    /// What a decision comes to that was taken on this question, or on one that no rule can tell from it.
    pub(super) fn granted(
        &self,
        asking: &Asking<'_>,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
    ) -> Result<Granted, ServiceError> {
        let decision = Some(self.settled(asking, policy, question, decision)?);
        let (who, request) = (asking.who.to_owned(), asking.request.to_owned());
        Ok(Granted { actor: Actor { who, request, decision } })
    }

    /// The note of a permission; a denial is recorded and worded.
    fn settled(
        &self,
        asking: &Asking<'_>,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
    ) -> Result<DecisionNote, ServiceError> {
        self.metrics.decision(question.action, decision.allowed);
        let note = decision.note(question);
        if decision.permits() {
            return Ok(note);
        }
        Err(self.denied(asking, policy, question, decision, note)?)
    }

    /// Records a denial of the gateway's and words it.
    pub(crate) fn denied_at_gateway(
        &self,
        who: &str,
        request: &str,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
    ) -> ServiceError {
        let asking =
            Asking { who, principal: &question.principal, via: Door::Gateway.as_str(), request };
        let note = decision.note(question);
        self.denied(&asking, policy, question, decision, note).unwrap_or_else(|error| error)
    }

    /// Records what is refused before policy is asked, where it does not say so too often.
    pub(super) fn refused_without_policy(
        &self,
        caller: &Caller,
        request: &str,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let asking = Asking::of(caller, request);
        let Some(unrecorded) = self.room_for_denial(&asking) else { return Ok(()) };
        self.record_denial(&asking, None, reason.to_owned(), unrecorded)
    }

    /// Records the denial and words it.
    pub(super) fn denied(
        &self,
        asking: &Asking<'_>,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
        note: DecisionNote,
    ) -> Result<ServiceError, ServiceError> {
        let Some(unrecorded) = self.room_for_denial(asking) else {
            let message = format!("{} on {} is denied", question.action, question.resource);
            return Ok(ServiceError::new(ErrorCode::Denied, message)
                .hint("you were denied so much lately that this is not recorded; ask for what policy allows"));
        };
        let explanation = policy.explain(question);
        self.record_denial(asking, Some(note), explanation.summary.clone(), unrecorded)?;
        if let Some(fault) = &decision.fault {
            return Ok(ServiceError::new(ErrorCode::Fault, &explanation.summary)
                .caused_by(&std::io::Error::other(fault.clone())));
        }
        let message = format!("{} on {} is denied", question.action, question.resource);
        let mut error = ServiceError::new(ErrorCode::Denied, message).in_request(asking.request);
        let summary = plain(&explanation.summary);
        error.causes.push(summary.strip_prefix("denied: ").unwrap_or(&summary).to_owned());
        let explain = format!("sealock policy explain {}", asking.request);
        Ok(match explanation.suggestion {
            Some(rule) => error.hint(format!(
                "`{explain}` says more; this rule in the policy folder would allow it:\n{}",
                rule.trim_end()
            )),
            None => error.hint(format!("`{explain}` says more")),
        })
    }

    /// Whether one more denial of this one is recorded; with how many of theirs were left out since the last.
    pub(super) fn room_for_denial(&self, asking: &Asking<'_>) -> Option<u64> {
        let others =
            [Door::Api, Door::Gateway, Door::Workload, Door::Client, Door::Gatekeeper, Door::Acme];
        match others.map(Door::as_str).contains(&asking.via) {
            // Whoever can connect makes such accounts: they share what one has.
            true if asking.who.starts_with(ACME_NOBODY) => {
                self.denials.lock().take(ACME_NOBODY, self.journal.clock().now())
            }
            true => self.denials.lock().take(asking.who, self.journal.clock().now()),
            false => Some(0),
        }
    }

    pub(super) fn record_denial(
        &self,
        asking: &Asking<'_>,
        note: Option<DecisionNote>,
        mut reason: String,
        unrecorded: u64,
    ) -> Result<(), ServiceError> {
        if unrecorded > 0 {
            reason.push_str(&format!(" ({unrecorded} more denials were not recorded)"));
        }
        let (who, request) = (asking.who.to_owned(), asking.request.to_owned());
        let actor = Actor { who, request, decision: note };
        let event = actor.event(self.journal.clock().now(), Fact::Denied { reason });
        let recorded = self.journal.commit_blocking(Change::event(event));
        recorded.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }
}

/// Several decisions about one request as one note.
fn merged(notes: Vec<DecisionNote>) -> Option<DecisionNote> {
    notes.into_iter().reduce(DecisionNote::and)
}
