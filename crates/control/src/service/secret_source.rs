//! Secrets for labels: policy, then the vault. Labels request, policy grants.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sealock_core::SecretName;
use sealock_core::policy::{Action, Principal, Question, Resource};
use sealock_delivery::watcher::{Current, DeliveredSecret, Refusal, SecretSource, WantedSecret};
use sealock_secrets::{VersionState, Wanted};

use super::authorize::Asking;
use super::convert::vault_error;
use super::source::refusal;
use super::{PolicySource, Service};
use crate::caller::Door;
use crate::error::{ErrorCode, ServiceError};

impl SecretSource for PolicySource {
    fn read(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<DeliveredSecret, Refusal>> {
        self.apart(move |service| service.secret_for_label(&wanted))
    }

    fn allowed(&self, wanted: WantedSecret) -> BoxFuture<'_, Result<(), Refusal>> {
        self.apart(move |service| service.may_keep(&wanted))
    }

    fn current(&self, secret: &SecretName) -> Current {
        let Ok(vault) = self.0.vault() else { return Current::Unknown };
        match vault.version_of(secret) {
            Ok(Some(found)) if found.state == VersionState::Live => Current::Version(found.version),
            Ok(_) => Current::Gone,
            Err(_) => Current::Unknown,
        }
    }
}

impl PolicySource {
    /// On a thread that may wait for the disk.
    pub(super) fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Service) -> Result<T, ServiceError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Refusal>> {
        let service = Arc::clone(&self.0);
        async move {
            match tokio::task::spawn_blocking(move || work(&service)).await {
                Ok(outcome) => outcome.map_err(|error| refused(&error)),
                Err(error) => Err(Refusal::Unavailable { reason: error.to_string(), hint: None }),
            }
        }
        .boxed()
    }
}

/// What is not there is asked for again when there is a new version.
pub(super) fn refused(error: &ServiceError) -> Refusal {
    match (error.code, refusal(error)) {
        (ErrorCode::NotFound, Refusal::Unavailable { reason, hint }) => {
            Refusal::Denied { reason, hint }
        }
        (_, refusal) => refusal,
    }
}

impl Service {
    fn secret_for_label(&self, wanted: &WantedSecret) -> Result<DeliveredSecret, ServiceError> {
        let principal = self.container_principal(&wanted.container)?;
        let who = principal.identity.to_string();
        let asking = Asking {
            who: &who,
            principal: &principal,
            via: Door::Label.as_str(),
            request: &wanted.request,
        };
        let resource = Resource::Secret(wanted.secret.clone());
        let granted = self.decide(&asking, Action::SecretRead, vec![resource], &[])?;
        let one = Wanted { name: wanted.secret.clone(), version: None, actor: granted.actor };
        let read = self.vault()?.read(&[one]).map_err(|error| vault_error(&error))?;
        let nothing = || ServiceError::new(ErrorCode::Fault, "the vault did not answer");
        let found = read.into_iter().next().ok_or_else(nothing)?;
        let found = found.map_err(|error| vault_error(&error))?;
        Ok(DeliveredSecret { version: found.version, value: found.value })
    }

    /// Whether the container may still have what it has. Nothing is given out, so nothing is recorded.
    fn may_keep(&self, wanted: &WantedSecret) -> Result<(), ServiceError> {
        let principal: Principal = self.container_principal(&wanted.container)?;
        let resource = Resource::Secret(wanted.secret.clone());
        let question = Question::new(principal, Action::SecretRead, resource)
            .with("via", Door::Label.as_str());
        let policy = self.policy.current();
        if policy.decide(&question).permits() {
            return Ok(());
        }
        let explained = policy.explain(&question);
        Err(ServiceError::new(ErrorCode::Denied, explained.summary)
            .maybe_hint(explained.suggestion))
    }
}
