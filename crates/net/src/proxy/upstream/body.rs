//! Bodies on their way to and from a server. Trailers are dropped both ways.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::link::Link;
use super::{BoxError, Pool, UpstreamError};

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
        let frame = match &mut this.0 {
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
        };
        // Trailers are the last that comes.
        Poll::Ready(frame.filter(|frame| !frame.as_ref().is_ok_and(Frame::is_trailers)))
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

/// The body of a server's answer. Reading it drives the connection, and its end gives the connection back
/// to the pool; whoever drops it before hangs up on the server.
pub struct UpstreamBody {
    link: Option<Box<Link>>,
    pool: Arc<Pool>,
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UpstreamBody")
    }
}

impl UpstreamBody {
    pub(super) fn new(link: Box<Link>, pool: Arc<Pool>) -> Self {
        let mut this = Self { link: Some(link), pool };
        this.settle();
        this
    }

    /// If the answer is over, the connection goes back. A server that answered before it had all of the
    /// request gets no other one.
    fn settle(&mut self) {
        if let Some(mut link) = self.link.take_if(|link| link.is_done())
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
        let Some(link) = &mut this.link else {
            return Poll::Ready(None);
        };
        let piece = ready!(link.poll_body(cx));
        Poll::Ready(match piece {
            Some(Err(error)) => {
                this.link = None;
                Some(Err(this.pool.broken(error)))
            }
            piece => {
                this.settle();
                piece.map(|piece| piece.map(Frame::data).map_err(|error| this.pool.broken(error)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.link {
            None => SizeHint::with_exact(0),
            Some(link) => link.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
