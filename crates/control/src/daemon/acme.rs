//! The listener where there is ACME and nothing else.

use std::sync::Arc;

use sealock_net::Shutdown;
use tokio::task::JoinSet;

use super::tls::ApiTls;
use crate::api::{ApiListener, bind_api, serve_acme};
use crate::config::Listen;
use crate::error::ServiceError;
use crate::service::Service;

/// It is bound and has its certificate.
pub(super) struct Door {
    bound: ApiListener,
    tls: ApiTls,
}

impl Door {
    /// Binds the address, where the settings have one.
    pub(super) async fn open(service: &Arc<Service>) -> Result<Option<Self>, ServiceError> {
        let settings = &service.config().settings.acme;
        let Listen::At(address) = settings.listen else { return Ok(None) };
        let bound = bind_api(address).await.map_err(|error| {
            error.hint("name another by the setting acme.listen, or set it to \"off\"")
        })?;
        let tls = ApiTls::new(Arc::clone(service), "acme", bound.address, &settings.names).await?;
        Ok(Some(Self { bound, tls }))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> String {
        self.bound.address.to_string()
    }

    /// Serves until the shutdown signal; gives what has to be kept fresh.
    pub(super) fn serve(
        self,
        service: &Arc<Service>,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) -> ApiTls {
        let server = self.tls.server();
        tasks.spawn(serve_acme(self.bound, server, Arc::clone(service), shutdown.clone()));
        self.tls
    }
}
