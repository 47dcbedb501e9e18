//! HTTP over a daemon's socket by the calling thread alone: for programs that ask once and then are something else,
//! and to which a runtime would be the larger part of it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use zeroize::Zeroizing;

use super::wire::{ANSWERING, CONNECTING, LONGEST, broken, encoded, reply};
use crate::api::CALL;
use crate::command::{Command, Reply};
use crate::error::{ErrorCode, ServiceError};

/// A head that is longer is none of ours.
const LONGEST_HEAD: usize = 16 * 1024;
/// One with more fields neither.
const MOST_FIELDS: usize = 32;

pub(super) fn connect(socket: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(socket)?;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&stream, Timeout::Send, Some(CONNECTING))?;
    set_socket_timeout(&stream, Timeout::Recv, Some(ANSWERING))?;
    rustix::net::connect(&stream, &address)?;
    Ok(stream.into())
}

pub(super) fn call(mut stream: UnixStream, command: &Command) -> Result<Reply, ServiceError> {
    let body = encoded(command)?;
    let mut request = Vec::with_capacity(256 + body.len());
    let length = body.len();
    // Writing into a vector cannot fail.
    let _ = write!(
        request,
        "POST {CALL} HTTP/1.1\r\nhost: sealock\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    request.extend_from_slice(&body);
    let answered = stream.write_all(&request).and_then(|()| answer(&mut stream));
    let (status, body) = answered.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            ServiceError::new(ErrorCode::Timeout, "the daemon did not answer in time")
        }
        _ => broken(&error),
    })?;
    reply(status, &body)
}

/// Status and body.
fn answer(stream: &mut impl Read) -> io::Result<(u16, Zeroizing<Vec<u8>>)> {
    let mut buffer = Zeroizing::new(vec![0; LONGEST_HEAD]);
    let mut filled = 0;
    let (status, length, start) = loop {
        let seen = buffer.get(..filled).unwrap_or_default();
        if let Some(head) = head(seen)? {
            break head;
        }
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match stream.read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    // All of its room at once: what it holds is wiped, and growing would leave copies behind.
    let mut body = Zeroizing::new(vec![0; length]);
    let first = buffer.get(start..filled).unwrap_or_default();
    let first = first.get(..length.min(first.len())).unwrap_or_default();
    let (here, rest) = body.split_at_mut(first.len());
    here.copy_from_slice(first);
    stream.read_exact(rest)?;
    Ok((status, body))
}

/// Status, length of the body and where it begins, once all of the head is there.
fn head(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let strange = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let start = match parsed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial if bytes.len() < LONGEST_HEAD => return Ok(None),
        httparse::Status::Partial => return strange("a head without end"),
    };
    let status = response.code.unwrap_or_default();
    // The daemon tells the length of every answer to a command, and tells it once.
    let is = |name: &'static str| {
        response.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    };
    let mut lengths = is("content-length");
    let (Some(length), None, None) =
        (lengths.next(), lengths.next(), is("transfer-encoding").next())
    else {
        return strange("not one length");
    };
    let digits = std::str::from_utf8(length.value).unwrap_or_default();
    match digits.parse() {
        Ok(length) if length <= LONGEST && !digits.starts_with('+') => {
            Ok(Some((status, length, start)))
        }
        _ => strange("a length that is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = 1.min(buffer.len()).min(self.0.len());
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn an_answer_is_read_however_it_comes() {
        let text = b"HTTP/1.1 404 Not Found\r\nA: b\r\nContent-Length:  5\r\n\r\nhello";
        for answered in [answer(&mut &text[..]), answer(&mut Slow(text))] {
            let (status, body) = answered.unwrap();
            assert_eq!((status, body.as_slice()), (404, &b"hello"[..]));
        }
        let empty = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(answer(&mut &empty[..]).unwrap().1.len(), 0);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; LONGEST_HEAD]].concat();
        let cases: [&[u8]; 11] = [
            b"",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\nhello",
            b"HTTP/1.1 2\xff\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
            b"SSH-2.0\r\ncontent-length: 0\r\n\r\n",
            &endless,
        ];
        for text in cases {
            assert!(answer(&mut &text[..]).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
