//! Sockets of ours to others.

use std::io;
use std::net::SocketAddr;

use nix::sys::socket::{setsockopt, sockopt::Mark};
use tokio::net::{TcpSocket, TcpStream};

/// Connects, with a mark by which the kernel knows that it is us.
pub(super) async fn connect(address: SocketAddr, mark: Option<u32>) -> io::Result<TcpStream> {
    let Some(mark) = mark else { return TcpStream::connect(address).await };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    setsockopt(&socket, Mark, &mark)?;
    socket.connect(address).await
}
