//! Requests of one HTTP/2 connection (RFC 9113), many at a time.
//!
//! hyper and `h2` speak the protocol. All that a connection needs runs in its one task, as over HTTP/1.1: what
//! is answered is polled here ([`tasks`]), so nothing outlives its connection.
//!
//! A handler sees a request as it would over HTTP/1.1: the target is a path and the host is in `Host`
//! ([`request`]). Each stream has a [`Cut`] of its own, which the handler finds by [`Cut::of_stream`]: several
//! callers may share a connection, and the end of one of them is not that of the others.
//!
//! What an attacker could want, and what is there against it:
//!
//! | | |
//! |---|---|
//! | many streams at once | [`Limits::streams`] |
//! | streams that are opened and reset (CVE-2023-44487) | those that were not begun: `h2` counts them; those that were: so many, more with time and with each that was answered ([`tasks`]), then the connection goes |
//! | a head without end (CONTINUATION), or one that unpacks into much | `h2` counts both against [`Limits::head_bytes`] |
//! | windows that never open | an answer that is not taken is reset after [`Limits::write`]; no more than a small piece of each waits here |
//! | pings and settings without end | `h2` answers one after another, and reads no further while it cannot |
//! | silence | a connection without a request ends after [`Limits::head`]; a peer that is gone does not answer a ping |
//!
//! The body of a request may be silent for as long as its answer goes on, as streams of calls are; whoever waits
//! for the beginning of an answer has a deadline of its own for it.

mod request;
mod tasks;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::Body;
use hyper::header::CONTENT_LENGTH;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

pub(super) use request::TakesTrailers;
use request::as_http1;
use tasks::{Reply, Tasks};

use super::rewound::Rewound;
use super::serve::{Answer, FIRST, Terms, serve_with};
use crate::Incoming;
use crate::Limits;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a client begins with that knows that HTTP/2 is spoken (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What may come of one request's body before the handler takes it. No stream can use up the connection's
/// window for the others: that is as large as all of theirs.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What `h2` holds of one answer that the client does not take.
const SEND_BUFFER: usize = 64 * 1024;
/// Between two questions whether the peer is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// For it to say so.
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// As [`serve`](super::serve()), for a connection whose client has chosen HTTP/2 in the TLS handshake.
///
/// [`Terms::may_tunnel`] and [`Terms::connect`] mean nothing here: there are no tunnels over HTTP/2, and a
/// handler that begins one has its request answered by 500.
pub async fn serve_http2<I, F, A, B>(connection: I, terms: Terms, handler: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A + Sync,
    A: Future<Output = Answer<B>> + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let cut = terms.cut.clone();
    tokio::select! {
        biased;
        () = cut.given() => tracing::debug!("connection cut"),
        () = Box::pin(serve_uncut(connection, &terms, &handler)) => {}
    }
}

/// Serves HTTP/2 to a client that begins with its preface (RFC 9113 §3.3, prior knowledge), and HTTP/1.1 to any
/// other one. For connections without TLS.
pub async fn serve_either<I, F, A, B>(mut connection: I, terms: Terms, handler: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A + Sync,
    A: Future<Output = Answer<B>> + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    // Whoever has just connected is about to ask, and has no reason to try again elsewhere.
    let too_late = async {
        terms.shutdown.triggered().await;
        tokio::time::sleep(FIRST).await;
    };
    let begins = async {
        tokio::select! {
            biased;
            () = terms.cut.given() => None,
            () = too_late => None,
            began = timeout(terms.limits.head, begin(&mut connection)) => began.ok()?.ok(),
        }
    };
    let Some(began) = begins.await else { return };
    if began == PREFACE[..] {
        serve_http2(Rewound::new(began, connection), terms, handler).await;
    } else {
        serve_with(connection, began, terms, handler).await;
    }
}

/// Reads until it is known whether it is the preface, and no further than that is long.
async fn begin<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<BytesMut> {
    let (mut space, mut have) = ([0; PREFACE.len()], 0);
    loop {
        let count = io.read(space.get_mut(have..).unwrap_or_default()).await?;
        have += count;
        let began = space.get(..have).unwrap_or_default();
        if count == 0 || have == PREFACE.len() || !PREFACE.starts_with(began) {
            return Ok(BytesMut::from(began));
        }
    }
}

async fn serve_uncut<I, F, A, B>(connection: I, terms: &Terms, handler: &F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A + Sync,
    A: Future<Output = Answer<B>> + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let limits = &terms.limits;
    let mut tasks = Tasks::new(limits);
    let place = tasks.place();
    let service = service_fn(|mut request: Request<Incoming>| {
        let stream = place.begin();
        let is_head = *request.method() == Method::HEAD;
        let answer = match as_http1(&mut request, limits) {
            Ok(()) => {
                request.extensions_mut().insert(stream.cut().clone());
                Ok(handler(request))
            }
            Err(refusal) => Err(terms.refused.tell(refusal, Version::HTTP_2)),
        };
        async move {
            let response = match answer {
                Ok(answer) => answer.await,
                Err(response) => {
                    let response = response.map(|text| Reply::of_ours(text, &stream));
                    return Ok::<_, Infallible>(if is_head { head_of(response) } else { response });
                }
            };
            let response = match response {
                Answer::Response(response) => response.map(|body| Reply::new(body, stream)),
                Answer::Tunnel(_) => {
                    tracing::error!("a handler begins a tunnel over HTTP/2");
                    request::failed().map(|text| Reply::of_ours(text, &stream))
                }
            };
            Ok(if is_head { head_of(response) } else { response })
        }
    });
    let builder = builder(limits, tasks.spawner());
    let mut serving = pin!(builder.serve_connection(TokioIo::new(connection), service));
    let mut shutdown = pin!(terms.shutdown.triggered());
    let mut look = pin!(sleep_until(Instant::now() + limits.head));
    let (mut is_told, mut last) = (false, None);
    poll_fn(|cx| {
        if !is_told && shutdown.as_mut().poll(cx).is_ready() {
            is_told = true;
            serving.as_mut().graceful_shutdown();
        }
        loop {
            if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return Poll::Ready(());
            }
            // What the streams have said is sent, and what that lets go on is looked at, before this waits.
            if !tasks.poll(cx) {
                break;
            }
        }
        if tasks.is_too_much() {
            tracing::debug!("connection ended: its streams are reset again and again");
            return Poll::Ready(());
        }
        while look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if last.take().is_some() && tasks.is_idle() {
                return Poll::Ready(());
            }
            let next = tasks.look(now);
            if next <= now {
                // Nobody asks for anything. What was said last may still be under way.
                serving.as_mut().graceful_shutdown();
                cx.waker().wake_by_ref();
                last = Some(now + limits.write);
            }
            look.as_mut().reset(last.unwrap_or(next));
        }
        Poll::Pending
    })
    .await;
}

/// The answer to HEAD: as long as it is said to be, and nothing of it follows (RFC 9110 §9.3.2). Over HTTP/1.1 hyper leaves
/// it out; here a client would take it for a fault of the connection.
fn head_of<B>(mut response: Response<Reply<B>>) -> Response<Reply<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let length = response.body().size_hint().exact();
    if response.body_mut().leave_out()
        && let Some(length) = length
    {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    response
}

fn builder<E: Clone>(limits: &Limits, executor: E) -> http2::Builder<E> {
    let streams = u32::try_from(limits.streams).unwrap_or(u32::MAX);
    // A window has 31 bits.
    let window = STREAM_WINDOW.saturating_mul(streams.max(1)).min(i32::MAX.unsigned_abs());
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(tasks::RESETS)
        .max_local_error_reset_streams(tasks::FAULTS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}
