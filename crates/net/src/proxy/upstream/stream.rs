//! A connection to a server, of any kind.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::unconstrained;
use tokio_rustls::client::TlsStream;

use super::Address;
use crate::proxy::keep_alive;
use crate::tls::{HTTP2, Offer};

/// The bytes of a connection.
#[derive(Debug)]
pub(in crate::proxy) enum Stream {
    /// To a unix socket.
    Unix(UnixStream),
    /// To a TCP port.
    Tcp(TcpStream),
    /// To a TCP port, over TLS. In a box, for it is many times as large as the others.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Every kind of stream does the same by its own means.
macro_rules! each {
    ($this:expr, $stream:ident => $does:expr) => {
        match $this {
            Stream::Unix($stream) => $does,
            Stream::Tcp($stream) => $does,
            Stream::Tls($stream) => $does,
        }
    };
}

/// Makes connections to one server. Its `Display` is the server's address, for messages.
///
/// Whoever implements it decides which address is dialled and who has to be there: nothing is sent before
/// it has returned.
pub trait Dial: fmt::Debug + fmt::Display + Send + Sync {
    /// A new connection, on which `offer` says what will be spoken; over TLS the server may choose. The caller has
    /// the deadline.
    fn dial(&self, offer: Offer) -> Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send + '_>>;
}

/// A connection that was made by [`Dial`].
#[derive(Debug)]
pub enum Dialled {
    /// In clear text.
    Tcp(TcpStream),
    /// Over TLS, after the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) async fn connect(address: &Address, offer: Offer) -> io::Result<Self> {
        match address {
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Address::Tcp(address) => tcp(address).await.map(Self::Tcp),
            Address::Tls(address, client) => {
                let stream = client.connect_for(address, tcp(address).await?, offer).await?;
                Ok(Self::Tls(Box::new(stream)))
            }
            Address::Dialled(dial) => Self::dialled(dial.dial(offer).await?),
        }
    }

    fn dialled(connection: Dialled) -> io::Result<Self> {
        match connection {
            Dialled::Tcp(stream) => tuned(&stream).map(|()| Self::Tcp(stream)),
            Dialled::Tls(stream) => tuned(stream.get_ref().0).map(|()| Self::Tls(stream)),
        }
    }

    /// Whether the server has neither said anything nor hung up.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let read = match self {
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tcp(stream) => stream.try_read(&mut byte),
            // Bytes on the socket need not be the server's: tickets for later sessions come by themselves.
            Self::Tls(stream) => return is_quiet(stream),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(super) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether the server has chosen HTTP/2 in the TLS handshake.
    pub(super) fn speaks_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(HTTP2))
    }

    /// Whether the server has closed both its ways, which the end of what it says does not tell. Of TCP the
    /// kernel cannot know it before something is sent.
    pub(in crate::proxy) fn has_hung_up(&self) -> bool {
        let fd = match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
        };
        let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut asked, Some(&at_once)), Ok(1))
    }
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    tuned(&stream)?;
    Ok(stream)
}

fn tuned(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(stream)
}

/// Looks without waiting: nobody is to be woken, and the task's budget must not make it look quiet.
fn is_quiet(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut byte = [0; 1];
    let mut buffer = ReadBuf::new(&mut byte);
    let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer));
    pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
