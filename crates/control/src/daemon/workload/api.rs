//! The API's door for containers: the same commands as over HTTPS, asked by whom kernel and engine name.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue};
use sealock_core::policy::ContainerFacts;
use sealock_delivery::watcher::container_facts;
use sealock_net::{Limits, Shutdown, accept_loop, serve_http};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::super::blocking;
use super::session::attested;
use crate::api::{Routes, Streams};
use crate::attest::{AttestError, Socket};
use crate::caller::{Caller, Door};
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;
use crate::turns::Turns;

/// Connections of all containers together; each has its own limit besides.
const CONNECTIONS: usize = 4096;
/// Commands of all containers together. The rest of the daemon has many more threads.
const COMMANDS: usize = 32;
/// Commands of one container.
const COMMANDS_EACH: usize = 4;
/// Those who are turned away and told so at the same time; more are only turned away.
const TOLD: usize = 64;
/// How long that may take.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// What each connection needs.
#[derive(Clone)]
struct Shared {
    routes: Routes,
    limits: Limits,
    shutdown: Shutdown,
    told: Arc<Semaphore>,
}

/// Serves until the shutdown signal, then drains.
pub(super) async fn serve(listener: UnixListener, service: Arc<Service>, shutdown: Shutdown) {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let shared = Shared {
        // Most containers have a network namespace of their own; those that share one with us are not told apart.
        routes: Routes {
            service,
            shutdown: shutdown.clone(),
            turns: Some(Turns::new(COMMANDS_EACH, COMMANDS)),
            acme: None,
            streams: Some(Streams::default()),
            here: false,
            acme_alone: false,
            takes_secrets: false,
        },
        limits,
        shutdown: shutdown.clone(),
        told: Arc::new(Semaphore::new(TOLD)),
    };
    accept_loop("workload.sock", listener, limits, shutdown, move |stream: UnixStream, _| {
        let shared = shared.clone();
        async move { connection(stream, shared).await }
    })
    .await;
}

async fn connection(stream: UnixStream, shared: Shared) {
    match attested(&shared.routes.service, &stream, Socket::Api).await {
        Ok(attested) => {
            let (cut, facts) = (attested.cut(), container_facts(&attested.container));
            let Shared { routes, limits, shutdown, .. } = shared;
            let serving = serve_http(stream, limits, shutdown, |request| {
                let (routes, facts) = (routes.clone(), facts.clone());
                async move {
                    let caller = caller(&routes.service, facts).await;
                    routes.answer(request, caller).await
                }
            });
            tokio::select! {
                () = serving => {}
                () = cut.given() => {}
            }
        }
        Err(error) => turn_away(stream, &error, shared).await,
    }
}

/// Its groups are looked up each time: they may have changed since it connected.
async fn caller(service: &Arc<Service>, facts: ContainerFacts) -> Result<Caller, ServiceError> {
    let service = Arc::clone(service);
    let principal = blocking(move || service.container_principal(&facts)).await?;
    let who = principal.identity.to_string();
    Ok(Caller { who, principal, door: Door::Workload, certificate: None })
}

/// Says why, once, and hangs up; what it does not know of this host is for the log.
async fn turn_away(stream: UnixStream, error: &AttestError, shared: Shared) {
    tracing::debug!(error = error as &dyn std::error::Error, "turned away at the workload socket");
    let Ok(_told) = shared.told.try_acquire() else { return };
    let (routes, refused) = (shared.routes, refused(error));
    let limits = Limits { head: TOLD_WITHIN, body: TOLD_WITHIN, ..shared.limits };
    let serving = serve_http(stream, limits, shared.shutdown, |request| {
        let (routes, refused) = (routes.clone(), refused.clone());
        async move {
            let mut answer = routes.answer(request, Err(refused)).await;
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    });
    let _ = tokio::time::timeout(TOLD_WITHIN, serving).await;
}

fn refused(error: &AttestError) -> ServiceError {
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
