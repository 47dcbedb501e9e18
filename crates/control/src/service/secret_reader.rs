//! The decisions before a reading of many secrets.

use std::collections::HashMap;
use std::sync::Arc;

use sealock_core::policy::{Action, Decision, PolicySet, Question, Resource};
use sealock_secrets::Wanted;

use super::Service;
use super::authorize::Asking;
use super::secrets::parsed;
use crate::command::SecretWanted;
use crate::error::ServiceError;

/// Somebody who reads some secrets. All that rules cannot tell apart have one decision, and each has its own record of
/// it.
pub(super) struct Reader<'a> {
    service: &'a Service,
    asking: Asking<'a>,
    policy: Arc<PolicySet>,
    /// By class and version.
    taken: HashMap<(String, bool, Option<i64>), Decision>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(service: &'a Service, asking: Asking<'a>) -> Self {
        Self { service, asking, policy: service.policy.current(), taken: HashMap::new() }
    }

    /// What is to be read, where that is permitted.
    pub(super) fn may(&mut self, one: &SecretWanted) -> Result<Wanted, ServiceError> {
        let name = parsed(&one.name)?;
        let version = one.version.and_then(|version| i64::try_from(version).ok());
        let resource = Resource::Secret(name.clone());
        let principal = self.asking.principal.clone();
        let mut question =
            Question::new(principal, Action::SecretRead, resource).with("via", self.asking.via);
        if let Some(version) = version {
            question = question.with("version", version);
        }
        let (class, itself) = self.policy.secret_class(&name);
        let decision = self
            .taken
            .entry((class.to_owned(), itself, version))
            .or_insert_with(|| self.policy.decide(&question));
        let granted = self.service.granted(&self.asking, &self.policy, &question, decision)?;
        Ok(Wanted { name, version: one.version, actor: granted.actor })
    }
}
