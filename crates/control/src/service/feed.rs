//! What a Gatekeeper hears: everything that it decides by, and every change of it.

use std::sync::Arc;

use sealock_core::Identity;
use sealock_core::policy::{Action, Plane};
use sealock_traffic::feed::{Message, Policy, Snapshot};

use super::{Service, broker_error};
use crate::caller::Caller;
use crate::error::ServiceError;

/// What was said on a feed so far.
#[derive(Debug)]
pub(crate) struct Said {
    epoch: u64,
    regrouped: u64,
    keys: String,
    last: u64,
}

impl Service {
    /// Whether the caller may be the Gatekeeper of this service. Blocking.
    pub(crate) fn may_guard(
        &self,
        caller: &Caller,
        request: &str,
        service: &Identity,
    ) -> Result<(), ServiceError> {
        let resource = self.service_resource(service)?;
        self.authorize(caller, request, Action::GatekeeperServe, resource, &[]).map(|_| ())
    }

    /// What is to be said next. Blocking.
    pub(crate) fn feed(&self, said: &mut Option<Said>) -> Result<Vec<Message>, ServiceError> {
        let broker = self.broker()?;
        let failed = |error| broker_error(&error);
        // Before what it counts, so that nothing is taken for said that was not read.
        let regrouped = self.regrouped();
        let Some(said) = said else {
            let last = broker.last_revocation().map_err(failed)?;
            let revocations = broker.revocations(0).map_err(failed)?;
            let last = revocations.last().map_or(last, |newest| newest.number.max(last));
            let (policy, keys) = (self.policy_texts()?, broker.key_set().to_json());
            *said = Some(Said { epoch: policy.epoch, regrouped, keys: keys.clone(), last });
            let issuer = broker.issuer().to_owned();
            let groups = self.all_groups()?;
            let snapshot = Snapshot { issuer, keys, policy, groups, revocations, last };
            return Ok(vec![Message::Snapshot(Box::new(snapshot))]);
        };
        let mut news = Vec::new();
        for revocation in broker.revocations(said.last).map_err(failed)? {
            said.last = revocation.number;
            news.push(Message::Revoked(revocation));
        }
        let keys = broker.key_set().to_json();
        if keys != said.keys {
            said.keys.clone_from(&keys);
            news.push(Message::Keys(keys));
        }
        if self.policy.current().epoch() != said.epoch {
            let policy = self.policy_texts()?;
            said.epoch = policy.epoch;
            news.push(Message::Policy(policy));
        }
        if regrouped != said.regrouped {
            said.regrouped = regrouped;
            news.push(Message::Groups(self.all_groups()?));
        }
        Ok(news)
    }

    fn policy_texts(&self) -> Result<Policy, ServiceError> {
        let (epoch, sources) = self.policy.loaded(&self.journal)?;
        let mode = self.policy.current().modes().of(Plane::Traffic);
        Ok(Policy { epoch, sources, mode })
    }

    /// Hears of every change of tokens; those of policy and groups are told by [`Service::changes`].
    pub(crate) fn token_changes(self: &Arc<Self>) -> Result<sealock_store::Watch, ServiceError> {
        self.broker()?.changes().map_err(|error| broker_error(&error))
    }
}

impl Said {
    /// That there is nothing more.
    pub(crate) fn beat(&self) -> Message {
        Message::Beat { last: self.last }
    }
}
