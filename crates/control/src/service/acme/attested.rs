//! Accounts of containers: the engine's word stands in the place of a challenge (ADR 0054).
//!
//! ```text
//! workload socket → which container it is (attest) → its label `sealock.acme.names` → policy, for each name
//!   → a binding, for one account within the hour → the account, which is that container's
//! an order, and once more its end: does the container run, by that name? → is the name in its label? → policy, by a rule
//! ```
//!
//! **What an attacker controls:** the labels and the name of a container that they may make, and when it ends; a binding that they
//! have stolen before it was used. With that they have an account that is the container's: of the names in its label, as long as
//! it runs. The container's own client is then refused, and the audit log has both.

use sealock_acme::identifier::Identifier;
use sealock_acme::problem::{AcmeProblem, ErrorKind};
use sealock_acme::state::Account;
use sealock_core::SubjectName;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels;
use sealock_delivery::watcher::container_facts;

use super::super::Service;
use super::super::authorize::Asking;
use super::super::choice::Ordering;
use super::admin::{report, worded, written};
use super::orders::About;
use super::{AT_ONCE, service_problem, state_problem};
use crate::caller::{Caller, Door};
use crate::command::{AcmeAttested, Reply};
use crate::config::Listen;
use crate::error::{ErrorCode, ServiceError};

/// Who orders, as policy has them, and what the engine's word is good for.
pub(super) struct Orderer {
    pub(super) caller: Caller,
    /// The names in the label of their container.
    attested: Vec<SubjectName>,
}

impl Orderer {
    /// Whether the container's label lists the very name.
    pub(super) fn attests(&self, identifier: &Identifier) -> bool {
        self.attested.contains(&identifier.to_subject_name())
    }
}

impl Service {
    /// Who orders. A container's account orders nothing once the container is not there, or is another one.
    pub(super) fn acme_orderer(&self, account: &Account) -> Result<Orderer, AcmeProblem> {
        let mut caller = self.acme_caller(account).map_err(|error| service_problem(&error))?;
        let Some(container) = &account.container else {
            return Ok(Orderer { caller, attested: Vec::new() });
        };
        let Some(facts) = self.acme_container(container)? else {
            return Err(gone("the container that this account is of does not run any more"));
        };
        let principal =
            self.container_principal(&facts).map_err(|error| service_problem(&error))?;
        if account.identity.as_ref() != Some(&principal.identity) {
            return Err(gone("the container that this account is of has another name now"));
        }
        let attested = listed(&facts).map_err(|fault| gone(&fault.to_string()))?;
        caller.principal = principal;
        Ok(Orderer { caller, attested: attested.unwrap_or_default() })
    }

