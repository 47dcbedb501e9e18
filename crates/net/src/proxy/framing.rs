//! Where a request begins and ends, read strictly, without I/O.
//!
//! hyper is lenient where servers disagree with one another: it takes bare line feeds, a Content-Length
//! beside a Transfer-Encoding, and `gzip, chunked`. Each of these is how one request is smuggled inside
//! another. So the bytes of a connection pass here first, and only what has one meaning goes on to hyper:
//! the grammar accepted here is a subset of what hyper accepts, with the same boundaries.
//!
//! An attacker controls every byte.

use hyper::http::StatusCode;
use memchr::memchr;
use thiserror::Error;

/// Trailer fields are dropped, but have to be read over.
const TRAILER_BYTES: usize = 8 * 1024;
/// No client of ours sends any.
const TRAILER_FIELDS: usize = 32;
/// Hex digits of a chunk's size: 2^60 bytes are enough.
const SIZE_DIGITS: u8 = 15;

/// Why a request is refused before anything of it is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A line ends in a line feed without a carriage return, or has one in the middle.
    #[error("a line of the request does not end in CR LF")]
    LineEnd,
    /// The first line is not `METHOD TARGET HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// A version other than 1.1 and 1.0.
    #[error("only HTTP/1.1 is spoken here")]
    Version,
    /// CONNECT asks for another kind of proxy.
    #[error("the method CONNECT is not served here")]
    Connect,
    /// What follows a CONNECT belongs to the tunnel, so it has no body (RFC 9110 §9.3.6).
    #[error("a CONNECT has no body")]
    ConnectBody,
    /// A header line begins with a space (a folded line).
    #[error("a header is folded over several lines")]
    Folded,
    /// A header's name is empty or has something in it that is not allowed, such as a space before the colon.
    #[error("the name of a header is malformed")]
    Name,
    /// A header's value has a control character in it.
    #[error("the value of a header is malformed")]
    Value,
    /// No Host, or several.
    #[error("a request needs exactly one Host header")]
    Host,
    /// A Content-Length that is no number, or several.
    #[error("the Content-Length is malformed or repeated")]
    Length,
    /// A Transfer-Encoding other than exactly `chunked`.
    #[error("the only Transfer-Encoding taken is chunked, once")]
    Encoding,
    /// Content-Length and Transfer-Encoding together.
    #[error("Content-Length and Transfer-Encoding exclude one another")]
    TwoLengths,
    /// HTTP/1.0 has neither.
    #[error("HTTP/1.0 has neither keep-alive nor a Transfer-Encoding")]
    OldVersion,
    /// The head is larger than allowed.
    #[error("the head of the request is too large")]
    HeadTooLarge,
    /// There are more headers than allowed.
    #[error("the request has too many headers")]
    TooManyHeaders,
    /// A chunk of the body is malformed.
    #[error("a chunk of the body is malformed")]
    Chunk,
    /// A header of HTTP/1.1's connections in HTTP/2, or a `te` other than `trailers` (RFC 9113 §8.2.2).
    #[error("a header of the request has no place in HTTP/2")]
    Foreign,
    /// `:authority` and `Host` name two hosts.
    #[error("the request names two hosts")]
    TwoHosts,
    /// A `:scheme` other than http and https.
    #[error("only http and https are served here")]
    Scheme,
    /// A `:path` that is none.
    #[error("the target of the request is not a path")]
    Target,
}

impl Refusal {
    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Looks for the empty line that ends a head, from `from` on, where a line begins. Gives the head's length,
/// or where to look on when there is more.
pub(super) fn end_of_head(bytes: &[u8], from: usize) -> Result<Result<usize, usize>, Refusal> {
    let mut start = from;
    loop {
        let rest = bytes.get(start..).unwrap_or_default();
        let Some(length) = memchr(b'\n', rest) else {
            return Ok(Err(start));
        };
        let line = rest.get(..length).unwrap_or_default();
        start += length + 1;
        match line {
            // An empty first line is no head; `head` refuses it.
            b"\r" => return Ok(Ok(start)),
            [.., b'\r'] => {}
            _ => return Err(Refusal::LineEnd),
        }
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Fixed(u64),
    /// Where the chunks say.
    Chunked(Chunk),
}

impl Framing {
    pub(super) const EMPTY: Self = Self::Fixed(0);
}

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    Size { size: u64, digits: u8 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd,
    DataLineFeed,
    Trailer(Trailer),
    Done,
}

/// Where in the trailer we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    bytes: usize,
    fields: usize,
    place: Place,
}

/// Where in a line of the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Name,
    Value,
    Return,
    LastReturn,
}

