//! Tunnels that end here, by the owner's explicit choice for each host: the requests within go to a service as if they had
//! come plainly.
//!
//! What is in the tunnel must be TLS for the host that the tunnel is for, and each request must be for that host too. The
//! tunnel itself runs as any other does, to this process; so it is cut, counted and drained as they are.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::StatusCode;
use sealock_net::proxy::{Answer, Tunnel};
use sealock_net::tls::speaks_http2;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::Forwarder;
use super::answer::{Body, Served};
use super::destination::Destination;
use super::handle::{Connection, Door};
pub(super) use super::interception::Intercepted;
use super::serve::Spoken;
use crate::http::ids::Ids;
use crate::http::problem::Problem;

/// Ends the work with whatever holds this.
struct Working(JoinHandle<()>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Forwarder {
    /// Answers a CONNECT to a host that we speak for.
    pub(super) async fn intercept(
        self: &Arc<Self>,
        ids: &Ids,
        to: Destination,
        here: &Arc<Intercepted>,
        connection: &Connection,
        mut served: Box<Served>,
    ) -> Answer<Body> {
        let (near, far) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "no tunnel");
                let detail = "there is no room for another tunnel";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_tunnel", detail);
                return self.own_answer(ids, &problem, served);
            }
        };
        self.metrics.tunnel();
        served.access.status = StatusCode::OK.as_u16();
        let door = Door::Within(to);
        let (peer, port, cut) = (connection.peer, connection.port, connection.cut.clone());
        let within = Connection { peer, door, port, cut, shutdown: connection.shutdown.clone() };
        let work = Arc::clone(self).within(far, within, Arc::clone(here));
        let working = Working(tokio::spawn(work));
        Answer::Tunnel(Box::new(Tunnel::within(near).holding((working, served))))
    }

    /// What is said in a tunnel. In a box of its own, because it is the same work as that which begins it.
    fn within(
        self: Arc<Self>,
        stream: UnixStream,
        connection: Connection,
        here: Arc<Intercepted>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            match here.tls.accept(stream, self.settings.limits.handshake).await {
                Ok(stream) => {
                    let is_http2 = speaks_http2(&stream);
                    let spoken = if is_http2 { Spoken::Http2 } else { Spoken::Http1 };
                    self.talk(stream, connection, spoken).await;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(service = here.service, error, "no handshake in a tunnel");
                }
            }
        })
    }

    /// What certificate apps have to trust, PEM, if there is a host that we speak for.
    pub fn interception_authority(&self) -> Option<String> {
        self.routes.load().interception.as_ref().map(|here| here.certificate())
    }

    /// Makes certificates anew that end soon.
    pub(super) fn look_at_interception(&self) {
        if let Some(here) = &self.routes.load().interception
            && let Err(error) = here.renew(self.clock.now())
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "certificates for tunnels cannot be made anew");
        }
    }
}
