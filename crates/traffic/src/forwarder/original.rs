//! Where a connection was going when the kernel brought it here.

use std::io;
use std::net::SocketAddr;

use rustix::net::sockopt;
use thiserror::Error;
use tokio::net::TcpStream;

/// Why a connection was not brought here by the kernel.
#[derive(Debug, Error)]
pub(super) enum Stray {
    /// It was made to our port, by whoever.
    #[error("it was made to this very port, and leads nowhere")]
    Direct,
    /// The kernel knows of no other destination.
    #[error("the kernel does not say where it was going")]
    Unknown(#[source] io::Error),
    /// It came from outside: our port is on more than the loopback.
    #[error("it did not arrive at the loopback")]
    Foreign,
}

/// The address that was dialled (`SO_ORIGINAL_DST`).
///
/// A connection to our own port has no other destination. To go on where it was going would be to come here again.
pub(super) fn destination(stream: &TcpStream) -> Result<SocketAddr, Stray> {
    let here = stream.local_addr().map_err(Stray::Unknown)?;
    if !here.ip().to_canonical().is_loopback() {
        return Err(Stray::Foreign);
    }
    let found = match here.ip().to_canonical() {
        std::net::IpAddr::V4(_) => sockopt::ip_original_dst(stream).map(SocketAddr::from),
        std::net::IpAddr::V6(_) => sockopt::ipv6_original_dst(stream).map(SocketAddr::from),
    };
    let there = found.map_err(|error| Stray::Unknown(error.into()))?;
    let there = SocketAddr::new(there.ip().to_canonical(), there.port());
    let here = SocketAddr::new(here.ip().to_canonical(), here.port());
    if there == here { Err(Stray::Direct) } else { Ok(there) }
}