impl Chunk {
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };
}

/// What a head says of itself, collected line by line.
#[derive(Default)]
struct Facts {
    old: bool,
    connects: bool,
    hosts: usize,
    lengths: usize,
    length: u64,
    encodings: usize,
    keep_alive: bool,
}

/// Judges a whole head (with its empty line) and says how the body that follows ends. `connect`: whether
/// CONNECT is served.
pub(super) fn head(bytes: &[u8], most_headers: usize, connect: bool) -> Result<Framing, Refusal> {
    let mut lines = Lines(bytes).map(|line| line.strip_suffix(b"\r"));
    let mut facts = Facts::default();
    let first = lines.next().flatten().ok_or(Refusal::LineEnd)?;
    facts.request_line(first)?;
    if facts.connects && !connect {
        return Err(Refusal::Connect);
    }
    for (number, line) in lines.enumerate() {
        // What is left behind the last line feed is nothing, without a return.
        let Some(line) = line.filter(|line| !line.is_empty()) else { break };
        if number >= most_headers {
            return Err(Refusal::TooManyHeaders);
        }
        facts.field(line)?;
    }
    facts.framing()
}

impl Facts {
    fn request_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (method, target) = (parts.next(), parts.next());
        let (version, more) = (parts.next(), parts.next());
        let (Some(method), Some(target), Some(version), None) = (method, target, version, more)
        else {
            return Err(Refusal::RequestLine);
        };
        let visible = |byte: &u8| (0x21..=0x7e).contains(byte);
        if !is_token(method) || target.is_empty() || !target.iter().all(visible) {
            return Err(Refusal::RequestLine);
        }
        self.old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Refusal::Version),
        };
        self.connects = method == b"CONNECT";
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(Refusal::Folded);
        }
        let colon = memchr(b':', line).ok_or(Refusal::Name)?;
        let (name, value) = line.split_at_checked(colon).ok_or(Refusal::Name)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !is_token(name) {
            return Err(Refusal::Name);
        }
        if has_control(value) {
            return Err(Refusal::Value);
        }
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"host") {
            self.hosts += 1;
        } else if is(b"content-length") {
            self.lengths += 1;
            self.length = decimal(value).ok_or(Refusal::Length)?;
        } else if is(b"transfer-encoding") {
            self.encodings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Encoding);
            }
        } else if is(b"connection") || is(b"proxy-connection") {
            let tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.keep_alive |= tokens.into_iter().any(|t| t.eq_ignore_ascii_case(b"keep-alive"));
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, Refusal> {
        if self.old && (self.keep_alive || self.encodings > 0) {
            return Err(Refusal::OldVersion);
        }
        if self.hosts > 1 || (self.hosts == 0 && !self.old) {
            return Err(Refusal::Host);
        }
        match (self.lengths, self.encodings) {
            (0, 0) => Ok(Framing::EMPTY),
            _ if self.connects => Err(Refusal::ConnectBody),
            (1, 0) => Ok(Framing::Fixed(self.length)),
            (0, 1) => Ok(Framing::Chunked(Chunk::START)),
            (_, 0) => Err(Refusal::Length),
            (0, _) => Err(Refusal::Encoding),
            _ => Err(Refusal::TwoLengths),
        }
    }
}

/// What was split at each line feed, without what is behind the last one.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = self.0.split_at_checked(memchr(b'\n', self.0)?)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line)
    }
}

/// Without a way out before the end: so the compiler looks at many bytes at once.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |any, byte| any | is_control(*byte))
}

