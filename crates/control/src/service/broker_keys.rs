//! Clients that sign who they are: their public keys, behind policy.

use sealock_core::IdentityKind;
use sealock_traffic::broker::ClientName;
use sealock_traffic::token::{KeySet, KeySetError};

use super::broker::{client_name, client_report};
use super::{Service, broker_error};
use crate::caller::Caller;
use crate::command::{ClientKeys, Reply};
use crate::error::{ErrorCode, ServiceError};

impl Service {
    /// Whether a client may authenticate once more: each time is a record on the disk for minutes.
    pub(crate) fn may_assert(&self, client: &ClientName) -> bool {
        self.assertions.lock().take(client.as_str(), 1, self.journal.clock().now())
    }

    pub(super) fn client_keys(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &ClientKeys,
    ) -> Result<Reply, ServiceError> {
        let name = client_name(&wanted.name)?;
        let keys = keys(&wanted.keys)?;
        let broker = self.broker()?;
        let done = if wanted.add {
            if keys.is_empty() {
                return Err(ServiceError::new(
                    ErrorCode::Usage,
                    "the client has neither secret nor key",
                )
                .hint("`--secret-out FILE`, `--jwks FILE` or `--public-key FILE`"));
            }
            let identity = wanted.identity.as_deref().unwrap_or(name.as_str());
            let identity = self.identity_of(identity, IdentityKind::Service)?;
            let client = Some((&name, Some(&identity)));
            let actor = self.may_manage_clients(caller, request, "add", client)?;
            broker.client_add_keys(&name, &identity, &keys, &actor)
        } else {
            let client = Some((&name, None));
            let actor = self.may_manage_clients(caller, request, "rotate", client)?;
            broker.client_set_keys(&name, &keys, &actor)
        };
        done.map_err(|error| broker_error(&error))?;
        let info = broker.client_info(&name).map_err(|error| broker_error(&error))?;
        Ok(Reply::Client(Box::new(client_report(info))))
    }
}

fn keys(text: &str) -> Result<KeySet, ServiceError> {
    if text.trim().is_empty() {
        return Ok(KeySet::default());
    }
    KeySet::of_client(text.trim().as_bytes()).map_err(|error: KeySetError| {
        ServiceError::new(ErrorCode::Usage, "the client's public keys are not taken")
            .caused_by(&error)
            .maybe_hint(error.hint().map(str::to_owned))
    })
}
