//! Answers on their way to the caller, and what is noted when they have ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use sealock_net::Incoming;
use sealock_net::proxy::{Cut, UpstreamBody, UpstreamError};

use super::live::Slot;
use super::quiet::Quiet;
use super::report::{Access, Report};
use crate::http::headers;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request that was read. When it is dropped, the request has ended, in whichever way.
pub(super) struct Served {
    pub(super) access: Access,
    pub(super) began: Instant,
    pub(super) cut: Cut,
    pub(super) report: Arc<dyn Report>,
    /// Its place among what runs, once it is let in.
    pub(super) slot: Option<Slot>,
    /// Whether anything moves, where that is looked at.
    pub(super) quiet: Option<Arc<Quiet>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        // First, so that whoever reads the log sees no more running than there are.
        self.slot = None;
        self.access.took = self.began.elapsed();
        self.access.cut = self.cut.is_given();
        self.report.access(&self.access);
    }
}

/// The body of an answer: the app's, or one of ours.
pub(super) struct Body {
    kind: Kind,
    /// Until it has ended or is dropped.
    served: Option<Box<Served>>,
}

enum Kind {
    App(UpstreamBody),
    Own(Bytes),
}

impl Body {
    /// The app's.
    pub(super) fn app(body: UpstreamBody, served: Box<Served>) -> Self {
        if let Some(quiet) = &served.quiet {
            quiet.begin();
        }
        Self { kind: Kind::App(body), served: Some(served) }
    }

    /// One of ours.
    pub(super) fn own(text: Bytes) -> Self {
        Self { kind: Kind::Own(text), served: None }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        let frame = match &mut this.kind {
            Kind::App(body) => ready!(Pin::new(body).poll_frame(cx)),
            Kind::Own(text) if text.is_empty() => None,
            Kind::Own(text) => Some(Ok(Frame::data(std::mem::take(text)))),
        };
        if let (Some(Ok(frame)), Some(served)) = (&frame, &mut this.served) {
            let more = frame.data_ref().map_or(0, Bytes::len);
            served.access.sent = served.access.sent.saturating_add(more as u64);
            if let Some(quiet) = &served.quiet {
                quiet.pieces.fetch_add(1, Ordering::Relaxed);
            }
        }
        if !matches!(frame, Some(Ok(_))) {
            this.served = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::App(body) => body.is_end_stream(),
            Kind::Own(text) => text.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::App(body) => body.size_hint(),
            Kind::Own(text) => SizeHint::with_exact(text.len() as u64),
        }
    }
}

/// What a caller may not say in a header, it may not say behind the body.
fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::clean(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// A request's body, of which is known whether it moves.
pub(super) struct Watched {
    body: Incoming,
    pieces: Arc<AtomicU64>,
}

impl Watched {
    pub(super) fn new(body: Incoming, pieces: &Arc<AtomicU64>) -> Self {
        Self { body, pieces: Arc::clone(pieces) }
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.pieces.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(frame.map(|frame| frame.map(cleaned).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
