//! Requests of one connection, answered or turned into a tunnel.
//!
//! hyper parses requests and writes answers. It is made to give up the connection for a tunnel, and for an
//! answer whose body keeps its client waiting (see [`super::streaming`]), after which it gets it back.
//!
//! How a connection is taken over: the service fails with a private mark, on which hyper writes nothing and
//! gives up the connection (`Dispatcher::poll_catch`). Nothing is lost by that, because hyper was shown this
//! request only and only when all earlier answers had been flushed (see [`super::turn`]); what was written
//! half, a `100 Continue`, is waited for. What the client sent after its request is still with the guard.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::http::StatusCode;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::guard::{Guard, Left};
use super::headers::says_close;
use super::refused::{Refused, in_dockers_words};
use super::turn::{Answering, Turn};
use super::{Cut, Tunnel, close, rest, streaming, tunnel};
use crate::{Incoming, Limits, Shutdown};

/// After the signal to end, for the first request of a connection.
pub(super) const FIRST: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a handler makes of a request.
#[derive(Debug)]
pub enum Answer<B> {
    /// An answer like any other.
    Response(Response<B>),
    /// The connection stops to be HTTP. The request's body must have been read to its end.
    Tunnel(Box<Tunnel>),
}

impl<B> From<Response<B>> for Answer<B> {
    fn from(response: Response<B>) -> Self {
        Self::Response(response)
    }
}

/// Under which terms a connection is served.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What its client may ask of us.
    pub limits: Limits,
    /// Ends it when what is under way has been answered. Tunnels go on, until the deadline of the drain.
    pub shutdown: Shutdown,
    /// Ends it at once.
    pub cut: Cut,
    /// Whether a request may become a tunnel: then its client may end its stream before it has an answer.
    /// The end of any other's stream is taken for its leaving, and the handler's future is dropped.
    pub may_tunnel: fn(&Request<Incoming>) -> bool,
    /// Whether the handler gets to see a CONNECT; otherwise it is refused as malformed.
    pub connect: bool,
    /// What is told of a request that the handler does not get to see, for it means nothing.
    pub refused: Refused,
}

impl Default for Terms {
    /// No signals and no CONNECT; a request may become a tunnel if it has an `Upgrade`.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            shutdown: Shutdown::default(),
            cut: Cut::never(),
            may_tunnel: |request| request.headers().contains_key(UPGRADE),
            connect: false,
            refused: Refused::default(),
        }
    }
}

/// Serves requests, one after another, until either side ends the connection or a signal comes.
///
/// A request that could mean two things to two servers is refused with 400 and the connection is closed;
/// the handler does not see it. The handler's future is dropped when its client leaves.
pub async fn serve<I, F, A, B>(connection: I, terms: Terms, handler: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer<B>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    serve_with(connection, BytesMut::new(), terms, handler).await;
}

/// As [`serve`]; `ahead` was read already.
pub(super) async fn serve_with<I, F, A, B>(connection: I, ahead: BytesMut, terms: Terms, handler: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer<B>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let cut = terms.cut.clone();
    tokio::select! {
        biased;
        () = cut.given() => tracing::debug!("connection cut"),
        () = serve_uncut(connection, ahead, terms, handler) => {}
    }
}

async fn serve_uncut<I, F, A, B>(mut connection: I, mut ahead: BytesMut, terms: Terms, handler: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer<B>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut waiting = None;
    loop {
        // In a box, so that hyper's state is gone while a stream or a tunnel runs, and while nothing does.
        let http = Box::pin(as_http(connection, ahead, waiting, &terms, &handler));
        let Some((mut left, taken)) = http.await else { return };
        let (response, last) = match taken {
            Taken::Rest(is_untouched) => {
                if !rest::until_something_comes(&mut left, is_untouched, &terms).await {
                    return close::orderly(left.io).await;
                }
                (connection, ahead, waiting) = (left.io, left.ahead, left.waiting);
                continue;
            }
            Taken::Tunnel(tunnel) => return tunnel::run(left, *tunnel).await,
            Taken::Stream(response, last) => (response, last),
        };
        let Some(left) = streaming::run(left, unboxed(response), last).await else { return };
        if last {
            return close::orderly(left.io).await;
        }
        (connection, ahead, waiting) = (left.io, left.ahead, None);
    }
}

