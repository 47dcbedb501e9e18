//! Bodies on their way to and from a server. Trailers go on where both sides speak HTTP/2, and are dropped elsewhere.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::lent::Loan;
use super::link::{Link, LinkError};
use super::session::Place;
use super::{BoxError, Pool, UpstreamError};
use crate::proxy::headers::clean_trailers;

/// What is sent to a server.
pub struct RequestBody(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    /// As it comes from a client.
    Incoming(Incoming),
    Other(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl RequestBody {
    /// Nothing.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Takes the body out, if it is here as a whole.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        let Kind::Full(bytes) = &mut self.0 else { return None };
        let bytes = std::mem::take(bytes);
        self.0 = Kind::Empty;
        Some(bytes)
    }

    /// Any other body.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
    {
        Self(Kind::Other(Box::pin(body)))
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self(Kind::Incoming(body))
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RequestBody")
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        Poll::Ready(match &mut this.0 {
            Kind::Empty => None,
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.0 = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::Incoming(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into))
            }
            Kind::Other(body) => ready!(body.as_mut().poll_frame(cx)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}

/// The body of a server's answer. Over HTTP/1.1 reading it drives the connection, and its end gives the connection
/// back to the pool; whoever drops it before hangs up on the server. Over HTTP/2 that resets its stream.
pub struct UpstreamBody {
    source: Source,
    pool: Arc<Pool>,
}

enum Source {
    Link(Box<Link>),
    Streamed(Box<Streamed>),
    Over,
}

/// The body of an answer over HTTP/2, with what the request holds until its end.
pub(super) struct Streamed {
    body: Incoming,
    _place: Place,
    /// After the place: a body that is still on its way is given up when its answer has ended.
    loan: Loan,
}

impl Streamed {
    pub(super) const fn new(body: Incoming, place: Place, loan: Loan) -> Self {
        Self { body, _place: place, loan }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        pool: &Pool,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => None,
            Some(Ok(frame)) => Some(Ok(match frame.into_trailers() {
                Ok(mut trailers) => {
                    clean_trailers(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            })),
            Some(Err(error)) => Some(Err(match self.loan.failure() {
                Some(source) => UpstreamError::Request(source),
                None => pool.broken(LinkError::from(error)),
            })),
        })
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UpstreamBody")
    }
}

impl UpstreamBody {
    pub(super) fn new(link: Box<Link>, pool: Arc<Pool>) -> Self {
        let mut this = Self { source: Source::Link(link), pool };
        this.settle();
        this
    }

    pub(super) fn streamed(streamed: Streamed, pool: Arc<Pool>) -> Self {
        let mut this = Self { source: Source::Streamed(Box::new(streamed)), pool };
        this.settle();
        this
    }

    /// If the answer is over, the connection goes back. A server that answered before it had all of the
    /// request gets no other one.
    fn settle(&mut self) {
        let is_over = match &self.source {
            Source::Link(link) => link.is_done(),
            Source::Streamed(streamed) => streamed.body.is_end_stream(),
            Source::Over => return,
        };
        if is_over
            && let Source::Link(mut link) = mem::replace(&mut self.source, Source::Over)
            && link.is_reusable()
        {
            self.pool.put(link);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Over => None,
            Source::Link(link) => ready!(link.poll_body(cx))
                .map(|piece| piece.map(Frame::data).map_err(|error| this.pool.broken(error))),
            Source::Streamed(streamed) => ready!(streamed.poll(cx, &this.pool)),
        };
        match &frame {
            Some(Ok(_)) => this.settle(),
            // The end of a link's is known to it.
            None if matches!(this.source, Source::Link(_)) => this.settle(),
            _ => this.source = Source::Over,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Over => SizeHint::with_exact(0),
            Source::Link(link) => link.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}
