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

/// How often lists are looked at and answers are made in advance.
const ROUND: Duration = Duration::from_secs(60);

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
    tasks.spawn(keep(Arc::clone(service), shutdown.clone()));
    Ok(Some(address))
}

/// Makes lists that lack a revocation or near their end, and answers in advance, as soon as there is an authority:
/// what is in store when its keys are locked must be as true as it can be.
async fn keep(service: Arc<Service>, shutdown: Shutdown) {
    loop {
        let pause = match service.opened_authority() {
            None => Duration::from_secs(1),
            Some(authority) => {
                let work = move || {
                    let made = authority.keep_lists().and_then(|()| authority.presign());
                    made.map_err(|error| ServiceError::of(ErrorCode::State, &error))
                };
                match blocking(work).await {
                    Ok(0) => {}
                    Ok(made) => tracing::debug!(made, "OCSP answers"),
                    Err(error) => {
                        tracing::warn!(%error, causes = ?error.causes, "lists and OCSP answers cannot be made");
                    }
                }
                ROUND
            }
        };
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
