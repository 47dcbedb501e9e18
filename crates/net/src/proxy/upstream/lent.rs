//! A request's body on its way through a connection that somebody else drives.
//!
//! It is lent: whoever forwards the request can take it back while nothing of it is gone, and when they have left,
//! nothing is read of it any more. Otherwise a client's stream would be held by the server's connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::{BoxError, RequestBody};
use crate::proxy::headers::clean_trailers;

#[derive(Default)]
struct Shared {
    /// Until it is taken back, or its owner has left.
    body: Option<RequestBody>,
    /// Something of it was read.
    is_begun: bool,
    /// How it broke off.
    failure: Option<BoxError>,
    /// Whoever reads it.
    reader: Option<Waker>,
}

/// The reader's end.
pub(super) struct Lent(Arc<Mutex<Shared>>);

/// The owner's end.
pub(super) struct Loan(Arc<Mutex<Shared>>);

/// Lends a body.
pub(super) fn lend(body: RequestBody) -> (Lent, Loan) {
    let shared = Arc::new(Mutex::new(Shared { body: Some(body), ..Shared::default() }));
    (Lent(Arc::clone(&shared)), Loan(shared))
}

impl Loan {
    /// Gives it back, if nothing of it was read.
    pub(super) fn take_back(&self) -> Option<RequestBody> {
        let mut shared = self.0.lock();
        if shared.is_begun { None } else { shared.body.take() }
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
            return Poll::Ready(Some(Err("nobody waits for the answer".into())));
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        shared.is_begun = true;
        Poll::Ready(match frame {
            Some(Err(error)) => {
                shared.failure = Some(error);
                Some(Err("the body of the request broke off".into()))
            }
            Some(Ok(frame)) => Some(Ok(match frame.into_trailers() {
                Ok(mut trailers) => {
                    clean_trailers(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            })),
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
