//! A connection that has stopped to be HTTP: bytes both ways, each way with an end of its own.
//!
//! There is no deadline: a terminal may be quiet for hours. A tunnel ends when both ways have ended, when
//! the client is gone, when the engine has hung up altogether, or by the cut.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::Response;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE};
use hyper::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::headers;
use super::upstream::{Stream, Upgraded};
use super::{close, guard::Left};

/// Bytes that are under way at once, each way.
const BUFFER: usize = 32 * 1024;

/// An answer after which the connection carries bytes that are no longer HTTP.
pub struct Tunnel {
    head: Bytes,
    switches: bool,
    upstream: Upgraded,
    held: Option<Box<dyn Send>>,
    moves: Option<Arc<AtomicU64>>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Tunnel").field(&self.head).field(&self.upstream).finish()
    }
}

/// The answer cannot begin a tunnel.
#[derive(Debug, thiserror::Error)]
#[error("an answer of {0} cannot begin a tunnel")]
pub struct NoTunnel(StatusCode);

impl Tunnel {
    /// The client is answered with `head`, and from then on has the upgraded connection. `head` is 101 for
    /// a client that asked to upgrade, naming the protocol in `Upgrade`, or 200 for one that speaks on after
    /// its request without having asked (Docker's older way). What would frame a body is left out of it.
    pub fn new(head: Response<()>, upstream: Upgraded) -> Result<Self, NoTunnel> {
        let (parts, ()) = head.into_parts();
        let (status, mut fields) = (parts.status, parts.headers);
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        if !switches && status != StatusCode::OK {
            return Err(NoTunnel(status));
        }
        let protocol = fields.remove(UPGRADE);
        headers::strip_hop_by_hop(&mut fields);
        fields.remove(CONTENT_LENGTH);
        if switches {
            fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            fields.insert(UPGRADE, protocol.ok_or(NoTunnel(status))?);
        }
        Ok(Self {
            head: headers::answer_head(status, &fields),
            switches,
            upstream,
            held: None,
            moves: None,
        })
    }

    /// The client of a CONNECT is answered with 200, and from then on has `server`.
    pub fn connected(server: TcpStream) -> Self {
        let upstream = Upgraded {
            head: Response::new(()),
            stream: Stream::Tcp(server),
            read_ahead: Bytes::new(),
        };
        let head = headers::answer_head(StatusCode::OK, upstream.head.headers());
        Self { head, switches: false, upstream, held: None, moves: None }
    }

    /// The client of a CONNECT is answered with 200, and from then on has whoever in this process has the other end of
    /// this.
    pub fn within(near: UnixStream) -> Self {
        let upstream = Upgraded {
            head: Response::new(()),
            stream: Stream::Unix(near),
            read_ahead: Bytes::new(),
        };
        let head = headers::answer_head(StatusCode::OK, upstream.head.headers());
        Self { head, switches: false, upstream, held: None, moves: None }
    }

    /// Keeps `held` until the tunnel has ended, and drops it then.
    #[must_use]
    pub fn holding<T: Send + 'static>(mut self, held: T) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// Adds to `moves` whenever there is something to do for it: where that stands still, the tunnel is quiet.
    #[must_use]
    pub fn counting(mut self, moves: Arc<AtomicU64>) -> Self {
        self.moves = Some(moves);
        self
    }

    /// Whether the client is told that the protocol changes, for which it must have asked.
    pub(super) const fn switches(&self) -> bool {
        self.switches
    }
}

