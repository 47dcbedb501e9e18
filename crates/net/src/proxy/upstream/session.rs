//! Connections of HTTP/2 to a server, each for many requests at once.
//!
//! Such a connection has a task of its own, for nobody who uses it may drive it alone. It ends when the server says
//! so or breaks off, or when it is in nobody's hands any more. A request is sent once more, on another connection,
//! if the server has not acted on it: it had nothing of it, has refused the stream (REFUSED_STREAM), or has said
//! which was the last one that it takes (GOAWAY), RFC 9113 §8.7; and its body must be here as a whole ([`lent`](super::lent)).

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TE};
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::body::Streamed;
use super::lent::{Lent, Loan, lend};
use super::link::{Link, LinkError};
use super::stream::Stream;
use super::{Pool, RequestBody, UpstreamBody, UpstreamError, is_safe};
use crate::proxy::headers;
use crate::proxy::http2::TakesTrailers;
use crate::tls::Offer;

/// Requests at once on one connection, before another one is made. The least that a server should take
/// (RFC 9113 §6.5.2); of one that takes fewer the rest waits.
const REQUESTS: usize = 100;
/// What a server may send of one answer before somebody takes it; the connection's window is as large as those of
/// all, so that none holds up the others.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * REQUESTS as u32;
/// What may wait here of one request's body.
const SEND_BUFFER: usize = 64 * 1024;
/// Bytes of an answer's head.
const HEAD: u32 = 128 * 1024;
/// Between two questions whether a server is still there, while it has requests, and for its answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// The connections.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<Vec<Session>>,
    /// Held by who makes one, for those that come meanwhile will find room on it.
    making: tokio::sync::Mutex<()>,
    /// The server has chosen HTTP/1.1 the last time: each request needs a connection of its own, and nobody waits.
    is_http1: AtomicBool,
}

#[derive(Clone)]
struct Session {
    sender: SendRequest<Lent>,
    running: Arc<AtomicUsize>,
    scheme: Scheme,
}

/// A request's place on a connection, as long as this is held.
pub(super) struct Place {
    session: Session,
    /// It was made for this request.
    is_new: bool,
}

