//! The doors: connections of apps, and the requests on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{HeaderMap, UPGRADE};
use hyper::{Method, Request};
use sealock_net::proxy::{self, Cut, Refused, Terms, keep_alive};
use sealock_net::{Incoming, Place, Shutdown, accept_with};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use super::address::Own;
use super::elsewhere::Elsewhere;
use super::handle::{Connection, Door};
use super::{Forwarder, LOOK_EVERY};
use crate::http::ids::Ids;
use crate::http::problem::Problem;

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An HTTP proxy: whole URLs, and CONNECT.
    Proxy,
    /// A local port for the service of this name: paths.
    Service(String),
    /// Connections to others that the kernel was told to bring here (see [`Rules`](super::Rules)).
    Transparent,
}

/// Which versions of HTTP are spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    /// As was agreed on in the handshake.
    Http2,
    /// HTTP/2 if the client begins with its preface.
    Either,
}

/// A listener that nobody is led to, as long as this is held.
struct Listening {
    own: Arc<Own>,
    address: SocketAddr,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.own.remove(self.address);
    }
}

impl Forwarder {
    /// Serves until the shutdown signal, then drains: what is under way is finished, upgraded connections and tunnels go on
    /// until the deadline of the drain. One Forwarder may serve any number of listeners.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        entry: Entry,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        let address = listener.local_addr()?;
        self.own.add(address);
        let listening = Listening { own: Arc::clone(&self.own), address };
        let serve = |stream: TcpStream, peer: SocketAddr, _: Place| {
            let (forwarder, shutdown) = (Arc::clone(&self), shutdown.clone());
            let door = match &entry {
                Entry::Proxy => Some(Door::Proxy(Elsewhere::default())),
                Entry::Service(name) => Some(Door::Service(name.clone())),
                Entry::Transparent => None,
            };
            async move {
                let Some(door) = door else {
                    return forwarder.taken(stream, peer, shutdown).await;
                };
                let (port, cut) = (address.port(), Cut::default());
                let connection = Connection { peer, door, port, cut, shutdown };
                forwarder.connection(stream, connection).await;
            }
        };
        let (places, drain) = (self.places.clone(), self.settings.limits.drain);
        let accepting = accept_with("forwarder", listener, places, drain, shutdown.clone(), serve);
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.tokens.look();
                self.routes.load().prune();
                self.look_at_interception();
            }
        };
        tokio::select! {
            () = accepting => {}
            () = looking => {}
        }
        drop(listening);
        Ok(())
    }

    async fn connection(self: &Arc<Self>, stream: TcpStream, connection: Connection) {
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%error, "no keepalive");
        }
        // A proxy is asked for whole URLs, which is HTTP/1.1's way; gRPC goes by a port of its service's own.
        let spoken = match connection.door {
            Door::Proxy(_) => Spoken::Http1,
            _ => Spoken::Either,
        };
        self.talk(stream, connection, spoken).await;
    }

    /// Requests, whatever brings them.
    pub(super) async fn talk<I>(self: &Arc<Self>, stream: I, connection: Connection, spoken: Spoken)
    where
        I: AsyncRead + AsyncWrite,
    {
        let limits = self.settings.limits;
        // An answer that nobody takes would be held, with its place at the service, for as long as the app likes.
        let mut bounded = TimeoutStream::new(stream);
        bounded.set_write_timeout(Some(limits.write));
        let connect = matches!(connection.door, Door::Proxy(_));
        let (cut, shutdown) = (connection.cut.clone(), connection.shutdown.clone());
        let refused = Refused::by(|refusal, _| {
            let ids = Ids::of(&HeaderMap::new());
            Problem::from(refusal).answer(ids.as_ref(), "")
        });
        let terms = Terms { limits, shutdown, cut, may_tunnel, connect, refused };
        let (stream, answer) = (Box::pin(bounded), |request| self.answer(&connection, request));
        match spoken {
            Spoken::Http1 => Box::pin(proxy::serve(stream, terms, answer)).await,
            Spoken::Http2 => Box::pin(proxy::serve_http2(stream, terms, answer)).await,
            Spoken::Either => Box::pin(proxy::serve_either(stream, terms, answer)).await,
        }
    }
}

fn may_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}
