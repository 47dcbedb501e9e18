//! Bytes on their way out, written without being copied together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// A piece of a body with what frames it.
#[derive(Default)]
pub(super) struct Outbox {
    front: Bytes,
    data: Bytes,
    back: Bytes,
}

impl Outbox {
    /// A head, or anything else.
    pub(super) fn new(front: Bytes) -> Self {
        Self { front, ..Self::default() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.front.is_empty() && self.data.is_empty() && self.back.is_empty()
    }

    /// Takes bytes as they are, when the outbox is empty.
    pub(super) fn data(&mut self, data: Bytes) {
        self.data = data;
    }

    /// Takes a chunk, when the outbox is empty. An empty one would be the last and is left out.
    pub(super) fn chunk(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.front = format!("{:x}\r\n", data.len()).into();
            self.data = data;
            self.back = Bytes::from_static(b"\r\n");
        }
    }

    /// Takes the end of a chunked body.
    pub(super) fn last_chunk(&mut self) {
        self.back = Bytes::from_static(b"0\r\n\r\n");
    }

    /// Ready when all is written. `wrote` is set as soon as something is.
    pub(super) fn poll<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut W>,
        wrote: &mut bool,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let parts = [&self.front, &self.data, &self.back].map(|part| IoSlice::new(part));
            let mut left = ready!(stream.as_mut().poll_write_vectored(cx, &parts))?;
            if left == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *wrote = true;
            for part in [&mut self.front, &mut self.data, &mut self.back] {
                let taken = left.min(part.len());
                left -= taken;
                if taken < part.len() {
                    part.advance(taken);
                } else {
                    // Its memory goes with it: the outbox of a quiet stream is kept.
                    *part = Bytes::new();
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