/// Gives the box back at once, and not at the end of a stream that may last for days.
#[expect(clippy::boxed_local, reason = "it is what this is for")]
fn unboxed<T>(boxed: Box<T>) -> T {
    *boxed
}

/// What a connection was taken from hyper for.
enum Taken<B> {
    Tunnel(Box<Tunnel>),
    /// An answer that keeps its client waiting, and the piece of it that was there at once; after the last
    /// answer the connection is closed.
    Stream(Box<Response<(Option<Frame<Bytes>>, B)>>, bool),
    /// Nothing, for a while; and whether nothing was asked before either.
    Rest(bool),
}

/// Serves until the end, or until the connection is taken over.
async fn as_http<I, F, A, B>(
    connection: I,
    ahead: BytesMut,
    waiting: Option<Instant>,
    terms: &Terms,
    handler: &F,
) -> Option<(Left<I>, Taken<B>)>
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer<B>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let limits = terms.limits;
    let turn = Arc::new(Turn::default());
    let taken = Mutex::new(None);
    let service = service_fn(|request| {
        turn.begin((terms.may_tunnel)(&request));
        let asked = Asked::by(&request);
        let answer = handler(request);
        let (turn, taken) = (Arc::clone(&turn), &taken);
        async move { settle(answer.await, asked, turn, taken).await }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        // The guard has the deadline.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .half_close(false);
    let guard = Guard::new(connection, ahead, waiting, Arc::clone(&turn), limits, terms.connect);
    let mut serving = builder.serve_connection(TokioIo::new(guard), service);
    let ended = {
        let mut shutdown = pin!(terms.shutdown.triggered());
        let working = poll_fn(|cx| match Pin::new(&mut serving).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if turn.rests() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            biased;
            ended = working => ended,
            () = shutdown.as_mut() => {
                // Whoever has just connected is about to ask, and has no reason to try again elsewhere.
                let first = if turn.is_untouched() { FIRST } else { Duration::ZERO };
                Some(match tokio::time::timeout(first, &mut serving).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        Pin::new(&mut serving).graceful_shutdown();
                        (&mut serving).await
                    }
                })
            }
        }
    };
    let parts = serving.into_parts();
    let left = parts.io.into_inner().into_left();
    let Some(ended) = ended else { return Some((left, Taken::Rest(turn.is_untouched()))) };
    let taken = taken.lock().take();
    if let Some(taken) = taken {
        if left.whole && parts.read_buf.is_empty() {
            return Some((left, taken));
        }
        tracing::error!("a handler begins a tunnel before it has read the request");
        let message = "the request was not read";
        let answer = in_dockers_words(StatusCode::INTERNAL_SERVER_ERROR, message);
        close::with_answer(left.io, answer).await;
    } else if let Some(refusal) = left.refusal {
        let answer = terms.refused.tell(refusal, Version::HTTP_11);
        close::with_answer(left.io, answer).await;
    } else if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
        // A client that has a part of an answer must not take it for the whole.
        if !turn.is_unanswered() {
            close::orderly(left.io).await;
        }
    } else {
        close::orderly(left.io).await;
    }
    None
}

/// The mark by which hyper is made to give up the connection.
#[derive(Debug, Error)]
#[error("the connection is taken over")]
struct TakenOver;

/// What of a request decides how it may be answered.
#[derive(Clone, Copy)]
struct Asked {
    upgrade: bool,
    connect: bool,
    /// Chunks can be written as an answer, and there is nothing more to be read of the request.
    streamable: bool,
    close: bool,
}

impl Asked {
    fn by(request: &Request<Incoming>) -> Self {
        let streamable = request.version() == Version::HTTP_11
            && *request.method() != Method::HEAD
            && request.body().is_end_stream();
        Self {
            upgrade: request.headers().contains_key(UPGRADE),
            connect: *request.method() == Method::CONNECT,
            streamable,
            close: says_close(request.headers()),
        }
    }
}

