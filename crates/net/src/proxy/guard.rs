//! The connection as hyper sees it: one request at a time, each judged before hyper has a byte of its head.
//!
//! What the client sends beyond the request at work is kept here, up to a bound, so that its end is noticed
//! and nothing of it is interpreted before its time.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::framing::{self, Framing, Refusal};
use super::rest;
use super::turn::Turn;
use crate::Limits;

/// How much may come early; beyond it, the client waits.
pub(super) const MOST_AHEAD: usize = 64 * 1024;

pub(super) struct Guard<I> {
    io: I,
    turn: Arc<Turn>,
    limits: Limits,
    /// Whether CONNECT is served.
    connect: bool,
    /// Of the request that is being read.
    body: Framing,
    /// Read from the client and not given to hyper.
    ahead: BytesMut,
    /// The bytes at the front of `ahead` that are a judged head.
    judged: usize,
    /// Where in `ahead` the line begins that has no end yet.
    line: usize,
    ended: bool,
    refusal: Option<Refusal>,
    /// The deadline for more of a body.
    patience: Option<Pin<Box<Sleep>>>,
    /// Since when a head is waited for.
    waiting: Option<Instant>,
    /// When to look whether that is too long. It is kept from one request to the next and may come too early:
    /// setting a timer for each would cost more than all else here.
    look: Option<Pin<Box<Sleep>>>,
}

/// What is left of a connection when hyper is done with it.
pub(super) struct Left<I> {
    pub(super) io: I,
    /// Came after the last request.
    pub(super) ahead: BytesMut,
    /// The head that hyper was not shown.
    pub(super) refusal: Option<Refusal>,
    /// Whether the last request was read to its end.
    pub(super) whole: bool,
    /// Since when a head is waited for.
    pub(super) waiting: Option<Instant>,
}

impl<I> Guard<I> {
    /// `ahead` was read already, of a head that is waited for since `waiting`.
    pub(super) fn new(
        io: I,
        ahead: BytesMut,
        waiting: Option<Instant>,
        turn: Arc<Turn>,
        limits: Limits,
        connect: bool,
    ) -> Self {
        Self {
            io,
            turn,
            limits,
            connect,
            body: Framing::EMPTY,
            ahead,
            judged: 0,
            line: 0,
            ended: false,
            refusal: None,
            patience: None,
            waiting,
            look: None,
        }
    }

    pub(super) fn into_left(self) -> Left<I> {
        let whole = self.body.is_done() && self.judged == 0;
        let Self { io, ahead, refusal, waiting, .. } = self;
        Left { io, ahead, refusal, whole, waiting }
    }

    /// Waits for a head no longer than allowed, from the end of the last answer on; where nothing of it comes for a
    /// moment, the connection is told to rest.
    fn be_patient_for_a_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        // It wakes this task when it is time, whatever it was set for.
        if self.look.as_ref().is_some_and(|look| !look.is_elapsed()) {
            return Poll::Pending;
        }
        let (deadline, rest) = (since + self.limits.head, since + rest::AFTER);
        let look = self.look.get_or_insert_with(|| Box::pin(sleep_until(rest.min(deadline))));
        loop {
            // Whatever the task has done before: with its budget used up, it would not be set at all.
            ready!(pin!(unconstrained(look.as_mut())).poll(cx));
            let now = Instant::now();
            if now >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if now >= rest && self.ahead.is_empty() {
                self.turn.rest();
                return Poll::Pending;
            }
            look.as_mut().reset(if now < rest { rest.min(deadline) } else { deadline });
        }
    }

    /// Drops `count` bytes from the front, and the buffer when nothing is left: idle connections own none.
    fn consume(&mut self, count: usize) {
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
    }
}

/// Gives `buffer` as much of the front of `bytes` as fits.
fn give(bytes: &[u8], most: usize, buffer: &mut ReadBuf<'_>) -> usize {
    let given = bytes.get(..most.min(buffer.remaining())).unwrap_or(bytes);
    buffer.put_slice(given);
    given.len()
}

