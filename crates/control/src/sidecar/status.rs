//! How sidecars stand, as `status` and metrics show it.

use std::time::Duration;

use sealock_core::Timestamp;

use super::plan::{App, Asked, Plan, State};
use super::record::Role;
use crate::command::{Alarm, SidecarStatus};

/// So many failures in a row need a person.
pub(super) const FAILURES: u32 = 3;
/// So long may a sidecar take until it listens: its certificate is delivered meanwhile.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// What there is to be seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    /// By container: name and id.
    pub(crate) sidecars: Vec<((String, String), SidecarStatus)>,
    pub(crate) alarms: Vec<Alarm>,
}

/// What was tried, and did not help.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble {
    pub(super) failures: u32,
    pub(super) reason: Option<String>,
    pub(super) hint: Option<String>,
    /// Not before then.
    pub(super) next: Option<Timestamp>,
    /// Since when it does not serve.
    pub(super) since: Option<Timestamp>,
}

impl Trouble {
    /// One more; the wait doubles up to a minute.
    pub(super) fn again(&mut self, now: Timestamp, reason: String, hint: Option<String>) {
        self.failures = self.failures.saturating_add(1);
        let seconds = 1_u64 << self.failures.saturating_sub(1).min(6);
        self.next = Some(now.plus(Duration::from_secs(seconds.min(60))));
        (self.reason, self.hint) = (Some(reason), hint);
    }
}

/// One that is wanted.
pub(super) fn of_plan(app: &App, plan: &Plan, trouble: &Trouble) -> SidecarStatus {
    let (state, said) = match &plan.state {
        State::Serving => ("serving", None),
        State::Starting => ("starting", None),
        State::NobodyToCall => ("nobody to call", None),
        State::Missing { status } => {
            (if trouble.failures > 0 { "failing" } else { "starting" }, status.clone())
        }
    };
    let is_well = matches!(plan.state, State::Serving | State::NobodyToCall);
    let reason = trouble.reason.clone().or(said).filter(|_| !is_well);
    SidecarStatus {
        role: plan.role.as_str().to_owned(),
        service: service_of(app),
        name: plan.name.clone(),
        state: state.to_owned(),
        hint: trouble.hint.clone().filter(|_| reason.is_some()),
        reason,
    }
}

/// A container that gets none.
pub(super) fn of_refusal(app: &App) -> Option<SidecarStatus> {
    let (state, reason, hint) = match &app.asked {
        Asked::Granted { .. } => return None,
        Asked::Bad(faults) => {
            let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let hint = faults.iter().find_map(|fault| fault.reason.hint());
            ("bad label", all.join("; "), hint)
        }
        Asked::Impossible { reason, hint } => ("refused", reason.clone(), Some(hint.clone())),
        Asked::Denied { reason, hint } => ("refused", reason.clone(), hint.clone()),
        Asked::Undecided { reason } => ("undecided", reason.clone(), None),
    };
    let (service, reason) = (service_of(app), Some(reason));
    let role = "guard".to_owned();
    Some(SidecarStatus { role, service, name: None, state: state.to_owned(), reason, hint })
}

fn service_of(app: &App) -> String {
    match &app.asked {
        Asked::Granted { request, .. } => request.service.clone(),
        _ => app.container.labels.get("sealock.guard.service").cloned().unwrap_or_default(),
    }
}

/// What needs a person.
pub(super) fn alarm(app: &App, plan: &Plan, trouble: &Trouble, now: Timestamp) -> Option<Alarm> {
    let since = trouble.since?;
    let hint = plan.name.as_ref().map(|name| format!("`docker logs {name}` says more"));
    let alarm = |alarm: &str, reason: String| Alarm {
        alarm: alarm.to_owned(),
        subject: format!("{}/{}", app.container.name, plan.role.as_str()),
        reason,
        hint: trouble.hint.clone().or(hint),
        since,
    };
    if trouble.failures >= FAILURES {
        let reason = trouble.reason.clone().unwrap_or_default();
        return Some(alarm(
            "sidecar-failed",
            format!("{} times in a row: {reason}", trouble.failures),
        ));
    }
    let late = plan.state == State::Starting && now.since(since) > GRACE;
    late.then(|| {
        let what = match plan.role {
            Role::Gatekeeper => "it runs and takes no calls",
            Role::Forwarder => "it runs and carries no calls",
        };
        alarm("sidecar-not-serving", what.to_owned())
    })
}