async fn settle<B>(
    answer: Answer<B>,
    asked: Asked,
    turn: Arc<Turn>,
    taken: &Mutex<Option<Taken<B>>>,
) -> Result<Response<Reply<B>>, TakenOver>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let response = match answer {
        // To hyper and to the client it would begin a tunnel, which nobody is at the other end of.
        Answer::Response(response) if asked.connect && response.status().is_success() => {
            tracing::error!("a handler answers a CONNECT with success and no tunnel");
            let mut response = Response::new(Reply::of(None, turn));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(response);
        }
        Answer::Response(response) => response,
        Answer::Tunnel(tunnel) if asked.upgrade || !tunnel.switches() => {
            turn.until_flushed().await;
            *taken.lock() = Some(Taken::Tunnel(tunnel));
            return Err(TakenOver);
        }
        Answer::Tunnel(_) => {
            tracing::error!("a handler answers 101 to a request that did not ask to upgrade");
            let mut response = Response::new(Reply::of(None, turn));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(response);
        }
    };
    let (mut parts, mut body) = response.into_parts();
    let last = turn.release_end();
    let has_length = body.size_hint().exact().is_some();
    let mut early = VecDeque::new();
    let (mut whole, mut broken) = (false, None);
    if asked.streamable && !has_length && may_have_a_body(parts.status) {
        // What is there at once is no stream that waits: the first piece, and the next or the end.
        for _ in 0..2 {
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
                Poll::Ready(Some(Ok(frame))) => early.push_back(frame),
                Poll::Ready(Some(Err(error))) => broken = Some(error.into()),
                Poll::Ready(None) => whole = true,
                Poll::Pending => {
                    turn.until_flushed().await;
                    let last = last || asked.close || says_close(&parts.headers);
                    let response = Response::from_parts(parts, (early.pop_front(), body));
                    *taken.lock() = Some(Taken::Stream(Box::new(response), last));
                    return Err(TakenOver);
                }
            }
            if whole || broken.is_some() || body.is_end_stream() {
                break;
            }
        }
    }
    if last {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut reply = Reply::of((!whole).then_some(body), turn);
    reply.early = early;
    if let Some(error) = broken {
        reply.breaks(error);
    }
    Ok(Response::from_parts(parts, reply))
}

fn may_have_a_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// An answer's body, which says when hyper is done with it.
struct Reply<B> {
    body: Option<B>,
    /// What was there before hyper asked.
    early: VecDeque<Frame<Bytes>>,
    /// How the body broke off.
    broken: Option<BoxError>,
    answering: Answering,
}

impl<B> Reply<B> {
    fn of(body: Option<B>, turn: Arc<Turn>) -> Self {
        Self { body, early: VecDeque::new(), broken: None, answering: Answering(turn) }
    }

    /// When the body breaks off, hyper drops what it has not written. So it is told only when the client
    /// has what came before: that may be what explains it.
    fn breaks(&mut self, error: BoxError) {
        self.broken = Some(error);
        self.answering.0.wait_for_flush();
    }
}

impl<B> Body for Reply<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.early.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.broken.is_none() {
            let body = self.body.as_mut().map(|body| Pin::new(body).poll_frame(cx));
            match ready!(body.unwrap_or(Poll::Ready(None))) {
                Some(Err(error)) => self.breaks(error.into()),
                frame => return Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            }
        }
        if self.answering.0.waits() {
            return Poll::Pending;
        }
        Poll::Ready(self.broken.take().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.early.is_empty()
            && self.broken.is_none()
            && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let early = self.early.iter().filter_map(Frame::data_ref);
        let early: u64 = early.map(|data| data.len() as u64).sum();
        let rest = match &self.body {
            _ if self.broken.is_some() => None,
            None => Some(0),
            Some(body) => body.size_hint().exact(),
        };
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(early + rest))
    }
}
