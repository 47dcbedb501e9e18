//! `policy …` and `config check`.

use std::collections::BTreeMap;

use sealock_core::audit::{DecisionNote, Record};
use sealock_core::policy::{
    Action, Explanation, Grantee, Mode, PolicySet, Preset, Question, Resource, plain,
};

use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{CallDenied, PolicyCheck, PolicyExplained, PolicyUsed, Reply};
use crate::error::{ErrorCode, ServiceError};

/// How many records are looked at in one go when a request is searched.
const PAGE: usize = 1000;

/// Checks files; needs no state and no permission.
pub fn check_policy(files: BTreeMap<String, String>) -> Result<PolicyCheck, ServiceError> {
    let sources: Vec<(String, String)> = files.into_iter().collect();
    match PolicySet::load(&sources, 0) {
        Ok(set) => Ok(PolicyCheck {
            valid: true,
            rules: set.rules(),
            problems: Vec::new(),
            warnings: set.warnings().to_vec(),
        }),
        Err(error) if error.problems().is_empty() => {
            Err(ServiceError::of(ErrorCode::Fault, &error))
        }
        Err(error) => Ok(PolicyCheck {
            valid: false,
            rules: 0,
            problems: error.problems().to_vec(),
            warnings: Vec::new(),
        }),
    }
}

impl Service {
    fn read_policy(&self, caller: &Caller, request: &str) -> Result<(), ServiceError> {
        self.authorize(caller, request, Action::PolicyRead, Resource::Policy, &[]).map(|_| ())
    }

    pub(super) fn policy_check(
        &self,
        caller: &Caller,
        request: &str,
        files: BTreeMap<String, String>,
    ) -> Result<Reply, ServiceError> {
        self.read_policy(caller, request)?;
        let files = if files.is_empty() { self.policy.sources()? } else { files };
        check_policy(files).map(Reply::PolicyChecked)
    }

    pub(super) fn policy_schema(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.read_policy(caller, request)?;
        Ok(Reply::Schema(PolicySet::schema_text().to_owned()))
    }

    pub(super) fn policy_reload(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        let granted =
            self.authorize(caller, request, Action::PolicyReload, Resource::Policy, &[])?;
        let status = self.policy.reload(&self.journal, &granted.actor)?;
        self.changed();
        Ok(Reply::PolicyLoaded(status))
    }

    pub(super) fn policy_show(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.read_policy(caller, request)?;
        self.policy.sources().map(Reply::PolicyFiles)
    }

    pub(super) fn policy_use(
        &self,
        caller: &Caller,
        request: &str,
        preset: &str,
        grantee: &Grantee,
        force: bool,
    ) -> Result<Reply, ServiceError> {
        let context = [("preset", preset.into()), ("grantee", grantee.to_string().into())];
        let granted =
            self.authorize(caller, request, Action::PolicyUse, Resource::Policy, &context)?;
        let found = Preset::find(preset).ok_or_else(|| {
            ServiceError::new(ErrorCode::NotFound, format!("there is no preset {}", plain(preset)))
                .hint("`sealock policy presets` lists them")
        })?;
        let (changed, policy) =
            self.policy.put(found, grantee, force, &self.journal, &granted.actor)?;
        self.changed();
        Ok(Reply::PolicyUsed(PolicyUsed { file: found.file_for(grantee), changed, policy }))
    }

    pub(super) fn config_check(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::StatusRead, Resource::Status, &[])?;
        Ok(Reply::Settings(self.config().in_force()))
    }

    pub(super) fn policy_explain(
        &self,
        caller: &Caller,
        request: &str,
        asked: &str,
    ) -> Result<Reply, ServiceError> {
        self.read_policy(caller, request)?;
        let record = self.find_decision(asked)?;
        let Some(note) = record.event.decision.clone() else {
            return Err(ServiceError::new(
                ErrorCode::NotFound,
                format!("policy was not asked in the request {}", plain(asked)),
            ));
        };
        let question = note.question.clone().map(serde_json::from_value::<Question>).transpose();
        let question = question.map_err(|error| {
            ServiceError::new(ErrorCode::State, "the recorded question is damaged")
                .caused_by(&error)
        })?;
        // A request may be several questions, of which this one was denied.
        let (action, resource, now) = match question {
            Some(asked) => {
                let mut now = self.policy.current().explain(&asked);
                let path = asked.context.get("path").and_then(serde_json::Value::as_str);
                if path.is_some_and(|path| path.ends_with(CallDenied::MARK)) {
                    now.summary.push_str("; only the beginning of the path is recorded, and the whole was decided on");
                }
                (asked.action.to_string(), asked.resource.to_string(), now)
            }
            None => {
                let now = self.of_grant(&note, &record.event.who);
                (note.action, note.resource, now)
            }
        };
        Ok(Reply::Explained(Box::new(PolicyExplained {
            request: asked.to_owned(),
            at: record.event.at,
            who: record.event.who,
            action,
            resource,
            allowed_then: note.allowed,
            rules_then: note.rules,
            epoch_then: note.epoch,
            now,
        })))
    }

    /// A grant's question is not recorded: its rules are named.
    fn of_grant(&self, note: &DecisionNote, who: &str) -> Explanation {
        let policy = self.policy.current();
        let rules = note.rules.join(", ");
        Explanation {
            allowed: note.allowed,
            summary: format!("{who} was allowed {} on {} by {rules}", note.action, note.resource),
            epoch: note.epoch,
            mode: note
                .action
                .parse()
                .map_or(Mode::Enforce, |action: Action| policy.modes().of(action.plane())),
            rules: policy.findings(&note.rules),
            near: Vec::new(),
            suggestion: None,
        }
    }

    /// The newest record of the request that carries a decision.
    fn find_decision(&self, asked: &str) -> Result<Record, ServiceError> {
        let mut end = self.journal.last_seq();
        while end > 0 {
            let start = end.saturating_sub(PAGE as u64);
            let count = usize::try_from(end - start).unwrap_or(PAGE);
            let records =
                self.journal.tail(start, count).map_err(|error| convert::journal_error(&error))?;
            let mut matching =
                records.into_iter().filter(|record| record.event.request == asked).rev();
            if let Some(found) = matching.find(|record| record.event.decision.is_some()) {
                return Ok(found);
            }
            end = start;
        }
        Err(ServiceError::new(
            ErrorCode::NotFound,
            format!("no request {} is in the audit log", plain(asked)),
        )
        .hint("`sealock audit tail` shows request ids"))
    }
}