/// Runs until it ends.
pub(super) async fn run<I>(left: Left<I>, tunnel: Tunnel)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let Tunnel { head, upstream, held: _held, moves, .. } = tunnel;
    let (mut client, mut engine) = (left.io, upstream.stream);
    let mut up = Pump::beginning_with(left.ahead.freeze());
    // The head goes the same way as the bytes that follow it.
    let mut first = BytesMut::from(head);
    first.extend_from_slice(&upstream.read_ahead);
    let mut down = Pump::beginning_with(first.freeze());
    let broken = poll_fn(|cx| {
        if let Some(moves) = &moves {
            moves.fetch_add(1, Ordering::Relaxed);
        }
        up.poll(cx, Pin::new(&mut client), Pin::new(&mut engine));
        down.poll(cx, Pin::new(&mut engine), Pin::new(&mut client));
        match (up.end, down.end) {
            // The client is gone, or the engine broke off, which the client has to notice.
            (Some(End::Reader(kind)), _) | (_, Some(End::Reader(kind) | End::Writer(kind))) => {
                Poll::Ready(Some(kind))
            }
            (Some(_), Some(End::Passed)) => Poll::Ready(None),
            // A client that keeps its side open has nobody to talk to.
            (None, Some(End::Passed)) if engine.has_hung_up() => Poll::Ready(None),
            // The engine may have something to say though it listens no more.
            _ => Poll::Pending,
        }
    });
    match broken.await {
        Some(kind) => tracing::debug!(%kind, "a tunnel broke"),
        None => close::orderly(client).await,
    }
}

/// How one way came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The reader ended, and the writer was told.
    Passed,
    /// Reading failed.
    Reader(io::ErrorKind),
    /// Writing failed.
    Writer(io::ErrorKind),
}

/// One way of a tunnel.
struct Pump {
    first: Bytes,
    /// Empty while there is nothing to carry: quiet tunnels cost little.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
    unflushed: bool,
    end: Option<End>,
}

impl Pump {
    const fn beginning_with(first: Bytes) -> Self {
        let buffer = Vec::new();
        Self { first, buffer, from: 0, to: 0, ended: false, unflushed: false, end: None }
    }

    /// Carries what can be carried now.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: Pin<&mut R>, writer: Pin<&mut W>)
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        if self.end.is_none()
            && let Poll::Ready(end) = self.carry(cx, reader, writer)
        {
            self.end = Some(end);
            self.buffer = Vec::new();
        }
    }

    fn carry<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<End>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        loop {
            if let Err(error) = ready!(self.write(cx, writer.as_mut())) {
                return Poll::Ready(End::Writer(error.kind()));
            }
            if self.ended {
                return Poll::Ready(match ready!(writer.as_mut().poll_shutdown(cx)) {
                    Ok(()) => End::Passed,
                    Err(error) => End::Writer(error.kind()),
                });
            }
            match self.read(cx, reader.as_mut()) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(End::Reader(error.kind())),
                Poll::Pending => {
                    self.buffer = Vec::new();
                    if self.unflushed {
                        if let Err(error) = ready!(writer.as_mut().poll_flush(cx)) {
                            return Poll::Ready(End::Writer(error.kind()));
                        }
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes all that was read.
    fn write<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        loop {
            let (early, bytes) = match self.buffer.get(self.from..self.to) {
                _ if !self.first.is_empty() => (true, self.first.as_ref()),
                Some(bytes) if !bytes.is_empty() => (false, bytes),
                _ => return Poll::Ready(Ok(())),
            };
            match ready!(writer.as_mut().poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written if early => self.first.advance(written),
                written => self.from += written,
            }
            self.unflushed = true;
        }
    }

    /// Reads some, or notes the end. A TLS peer that leaves without its close_notify has ended too.
    fn read<R: AsyncRead>(
        &mut self,
        cx: &mut Context<'_>,
        reader: Pin<&mut R>,
    ) -> Poll<io::Result<()>> {
        self.buffer.resize(BUFFER, 0);
        let mut space = ReadBuf::new(&mut self.buffer);
        let read = ready!(reader.poll_read(cx, &mut space));
        let count = space.filled().len();
        match read {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Poll::Ready(Err(error)),
            _ => {
                (self.from, self.to, self.ended) = (0, count, count == 0);
                Poll::Ready(Ok(()))
            }
        }
    }
}
