//! A pooled client to one server: the engine's socket, or a TCP address with or without TLS.
//!
//! HTTP/1.1, or HTTP/2 where [`Versions`] says so (see [`session`]).
//!
//! A connection of HTTP/1.1 has no task of its own: whoever waits for an answer or reads its body drives it, in the
//! task of the client's connection. So there is no hand-over between tasks, backpressure is that of the
//! sockets, and an answer that nobody wants any more takes its connection with it.
//!
//! The server is trusted with what it is sent, but not to be well: it may be away, hang, die in the middle,
//! or come back. No error here is final for the [`Upstream`].

mod body;
mod head;
mod lent;
mod link;
mod sending;
mod session;
mod stream;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::StatusCode;
use hyper::{Method, Request, Response, Version};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::timeout;

pub use body::{RequestBody, UpstreamBody};
pub(super) use head::fuzz as fuzz_head;
use link::{Link, LinkError};
use session::{Connected, Sessions};
pub(super) use stream::Stream;
pub use stream::{Dial, Dialled};

use super::headers;
use crate::tls::{LiveClient, Offer};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a server is.
#[derive(Debug, Clone)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
    /// Host and port, over TLS: the server is authenticated, and we are where the settings have a
    /// certificate.
    Tls(String, Arc<LiveClient>),
    /// Whoever dials knows: which addresses may be dialled, and who has to be there.
    Dialled(Arc<dyn Dial>),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(address) | Self::Tls(address, _) => write!(formatter, "tcp://{address}"),
            Self::Dialled(dial) => write!(formatter, "{dial}"),
        }
    }
}

/// Why there is no answer of the server's.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// Nobody listens there, or the TLS handshake fails: 503.
    #[error("cannot reach {address}")]
    Unreachable {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It did not accept the connection in time: 503.
    #[error("{address} did not accept a connection within {} s", .deadline.as_secs_f32())]
    Deadline {
        /// Where.
        address: Address,
        /// How long we waited.
        deadline: Duration,
    },
    /// It hung up before or in its answer, or what it answered is not HTTP: 502.
    #[error("the connection to {address} broke")]
    Broken {
        /// Where.
        address: Address,
        /// How.
        #[source]
        source: BoxError,
    },
    /// Nothing can be upgraded where only HTTP/2 is spoken: 501.
    #[error("{address} is spoken to in HTTP/2, where nothing can be upgraded")]
    NoUpgrade {
        /// Where.
        address: Address,
    },
    /// The request's own body broke off, so the client is to blame, or gone: 400.
    #[error("the body of the request broke off")]
    Request(#[source] BoxError),
}

impl UpstreamError {
    /// Whether no connection was made, so that the server has nothing of the request.
    pub const fn is_unreached(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Deadline { .. })
    }
}

/// How to deal with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// For a connection to be accepted.
    pub connect: Duration,
    /// Connections of HTTP/1.1 kept for later while nobody needs them, and of HTTP/2 at most.
    pub idle: usize,
    /// What is spoken.
    pub versions: Versions,
}

/// Which version of HTTP is spoken to a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versions {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, of which it is known that the server speaks it (RFC 9113 §3.3).
    Http2,
    /// What the server chooses in the TLS handshake. HTTP/1.1 without TLS.
    Agreed,
    /// That of each request: for a server that speaks both, in clear text.
    AsAsked,
}

impl Versions {
    /// Between proxies of ours.
    const fn is_ours(self) -> bool {
        matches!(self, Self::Agreed | Self::AsAsked)
    }
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), idle: 64, versions: Versions::Http1 }
    }
}

/// A server that requests are forwarded to. Clones share its connections.
#[derive(Clone)]
pub struct Upstream(Arc<Pool>);

#[expect(clippy::vec_box, reason = "a link moves between the pool and bodies, and is large")]
struct Pool {
    address: Address,
    settings: UpstreamSettings,
    /// The latest last: it is the most likely to be alive.
    idle: Mutex<Vec<Box<Link>>>,
    sessions: Sessions,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Upstream").field(&self.0.address).finish()
    }
}

/// A connection that has switched to another protocol.
#[derive(Debug)]
pub struct Upgraded {
    /// The server's answer, 101. What concerns the connection is still in it.
    pub head: Response<()>,
    pub(super) stream: Stream,
    /// What the server said right after its answer.
    pub(super) read_ahead: Bytes,
}

/// What came of asking to upgrade.
#[derive(Debug)]
pub enum Upgrade {
    /// The server switched.
    Switched(Box<Upgraded>),
    /// It answered like any other time: an error, for the most part.
    Refused(Response<UpstreamBody>),
}

