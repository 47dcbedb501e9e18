//! Revocation lists and OCSP: the door that is there before the keys are.

use std::sync::Arc;
use std::time::Duration;

use sealock_net::Shutdown;
use tokio::task::JoinSet;

use super::blocking;
use crate::api::{bind_api, serve_revocation};
use crate::config::Listen;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// How often answers are made in advance.
const PRESIGN: Duration = Duration::from_secs(60);

/// Serves from now on, where the settings say so, and gives the address.
pub(super) async fn open(
    service: &Arc<Service>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<Option<String>, ServiceError> {
    let settings = &service.config().settings.revocation;
    let Listen::At(address) = settings.listen else { return Ok(None) };
    let bound = bind_api(address).await.map_err(|error| {
        error.hint("name another with --revocation ADDRESS:PORT, or --revocation off")
    })?;
    let address = bound.address.to_string();
    tasks.spawn(serve_revocation(bound, Arc::clone(service), shutdown.clone()));
    if settings.ocsp {
        tasks.spawn(presign(Arc::clone(service), shutdown.clone()));
    }
    Ok(Some(address))
}

/// Makes answers in advance, as soon as there is an authority, and whenever some are due.
async fn presign(service: Arc<Service>, shutdown: Shutdown) {
    loop {
        let pause = match service.opened_authority() {
            None => Duration::from_secs(1),
            Some(authority) => {
                let work = move || {
                    let made = authority.presign();
                    made.map_err(|error| ServiceError::of(ErrorCode::State, &error))
                };
                match blocking(work).await {
                    Ok(0) => {}
                    Ok(made) => tracing::debug!(made, "OCSP answers"),
                    Err(error) => {
                        tracing::warn!(%error, causes = ?error.causes, "OCSP answers cannot be made");
                    }
                }
                PRESIGN
            }
        };
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
