//! Heads of HTTP/1.1 as they go to a server and come back: written from types, and read strictly.

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::StatusCode;
use hyper::{Method, Request, Response};
use thiserror::Error;

use super::RequestBody;
use crate::proxy::framing::{self, Chunk, Framing};
use crate::proxy::fuzz::content;
use crate::proxy::headers::{answer_head, says_close};

/// Bytes of an answer's head.
const MOST_BYTES: usize = 128 * 1024;
/// Header fields of an answer.
const MOST_HEADERS: usize = 256;
/// So many a usual answer has.
const USUAL_HEADERS: usize = 12;

/// The answer is not HTTP, or has two readings.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct NotHttp(&'static str);

/// How the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Framed(Framing),
    /// With the connection.
    UntilClose,
}

/// What an answer's head says.
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) length: Length,
    pub(super) keep_alive: bool,
}

/// A request's head as it goes out. Types make sure that there is no line end in any part.
pub(super) fn written(request: &Request<RequestBody>, out: &mut Vec<u8>) {
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.push(b' ');
    match request.uri().path_and_query() {
        Some(target) => out.extend_from_slice(target.as_str().as_bytes()),
        None => out.push(b'/'),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Takes an answer's head from the front of `buffer`, if it is whole. `method` is that of the request.
pub(super) fn read(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, NotHttp> {
    let end = framing::end_of_head(buffer, 0)
        .map_err(|_| NotHttp("a line of the answer does not end in CR LF"))?;
    let Ok(length) = end else {
        return if buffer.len() > MOST_BYTES {
            Err(NotHttp("its head is too large"))
        } else {
            Ok(None)
        };
    };
    let bytes = buffer.split_to(length).freeze();
    let mut lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    let (status, current) = status(lines.next().unwrap_or_default())?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(USUAL_HEADERS);
    for line in lines.take_while(|line| !line.is_empty()) {
        if headers.len() >= MOST_HEADERS {
            return Err(NotHttp("it has too many headers"));
        }
        let (name, value) = field(&bytes, line).ok_or(NotHttp("a header is malformed"))?;
        headers.append(name, value);
    }
    let keep_alive = current && !says_close(headers);
    let length = body_length(headers, status, method)?;
    Ok(Some(Head { response, length, keep_alive }))
}

/// The code, and whether the version is 1.1.
fn status(line: &[u8]) -> Result<(StatusCode, bool), NotHttp> {
    let malformed = NotHttp("its status line is malformed");
    let (version, rest) = line.split_at_checked(9).ok_or(NotHttp("it is not HTTP"))?;
    let current = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return Err(NotHttp("it is not HTTP/1")),
    };
    let (code, reason) = rest.split_at_checked(3).ok_or(NotHttp("it has no status"))?;
    if !matches!(reason, [] | [b' ', ..]) {
        return Err(malformed);
    }
    let code = StatusCode::from_bytes(code).map_err(|_| malformed)?;
    Ok((code, current))
}

/// Name and value, the value without a copy.
fn field(bytes: &Bytes, line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let value = bytes.slice_ref(framing::trimmed(value.get(1..)?));
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_maybe_shared(value).ok()?))
}

fn body_length(
    headers: &HeaderMap,
    status: StatusCode,
    method: &Method,
) -> Result<Length, NotHttp> {
    let none = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD;
    if none {
        return Ok(Length::Framed(Framing::EMPTY));
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).into_iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    match (encodings.next(), encodings.next(), lengths.next(), lengths.next()) {
        (None, None, None, None) => Ok(Length::UntilClose),
        (Some(encoding), None, None, None)
            if encoding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(Length::Framed(Framing::Chunked(Chunk::START)))
        }
        (None, None, Some(length), None) => {
            let length = framing::decimal(length.as_bytes());
            let length = length.ok_or(NotHttp("its Content-Length is malformed"))?;
            Ok(Length::Framed(Framing::Fixed(length)))
        }
        _ => Err(NotHttp("the length of its body has two readings")),
    }
}

/// What must hold of every answer (see [`crate::proxy::fuzz`]).
pub(in crate::proxy) fn fuzz(data: &[u8], method: &Method) {
    if data.len() > MOST_BYTES {
        return;
    }
    let mut rest = BytesMut::from(data);
    let at_once = read(&mut rest, method);
    let (mut buffer, mut piecewise) = (BytesMut::new(), Ok(None));
    for byte in data {
        buffer.extend_from_slice(&[*byte]);
        piecewise = read(&mut buffer, method);
        if !matches!(piecewise, Ok(None)) {
            break;
        }
    }
    let (Ok(at_once), Ok(piecewise)) = (&at_once, &piecewise) else {
        assert!(at_once.is_err() && piecewise.is_err(), "an answer depends on its pieces");
        return;
    };
    assert_eq!(at_once.is_some(), piecewise.is_some(), "an answer depends on its pieces");
    let (Some(head), Some(other)) = (at_once, piecewise) else { return };
    assert!(head.says_as(other), "an answer depends on its pieces");
    let written = answer_head(head.response.status(), head.response.headers());
    let again = read(&mut BytesMut::from(written), method);
    let again = again.ok().flatten().filter(|again| again.says_as(head));
    assert!(again.is_some() || !head.keep_alive, "what is written says something else");
    if let Length::Framed(framing) = head.length {
        let _ = content(framing, &rest);
    }
}

impl Head {
    fn says_as(&self, other: &Self) -> bool {
        self.response.status() == other.response.status()
            && self.response.headers() == other.response.headers()
            && (self.length, self.keep_alive) == (other.length, other.keep_alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Option<Head>, NotHttp> {
        read(&mut BytesMut::from(text), &Method::GET)
    }

    fn length(fields: &str) -> Result<Length, NotHttp> {
        answer(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).map(|head| head.unwrap().length)
    }

    #[test]
    fn an_answer_is_read_and_what_follows_it_left() {
        let mut buffer = BytesMut::from("HTTP/1.1 404 Not Found\r\nX-A:  b \r\nx-a: c\r\n\r\nbody");
        let head = read(&mut buffer, &Method::GET).unwrap().unwrap();
        assert_eq!(head.response.status(), 404);
        let values: Vec<_> = head.response.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["b", "c"]);
        assert!(head.keep_alive);
        assert_eq!(buffer, "body");
        assert!(answer("HTTP/1.1 200 OK\r\nx: y\r\n").unwrap().is_none());
        assert!(answer("HTTP/1.1 200\r\n\r\n").unwrap().is_some());
        let closing = answer("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n\r\n").unwrap().unwrap();
        assert!(!closing.keep_alive);
        assert!(!answer("HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap().keep_alive);
    }

    #[test]
    fn the_length_of_a_body_has_one_reading() {
        assert_eq!(length("").unwrap(), Length::UntilClose);
        assert_eq!(length("content-length: 3\r\n").unwrap(), Length::Framed(Framing::Fixed(3)));
        let chunked = length("transfer-encoding: Chunked\r\n").unwrap();
        assert_eq!(chunked, Length::Framed(Framing::Chunked(Chunk::START)));
        for two in [
            "content-length: 3\r\ncontent-length: 3\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "content-length: x\r\n",
        ] {
            assert!(length(two).is_err(), "{two}");
        }
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        for text in [
            "\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\u{c}\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\r\n\r\n",
            "HTTP/1.1 200 OK\nx: y\n\n",
        ] {
            assert!(answer(text).is_err(), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MOST_BYTES));
        assert!(answer(&endless).is_err());
    }
}
