//! Connections of ours to others: the address that is dialled is looked at, and over TLS who answers.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sealock_net::proxy::{Dial, Dialled};
use sealock_net::tls::{LiveClient, Offer};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::address::{Forbidden, Own};
use super::destination::Destination;
use super::socket;
use super::trust::Revoked;
use crate::broker::keys_of;

/// Of the addresses of a name no more are tried.
const MOST_ADDRESSES: usize = 4;

/// Connects to an address of `to` that may be dialled. `deadline` is for all of it; each address gets its share.
pub(super) async fn reach(
    to: &Destination,
    own: &Own,
    deadline: Duration,
) -> io::Result<TcpStream> {
    let connecting = async {
        let addresses = addresses(to, own).await?;
        let share = deadline / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match timeout(share, socket::connect(address, own.mark)).await {
                Ok(Ok(stream)) => return own.check_dialled(&stream).map(|()| stream),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    };
    timeout(deadline, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Those that may be dialled, of which there is at least one.
async fn addresses(to: &Destination, own: &Own) -> io::Result<Vec<SocketAddr>> {
    let resolved: Vec<SocketAddr> = match to.address() {
        Some(address) => vec![SocketAddr::new(address, to.port())],
        None => lookup_host((to.host(), to.port())).await?.collect(),
    };
    let is_named = to.address().is_some();
    let mut why = None;
    let allowed = resolved.into_iter().filter(|address| match own.check(*address, is_named) {
        Ok(()) => true,
        Err(forbidden) => {
            why = Some(forbidden);
            false
        }
    });
    let allowed: Vec<SocketAddr> = allowed.take(MOST_ADDRESSES).collect();
    match why {
        Some(forbidden) if allowed.is_empty() => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, forbidden))
        }
        _ => Ok(allowed),
    }
}

/// Whether it was the address that was refused, and why.
pub(super) fn forbidden(error: &io::Error) -> Option<Forbidden> {
    error.get_ref()?.downcast_ref().copied()
}

/// How an instance is spoken to over TLS.
pub(super) struct Secured {
    pub(super) client: Arc<LiveClient>,
    /// By this name, `host:port`.
    pub(super) asked: String,
    /// Whoever shows a certificate below one of these is not who it should be.
    pub(super) revoked: Arc<Revoked>,
}

/// Dials one instance of a service.
pub(super) struct Dialler {
    pub(super) to: Destination,
    pub(super) own: Arc<Own>,
    pub(super) deadline: Duration,
    /// Over TLS. None where a token may go in clear text, or there is none.
    pub(super) tls: Option<Secured>,
    /// Whatever is dialled must be this host.
    pub(super) only_here: bool,
}

impl Dial for Dialler {
    fn dial(&self, offer: Offer) -> Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send + '_>> {
        Box::pin(async move {
            let stream = reach(&self.to, &self.own, self.deadline).await?;
            let Some(Secured { client, asked, revoked }) = &self.tls else {
                if self.only_here && !stream.peer_addr()?.ip().to_canonical().is_loopback() {
                    let why = "a token must not go there in clear text";
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                return Ok(Dialled::Tcp(stream));
            };
            let stream = client.connect_for(asked, stream, offer).await?;
            // A session that is gone on with brings the certificates of its beginning.
            if revoked.now().are_in(&keys_of(stream.get_ref().1.peer_certificates())) {
                let why = "its certificate is below a CA that is revoked";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            Ok(Dialled::Tls(Box::new(stream)))
        })
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Dialler").field(&self.to).finish()
    }
}

impl fmt::Display for Dialler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to.fmt(formatter)
    }
}
