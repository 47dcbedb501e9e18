//! The door: connections, their certificates, and the requests on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::{Request, StatusCode};
use sealock_net::proxy::{self, Answer, Terms, sniff};
use sealock_net::tls::LiveServer;
use sealock_net::{Incoming, Limits, Place, Places, Shares, Shutdown, accept_with, descriptors};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::answer::{Body, Failure};
use super::held::Held;
use super::limits::{Entered, Slot};
use super::{Client, Gateway, Guard, Over, Session};

/// What everybody is told who comes without TLS or without a certificate.
pub const NO_CERTIFICATE: &str = "this Docker API is guarded by Sealock: it needs TLS with a client certificate (docker --tlsverify with ca.pem, cert.pem and key.pem)";

/// Connections at once: event streams and attached terminals stay open for days.
pub(super) const CONNECTIONS: usize = 20_000;

/// For the head of the one request in which a connection too many is told so.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// A bound listener.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// Where it listens, with the port that was given to it.
    pub address: SocketAddr,
}

impl Listening {
    /// Binds the address; port 0 is any free one.
    ///
    /// # Errors
    /// The address is taken, not of this host, or needs a privilege.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// Serves until the shutdown signal, then drains.
pub async fn serve<G: Guard>(
    listening: Listening,
    tls: Arc<LiveServer>,
    gateway: Arc<Gateway<G>>,
    shutdown: Shutdown,
) {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let (end, drain) = (shutdown.clone(), limits.drain);
    let serve = move |stream: TcpStream, peer: SocketAddr, place: Place| {
        let (gateway, tls, end) = (Arc::clone(&gateway), Arc::clone(&tls), end.clone());
        async move {
            tracing::debug!(%peer, "connection");
            let terms = Terms { limits, shutdown: end, may_tunnel, ..Terms::default() };
            connection(stream, terms, &tls, &gateway, place).await;
        }
    };
    let places = Places::new(shares(descriptors()));
    accept_with("gateway", listening.listener, places, drain, shutdown, serve).await;
}

/// Strangers have a share of what this process may have open. How many connections an identity has, its budget says.
fn shares(descriptors: usize) -> Shares {
    let strangers = Shares::of(CONNECTIONS.min(descriptors / 2));
    Shares { all: CONNECTIONS, known: CONNECTIONS, identity: CONNECTIONS, ..strangers }
}

async fn connection<G: Guard>(
    stream: TcpStream,
    terms: Terms,
    tls: &LiveServer,
    gateway: &Gateway<G>,
    place: Place,
) {
    let limits = terms.limits;
    let Some(stream) = sniff(stream, limits.handshake, NO_CERTIFICATE).await else { return };
    // In boxes: each layer that a connection passes through would keep room for all of TLS, and the task of a quiet
    // stream that for the handshake.
    let stream = match Box::pin(tls.accept(stream, limits.handshake)).await {
        Ok(stream) => Box::new(stream),
        Err(error) => {
            tracing::debug!(%error, "handshake failed");
            return;
        }
    };
    let chain = stream.get_ref().1.peer_certificates();
    let leaf = chain.and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned());
    let Some(leaf) = leaf else {
        return turn_away(stream, terms, || Failure::bad(NO_CERTIFICATE).into()).await;
    };
    let guard = gateway.guard();
    let session = match guard.identify(leaf).await {
        Ok(session) => session,
        Err(refused) => {
            return turn_away(stream, terms, || Failure::from(refused.clone()).into()).await;
        }
    };
    // There is room for all who are known.
    let _ = place.identify(&session.client().who);
    admitted(stream, terms, gateway, &session).await;
}

/// The requests of somebody who was let in, as far as they are not too many.
pub(super) async fn admitted<I, G>(
    stream: I,
    terms: Terms,
    gateway: &Gateway<G>,
    session: &G::Session,
) where
    I: AsyncRead + AsyncWrite + Unpin,
    G: Guard,
{
    let terms = Terms { cut: session.cut(), ..terms };
    let (guard, client) = (gateway.guard(), session.client());
    match gateway.limiter().enter(&client.who, guard.allowance(&client), Instant::now()) {
        Ok(entered) => {
            proxy::serve(stream, terms, |request| limited(gateway, session, &entered, request))
                .await;
        }
        Err(over) => {
            guard.over(&client, &over).await;
            turn_away(stream, terms, || too_much(&over)).await;
        }
    }
}

/// Serves a stream whose other end is known without a handshake: for trying out what policy says to requests.
pub async fn rehearse<G, I>(stream: I, client: &Client, gateway: &Gateway<G>)
where
    G: Guard,
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let terms = Terms { may_tunnel, ..Terms::default() };
    proxy::serve(stream, terms, |request| gateway.answer(client, request)).await;
}

/// One request, if there may be one more now.
async fn limited<G: Guard>(
    gateway: &Gateway<G>,
    session: &G::Session,
    entered: &Entered,
    request: Request<Incoming>,
) -> Answer<Held<Body, Slot>> {
    let client = session.client();
    let slot = match entered.begin(Instant::now()) {
        Ok(slot) => slot,
        Err(over) => {
            gateway.guard().over(&client, &over).await;
            return holding(too_much(&over), None);
        }
    };
    holding(gateway.answer(&client, request).await, Some(slot))
}

/// The answer, whose slot is taken until it has ended.
fn holding(answer: Answer<Body>, slot: Option<Slot>) -> Answer<Held<Body, Slot>> {
    match answer {
        Answer::Response(response) => Answer::Response(response.map(|body| Held::new(body, slot))),
        Answer::Tunnel(tunnel) => Answer::Tunnel(Box::new(tunnel.holding(slot))),
    }
}

fn too_much(over: &Over) -> Answer<Body> {
    let mut answer = Failure::new(StatusCode::TOO_MANY_REQUESTS, over.to_string()).into();
    if let Answer::Response(response) = &mut answer {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(over.retry_after()));
    }
    answer
}

/// The one request gets this answer, and nothing in it is looked at.
pub(super) async fn turn_away<I, F>(stream: I, terms: Terms, answer: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn() -> Answer<Body>,
{
    // It must not keep its place for long.
    let limits = Limits { head: TOLD_WITHIN, body: TOLD_WITHIN, ..terms.limits };
    let last = || {
        let mut answer = answer();
        if let Answer::Response(response) = &mut answer {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        std::future::ready(answer)
    };
    proxy::serve(stream, Terms { limits, ..terms }, |_: Request<Incoming>| last()).await;
}

/// Attached streams, also of clients that do not ask to upgrade.
pub(super) fn may_tunnel(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    request.headers().contains_key(UPGRADE)
        || path.ends_with("/attach")
        || (path.ends_with("/start") && path.contains("/exec/"))
}
