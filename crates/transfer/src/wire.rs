//! Messages on a byte stream: one byte for the kind, four (big-endian) for the length, then so many
//! bytes. Every kind has its limit, so a length never makes a reader allocate more than that.

use std::io::{self, Read, Write};

use thiserror::Error;

use crate::codec::{CodecError, Decoder, Encoder};
use crate::frame::{FRAME, TAG};
use crate::session::{ENCAPSULATION_LENGTH, HELLO_LIMIT};

/// How long a message's head is.
pub const HEAD: usize = 5;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// See [`Offer`](crate::offer::Offer).
    Offer,
    /// The receiver's keys; see [`session`](crate::session).
    Hello,
    /// The sender's answer; see [`session`](crate::session).
    Encapsulation,
    /// A sealed piece of the archive.
    Frame,
    /// The sealed trailer.
    LastFrame,
    /// See [`Receipt`](crate::receipt::Receipt).
    Receipt,
    /// Why the other side does not go on.
    Refusal,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Offer,
        Self::Hello,
        Self::Encapsulation,
        Self::Frame,
        Self::LastFrame,
        Self::Receipt,
        Self::Refusal,
    ];

    fn byte(self) -> u8 {
        match self {
            Self::Offer => b'O',
            Self::Hello => b'H',
            Self::Encapsulation => b'E',
            Self::Frame => b'F',
            Self::LastFrame => b'L',
            Self::Receipt => b'R',
            Self::Refusal => b'X',
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Offer | Self::Receipt => 8 * 1024,
            Self::Hello => HELLO_LIMIT,
            Self::Encapsulation => ENCAPSULATION_LENGTH,
            Self::Frame => FRAME + TAG,
            Self::LastFrame => 256,
            Self::Refusal => 4 * 1024,
        }
    }
}

/// Why no message can be read.
#[derive(Debug, Error)]
pub enum WireError {
    /// The stream has failed.
    #[error("the stream to the other side failed")]
    Stream(#[source] io::Error),
    /// The stream has ended where a message should be.
    #[error("the other side ended the stream too early")]
    Ended,
    /// The bytes are no message.
    #[error("the other side does not speak this protocol")]
    Foreign,
    /// The message is longer than its kind can be.
    #[error("a message of {length} bytes is longer than its kind {kind:?} can be")]
    TooLong {
        /// What it says it is.
        kind: Kind,
        /// How long it says it is.
        length: usize,
    },
    /// The message is not the one that was to come.
    #[error("a message of the kind {found:?} came where {expected} was to come")]
    Unexpected {
        /// What came.
        found: Kind,
        /// What was to come.
        expected: &'static str,
    },
}

/// A message's head.
pub fn head(kind: Kind, length: usize) -> Result<[u8; HEAD], WireError> {
    let too_long = WireError::TooLong { kind, length };
    let Some(count) = u32::try_from(length).ok().filter(|_| length <= kind.limit()) else {
        return Err(too_long);
    };
    let [a, b, c, d] = count.to_be_bytes();
    Ok([kind.byte(), a, b, c, d])
}

/// Reads a message's head.
pub fn parse_head(head: [u8; HEAD]) -> Result<(Kind, usize), WireError> {
    let [kind, length @ ..] = head;
    let kind = Kind::ALL.into_iter().find(|known| known.byte() == kind);
    let kind = kind.ok_or(WireError::Foreign)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| WireError::Foreign)?;
    if length > kind.limit() {
        return Err(WireError::TooLong { kind, length });
    }
    Ok((kind, length))
}

/// A message whole, to be written at once.
pub fn message(kind: Kind, body: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut message = Vec::with_capacity(HEAD + body.len());
    message.extend_from_slice(&head(kind, body.len())?);
    message.extend_from_slice(body);
    Ok(message)
}

/// Writes a message.
pub fn write(output: &mut impl Write, kind: Kind, body: &[u8]) -> Result<(), WireError> {
    output.write_all(&message(kind, body)?).map_err(WireError::Stream)?;
    output.flush().map_err(WireError::Stream)
}

/// Reads a message into `body`, whose old content is dropped.
pub fn read(input: &mut impl Read, body: &mut Vec<u8>) -> Result<Kind, WireError> {
    let mut head = [0; HEAD];
    fill(input, &mut head)?;
    let (kind, length) = parse_head(head)?;
    body.resize(length, 0);
    fill(input, body)?;
    Ok(kind)
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), WireError> {
    input.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => WireError::Ended,
        _ => WireError::Stream(error),
    })
}

