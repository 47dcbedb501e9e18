//! The API's door for containers: the same commands as over HTTPS, asked by whom kernel and engine name.

use std::sync::Arc;

use sealock_delivery::watcher::container_facts;
use sealock_net::{Limits, Shutdown, accept_loop, serve_http};
use tokio::net::{UnixListener, UnixStream};

use super::super::blocking;
use super::session::attested;
use crate::api::Routes;
use crate::attest::{AttestError, Socket};
use crate::caller::{Caller, Door};
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Connections of all containers together; each has its own limit besides.
const CONNECTIONS: usize = 4096;

/// Serves until the shutdown signal, then drains.
pub(super) async fn serve(listener: UnixListener, service: Arc<Service>, shutdown: Shutdown) {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let routes = Routes { service, shutdown: shutdown.clone() };
    let end = shutdown.clone();
    accept_loop("workload.sock", listener, limits, shutdown, move |stream: UnixStream, _| {
        let (routes, end) = (routes.clone(), end.clone());
        async move { connection(stream, limits, routes, end).await }
    })
    .await;
}

async fn connection(stream: UnixStream, limits: Limits, routes: Routes, shutdown: Shutdown) {
    match attested(&routes.service, &stream, Socket::Api).await {
        Ok(attested) => {
            let (cut, facts) = (attested.cut(), container_facts(&attested.container));
            let serving = serve_http(stream, limits, shutdown, |request| {
                let (routes, facts) = (routes.clone(), facts.clone());
                async move {
                    // Its groups are looked up each time: they may have changed since it connected.
                    let service = Arc::clone(&routes.service);
                    let principal = blocking(move || service.container_principal(&facts)).await;
                    let caller = principal.map(|principal| Caller {
                        who: principal.identity.to_string(),
                        principal,
                        door: Door::Workload,
                    });
                    routes.answer(request, caller).await
                }
            });
            tokio::select! {
                () = serving => {}
                () = cut.given() => {}
            }
        }
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "turned away at the workload socket"
            );
            let refused = turned_away(&error);
            serve_http(stream, limits, shutdown, |request| {
                routes.answer(request, Err(refused.clone()))
            })
            .await;
        }
    }
}

/// What the caller is told; what it does not know of this host is for the log.
fn turned_away(error: &AttestError) -> ServiceError {
    let code = match error {
        AttestError::TooMany { .. } | AttestError::Engine(_) => ErrorCode::Unavailable,
        AttestError::Writable { .. } => ErrorCode::Denied,
        _ => ErrorCode::Unauthenticated,
    };
    let refused = ServiceError::new(code, error.to_string());
    match error {
        AttestError::NoContainer => refused
            .hint("this socket is for containers; on the host, use the state folder (--state)"),
        AttestError::Writable { .. } => refused.hint("mount the folder of the socket read-only"),
        _ => refused,
    }
}
