//! A listening socket that is there before we are: from systemd, or from the process whose place we take.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{ForeignRawFd, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::error::{ErrorCode, ServiceError};

/// The first descriptor that systemd hands over (`sd_listen_fds(3)`).
const FIRST: i32 = 3;

/// What the environment says of descriptors that were handed over: `LISTEN_PID` and `LISTEN_FDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// For which process they are.
    pub pid: String,
    /// How many there are.
    pub count: String,
}

impl Activation {
    /// The socket. There must be exactly one, for us, that listens.
    pub(super) fn socket(&self) -> Result<TcpListener, ServiceError> {
        let wrong = |text: String| {
            ServiceError::new(ErrorCode::Usage, text)
                .hint("--listen systemd is for a service that a .socket unit with one ListenStream= starts")
        };
        let own = getpid();
        if self.pid.parse() != Ok(own.as_raw_nonzero().get()) {
            return Err(wrong("no socket was handed over to this process".to_owned()));
        }
        if self.count != "1" {
            return Err(wrong(format!("one socket is taken, and {} were handed over", self.count)));
        }
        // Asking the kernel for a second descriptor needs no promise that nobody else uses the first.
        let process = pidfd_open(own, PidfdFlags::empty());
        let taken = process.and_then(|process| {
            pidfd_getfd(process, FIRST as ForeignRawFd, PidfdGetfdFlags::empty())
        });
        let socket = taken.map_err(|error| {
            wrong("the socket that was handed over cannot be taken".to_owned()).caused_by(&error)
        })?;
        listening(socket).ok_or_else(|| {
            wrong("what was handed over is not a TCP socket that listens".to_owned())
        })
    }
}

/// The socket as a listener, if it is one.
pub(super) fn listening(socket: OwnedFd) -> Option<TcpListener> {
    let fd = socket.as_fd();
    let is_tcp = matches!(socket_domain(fd), Ok(AddressFamily::INET | AddressFamily::INET6))
        && matches!(socket_type(fd), Ok(SocketType::STREAM))
        && matches!(socket_acceptconn(fd), Ok(true));
    if !is_tcp {
        return None;
    }
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

/// Of those that were handed over, the one at this address; port 0 stands for any.
pub(super) fn at(sockets: &mut Vec<TcpListener>, wanted: SocketAddr) -> Option<TcpListener> {
    let fits = |listener: &TcpListener| {
        listener.local_addr().is_ok_and(|address| {
            address.ip() == wanted.ip() && (wanted.port() == 0 || address.port() == wanted.port())
        })
    };
    let found = sockets.iter().position(fits)?;
    Some(sockets.swap_remove(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_listens_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = std::net::TcpStream::connect(address).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for other in [connected.into(), unix.into(), file.into(), datagrams.into()] {
            assert!(listening(other).is_none());
        }
        let mut taken = vec![listening(listener.into()).unwrap()];
        assert!(at(&mut taken, "127.0.0.1:1".parse().unwrap()).is_none());
        assert!(at(&mut taken, "0.0.0.0:0".parse().unwrap()).is_none());
        let found = at(&mut taken, "127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!((found.local_addr().unwrap(), taken.len()), (address, 0));
    }

    #[test]
    fn what_is_for_another_process_or_not_one_socket_is_refused() {
        let own = getpid().as_raw_nonzero().get();
        for (pid, count) in
            [(own + 1, "1"), (own, "0"), (own, "2"), (own, ""), (own, "01"), (0, "1")]
        {
            let activation = Activation { pid: pid.to_string(), count: count.to_owned() };
            assert_eq!(activation.socket().unwrap_err().code, ErrorCode::Usage, "{activation:?}");
        }
    }
}
