//! Transparent mode: connections to others that the kernel was told to bring here.
//!
//! Two things say whom the app means: the address that it dialled, and the `Host` of each request. Neither is enough. If
//! `Host` alone decided, a request that was sent anywhere could be led to a service; if the address alone did, a name that
//! somebody points at a service's address would be called with our token (DNS rebinding). So both must agree: the
//! directory has the host, and the address is one that this host or an instance of the service has by our own resolver.
//! Then the request goes to an instance of the service, as from anywhere else; the address that was dialled is not.
//!
//! What goes on without a token goes to the very address that was dialled, if that may be dialled at all: to a host that
//! is passed on to, when it is one of its addresses; or to an address that is allowed by itself ([`Range`]), also when
//! what is sent is not HTTP. Everything else is refused, or closed where there is nothing to answer.
//!
//! [`Range`]: super::Range

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use sealock_net::Shutdown;
use sealock_net::proxy::{Cut, Rewound, keep_alive};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::begun::{Begun, Kind};
use super::destination::Destination;
use super::handle::{Connection, Door, Way, not_listed, plan};
use super::live::To;
use super::report::Access;
use super::routes::{Outlet, Routes};
use super::serve::Spoken;
use super::{Forwarder, dial, entry, original};
use crate::http::ids::Ids;
use crate::http::problem::Problem;

/// For an app to say something at an address that is allowed: at some the other side speaks first.
const SPEAKS_FIRST: Duration = Duration::from_millis(500);
/// Of a service's instances no more are looked at for the address that was dialled.
const MOST_NAMES: usize = 16;

/// A connection that was meant for somebody else.
pub(super) struct Taken {
    /// Where it was going.
    to: SocketAddr,
    /// Our connections there, where requests go on without a token.
    there: OnceLock<Arc<Outlet>>,
}

impl Taken {
    pub(super) const fn new(to: SocketAddr) -> Self {
        Self { to, there: OnceLock::new() }
    }
}

