//! Whether a container may be guarded as the service that its labels name.

use sealock_core::policy::{Action, ContainerFacts};
use sealock_core::{Identity, IdentityKind};

use super::Service;
use super::authorize::Asking;
use crate::caller::Door;
use crate::error::{ErrorCode, ServiceError};

impl Service {
    /// The service's identity, and the container's own, where policy lets the container be guarded as that service.
    /// Labels request, policy grants: whoever may set one must not thereby choose an identity. Blocking.
    pub(crate) fn may_be_guarded(
        &self,
        container: &ContainerFacts,
        service: &str,
        request: &str,
    ) -> Result<(Identity, Identity), ServiceError> {
        let principal = self.container_principal(container)?;
        let who = principal.identity.to_string();
        let via = Door::Label.as_str();
        let asking = Asking { who: &who, principal: &principal, via, request };
        let identity = Identity::new(&self.trust_domain(), IdentityKind::Service, service)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
        let resource = self.service_resource(&identity)?;
        self.decide(&asking, Action::GatekeeperServe, vec![resource], &[])?;
        Ok((identity, principal.identity.clone()))
    }
}