    /// What is known of a container that runs now. The engine is asked, whatever was known.
    fn acme_container(&self, id: &str) -> Result<Option<ContainerFacts>, AcmeProblem> {
        let away = || AcmeProblem {
            retry_after: Some(AT_ONCE),
            ..AcmeProblem::new(
                ErrorKind::ServerInternal,
                "the engine does not say whether the container of this account runs: try again",
            )
            .with_status(503)
        };
        let attester = self.attester().get().ok_or_else(away)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| away())?;
        match runtime.block_on(attester.running(id)) {
            Ok(found) => Ok(found.as_ref().map(container_facts)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a container that orders cannot be looked at");
                Err(away())
            }
        }
    }

    /// Moves a container's account on to the container that has got this binding, if that is the same identity.
    pub(crate) fn acme_account_attest(
        &self,
        request: &str,
        account: &Account,
        binding: &str,
    ) -> Result<Account, AcmeProblem> {
        let actor = self.acme_actor(request, account)?;
        let moved = self.opened()?.account_attest(&account.id, binding, &actor);
        moved.map_err(|error| state_problem(&error))
    }

    /// A binding for the container that asks, if policy would give it the names in its label.
    pub(in super::super) fn acme_attest(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        let (Door::Workload, Some(facts)) = (caller.door, &caller.principal.container) else {
            let reason = "only a container has a binding for itself, by the workload socket";
            self.refused_without_policy(caller, request, reason)?;
            return Err(ServiceError::new(ErrorCode::Denied, reason)
                .in_request(request)
                .hint("for others there is `sealock acme eab add`"));
        };
        if !self.config().settings.acme.enabled {
            let text = "there is no ACME server here (acme.enabled)";
            return Err(ServiceError::new(ErrorCode::Unavailable, text));
        }
        let label = format!("{}names", labels::acme::PREFIX);
        let names = listed(facts).map_err(|fault| ServiceError::of(ErrorCode::Usage, &fault))?;
        let names = names.ok_or_else(|| {
            let text = format!("the container has no label {label}");
            ServiceError::new(ErrorCode::Usage, text).hint(format!(
                "whoever starts the container says which names it may order: --label {label}=web.corp.example"
            ))
        })?;
        let actor = self.may_order(caller, request, &names)?;
        let (identity, acme) = (&caller.principal.identity, self.acme()?);
        let made = acme.binding_attest(identity, &facts.id, &actor);
        let (binding, key) = made.map_err(|error| worded(&error))?;
        Ok(Reply::AcmeAttested(Box::new(AcmeAttested {
            binding: report(&binding),
            key: written(&key)?,
            names: names.iter().map(ToString::to_string).collect(),
            directory: self.acme_directory(),
            roots: self.authority()?.trust_bundle_pem(),
        })))
    }

    /// As an order for all these names would be decided on.
    fn may_order(
        &self,
        caller: &Caller,
        request: &str,
        names: &[SubjectName],
    ) -> Result<sealock_core::audit::Actor, ServiceError> {
        let authority = self.authority()?;
        let settings = &self.config().settings;
        let profile = &settings.acme.usual;
        let usual = settings.acme.profiles.get(profile);
        let usual = usual
            .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "there is no usual profile"))?;
        let life = usual.life.min(settings.authority.longest_life);
        let usages = usual.usages;
        let about = About { life, usages, profile, key_type: super::orders::ANY_KEY, issuer: None };
        let first = names.first().map(ToString::to_string).unwrap_or_default();
        let asking = Asking { via: Door::Acme.as_str(), ..Asking::of(caller, request) };
        let ordering = Ordering {
            action: sealock_core::policy::Action::CertIssue,
            names,
            identity: None,
            spare_identity: false,
            usages,
            context: about.context(&first),
        };
        let chosen = self.choose_issuer(&asking, usual.issuer.as_ref(), &ordering)?;
        authority
            .could_issue(chosen.issuer.as_ref(), names, usages)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
        Ok(chosen.granted.actor)
    }

    /// The URL of the directory, by a name that the door has.
    fn acme_directory(&self) -> String {
        let settings = &self.config().settings;
        let daemon = self.daemon.load();
        let bound = daemon.as_ref().and_then(|it| match settings.acme.listen {
            Listen::At(_) => it.acme.clone(),
            Listen::Off => it.api.clone(),
        });
        let port = bound.as_deref().and_then(|it| it.rsplit(':').next()).unwrap_or("8443");
        let names = match settings.acme.listen {
            Listen::At(_) => &settings.acme.names,
            Listen::Off => &settings.api.names,
        };
        let host = names.first().unwrap_or(&self.opening().hostname);
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("https://{host}:{port}/acme/directory")
    }
}

fn listed(facts: &ContainerFacts) -> Result<Option<Vec<SubjectName>>, labels::acme::AcmeFault> {
    labels::acme::names(facts.labels.iter().map(|(key, text)| (key.as_str(), text.as_str())))
}

fn gone(text: &str) -> AcmeProblem {
    AcmeProblem::unauthorized(format!(
        "{text}: in the container that is to have the certificate, `sealock acme eab self` gives a new binding"
    ))
}
