//! What Gatekeepers report: calls that policy has denied, for the one audit log and for `policy explain`.
//!
//! **What an attacker controls:** who has a Gatekeeper's place can report what it likes about calls to its own service,
//! and about no other. Each denial is decided again here, on the question as this host reads it, so a record is never
//! of a call that the policy lets through; its number has another form than those of requests, so none can be taken.

use sealock_core::policy::{Action, Principal, Question};

use super::Service;
use crate::caller::Caller;
use crate::command::{CallDenied, Reply};
use crate::error::{ErrorCode, ServiceError};

/// In one report.
const MOST: usize = 256;
/// The longest path, host or method that is recorded.
const LONGEST: usize = 8 * 1024;
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
        if denials.len() > MOST {
            let text = format!("a report has at most {MOST} denials");
            return Err(ServiceError::new(ErrorCode::Usage, text));
        }
        for denied in denials {
            check(denied)?;
        }
        let resource = self.service_resource(&of)?;
        let policy = self.policy.current();
        for denied in denials {
            let mut principal = Principal::new(self.caller_of(denied)?);
            principal.groups = self.groups_of(&principal.identity)?;
            let mut question = Question::new(principal, Action::HttpCall, resource.clone())
                .with("method", denied.method.as_str())
                .with("path", denied.path.as_str())
                .with("protocol", denied.protocol.as_str());
            if let Some(host) = &denied.host {
                question = question.with("host", host.as_str());
            }
            let decision = policy.decide(&question);
            self.metrics.decision(question.action, decision.allowed);
            if decision.allowed {
                // It has been permitted since: there is nothing to explain any more.
                continue;
            }
            self.denied_at_gatekeeper(
                &denied.caller,
                &denied.number,
                &policy,
                &question,
                &decision,
            );
        }
        Ok(Reply::Done)
    }

    fn caller_of(&self, denied: &CallDenied) -> Result<sealock_core::Identity, ServiceError> {
        let identity: sealock_core::Identity =
            denied.caller.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
        if *identity.trust_domain() != self.trust_domain() {
            return Err(ServiceError::new(ErrorCode::Usage, "the caller is of elsewhere"));
        }
        Ok(identity)
    }
}

fn check(denied: &CallDenied) -> Result<(), ServiceError> {
    let wrong = |text: &str| Err(ServiceError::new(ErrorCode::Usage, text));
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if denied.number.len() != NUMBER || !denied.number.chars().all(is_hex) {
        return wrong("a denial's number has 32 hex digits");
    }
    let texts = [Some(&denied.method), Some(&denied.path), denied.host.as_ref()];
    if texts
        .into_iter()
        .flatten()
        .any(|text| text.len() > LONGEST || text.chars().any(char::is_control))
    {
        return wrong("a denial is about no such call");
    }
    if !["http", "grpc", "websocket"].contains(&denied.protocol.as_str()) {
        return wrong("a denial's protocol is http, grpc or websocket");
    }
    Ok(())
}
