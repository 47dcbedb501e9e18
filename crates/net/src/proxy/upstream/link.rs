//! One HTTP/1.1 connection to a server, driven by whoever uses it. It owns no memory to speak of while
//! there is nothing to carry: streams may be quiet for hours, and there may be thousands.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::http::StatusCode;
use hyper::{Method, Request, Response};
use tokio::io::AsyncReadExt;

use super::RequestBody;
use super::head::{self, Head, Length};
use super::sending::Sending;
use super::stream::Stream;
use crate::proxy::framing::{Chunk, Framing};

/// Read at once: little at first, for most answers are small, and more when there is more.
const FIRST_READ: usize = 1024;
const LATER_READ: usize = 64 * 1024;
/// By so much more each time.
const STEP: usize = 8;

pub(super) struct Link {
    stream: Stream,
    /// Read and not used.
    buffer: BytesMut,
    next_read: usize,
    sending: Sending,
    length: Length,
    keep_alive: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("it hung up")]
    HungUp,
    #[error("reading failed")]
    Read(#[source] io::Error),
    #[error("its answer is not understood")]
    Answer(#[source] head::NotHttp),
    #[error("a chunk of its answer is malformed")]
    Chunk,
    #[error("it switched protocols without being asked to")]
    Unasked,
    #[error("its HTTP/2 connection or stream ended")]
    Http2(#[from] hyper::Error),
    /// The request's body broke off: not the server's fault.
    #[error("the body of the request broke off")]
    Request(#[source] super::BoxError),
}

impl Link {
    /// On a new connection.
    pub(super) fn new(stream: Stream) -> Box<Self> {
        Box::new(Self {
            stream,
            buffer: BytesMut::new(),
            next_read: FIRST_READ,
            sending: Sending::default(),
            length: Length::Framed(Framing::EMPTY),
            keep_alive: true,
        })
    }

    /// Sends a request, of which the body is taken, and waits for the head of its answer, which may come
    /// before all is sent.
    pub(super) async fn exchange(
        &mut self,
        request: &mut Request<RequestBody>,
    ) -> Result<Response<()>, LinkError> {
        self.sending = Sending::new(request);
        let method = request.method();
        let head = poll_fn(|cx| self.poll_head(cx, method)).await?;
        (self.length, self.keep_alive) = (head.length, head.keep_alive);
        Ok(head.response)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
    ) -> Poll<Result<Head, LinkError>> {
        self.drive(cx)?;
        loop {
            while let Some(head) =
                head::read(&mut self.buffer, method).map_err(LinkError::Answer)?
            {
                // 100 and its kin are between us and the server.
                let status = head.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
            }
            if ready!(self.read(cx))? == 0 {
                return Poll::Ready(Err(LinkError::HungUp));
            }
        }
    }

    /// Sends what can be sent. A server that does not take it may still have answered, so only the failure
    /// of the request's own body counts.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        match self.sending.poll(cx, Pin::new(&mut self.stream)) {
            Poll::Ready(Err(error)) => Err(LinkError::Request(error)),
            _ => Ok(()),
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, LinkError>> {
        self.buffer.reserve(self.next_read);
        let Poll::Ready(read) = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx) else {
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            self.next_read = FIRST_READ;
            return Poll::Pending;
        };
        let count = read.map_err(LinkError::Read)?;
        if count >= self.next_read {
            self.next_read = LATER_READ.min(self.next_read * STEP);
        }
        Poll::Ready(Ok(count))
    }

    /// The next piece of the answer's body, or none when it is over.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LinkError>>> {
        if let Err(error) = self.drive(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.take_piece() {
                Ok(None) => {}
                Ok(Some(piece)) if piece.is_empty() => return Poll::Ready(None),
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.read(cx)) {
                Ok(0) if self.length == Length::UntilClose => {
                    self.length = Length::Framed(Framing::EMPTY);
                    self.keep_alive = false;
                }
                Ok(0) => return Poll::Ready(Some(Err(LinkError::HungUp))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// What the buffer has of the body: none if it has to be filled first, nothing at the body's end.
    fn take_piece(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            let most = match &mut self.length {
                Length::Framed(framing) if framing.is_done() => return Ok(Some(Bytes::new())),
                _ if self.buffer.is_empty() => return Ok(None),
                Length::UntilClose => self.buffer.len(),
                Length::Framed(framing @ Framing::Fixed(_)) => {
                    framing.advance(&self.buffer).map_err(|_| LinkError::Chunk)?
                }
                Length::Framed(Framing::Chunked(chunk @ Chunk::Data { .. })) => {
                    chunk.advance_data(self.buffer.len())
                }
                Length::Framed(Framing::Chunked(chunk)) => {
                    let read = chunk.advance_control(&self.buffer).map_err(|_| LinkError::Chunk)?;
                    self.buffer.advance(read);
                    continue;
                }
            };
            return Ok(Some(self.buffer.split_to(most).freeze()));
        }
    }

    /// Whether all of the answer's body was taken.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.length, Length::Framed(framing) if framing.is_done())
    }

    /// The length of what is left of the body, where it is known.
    pub(super) const fn left(&self) -> Option<u64> {
        match self.length {
            Length::Framed(Framing::Fixed(left)) => Some(left),
            _ => None,
        }
    }

    /// Whether nothing of the request reached the server.
    pub(super) const fn is_untouched(&self) -> bool {
        self.sending.is_untouched()
    }

    /// Whether another request may be sent: this one is over on both sides, and the server said nothing
    /// more and did not hang up.
    pub(super) fn is_reusable(&mut self) -> bool {
        self.keep_alive
            && self.is_done()
            && self.sending.is_done()
            && self.buffer.is_empty()
            && self.stream.is_quiet()
    }

    /// Gives back what it needs only at work.
    pub(super) fn rest(mut self: Box<Self>) -> Box<Self> {
        self.buffer = BytesMut::new();
        self.sending = Sending::default();
        self
    }

    /// The bare connection, after an answer of 101, and what was read beyond that.
    pub(super) fn into_stream(self) -> (Stream, Bytes) {
        (self.stream, self.buffer.freeze())
    }
}