impl Upstream {
    /// Connects when there is something to send.
    pub fn new(address: Address, settings: UpstreamSettings) -> Self {
        let (idle, sessions) = (Mutex::default(), Sessions::default());
        Self(Arc::new(Pool { address, settings, idle, sessions }))
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Hangs up on the connections that nobody needs now: those to come are made anew, for instance with
    /// other certificates. What is under way is not touched.
    pub fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.0.idle.lock());
        drop(idle);
        self.0.sessions.forget_all();
    }

    /// Forwards a request and gives the answer as soon as its head is there; the bodies stream both ways.
    /// Its target is sent as it is. What concerns the client's connection is taken out of the headers, and
    /// what concerns the server's out of the answer's.
    ///
    /// A connection from the pool may turn out dead. Then a request without a body is sent once more, on a
    /// new one, if nothing of it was sent or it is a GET or HEAD.
    pub async fn forward(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        self.try_forward(&mut request).await
    }

    /// As [`Upstream::forward`]. When the server cannot be reached ([`UpstreamError::is_unreached`]), the
    /// request is still whole and can be sent elsewhere. Its head stays in any case, with what concerns this
    /// connection, which the next one replaces.
    pub async fn try_forward(
        &self,
        request: &mut Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let offer = match self.0.settings.versions {
            Versions::Http1 => return self.over_http1(request, None).await,
            Versions::AsAsked if request.version() != Version::HTTP_2 => {
                return Box::pin(self.over_http1(request, None)).await;
            }
            Versions::Http2 | Versions::AsAsked => None,
            Versions::Agreed => Some(Offer::Either),
        };
        // In a box, as the other one above: what is always room for is only what most requests need.
        Box::pin(self.over_either(request, offer)).await
    }

    /// On a connection of HTTP/2 where there is one, or is by choice of the server.
    async fn over_either(
        &self,
        request: &mut Request<RequestBody>,
        offer: Option<Offer>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        if let Some(place) = self.0.sessions.place() {
            return self.0.exchange(place, request).await;
        }
        if offer.is_some() && self.0.has_idle() {
            return self.over_http1(request, None).await;
        }
        match self.0.connected(offer).await? {
            Connected::Session(place) => self.0.exchange(place, request).await,
            Connected::Link(link) => self.over_http1(request, Some(link)).await,
        }
    }

    /// `fresh`: a connection that nothing was sent on.
    async fn over_http1(
        &self,
        request: &mut Request<RequestBody>,
        fresh: Option<Box<Link>>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        prepare(request);
        if fresh.is_none()
            && let Some(mut link) = self.0.take()
        {
            let is_bare = request.body().is_end_stream();
            let failure = match link.exchange(request).await {
                Ok(response) => return self.answer(response, link),
                Err(failure) => failure,
            };
            tracing::debug!(%failure, "a pooled connection was dead");
            // Of any other request nobody knows what became of it.
            if !is_bare || !(link.is_untouched() || is_safe(request)) {
                return Err(self.0.broken(failure));
            }
        }
        let mut link = match fresh {
            Some(link) => link,
            // Seldom, and a handshake takes much room.
            None => Link::new(Box::pin(self.0.dial(Offer::Http1)).await?),
        };
        match link.exchange(request).await {
            Ok(response) => self.answer(response, link),
            Err(failure) => Err(self.0.broken(failure)),
        }
    }

    /// Asks to switch to `protocol`, on a connection of its own.
    pub async fn upgrade(
        &self,
        mut request: Request<RequestBody>,
        protocol: HeaderValue,
    ) -> Result<Upgrade, UpstreamError> {
        self.try_upgrade(&mut request, protocol).await
    }

    /// As [`Upstream::upgrade`], with what [`Upstream::try_forward`] says of the request.
    pub async fn try_upgrade(
        &self,
        request: &mut Request<RequestBody>,
        protocol: HeaderValue,
    ) -> Result<Upgrade, UpstreamError> {
        if self.0.settings.versions == Versions::Http2 {
            return Err(UpstreamError::NoUpgrade { address: self.0.address.clone() });
        }
        prepare(request);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, protocol);
        let mut link = Link::new(self.0.dial(Offer::Http1).await?);
        let response = link.exchange(request).await.map_err(|failure| self.0.broken(failure))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(response, link).map(Upgrade::Refused);
        }
        let (stream, read_ahead) = link.into_stream();
        Ok(Upgrade::Switched(Box::new(Upgraded { head: response, stream, read_ahead })))
    }

    fn answer(
        &self,
        mut response: Response<()>,
        link: Box<Link>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.0.broken(LinkError::Unasked));
        }
        headers::strip_hop_by_hop(response.headers_mut());
        let body = UpstreamBody::new(link, Arc::clone(&self.0));
        Ok(response.map(|()| body))
    }
}

impl Pool {
    /// A new connection.
    async fn dial(&self, offer: Offer) -> Result<Stream, UpstreamError> {
        let deadline = self.settings.connect;
        let connected = timeout(deadline, Stream::connect(&self.address, offer)).await;
        let address = || self.address.clone();
        connected
            .map_err(|_| UpstreamError::Deadline { address: address(), deadline })?
            .map_err(|source| UpstreamError::Unreachable { address: address(), source })
    }

    fn has_idle(&self) -> bool {
        !self.idle.lock().is_empty()
    }

    fn take(&self) -> Option<Box<Link>> {
        loop {
            let mut link = self.idle.lock().pop()?;
            if link.is_reusable() {
                return Some(link);
            }
        }
    }

    fn put(&self, link: Box<Link>) {
        let link = link.rest();
        let mut idle = self.idle.lock();
        if idle.len() < self.settings.idle {
            idle.push(link);
        }
    }

    fn broken(&self, failure: LinkError) -> UpstreamError {
        match failure {
            LinkError::Request(source) => UpstreamError::Request(source),
            failure => {
                UpstreamError::Broken { address: self.address.clone(), source: failure.into() }
            }
        }
    }
}

/// Leaves only what is between the client and the server, and says how the body is framed.
fn prepare(request: &mut Request<RequestBody>) {
    let length = request.body().size_hint().exact();
    let usual = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let headers = request.headers_mut();
    headers::strip_hop_by_hop(headers);
    // We answered 100 ourselves, or will when the server begins to read.
    headers.remove(EXPECT);
    // The body knows its length better than a header that somebody may have forgotten.
    headers.remove(CONTENT_LENGTH);
    match length {
        // A body that is always empty is not announced, but where it is usual.
        Some(0) if !usual => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_static("localhost"));
    }
}

fn is_safe(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}
