//! The doors: connections of apps, and the requests on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::UPGRADE;
use hyper::{Method, Request};
use sealock_net::proxy::{self, Cut, Terms, keep_alive};
use sealock_net::{Incoming, Shutdown, accept_loop};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use super::address::Own;
use super::handle::Connection;
use super::{Forwarder, LOOK_EVERY};

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An HTTP proxy: whole URLs, and CONNECT.
    Proxy,
    /// A local port for the service of this name: paths.
    Service(String),
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
        let limits = self.settings.limits;
        let accepting =
            accept_loop("forwarder", listener, limits, shutdown.clone(), |stream, peer| {
                let (entry, cut) = (entry.clone(), Cut::default());
                let connection = Connection { peer, entry, port: address.port(), cut };
                let (forwarder, shutdown) = (Arc::clone(&self), shutdown.clone());
                async move { forwarder.connection(stream, connection, shutdown).await }
            });
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.tokens.look();
            }
        };
        tokio::select! {
            () = accepting => {}
            () = looking => {}
        }
        drop(listening);
        Ok(())
    }

    async fn connection(&self, stream: TcpStream, connection: Connection, shutdown: Shutdown) {
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%error, "no keepalive");
        }
        let limits = self.settings.limits;
        // An answer that nobody takes would be held, with its place at the service, for as long as the app likes.
        let mut bounded = TimeoutStream::new(stream);
        bounded.set_write_timeout(Some(limits.write));
        let connect = connection.entry == Entry::Proxy;
        let cut = connection.cut.clone();
        let terms = Terms { limits, shutdown, cut, may_tunnel, connect };
        let (stream, answer) = (Box::pin(bounded), |request| self.answer(&connection, request));
        // A proxy is asked for whole URLs, which is HTTP/1.1's way; gRPC goes by a port of its service's own.
        match connection.entry {
            Entry::Proxy => Box::pin(proxy::serve(stream, terms, answer)).await,
            Entry::Service(_) => Box::pin(proxy::serve_either(stream, terms, answer)).await,
        }
    }
}

fn may_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}
