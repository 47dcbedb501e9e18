//! What a person has to do about certificates that other authorities sign, and what becomes an alarm when they do not;
//! and the chore that asks for successors.

use sealock_authority::imported::{Held, Standing};
use sealock_core::Timestamp;
use sealock_core::audit::Actor;
use sealock_core::span::format_span;

use super::request_error;
use crate::command::{Alarm, Todo};
use crate::error::ServiceError;
use crate::service::Service;

impl Service {
    /// Asks for the successors of what nears its end, keeps the folder of CSRs, and tells of what ends without one.
    pub(crate) fn keep_imported(&self) -> Result<(), ServiceError> {
        let authority = self.authority()?;
        let actor = Actor::daemon("renewal");
        let (made, failed) = authority.request_renewals(&actor);
        self.tidy_requests()?;
        authority.note_expiring(&actor).map_err(|error| request_error(&error))?;
        if made > 0 {
            self.changed();
        }
        failed.map_or(Ok(()), |error| Err(request_error(&error)))
    }

    /// What is to be done, most urgent first.
    pub(in crate::service) fn todos(&self) -> Result<Vec<Todo>, ServiceError> {
        let now = self.journal.clock().now();
        let mut all: Vec<(Timestamp, Todo)> = Vec::new();
        for standing in self.authority()?.requests() {
            let urgent = standing.held.as_ref().map_or(now, |held| held.not_after);
            all.extend(self.todo(&standing, now).map(|todo| (urgent, todo)));
            all.extend(self.refusal(&standing).map(|todo| (urgent, todo)));
        }
        all.sort_by_key(|(urgent, _)| *urgent);
        // A CA of ours is what many certificates hang on.
        let own = self.revoked_todos()?.into_iter().chain(self.hsm_todos()?);
        let issuers = own.chain(self.issuer_todos()?);
        let requests = all.into_iter().map(|(_, todo)| todo);
        Ok(issuers.chain(requests).chain(self.published_todos()?).collect())
    }

    fn todo(&self, standing: &Standing, now: Timestamp) -> Option<Todo> {
        if standing.wishes.upstream.is_some() && standing.waiting.is_some() {
            return self.enrolment_todo(standing);
        }
        let name = standing.name.to_string();
        let csr = self.request_file(&name, "csr");
        let hint = format!("sealock cert import {name} FILE…");
        match (&standing.waiting, &standing.held) {
            (Some(waiting), Some(held)) if waiting.renewal => Some(Todo {
                kind: "renewal".to_owned(),
                text: format!("{}, next CSR lies at {}", ends(held, now), csr.display()),
                since: waiting.since,
                name,
                hint,
            }),
            (Some(waiting), _) => Some(Todo {
                kind: "signature".to_owned(),
                text: format!("waits for a signature; the CSR lies at {}", csr.display()),
                since: waiting.since,
                name,
                hint,
            }),
            (None, Some(held)) if now >= held.renewal_due() => Some(Todo {
                kind: "expiry".to_owned(),
                text: format!("{}, and no CSR is out", ends(held, now)),
                since: held.renewal_due(),
                hint: format!("sealock cert request {name} --replace …"),
                name,
            }),
            _ => None,
        }
    }

    fn refusal(&self, standing: &Standing) -> Option<Todo> {
        let refusals = self.refusals.lock();
        let refused = refusals.get(&standing.name)?;
        let kind = if refused.incomplete { "chain" } else { "import" };
        let lead = if refused.incomplete { "chain missing" } else { "the last import was refused" };
        Some(Todo {
            kind: kind.to_owned(),
            name: standing.name.to_string(),
            text: format!("{lead}: {}", refused.text),
            since: refused.at,
            hint: refused.hint.clone().unwrap_or_default(),
        })
    }

    /// What ends soon and has no successor.
    pub(in crate::service) fn imported_alarms(&self) -> Result<Vec<Alarm>, ServiceError> {
        let now = self.journal.clock().now();
        let late = |standing: &Standing| {
            let held = standing.held.as_ref().filter(|held| now >= held.nears_end())?;
            Some(Alarm {
                alarm: "imported-expiring".to_owned(),
                subject: standing.name.to_string(),
                reason: format!("{}, and its successor is not here", ends(held, now)),
                hint: Some(format!("sealock cert import {} FILE…", standing.name)),
                since: held.nears_end(),
            })
        };
        Ok(self.authority()?.requests().iter().filter_map(late).collect())
    }
}

fn ends(held: &Held, now: Timestamp) -> String {
    if now > held.not_after {
        return format!("expired at {}", held.not_after);
    }
    format!("expires in {}", format_span(held.not_after.since(now)))
}
