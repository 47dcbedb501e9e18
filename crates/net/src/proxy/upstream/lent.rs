//! A request's body on its way through a connection that somebody else drives.
//!
//! It is lent: until its answer begins, whoever forwards the request can take it back, with what was read of it, if
//! that was not much. And when they have left, nothing is read of it any more: otherwise a client's stream would be
//! held by the server's connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::Reason;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::HeaderMap;
use parking_lot::Mutex;

use super::{BoxError, RequestBody};
use crate::proxy::headers::clean_trailers;

/// So much of a body is kept to be sent once more.
const MOST_KEPT: usize = 64 * 1024;

#[derive(Default)]
struct Shared {
    /// Until it is taken back, or its owner has left.
    body: Option<RequestBody>,
    /// What was read; none if that is not kept any more.
    kept: Option<Kept>,
    /// How it broke off.
    failure: Option<BoxError>,
    /// Whoever reads it.
    reader: Option<Waker>,
}

#[derive(Default)]
struct Kept {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
}

/// The reader's end.
pub(super) struct Lent(Arc<Mutex<Shared>>);

/// The owner's end.
pub(super) struct Loan(Arc<Mutex<Shared>>);

/// Lends a body.
pub(super) fn lend(body: RequestBody) -> (Lent, Loan) {
    let kept = Some(Kept::default());
    let shared = Arc::new(Mutex::new(Shared { body: Some(body), kept, ..Shared::default() }));
    (Lent(Arc::clone(&shared)), Loan(shared))
}

impl Shared {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(kept) = &mut self.kept else { return };
        if let Some(data) = frame.data_ref() {
            kept.bytes += data.len();
            kept.pieces.push_back(data.clone());
        }
        kept.trailers = frame.trailers_ref().cloned();
        if kept.bytes > MOST_KEPT {
            self.kept = None;
        }
    }
}

impl Loan {
    /// Gives it back as it was, if that can be.
    pub(super) fn take_back(&self) -> Option<RequestBody> {
        let mut shared = self.0.lock();
        let kept = shared.kept.take()?;
        let rest = shared.body.take()?;
        drop(shared);
        if kept.pieces.is_empty() && kept.trailers.is_none() {
            return Some(rest);
        }
        Some(RequestBody::new(Again { kept, rest }))
    }

    /// It will not be taken back.
    pub(super) fn keep_no_more(&self) {
        self.0.lock().kept = None;
    }

    /// How it broke off, if that is why there is no answer.
    pub(super) fn failure(&self) -> Option<BoxError> {
        self.0.lock().failure.take()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut shared = self.0.lock();
        let (body, reader) = (shared.body.take(), shared.reader.take());
        shared.kept = None;
        drop(shared);
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.0.lock();
        let Some(body) = &mut shared.body else {
            return Poll::Ready(Some(Err(gone())));
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(match frame {
            Some(Err(error)) => {
                shared.failure = Some(error);
                Some(Err(gone()))
            }
            Some(Ok(frame)) => {
                shared.keep(&frame);
                Some(Ok(cleaned(frame)))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// By which the stream is reset: its client has left, or was cut.
fn gone() -> BoxError {
    h2::Error::from(Reason::CANCEL).into()
}

fn cleaned(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            clean_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// A body of which the beginning was read.
struct Again {
    kept: Kept,
    rest: RequestBody,
}

impl Body for Again {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(piece) = self.kept.pieces.pop_front() {
            self.kept.bytes -= piece.len();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(trailers) = self.kept.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(ready!(Pin::new(&mut self.rest).poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.kept.pieces.is_empty() && self.kept.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint().exact();
        let all = rest.and_then(|rest| rest.checked_add(self.kept.bytes as u64));
        all.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