/// Why a receiver does not go on: said in the open, so it names no secret, and it is believed only as
/// far as that the transfer failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is about.
    pub reason: Reason,
    /// The error and its causes, outermost first.
    pub text: String,
    /// What may be done about it.
    pub hint: Option<String>,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The offer is of a version that the receiver does not speak.
    Version,
    /// The receiver is in another container.
    Container,
    /// The container's run seems to have begun at another time.
    Run,
    /// The receiver cannot find out which container it is in.
    Unidentified,
    /// A message or frame is not authentic.
    NotAuthentic,
    /// What arrived is not what was announced, or is malformed.
    Content,
    /// There is no space for it.
    NoSpace,
    /// The destination cannot be written.
    Destination,
    /// Another transfer to the destination is under way.
    Busy,
    /// The stream failed, or nothing came for too long.
    Stream,
    /// The listener could not be reached, or is not the one meant.
    Listener,
    /// A fault of the receiver.
    Internal,
    /// Only memory would do as a destination, and this one is not in memory.
    OnDisk,
}

impl Reason {
    const ALL: [Self; 13] = [
        Self::Version,
        Self::Container,
        Self::Run,
        Self::Unidentified,
        Self::NotAuthentic,
        Self::Content,
        Self::NoSpace,
        Self::Destination,
        Self::Busy,
        Self::Stream,
        Self::Listener,
        Self::Internal,
        Self::OnDisk,
    ];
}

impl Refusal {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let place = Reason::ALL.iter().position(|reason| *reason == self.reason);
        let mut encoder = Encoder::new();
        encoder.byte(u8::try_from(place.unwrap_or_default()).unwrap_or_default());
        encoder.text(&shorten(&self.text)).text(&shorten(self.hint.as_deref().unwrap_or_default()));
        encoder.finish().to_vec()
    }

    /// Reads the message. Control characters are left out of its texts: they go to terminals.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut decoder = Decoder::new(bytes);
        let reason = Reason::ALL.get(usize::from(decoder.byte()?));
        let reason = *reason.ok_or(CodecError::Field("reason"))?;
        let text = plain(decoder.text(1024, "text")?);
        let hint = plain(decoder.text(1024, "hint")?);
        decoder.finish()?;
        Ok(Self { reason, text, hint: (!hint.is_empty()).then_some(hint) })
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

fn shorten(text: &str) -> String {
    let mut end = text.len().min(1024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_is_read_as_written() {
        for kind in Kind::ALL {
            let mut stream = Vec::new();
            write(&mut stream, kind, b"abc").unwrap();
            let mut body = Vec::new();
            assert_eq!(read(&mut stream.as_slice(), &mut body).unwrap(), kind);
            assert_eq!(body, b"abc");
            let cut = &stream[..stream.len() - 1];
            assert!(matches!(read(&mut &*cut, &mut body), Err(WireError::Ended)));
        }
    }

    #[test]
    fn lengths_beyond_the_kind_are_refused_before_anything_is_allocated() {
        let head = [b'H', 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(parse_head(head), Err(WireError::TooLong { kind: Kind::Hello, .. })));
        assert!(matches!(parse_head(*b"GET /"), Err(WireError::Foreign)));
        assert!(message(Kind::Hello, &[0; HELLO_LIMIT + 1]).is_err());
    }

    #[test]
    fn a_refusal_cannot_steer_a_terminal() {
        for reason in Reason::ALL {
            let refusal =
                Refusal { reason, text: "no\x1b[2J space\n".into(), hint: Some("x".into()) };
            let back = Refusal::decode(&refusal.encode()).unwrap();
            assert_eq!((back.reason, back.text.as_str()), (reason, "no[2J space"));
        }
        let long = Refusal { reason: Reason::Stream, text: "ä".repeat(5000), hint: None };
        assert!(Refusal::decode(&long.encode()).unwrap().text.len() <= 1024);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise_than_by_an_error(bytes: Vec<u8>) {
            let _ = read(&mut bytes.as_slice(), &mut Vec::new());
            let _ = Refusal::decode(&bytes);
        }
    }
}