impl<I: AsyncRead + Unpin> Guard<I> {
    /// Reads some, using `buffer` as the place for it. Zero is the end; so is a TLS client that leaves
    /// without saying so.
    fn read_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.io).poll_read(cx, buffer)) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Poll::Ready(Err(error)),
            _ => {
                let count = buffer.filled().len() - before;
                if count == 0 {
                    self.ended = true;
                    self.turn.client_ended();
                }
                Poll::Ready(Ok(count))
            }
        }
    }

    /// As [`Guard::read_some`], but into `ahead`.
    fn read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        let count = ready!(self.read_some(cx, buffer))?;
        self.ahead.extend_from_slice(buffer.filled().get(before..).unwrap_or_default());
        buffer.set_filled(before);
        Poll::Ready(Ok(count))
    }

    /// A request is at work and was read whole: only watch whether the client leaves.
    fn watch(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while !self.ended {
            if self.ahead.len() >= MOST_AHEAD {
                return Poll::Pending;
            }
            ready!(self.read_ahead(cx, buffer))?;
        }
        if self.turn.end_is_held() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn next_head(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() && ready!(self.head_in_place(cx, buffer))? {
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.judge() {
                Ok(true) => {
                    self.turn.head_was_read();
                    let given = give(&self.ahead, self.judged, buffer);
                    self.judged -= given;
                    self.consume(given);
                    return Poll::Ready(Ok(()));
                }
                Ok(false) => {}
                Err(refusal) => {
                    // Nothing more of this connection will be read as HTTP.
                    self.refusal = Some(refusal);
                    return Poll::Ready(Err(refused(refusal)));
                }
            }
            if self.ended || ready!(self.read_ahead(cx, buffer))? == 0 {
                // hyper has nothing of an unfinished head, and takes this for an orderly end.
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The usual case: a whole head comes at once, and is judged where hyper will parse it. Says whether it
    /// was so; otherwise what came is in `ahead`.
    fn head_in_place(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        if self.ended || ready!(self.read_some(cx, buffer))? == 0 {
            return Poll::Ready(Ok(true));
        }
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if let Ok(Ok(length)) = framing::end_of_head(fresh, 0)
            && length <= self.limits.head_bytes
            && let Some((head, rest)) = fresh.split_at_checked(length)
            && let Ok(mut body) = framing::head(head, self.limits.headers, self.connect)
            && let Ok(ours) = body.advance(rest)
        {
            self.body = body;
            self.turn.head_was_read();
            self.ahead.extend_from_slice(rest.get(ours..).unwrap_or_default());
            buffer.set_filled(before + length + ours);
            return Poll::Ready(Ok(true));
        }
        // Incomplete, or to be refused, which is done in one place.
        self.ahead.extend_from_slice(fresh);
        buffer.set_filled(before);
        Poll::Ready(Ok(false))
    }

    /// Judges the head in `ahead`, if it is all there.
    fn judge(&mut self) -> Result<bool, Refusal> {
        match framing::end_of_head(&self.ahead, self.line)? {
            Ok(length) if length > self.limits.head_bytes => Err(Refusal::HeadTooLarge),
            Ok(length) => {
                let head = self.ahead.get(..length).unwrap_or_default();
                self.body = framing::head(head, self.limits.headers, self.connect)?;
                (self.judged, self.line) = (length, 0);
                Ok(true)
            }
            Err(_) if self.ahead.len() > self.limits.head_bytes => Err(Refusal::HeadTooLarge),
            Err(line) => {
                self.line = line;
                Ok(false)
            }
        }
    }

    fn more_of_the_body(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let most = self.ahead.len().min(buffer.remaining());
            let ours = self.body.advance(self.ahead.get(..most).unwrap_or_default());
            let given = give(&self.ahead, ours.map_err(refused)?, buffer);
            self.consume(given);
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = self.read_some(cx, buffer) else {
            return self.be_patient(cx);
        };
        self.patience = None;
        read?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let ours = self.body.advance(fresh).map_err(refused)?;
        self.ahead.extend_from_slice(fresh.get(ours..).unwrap_or_default());
        buffer.set_filled(before + ours);
        Poll::Ready(Ok(()))
    }

    /// hyper asks for more of a body only while somebody wants it, so this is the client's slowness.
    fn be_patient(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit: Duration = self.limits.body;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(patience.as_mut().poll(cx));
        // Whoever asks once more waits once more.
        patience.as_mut().reset(Instant::now() + limit);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

fn refused(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

impl<I: AsyncRead + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.judged > 0 {
            let given = give(&this.ahead, this.judged, buffer);
            this.judged -= given;
            this.consume(given);
            return Poll::Ready(Ok(()));
        }
        if !this.body.is_done() {
            return this.more_of_the_body(cx, buffer);
        }
        match this.refusal {
            Some(refusal) => Poll::Ready(Err(refused(refusal))),
            None if this.turn.is_idle() => {
                let read = this.next_head(cx, buffer);
                if read.is_pending() {
                    return this.be_patient_for_a_head(cx);
                }
                this.waiting = None;
                read
            }
            None => this.watch(cx, buffer),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.turn.wrote();
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.turn.wrote();
        Pin::new(&mut this.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty, so this is when an answer has left.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        // hyper waits for the client to send, but what it waits for may be here already.
        let come = this.ended || !this.ahead.is_empty();
        if this.turn.flushed(come) {
            cx.waker().wake_by_ref();
        } else if this.turn.is_idle() && this.waiting.is_none() {
            // hyper does not ask for the next head before something comes. It cannot be too late already.
            let _ = this.be_patient_for_a_head(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Not hyper's to do: a connection may go on as a tunnel.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
