//! The door: connections, and the requests on them.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use sealock_net::proxy::{self, Refused, Terms, Upstream, keep_alive, sniff};
use sealock_net::tls::{LiveServer, speaks_http2};
use sealock_net::{Place, Shutdown, accept_with};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use super::handle::Connection;
use super::{Gatekeeper, LOOK_EVERY};
use crate::broker::keys_of;

/// What everybody is told who comes without TLS where it is spoken.
const NOT_TLS: &str = "this service is guarded by Sealock: it is called over TLS";

/// What a client speaks.
enum Speaks {
    Http1,
    Http2,
    /// It has not said so before its first word.
    Either,
}

impl Gatekeeper {
    /// Serves until the shutdown signal, then drains: what is under way is finished, upgraded connections go on until the
    /// deadline of the drain. Without `tls` plain HTTP is spoken, for inside a network namespace that is shared with the
    /// caller's Forwarder, or the app's alone.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Arc<LiveServer>>,
        shutdown: Shutdown,
    ) {
        let app = self.app.clone();
        self.serve_before(app, listener, tls, shutdown).await;
    }

    /// As [`Gatekeeper::serve`], with connections to the app that are this listener's alone: for one runtime on each
    /// processor, where a connection and what it leads to are at home together.
    pub async fn serve_before(
        self: Arc<Self>,
        app: Upstream,
        listener: TcpListener,
        tls: Option<Arc<LiveServer>>,
        shutdown: Shutdown,
    ) {
        let serve = |stream: TcpStream, peer: SocketAddr, place: Place| {
            let (gatekeeper, tls) = (Arc::clone(&self), tls.clone());
            let connection = Connection::new(app.clone(), peer, place);
            let shutdown = shutdown.clone();
            async move { gatekeeper.connection(stream, connection, tls, shutdown).await }
        };
        // All listeners share them: which of them a connection comes to is chance.
        let (places, drain) = (self.places.clone(), self.settings.limits.drain);
        let accepting = accept_with("gatekeeper", listener, places, drain, shutdown.clone(), serve);
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.look();
            }
        };
        tokio::select! {
            () = accepting => {}
            () = looking => {}
        }
    }

    async fn connection(
        self: &Arc<Self>,
        stream: TcpStream,
        mut connection: Connection,
        tls: Option<Arc<LiveServer>>,
        shutdown: Shutdown,
    ) {
        let limits = self.settings.limits;
        let Some(tls) = tls else {
            if let Err(error) = keep_alive(&stream) {
                tracing::debug!(%error, "no keepalive");
            }
            return self.requests(stream, connection, shutdown, Speaks::Either).await;
        };
        let Some(stream) = sniff(stream, limits.handshake, NOT_TLS).await else { return };
        // In boxes: each layer that a connection passes through would keep room for all of TLS, and the task of a quiet
        // stream that for the handshake.
        let stream = match Box::pin(tls.accept(stream, limits.handshake)).await {
            Ok(stream) => Box::new(stream),
            Err(error) => return tracing::debug!(%error, "handshake failed"),
        };
        let chain = stream.get_ref().1.peer_certificates();
        connection.certificate = chain.and_then(|chain| chain.first()).map(|leaf| {
            let mut hash = [0; 32];
            hash.iter_mut().zip(digest(&SHA256, leaf).as_ref()).for_each(|(to, from)| *to = *from);
            hash
        });
        connection.chain = keys_of(chain).into();
        connection.is_tls = true;
        let speaks = if speaks_http2(&stream) { Speaks::Http2 } else { Speaks::Http1 };
        self.requests(stream, connection, shutdown, speaks).await;
    }

    async fn requests<I>(
        self: &Arc<Self>,
        stream: I,
        connection: Connection,
        shutdown: Shutdown,
        speaks: Speaks,
    ) where
        I: AsyncRead + AsyncWrite,
    {
        let limits = self.settings.limits;
        // An answer that nobody takes would be held, with its place at the app, for as long as the caller likes.
        let mut bounded = TimeoutStream::new(stream);
        bounded.set_write_timeout(Some(limits.write));
        let cut = connection.cut.clone();
        let (gatekeeper, peer) = (Arc::clone(self), connection.peer);
        let refused =
            Refused::by(move |refusal, version| gatekeeper.refuse(refusal, version, peer));
        let terms = Terms { limits, shutdown, cut, refused, ..Terms::default() };
        let (stream, answer) = (Box::pin(bounded), |request| self.answer(&connection, request));
        // In boxes, for each is as large as the largest.
        match speaks {
            Speaks::Http1 => Box::pin(proxy::serve(stream, terms, answer)).await,
            Speaks::Http2 => Box::pin(proxy::serve_http2(stream, terms, answer)).await,
            Speaks::Either => Box::pin(proxy::serve_either(stream, terms, answer)).await,
        }
    }
}
