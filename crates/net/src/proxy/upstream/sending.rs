//! A request on its way out: head, then body, framed anew.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Request;
use hyper::body::Body;
use tokio::io::AsyncWrite;

use super::head;
use super::{BoxError, RequestBody};
use crate::proxy::outbox::Outbox;

/// How the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Fixed(u64),
    Chunked,
}

/// A request that is being sent; the default is one that was.
pub(super) struct Sending {
    outbox: Outbox,
    body: Option<RequestBody>,
    form: Form,
    /// Something went out.
    wrote: bool,
    /// Something was written that a stream may hold back, as TLS does.
    unflushed: bool,
    /// The server takes no more.
    refused: bool,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            outbox: Outbox::default(),
            body: None,
            form: Form::Fixed(0),
            wrote: false,
            unflushed: false,
            refused: false,
        }
    }
}

impl Sending {
    /// Takes the body out of the request. The head must have the framing that its size hint asks for.
    pub(super) fn new(request: &mut Request<RequestBody>) -> Self {
        let mut front = Vec::with_capacity(512);
        head::written(request, &mut front);
        let mut body = std::mem::replace(request.body_mut(), RequestBody::empty());
        let mut outbox = Outbox::new(front.into());
        // With the head, in one write.
        if let Some(whole) = body.take_whole() {
            outbox.data(whole);
        }
        let form = body.size_hint().exact().map_or(Form::Chunked, Form::Fixed);
        let body = (!body.is_end_stream()).then_some(body);
        Self { outbox, body, form, ..Self::default() }
    }

    pub(super) const fn is_untouched(&self) -> bool {
        !self.wrote
    }

    /// Whether all was sent.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_none() && self.outbox.is_empty() && !self.unflushed && !self.refused
    }

    /// Sends what can be sent. The error is one of the body.
    pub(super) fn poll<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut W>,
    ) -> Poll<Result<(), BoxError>> {
        loop {
            if self.refused {
                return Poll::Ready(Ok(()));
            }
            let written = self.outbox.poll(cx, stream.as_mut(), &mut self.unflushed);
            self.wrote |= self.unflushed;
            self.refused = ready!(written).is_err();
            if self.refused {
                return Poll::Ready(Ok(()));
            }
            let Some(body) = &mut self.body else {
                return self.flush(cx, stream).map(Ok);
            };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                // What there is goes out before more is waited for.
                let _ = self.flush(cx, stream);
                return Poll::Pending;
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.enqueue(data)?;
                    }
                }
                Some(Err(error)) => {
                    self.body = None;
                    self.refused = true;
                    return Poll::Ready(Err(error));
                }
                None => {
                    self.body = None;
                    self.end()?;
                }
            }
        }
    }

    /// Ready when the stream holds nothing back.
    fn flush<W: AsyncWrite>(&mut self, cx: &mut Context<'_>, stream: Pin<&mut W>) -> Poll<()> {
        if self.unflushed {
            self.refused = ready!(stream.poll_flush(cx)).is_err();
            self.unflushed = false;
        }
        Poll::Ready(())
    }

    fn enqueue(&mut self, data: Bytes) -> Result<(), BoxError> {
        match &mut self.form {
            Form::Fixed(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or("it is longer than announced")?;
                self.outbox.data(data);
            }
            Form::Chunked => self.outbox.chunk(data),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), BoxError> {
        match self.form {
            Form::Fixed(0) => Ok(()),
            Form::Fixed(_) => Err("it is shorter than announced".into()),
            Form::Chunked => {
                self.outbox.last_chunk();
                Ok(())
            }
        }
    }
}
