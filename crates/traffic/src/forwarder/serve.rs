//! The doors: connections of apps, and the requests on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::UPGRADE;
use hyper::{Method, Request};
use sealock_net::proxy::{self, Cut, Terms, keep_alive};
use sealock_net::{Incoming, Shutdown, accept_loop};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use super::address::Own;
use super::handle::{Connection, Door};
use super::{Forwarder, LOOK_EVERY};

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
                let (forwarder, shutdown) = (Arc::clone(&self), shutdown.clone());
                let door = match &entry {
                    Entry::Proxy => Some(Door::Proxy),
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
            });
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.tokens.look();
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
        self.talk(stream, connection).await;
    }

    /// Requests, whatever brings them.
    pub(super) async fn talk<I>(self: &Arc<Self>, stream: I, connection: Connection)
    where
        I: AsyncRead + AsyncWrite,
    {
        let limits = self.settings.limits;
        // An answer that nobody takes would be held, with its place at the service, for as long as the app likes.
        let mut bounded = TimeoutStream::new(stream);
        bounded.set_write_timeout(Some(limits.write));
        let connect = matches!(connection.door, Door::Proxy);
        let (cut, shutdown) = (connection.cut.clone(), connection.shutdown.clone());
        let terms = Terms { limits, shutdown, cut, may_tunnel, connect };
        proxy::serve(Box::pin(bounded), terms, |request| self.answer(&connection, request)).await;
    }
}

fn may_tunnel(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}
