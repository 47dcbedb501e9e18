//! Answers whose body keeps one waiting: events, logs, statistics.
//!
//! hyper holds 16 KiB or more for each connection, which thousands of quiet streams cannot afford. So such
//! an answer is written here, chunk by chunk, on the bare connection; afterwards hyper gets it back.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::http::response::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::{Left, MOST_AHEAD};
use super::headers;
use super::outbox::Outbox;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a stream is over.
enum End {
    /// The client has all of it.
    Whole,
    /// The client is gone.
    Gone,
    /// The body broke off.
    Broken(BoxError),
}

/// Writes the answer. Gives the connection back if the client has all of it; otherwise it is dropped, which
/// the client can tell from an end.
pub(super) async fn run<I, B>(
    mut left: Left<I>,
    response: Response<(Option<Frame<Bytes>>, B)>,
    last: bool,
) -> Option<Left<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (parts, (early, body)) = response.into_parts();
    let outbox = Outbox::new(head(parts, last));
    let mut streaming = Streaming { early, body, outbox, ended: false, unflushed: true };
    match poll_fn(|cx| streaming.poll(cx, &mut left)).await {
        End::Whole => return Some(left),
        End::Gone => tracing::debug!("the client of a stream is gone"),
        End::Broken(error) => tracing::debug!(%error, "a stream broke off"),
    }
    None
}

/// The head as it goes out. What it was made of goes: its values hold the buffer that they were read into.
fn head(mut parts: Parts, last: bool) -> Bytes {
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    if last {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    headers::answer_head(parts.status, &parts.headers)
}

struct Streaming<B> {
    early: Option<Frame<Bytes>>,
    body: B,
    outbox: Outbox,
    /// The body has ended.
    ended: bool,
    unflushed: bool,
}

impl<B> Streaming<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll<I>(&mut self, cx: &mut Context<'_>, left: &mut Left<I>) -> Poll<End>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        if watch(cx, left).is_ready() {
            return Poll::Ready(End::Gone);
        }
        let end = self.carry(cx, &mut left.io);
        end.map(|end| end.unwrap_or(End::Gone))
    }

    fn carry<I>(&mut self, cx: &mut Context<'_>, io: &mut I) -> Poll<io::Result<End>>
    where
        I: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.outbox.poll(cx, Pin::new(io), &mut self.unflushed))?;
            let frame = match self.early.take() {
                Some(early) => Poll::Ready(Some(Ok(early))),
                None if self.ended => Poll::Pending,
                None => Pin::new(&mut self.body).poll_frame(cx),
            };
            let broken = match frame {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.outbox.chunk(data);
                    }
                    continue;
                }
                Poll::Ready(None) => {
                    self.outbox.last_chunk();
                    self.ended = true;
                    continue;
                }
                Poll::Ready(Some(Err(error))) => Some(error.into()),
                Poll::Pending => None,
            };
            // Each piece goes out before the next is waited for.
            if self.unflushed {
                if Pin::new(&mut *io).poll_flush(cx)?.is_pending() && broken.is_none() {
                    return Poll::Pending;
                }
                self.unflushed = false;
            }
            return match broken {
                Some(error) => Poll::Ready(Ok(End::Broken(error))),
                None if self.ended => Poll::Ready(Ok(End::Whole)),
                None => Poll::Pending,
            };
        }
    }
}

/// Ready when the client has left. What it sends meanwhile is kept for later.
fn watch<I: AsyncRead + Unpin>(cx: &mut Context<'_>, left: &mut Left<I>) -> Poll<()> {
    let mut space = [0; 512];
    while left.ahead.len() < MOST_AHEAD {
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut left.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                left.ahead.extend_from_slice(buffer.filled());
            }
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Pending
}
