//! The decision before every act, and the record of a denial.

use std::collections::HashMap;

use sealock_core::Timestamp;
use sealock_core::audit::{Actor, DecisionNote, Fact};
use sealock_core::policy::{Action, Decision, PolicySet, Principal, Question, Resource, plain};
use sealock_store::Change;
use serde_json::Value;

use super::budget::Budget;
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

    /// Records a denial of a Gatekeeper's.
    pub(super) fn denied_at_gatekeeper(
        &self,
        who: &str,
        request: &str,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
    ) {
        let via = Door::Gatekeeper.as_str();
        let asking = Asking { who, principal: &question.principal, via, request };
        let note = decision.note(question);
        if let Err(error) = self.denied(&asking, policy, question, decision, note) {
            tracing::error!(%error, "a denial cannot be recorded");
        }
    }

    /// Records what is refused before policy is asked, where it does not say so too often.
    pub(super) fn refused_without_policy(
        &self,
        caller: &Caller,
        request: &str,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let now = self.journal.clock().now();
        let Some(unrecorded) = self.denials.lock().take(&caller.who, now) else { return Ok(()) };
        let (who, request) = (caller.who.clone(), request.to_owned());
        let reason = and_more(reason.to_owned(), unrecorded);
        let event = Actor { who, request, decision: None }.event(now, Fact::Denied { reason });
        let recorded = self.journal.commit_blocking(Change::event(event));
        recorded.map(drop).map_err(|error| convert::journal_error(&error))
    }

    /// Records the denial and words it.
    fn denied(
        &self,
        asking: &Asking<'_>,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
        note: DecisionNote,
    ) -> Result<ServiceError, ServiceError> {
        let others = [Door::Api, Door::Gateway, Door::Workload, Door::Client, Door::Gatekeeper];
        let by_others = others.map(Door::as_str).contains(&asking.via);
        let room = match by_others {
            true => self.denials.lock().take(asking.who, self.journal.clock().now()),
            false => Some(0),
        };
        let Some(unrecorded) = room else {
            let message = format!("{} on {} is denied", question.action, question.resource);
            return Ok(ServiceError::new(ErrorCode::Denied, message)
                .hint("you were denied so much lately that this is not recorded; ask for what policy allows"));
        };
        let explanation = policy.explain(question);
        let actor = Actor {
            who: asking.who.to_owned(),
            request: asking.request.to_owned(),
            decision: Some(note),
        };
        let reason = and_more(explanation.summary.clone(), unrecorded);
        let event = actor.event(self.journal.clock().now(), Fact::Denied { reason });
        self.journal
            .commit_blocking(Change::event(event))
            .map_err(|error| convert::journal_error(&error))?;
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
}

/// A reason, and what was not recorded before it.
fn and_more(mut reason: String, unrecorded: u64) -> String {
    if unrecorded > 0 {
        reason.push_str(&format!(" ({unrecorded} more denials were not recorded)"));
    }
    reason
}

/// How many denials over the network are recorded: who may do nothing must not be able to fill the disk
/// with records of it, nor to hide others' denials among theirs. Beyond that, denied requests are denied
/// unrecorded, and the next record says how many; allowed ones are not affected.
#[derive(Debug)]
pub(super) struct DenialBudgets {
    everybody: Budget,
    each: HashMap<String, Each>,
}

#[derive(Debug)]
struct Each {
    budget: Budget,
    unrecorded: u64,
}

impl DenialBudgets {
    /// Of one identity, and its part in a second.
    const OWN: (f64, f64) = (100.0, 2.0);
    /// Of all together.
    const ALL: (f64, f64) = (2000.0, 20.0);
    /// Identities that are told apart.
    const IDENTITIES: usize = 10_000;

    pub(super) fn new(now: Timestamp) -> Self {
        Self { everybody: Budget::new(Self::ALL, now), each: HashMap::new() }
    }

    /// Whether there is room for one more of somebody; with how many of theirs were left out since the last.
    fn take(&mut self, who: &str, now: Timestamp) -> Option<u64> {
        if self.each.len() >= Self::IDENTITIES && !self.each.contains_key(who) {
            // Whoever has not used any of theirs is as if never seen.
            self.each.retain(|_, each| !each.budget.is_full(now) || each.unrecorded > 0);
            if self.each.len() >= Self::IDENTITIES {
                return None;
            }
        }
        let each = self
            .each
            .entry(who.to_owned())
            .or_insert_with(|| Each { budget: Budget::new(Self::OWN, now), unrecorded: 0 });
        if each.budget.take(now) && self.everybody.take(now) {
            return Some(std::mem::take(&mut each.unrecorded));
        }
        each.unrecorded += 1;
        None
    }
}

/// Several decisions about one request as one note.
fn merged(notes: Vec<DecisionNote>) -> Option<DecisionNote> {
    notes.into_iter().reduce(DecisionNote::and)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_has_a_budget_of_denials_that_fills_up_again() {
        let start = Timestamp::from_secs(1000);
        let mut budgets = DenialBudgets::new(start);
        let taken = |budgets: &mut DenialBudgets, who: &str, now| {
            (0..500).filter(|_| budgets.take(who, now).is_some()).count()
        };
        assert_eq!(taken(&mut budgets, "jo", start), 100);
        assert_eq!(taken(&mut budgets, "al", start), 100, "one hides nothing of another");
        let later = start.plus(Duration::from_secs(5));
        assert_eq!(budgets.take("jo", later), Some(400), "what was left out is told");
        assert_eq!(taken(&mut budgets, "jo", later), 9);
        assert_eq!(taken(&mut budgets, "jo", start), 0, "a clock that was set back earns nothing");
        let long = later.plus(Duration::from_secs(86_400));
        assert_eq!(taken(&mut budgets, "jo", long), 100);
    }

    #[test]
    fn a_crowd_does_not_fill_the_disk_or_the_memory() {
        let start = Timestamp::from_secs(1000);
        let mut budgets = DenialBudgets::new(start);
        let all = (0..30_000).filter(|who| budgets.take(&who.to_string(), start).is_some()).count();
        assert_eq!(all, 2000);
        assert!(budgets.each.len() <= DenialBudgets::IDENTITIES);
    }
}
