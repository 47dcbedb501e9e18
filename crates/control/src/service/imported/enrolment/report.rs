//! How it stands with what is asked for by protocol, as a person reads it.

use sealock_authority::imported::Standing;

use crate::command::{EnrolmentReport, Todo};
use crate::service::Service;

impl Service {
    pub(in crate::service::imported) fn enrolment_report(
        &self,
        standing: &Standing,
    ) -> Option<EnrolmentReport> {
        let upstream = standing.wishes.upstream.clone()?;
        let pending = self.enrolments.of(&standing.name).filter(|_| standing.waiting.is_some());
        Some(match pending {
            Some(pending) => EnrolmentReport {
                upstream,
                tries: pending.tries,
                awaits_approval: pending.awaits_approval,
                error: pending.error,
                hint: pending.hint,
                next: Some(pending.next),
            },
            None => EnrolmentReport {
                upstream,
                tries: 0,
                awaits_approval: false,
                error: None,
                hint: None,
                next: None,
            },
        })
    }

    /// In the place of what a person would have to do.
    pub(in crate::service::imported) fn enrolment_text(
        &self,
        standing: &Standing,
    ) -> Option<String> {
        let report = self.enrolment_report(standing)?;
        let EnrolmentReport { upstream, error, next, .. } = &report;
        let again = next.map(|next| format!("; asked again at {next}")).unwrap_or_default();
        if standing.waiting.is_none() {
            let due = standing.held.as_ref().map(|held| held.renewal_due());
            return due
                .map(|due| format!("nothing; {upstream} is asked for its successor at {due}"));
        }
        Some(match (error, report.awaits_approval) {
            (Some(error), _) => format!("{upstream}: {error}{again}"),
            (None, true) => format!("somebody at {upstream} has to say yes{again}"),
            (None, false) if next.is_some() => format!("nothing; {upstream} is being asked"),
            (None, false) => format!("nothing; `sealock up` asks {upstream}"),
        })
    }

    /// What needs a person: nothing, as long as nothing is wrong.
    pub(in crate::service::imported) fn enrolment_todo(&self, standing: &Standing) -> Option<Todo> {
        let report = self.enrolment_report(standing)?;
        let refused = self.refusals.lock().contains_key(&standing.name);
        let text = match (&report.error, report.awaits_approval) {
            (Some(error), _) if !refused => {
                format!("{} gives no certificate: {error}", report.upstream)
            }
            (None, true) => format!("somebody at {} has to say yes", report.upstream),
            _ => return None,
        };
        let again = format!("sealock cert request {} … asks again", standing.name);
        Some(Todo {
            kind: "upstream".to_owned(),
            name: standing.name.to_string(),
            text,
            since: standing.waiting.as_ref().map(|waiting| waiting.since)?,
            hint: report.hint.unwrap_or(again),
        })
    }
}
