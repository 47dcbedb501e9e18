//! What a connection begins with, read before it is decided what it is, and then given on with the rest.

use std::io;

use bytes::BytesMut;
use sealock_net::proxy::Rewound;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// No method is longer.
const LONGEST_METHOD: usize = 32;

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It begins as requests do: a method, a space, and a path.
    Http,
    /// Something else.
    Other,
    /// It ended before it was anything.
    Nothing,
}

/// A connection with its first bytes.
#[derive(Debug)]
pub(super) struct Begun {
    stream: TcpStream,
    first: BytesMut,
}

impl Begun {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, first: BytesMut::new() }
    }

    /// The connection, with what was read.
    pub(super) fn whole(self) -> Rewound<TcpStream> {
        Rewound::new(self.first, self.stream)
    }

    /// Reads until it is clear what it is. Whoever gives up has lost nothing.
    pub(super) async fn kind(&mut self) -> io::Result<Kind> {
        loop {
            if let Some(kind) = kind(&self.first) {
                return Ok(kind);
            }
            if self.stream.read_buf(&mut self.first).await? == 0 {
                return Ok(if self.first.is_empty() { Kind::Nothing } else { Kind::Other });
            }
        }
    }
}

/// What these bytes begin, if that is clear. At a port like this requests are for a path: `PING` and `EHLO` are followed
/// by something else, or by nothing.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match bytes.iter().position(|byte| !is_token(byte)) {
        None if bytes.len() > LONGEST_METHOD => Some(Kind::Other),
        None => None,
        Some(length @ 1..=LONGEST_METHOD) if bytes.get(length) == Some(&b' ') => {
            match bytes.get(length + 1) {
                Some(b'/' | b'*') => Some(Kind::Http),
                Some(_) => Some(Kind::Other),
                None => None,
            }
        }
        Some(_) => Some(Kind::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_all_else_as_soon_as_can_be() {
        for (bytes, expected) in [
            (&b"GET /a HTTP/1.1\r\n"[..], Some(Kind::Http)),
            (b"OPTIONS * HTTP/1.1\r\n", Some(Kind::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(Kind::Http)),
            (b"M-SEARCH /", Some(Kind::Http)),
            (b"", None),
            (b"GE", None),
            (b"GET ", None),
            (b"\x16\x03\x01", Some(Kind::Other)),
            (b"SSH-2.0-OpenSSH_9\r\n", Some(Kind::Other)),
            (b"EHLO host\r\n", Some(Kind::Other)),
            (b"PING\r\n", Some(Kind::Other)),
            (b"*1\r\n$4\r\nPING\r\n", Some(Kind::Other)),
            (b" /", Some(Kind::Other)),
            (b"\r\nGET / HTTP/1.1\r\n", Some(Kind::Other)),
            (b"GET  /", Some(Kind::Other)),
            (b"GET\t/", Some(Kind::Other)),
            (b"GET http://orders/ HTTP/1.1\r\n", Some(Kind::Other)),
            (&[b'A'; 33], Some(Kind::Other)),
            (&[b'A'; 32], None),
        ] {
            assert_eq!(kind(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