impl Place {
    fn on(session: &Session, is_new: bool) -> Self {
        session.running.fetch_add(1, Ordering::AcqRel);
        Self { session: session.clone(), is_new }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.session.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What came of connecting.
pub(super) enum Connected {
    Session(Place),
    /// The server wants HTTP/1.1.
    Link(Box<Link>),
}

impl Sessions {
    /// Room on a connection. Those that came first are filled first, so that the others become idle and end.
    pub(super) fn place(&self) -> Option<Place> {
        let mut open = self.open.lock();
        open.retain(|session| !session.sender.is_closed());
        let is_free = |session: &&Session| session.running.load(Ordering::Acquire) < REQUESTS;
        open.iter().find(is_free).map(|session| Place::on(session, false))
    }

    /// The one with the fewest requests.
    fn least(&self) -> Option<Place> {
        let open = self.open.lock();
        let running = |session: &&Session| session.running.load(Ordering::Acquire);
        open.iter().min_by_key(running).map(|session| Place::on(session, false))
    }

    /// No request goes there any more.
    fn forget(&self, place: &Place) {
        let is_other = |session: &Session| !Arc::ptr_eq(&session.running, &place.session.running);
        self.open.lock().retain(is_other);
    }

    /// None is used for requests to come. Those that run go on.
    pub(super) fn forget_all(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        drop(open);
    }
}

impl Pool {
    /// Room for one more request: on a connection that is there, or a new one. `offer`: whether the server may choose
    /// HTTP/1.1.
    pub(super) async fn connected(&self, offer: Option<Offer>) -> Result<Connected, UpstreamError> {
        let deadline = self.settings.connect;
        let late = || UpstreamError::Deadline { address: self.address.clone(), deadline };
        let is_http1 = self.sessions.is_http1.load(Ordering::Relaxed);
        let turn = match is_http1 && offer.is_some() {
            true => None,
            false => {
                Some(timeout(deadline, self.sessions.making.lock()).await.map_err(|_| late())?)
            }
        };
        if let Some(place) = self.sessions.place() {
            return Ok(Connected::Session(place));
        }
        if self.sessions.open.lock().len() >= self.settings.idle.max(1)
            && let Some(place) = self.sessions.least()
        {
            return Ok(Connected::Session(place));
        }
        let stream = self.dial(offer.unwrap_or(Offer::Http2)).await?;
        let is_http1 = offer.is_some() && !stream.speaks_http2();
        self.sessions.is_http1.store(is_http1, Ordering::Relaxed);
        if is_http1 {
            return Ok(Connected::Link(Link::new(stream)));
        }
        let session = self.session(stream).await.map_err(|error| self.broken(error.into()))?;
        let place = Place::on(&session, true);
        self.sessions.open.lock().push(session);
        drop(turn);
        Ok(Connected::Session(place))
    }

    async fn session(&self, stream: Stream) -> hyper::Result<Session> {
        let scheme = if stream.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(REQUESTS)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEAD);
        // Servers of gRPC hang up on who asks them too often, and one on this host need not be asked.
        if self.settings.versions.is_ours() {
            builder.keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_WITHIN);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a server ended");
            }
        });
        Ok(Session { sender, running: Arc::default(), scheme })
    }

    /// Sends a request over HTTP/2. Where that was not acted on, once more.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        place: Place,
        request: &mut Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (is_new, is_bare) = (place.is_new, hyper::body::Body::is_end_stream(request.body()));
        let failed = match self.try_exchange(place, request).await {
            Ok(response) => return Ok(response),
            Err(failed) => failed,
        };
        let may_repeat = failed.is_untouched || (is_bare && !is_new && is_safe(request));
        if !(failed.is_whole && may_repeat) {
            return Err(failed.error);
        }
        tracing::debug!(error = &failed.error as &dyn Error, "a request is sent once more");
        let Connected::Session(place) = self.connected(None).await? else {
            return Err(failed.error);
        };
        self.try_exchange(place, request).await.map_err(|failed| failed.error)
    }

    async fn try_exchange(
        self: &Arc<Self>,
        mut place: Place,
        request: &mut Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, Failed> {
        let head = head(request, &place.session.scheme);
        let body = std::mem::replace(request.body_mut(), RequestBody::empty());
        let (lent, loan) = lend(body);
        let outgoing = head.map(|()| lent);
        let failure = match place.session.sender.try_send_request(outgoing).await {
            Ok(response) => return Ok(self.streamed(response, place, loan)),
            Err(failure) => failure,
        };
        let had_nothing = failure.message().is_some();
        let failure = failure.into_error();
        let is_untouched = had_nothing || is_unprocessed(&failure);
        if is_untouched || failure.is_closed() {
            self.sessions.forget(&place);
        }
        if let Some(source) = loan.failure() {
            let error = UpstreamError::Request(source);
            return Err(Failed { error, is_untouched: false, is_whole: false });
        }
        let body = loan.take_back();
        let is_whole = body.is_some();
        *request.body_mut() = body.unwrap_or_else(RequestBody::empty);
        let error = self.broken(LinkError::from(failure));
        Err(Failed { error, is_untouched, is_whole })
    }

    fn streamed(
        self: &Arc<Self>,
        mut response: Response<hyper::body::Incoming>,
        place: Place,
        loan: Loan,
    ) -> Response<UpstreamBody> {
        headers::strip_hop_by_hop(response.headers_mut());
        loan.keep_no_more();
        // What the next connection speaks is its own affair.
        *response.version_mut() = Version::HTTP_11;
        response
            .map(|body| UpstreamBody::streamed(Streamed::new(body, place, loan), Arc::clone(self)))
    }
}

/// Why there is no answer, and what became of the request.
struct Failed {
    error: UpstreamError,
    /// The server has not acted on it.
    is_untouched: bool,
    /// Its body is back.
    is_whole: bool,
}

/// Whether the server says so (RFC 9113 §8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
            let is_above_the_last = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
            return error.is_remote() && (is_refused || is_above_the_last);
        }
        cause = error.source();
    }
    false
}

/// A head as HTTP/2 has it, of one as HTTP/1.1 has it.
fn head(request: &Request<RequestBody>, scheme: &Scheme) -> Request<()> {
    let mut fields: HeaderMap = request.headers().clone();
    headers::strip_hop_by_hop(&mut fields);
    for name in [EXPECT, CONTENT_LENGTH] {
        fields.remove(name);
    }
    let host = fields.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = authority.unwrap_or_else(|| Authority::from_static("localhost"));
    let target = request.uri().path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if request.extensions().get::<TakesTrailers>().is_some() {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    let uri = Uri::builder().scheme(scheme.clone()).authority(authority).path_and_query(target);
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    // Each of the parts is one already.
    *head.uri_mut() = uri.build().unwrap_or_default();
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = fields;
    head
}
