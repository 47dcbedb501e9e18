//! The workload socket: for containers without a certificate, which the kernel tells apart.

use std::sync::Arc;

use sealock_net::proxy::Terms;
use sealock_net::{Limits, Shutdown, accept_loop};
use tokio::net::{UnixListener, UnixStream};

use super::answer::Failure;
use super::listen::{CONNECTIONS, TOLD_WITHIN, admitted, may_tunnel, turn_away};
use super::{Gateway, Guard};

/// Serves until the shutdown signal, then drains.
pub async fn serve_local<G: Guard>(
    listener: UnixListener,
    gateway: Arc<Gateway<G>>,
    shutdown: Shutdown,
) {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let end = shutdown.clone();
    accept_loop("workload socket", listener, limits, shutdown, move |stream: UnixStream, peer| {
        let (gateway, end) = (Arc::clone(&gateway), end.clone());
        async move {
            tracing::debug!(pid = peer.pid(), uid = peer.uid(), "connection");
            connection(stream, limits, &gateway, end).await;
        }
    })
    .await;
}

async fn connection<G: Guard>(
    stream: UnixStream,
    limits: Limits,
    gateway: &Gateway<G>,
    shutdown: Shutdown,
) {
    let terms = Terms { limits, shutdown, may_tunnel, ..Terms::default() };
    match gateway.guard().attest(&stream).await {
        Ok(session) => {
            admitted(stream, terms, gateway, &session).await;
        }
        Err(refused) => {
            let limits = Limits { head: TOLD_WITHIN, body: TOLD_WITHIN, ..limits };
            let answer = || Failure::from(refused.clone()).into();
            turn_away(stream, Terms { limits, ..terms }, answer).await;
        }
    }
}