/// What has no place in the value of a field; a tab has.
const fn is_control(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
}

fn is_token(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(allowed)
}

/// Digits and nothing else, at most 18 of them: more is no length.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

impl Chunk {
    /// Reads over what is not data, up to the next data or the end, and says how much that was.
    pub(super) fn advance_control(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(self, Self::Data { .. } | Self::Done) {
                return Ok(at);
            }
            *self = self.step(*byte)?;
        }
        Ok(bytes.len())
    }

    /// Reads over as much data as there is in `have` bytes, and says how much that was.
    pub(super) fn advance_data(&mut self, have: usize) -> usize {
        let Self::Data { left } = self else { return 0 };
        let taken = take(left, have);
        if *left == 0 {
            *self = Self::DataEnd;
        }
        taken
    }
}

impl Framing {
    /// Whether the body has ended.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Fixed(0) | Self::Chunked(Chunk::Done))
    }

    /// Reads over bytes of the body and says how many of these belong to it.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self {
            Self::Fixed(left) => Ok(take(left, bytes.len())),
            Self::Chunked(chunk) => {
                let mut at = 0;
                while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
                    at += match chunk {
                        Chunk::Done => break,
                        Chunk::Data { .. } => chunk.advance_data(rest.len()),
                        _ => chunk.advance_control(rest)?,
                    };
                }
                Ok(at)
            }
        }
    }
}

/// Takes as much from `left` as there is in `have`.
fn take(left: &mut u64, have: usize) -> usize {
    let taken = usize::try_from(*left).map_or(have, |left| left.min(have));
    *left -= taken as u64;
    taken
}

impl Chunk {
    /// One byte that is not data. Extensions are refused: no client of ours sends any, and they are where
    /// parsers differ.
    fn step(self, byte: u8) -> Result<Self, Refusal> {
        match (self, byte) {
            (Self::Size { size, digits }, b'\r') if digits > 0 => Ok(Self::SizeEnd { size }),
            (Self::Size { size, digits }, _) if digits < SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(Refusal::Chunk)?;
                Ok(Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 })
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Ok(Self::Trailer(Trailer::START)),
            (Self::SizeEnd { size }, b'\n') => Ok(Self::Data { left: size }),
            (Self::DataEnd, b'\r') => Ok(Self::DataLineFeed),
            (Self::DataLineFeed, b'\n') => Ok(Self::START),
            (Self::Trailer(trailer), byte) => trailer.step(byte),
            _ => Err(Refusal::Chunk),
        }
    }
}

impl Trailer {
    const START: Self = Self { bytes: 0, fields: 0, place: Place::Start };

    /// Judged like the fields of a head, though they are dropped: hyper reads them, and fails on any other.
    fn step(self, byte: u8) -> Result<Chunk, Refusal> {
        if self.bytes >= TRAILER_BYTES {
            return Err(Refusal::HeadTooLarge);
        }
        let place = match (self.place, byte) {
            (Place::Start, b'\r') => Place::LastReturn,
            (Place::Start, b' ' | b'\t') => return Err(Refusal::Folded),
            (Place::Start, _) if self.fields >= TRAILER_FIELDS => {
                return Err(Refusal::TooManyHeaders);
            }
            (Place::Start | Place::Name, byte) if is_token(&[byte]) => Place::Name,
            (Place::Name, b':') => Place::Value,
            (Place::Value, b'\r') => Place::Return,
            (Place::Return, b'\n') => Place::Start,
            (Place::LastReturn, b'\n') => return Ok(Chunk::Done),
            (Place::Return | Place::LastReturn, _) | (_, b'\n') => return Err(Refusal::LineEnd),
            (Place::Start | Place::Name, _) => return Err(Refusal::Name),
            (Place::Value, byte) if is_control(byte) => return Err(Refusal::Value),
            (Place::Value, _) => Place::Value,
        };
        let begun = self.place == Place::Start && place == Place::Name;
        let fields = self.fields + usize::from(begun);
        Ok(Chunk::Trailer(Self { bytes: self.bytes + 1, fields, place }))
    }
}

#[cfg(test)]
mod tests;
