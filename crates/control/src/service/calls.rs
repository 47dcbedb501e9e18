//! What Gatekeepers report: calls that policy denies, for the one audit log, for `policy explain` and, where the mode has
//! let them pass, for `policy learn`.
//!
//! **What an attacker controls:** as a caller: the path, in which one that is too long or otherwise no call's costs that
//! one denial its record and no other. Who has a Gatekeeper's place can report what it likes about calls to its own
//! service, and about no other. Each denial is decided again here, on the question as this host reads it, so a record is
//! never of a call that the policy lets through, but where only the beginning of the path is there, and the record says
//! so; its number has another form than those of requests, so none can be taken.

use sealock_core::Identity;
use sealock_core::audit::{Actor, DecisionNote, Fact};
use sealock_core::policy::{Action, Decision, PolicySet, Principal, Question, Resource};
use sealock_store::Change;

use super::Service;
use super::authorize::Asking;
use crate::caller::{Caller, Door};
use crate::command::{CallDenied, Reply};
use crate::error::{ErrorCode, ServiceError};

/// In one report.
pub(crate) const CALLS_AT_ONCE: usize = 256;
/// The longest path, host or method that is recorded.
const LONGEST: usize = CallDenied::LONGEST_PATH;
/// Hex digits of a denial's number.
const NUMBER: usize = 32;

impl Service {
    pub(super) fn calls_denied(
        &self,
        caller: &Caller,
        request: &str,
        service: &str,
        denials: &[CallDenied],
    ) -> Result<Reply, ServiceError> {
        let of = self.audience(service)?;
        self.may_guard(caller, request, &of)?;
        if denials.len() > CALLS_AT_ONCE {
            let text = format!("a report has at most {CALLS_AT_ONCE} denials");
            return Err(ServiceError::new(ErrorCode::Usage, text));
        }
        let resource = self.service_resource(&of)?;
        let policy = self.policy.current();
        let mut skipped: Option<(u64, &str)> = None;
        for denied in denials {
            match self.caller_of(denied) {
                Ok(identity) => self.call_denied(&policy, &resource, identity, denied)?,
                // Whoever makes such a call must not have the others' denials thrown away with it.
                Err(fault) => skipped.get_or_insert((0, fault)).0 += 1,
            }
        }
        if let Some((count, fault)) = skipped {
            self.metrics.denials_skipped(count);
            tracing::warn!(service = %of, count, fault, "a Gatekeeper reports denials that are none");
        }
        Ok(Reply::Done)
    }

    /// Who has made the call, if it is one.
    fn caller_of(&self, denied: &CallDenied) -> Result<Identity, &'static str> {
        check(denied)?;
        let identity: Identity = denied.caller.parse().map_err(|_| "the caller is no identity")?;
        match *identity.trust_domain() == self.trust_domain() {
            true => Ok(identity),
            false => Err("the caller is of elsewhere"),
        }
    }

    fn call_denied(
        &self,
        policy: &PolicySet,
        service: &Resource,
        caller: Identity,
        denied: &CallDenied,
    ) -> Result<(), ServiceError> {
        let mut principal = Principal::new(caller);
        principal.groups = self.groups_of(&principal.identity)?;
        let mut question = Question::new(principal, Action::HttpCall, service.clone())
            .with("method", denied.method.as_str())
            .with("path", denied.path.as_str())
            .with("protocol", denied.protocol.as_str());
        if let Some(host) = &denied.host {
            question = question.with("host", host.as_str());
        }
        let decision = policy.decide(&question);
        self.metrics.decision(question.action, decision.allowed);
        if decision.allowed && !denied.cut {
            // It has been permitted since: there is nothing to explain any more.
            return Ok(());
        }
        let done = match denied.enforced || decision.fault.is_some() {
            true => self.record_refused(policy, &question, &decision, denied),
            false => self.record_passed(policy, &question, &decision, denied),
        };
        if let Err(error) = done {
            tracing::error!(%error, "a denial cannot be recorded");
        }
        Ok(())
    }

    fn record_refused(
        &self,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
        denied: &CallDenied,
    ) -> Result<(), ServiceError> {
        let (who, request) = (denied.caller.as_str(), denied.number.as_str());
        let via = Door::Gatekeeper.as_str();
        let asking = Asking { who, principal: &question.principal, via, request };
        let note = noted(question, decision, denied);
        if !denied.cut {
            return self.denied(&asking, policy, question, decision, note).map(|_| ());
        }
        let Some(unrecorded) = self.room_for_denial(&asking) else { return Ok(()) };
        let reason = "denied by the whole path, of which only the beginning is recorded";
        self.record_denial(&asking, Some(note), reason.to_owned(), unrecorded)
    }

    fn record_passed(
        &self,
        policy: &PolicySet,
        question: &Question,
        decision: &Decision,
        denied: &CallDenied,
    ) -> Result<(), ServiceError> {
        let now = self.journal.clock().now();
        let taken = self.passed.lock().take(question, policy.epoch(), &denied.caller, now);
        let Some((call, unrecorded)) = taken else { return Ok(()) };
        let fact = Fact::CallPassed {
            method: denied.method.clone(),
            path: denied.path.clone(),
            cut: denied.cut,
            unrecorded,
        };
        let (who, request) = (denied.caller.clone(), denied.number.clone());
        let decision = Some(noted(question, decision, denied));
        let event = Actor { who, request, decision }.event(now, fact);
        let recorded = self.journal.commit_blocking(Change::event(event));
        recorded.map_err(|error| super::convert::journal_error(&error))?;
        self.passed.lock().keep(call);
        Ok(())
    }
}

/// What was decided. Of a path that is cut, policy cannot say again what it said of the whole.
fn noted(question: &Question, decision: &Decision, denied: &CallDenied) -> DecisionNote {
    let note = decision.note(question);
    if !denied.cut {
        return note;
    }
    let question = serde_json::to_value(question).ok();
    DecisionNote { allowed: false, rules: Vec::new(), question, ..note }
}

fn check(denied: &CallDenied) -> Result<(), &'static str> {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if denied.number.len() != NUMBER || !denied.number.chars().all(is_hex) {
        return Err("a denial's number has 32 hex digits");
    }
    let texts = [Some(&denied.method), Some(&denied.path), denied.host.as_ref()];
    if texts
        .into_iter()
        .flatten()
        .any(|text| text.len() > LONGEST || text.chars().any(char::is_control))
    {
        return Err("a denial is about no such call");
    }
    // A path that is cut is as long as may be: otherwise nothing had to be cut.
    let has_mark = denied.path.ends_with(CallDenied::MARK);
    let is_long = denied.path.len() > LONGEST - 2 * CallDenied::MARK.len();
    if denied.cut != has_mark || (denied.cut && !is_long) {
        return Err("a denial's path is cut, and is not as long as may be");
    }
    if !["http", "grpc", "websocket"].contains(&denied.protocol.as_str()) {
        return Err("a denial's protocol is http, grpc or websocket");
    }
    Ok(())
}