impl Forwarder {
    /// A connection that the kernel has brought.
    pub(super) async fn taken(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: Shutdown,
    ) {
        let to = match original::destination(&stream) {
            Ok(to) => to,
            Err(stray) => {
                self.metrics.closed();
                let stray = &stray as &dyn std::error::Error;
                return tracing::warn!(%peer, error = stray, "a connection is refused");
            }
        };
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%error, "no keepalive");
        }
        let may = self.routes.load().may_direct(to);
        let patience = if may { SPEAKS_FIRST } else { self.settings.limits.head };
        let mut begun = Begun::new(stream);
        let kind = tokio::select! {
            kind = timeout(patience, begun.kind()) => kind,
            () = shutdown.triggered() => return,
        };
        match kind {
            Ok(Ok(Kind::Http)) => {
                let door = Door::Taken(Taken::new(to));
                let (port, cut) = (to.port(), Cut::default());
                let connection = Connection { peer, door, port, cut, shutdown };
                self.talk(begun.whole(), connection, Spoken::Either).await;
            }
            Ok(Ok(Kind::Other)) | Err(_) if may => {
                self.direct(begun.whole(), peer, to, shutdown).await
            }
            Ok(Ok(Kind::Other)) => {
                self.metrics.closed();
                tracing::warn!(%peer, dialled = %to, "closed: it is not HTTP, and this address is not among those that are passed on to");
            }
            Ok(Ok(Kind::Nothing) | Err(_)) | Err(_) => {
                tracing::debug!(%peer, dialled = %to, "nothing was asked");
            }
        }
    }

    /// On to the address that was dialled, as it is.
    async fn direct(
        self: &Arc<Self>,
        mut begun: Rewound<TcpStream>,
        peer: SocketAddr,
        to: SocketAddr,
        shutdown: Shutdown,
    ) {
        let head = Request::builder().method(Method::CONNECT).body(());
        let (Ok(head), Some(ids)) = (head, Ids::of(&hyper::HeaderMap::new())) else { return };
        let (door, port, cut) = (Door::Taken(Taken::new(to)), to.port(), Cut::default());
        let connection = Connection { peer, door, port, cut, shutdown };
        let mut served = self.served(&connection, &ids, &head.into_parts().0, true);
        served.access.destination = Some(to.to_string());
        let there = Destination::at(to);
        let reached = match self.enter(&To::Direct(to), &mut served) {
            Err(problem) => Err(problem),
            Ok(()) => match self.may_dial(to) {
                Err(problem) => Err(problem),
                Ok(()) => dial::reach(&there, &self.own, self.settings.connect)
                    .await
                    .map_err(|error| super::failure::unreached(&there, &error)),
            },
        };
        match reached {
            Ok(mut stream) => {
                self.metrics.tunnel();
                served.access.instance = Some(to.to_string());
                let _ = stream.set_nodelay(true);
                let _ = keep_alive(&stream);
                tokio::select! {
                    () = connection.cut.given() => {}
                    copied = copy_bidirectional(&mut begun, &mut stream) => {
                        if let Ok((_, sent)) = copied {
                            served.access.sent = sent;
                        }
                    }
                }
            }
            Err(problem) => {
                self.metrics.closed();
                served.access.code = Some(problem.code);
                tracing::warn!(%peer, dialled = %to, code = problem.code, "closed");
            }
        }
    }

    /// Finds out what has to be known of names before a request can be led.
    pub(super) async fn learn(&self, taken: &Taken, head: &Parts) {
        let Ok(host) = entry::taken(head, taken.to.port()) else { return };
        let routes = self.routes.load_full();
        let Some(outlet) = routes.outlet(&host) else { return };
        if self.agree(outlet, &host, taken.to) {
            return;
        }
        for name in names(outlet, &host) {
            self.names.learn(name, self.settings.connect).await;
            if self.names.has(name, taken.to.ip(), Instant::now()) {
                return;
            }
        }
    }

    /// Whether the address is one that the host, or an instance of the service, has.
    fn agree(&self, outlet: &Outlet, host: &Destination, to: SocketAddr) -> bool {
        let now = Instant::now();
        names(outlet, host).any(|name| self.names.has(name, to.ip(), now))
    }

    /// Where a request leads, by what it says and by what was dialled.
    pub(super) fn lead_taken(
        &self,
        routes: &Routes,
        taken: &Taken,
        head: &Parts,
        access: &mut Access,
    ) -> Result<(Way, To), Problem> {
        access.destination = Some(taken.to.to_string());
        let host = entry::taken(head, taken.to.port())?;
        access.destination = Some(host.to_string());
        let found = routes.outlet(&host);
        let agreed = found.filter(|outlet| self.agree(outlet, &host, taken.to));
        if let Some(outlet) = agreed
            && let Some(service) = &outlet.service
        {
            let to = To::Service(service.name.clone(), service.audience.clone());
            return Ok((plan(Arc::clone(outlet), &host.header(), head, access)?, to));
        }
        if agreed.is_none() && !routes.may_direct(taken.to) {
            tracing::warn!(dialled = %taken.to, %host, "refused: the host is not listed, or does not have the address that was dialled");
            return Err(match found {
                None => not_listed(),
                Some(_) => {
                    let detail = "the address that was dialled is not one of this host's";
                    Problem::new(StatusCode::FORBIDDEN, "other_address", detail)
                }
            });
        }
        self.may_dial(taken.to)?;
        let there = taken.there.get_or_init(|| {
            let to = Destination::at(taken.to);
            Arc::new(Outlet::without_token(&to, &self.settings, &self.own))
        });
        let to = match agreed {
            Some(_) => To::Pass(host.clone()),
            None => To::Direct(taken.to),
        };
        Ok((plan(Arc::clone(there), &host.header(), head, access)?, to))
    }

    /// Nobody has written this address down as one of this host's.
    pub(super) fn may_dial(&self, to: SocketAddr) -> Result<(), Problem> {
        self.own.check(to, false).map_err(|why| {
            Problem::new(StatusCode::FORBIDDEN, "address_forbidden", why.to_string())
        })
    }
}

/// Whose addresses count for a host.
fn names<'a>(
    outlet: &'a Outlet,
    host: &'a Destination,
) -> impl Iterator<Item = &'a Destination> + 'a {
    let instances = outlet.service.iter().flat_map(|service| &service.instances);
    std::iter::once(host).chain(instances.take(MOST_NAMES))
}
