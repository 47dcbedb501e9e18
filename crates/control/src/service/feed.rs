//! What a Gatekeeper hears: everything that it decides by, and every change of it.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealock_core::Identity;
use sealock_core::policy::{Action, Plane, Resource};
use sealock_net::tls::public_keys;
use sealock_traffic::broker::{EntryHash, RevokedCas};
use sealock_traffic::feed::{Message, Policy, Snapshot};

use super::{Service, broker_error};
use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};

/// What was said on a feed so far.
#[derive(Debug)]
pub(crate) struct Said {
    epoch: u64,
    regrouped: u64,
    keys: String,
    cas: String,
    last: u64,
    hash: EntryHash,
    /// The number from which on revocations still mattered at the snapshot.
    from: u64,
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
    pub(crate) fn feed(
        &self,
        of: &Identity,
        said: &mut Option<Said>,
    ) -> Result<Vec<Message>, ServiceError> {
        let broker = self.broker()?;
        let failed = |error| broker_error(&error);
        // Before what it counts, so that nothing is taken for said that was not read.
        let regrouped = self.regrouped();
        let (keys, cas) = (broker.key_set().to_json(), self.revoked_cas()?.to_text());
        // With other keys all of it is said anew, under what signs now: its head names the keys.
        let Some(said) = said.as_mut().filter(|said| said.keys == keys) else {
            let (entries, last, hash) = broker.revocation_log().map_err(failed)?;
            let from =
                entries.first().map_or(last.saturating_add(1), |entry| entry.revocation.number);
            let head = broker.revocation_head(last, hash, from, &keys, &cas).map_err(failed)?;
            let revocations = entries.into_iter().map(|entry| entry.signed).collect();
            let policy = self.policy_about(of)?;
            let epoch = policy.epoch;
            let (named, told) = (keys.clone(), cas.clone());
            *said = Some(Said { epoch, regrouped, keys: named, cas: told, last, hash, from });
            let issuer = broker.issuer().to_owned();
            let groups = self.groups_for(&policy)?;
            let snapshot = Snapshot { issuer, keys, policy, groups, revocations, cas, head };
            return Ok(vec![Message::Snapshot(Box::new(snapshot))]);
        };
        let mut news = Vec::new();
        for entry in broker.revocations(said.last).map_err(failed)? {
            (said.last, said.hash) = (entry.revocation.number, EntryHash::of(&entry.signed));
            news.push(Message::Revoked(entry.signed));
        }
        if cas != said.cas {
            said.cas.clone_from(&cas);
            news.push(Message::Cas { cas, head: self.head(said)? });
        }
        let is_newer = self.policy.current().epoch() != said.epoch;
        if is_newer || regrouped != said.regrouped {
            let policy = self.policy_about(of)?;
            let groups = self.groups_for(&policy)?;
            (said.regrouped, said.epoch) = (regrouped, policy.epoch);
            // Never one without the other: a rule about a group holds for those who are known to be in it.
            news.push(Message::Policy { policy, groups });
        }
        Ok(news)
    }

    /// That there is nothing more: how far the list of revocations goes, by which keys, and which CAs are revoked, signed now.
    /// Blocking.
    pub(crate) fn beat(&self, said: &Said) -> Result<Message, ServiceError> {
        Ok(Message::Beat { head: self.head(said)? })
    }

    fn head(&self, said: &Said) -> Result<String, ServiceError> {
        let Said { last, hash, from, keys, cas, .. } = said;
        let head = self.broker()?.revocation_head(*last, *hash, *from, keys, cas);
        head.map_err(|error| broker_error(&error))
    }

    /// Our CAs that are revoked, for those who know the roots and not the inventory. Blocking.
    pub(super) fn revoked_cas(&self) -> Result<RevokedCas, ServiceError> {
        let all = self.authority()?.revoked_cas();
        let all = all.into_iter().filter_map(|(der, ends)| {
            let key = public_keys(&[CertificateDer::from(der)]).pop()?;
            Some((key, u64::try_from(ends.as_secs()).unwrap_or(0)))
        });
        RevokedCas::new(all).map_err(|error| {
            ServiceError::of(ErrorCode::Failed, &error)
                .hint("a new root ends all of them: `sealock ca rotate root`")
        })
    }

    /// The rules that can be about calls of this service, and no others: what others may do elsewhere is not for its
    /// Gatekeeper to know.
    fn policy_about(&self, of: &Identity) -> Result<Policy, ServiceError> {
        let set = self.policy.current();
        let resource = Resource::Service { identity: of.clone(), groups: Vec::new() };
        let sources = set
            .about(Action::HttpCall, &resource)
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        Ok(Policy { epoch: set.epoch(), sources, mode: set.modes().of(Plane::Traffic) })
    }

    /// Who is in the groups that these rules name.
    fn groups_for(&self, policy: &Policy) -> Result<Vec<(Identity, Vec<String>)>, ServiceError> {
        let mut all = self.all_groups()?;
        for (_, groups) in &mut all {
            groups.retain(|group| {
                // A group's name needs no escapes, so it stands in a rule as it is.
                let named = format!("\"{group}\"");
                policy.sources.iter().any(|(_, text)| text.contains(&named))
            });
        }
        all.retain(|(_, groups)| !groups.is_empty());
        Ok(all)
    }

    /// Hears of every change of tokens; those of policy and groups are told by [`Service::changes`].
    pub(crate) fn token_changes(self: &Arc<Self>) -> Result<sealock_store::Watch, ServiceError> {
        self.broker()?.changes().map_err(|error| broker_error(&error))
    }
}
