//! What our program and the HSM's helper say to one another, as bytes. Sans-I/O.
//!
//! A frame is its length (4 bytes, big-endian, at most [`LARGEST`]) and as many bytes: one that says what it is, then
//! its fields, each text or number of bytes with its length before it. Nothing may follow the last field, and no
//! number has two spellings: what is read, and written again, is the same bytes.
//!
//! One question at a time; each has one answer. The helper has loaded somebody else's module, which may have done
//! anything to it: its answers are a stranger's bytes, and each text and count in them has a limit.
//!
//! What may be secret (the PIN, parts of keys) is in [`Zeroizing`] buffers on both sides.

mod field;
mod reply;
mod request;

use thiserror::Error;
use zeroize::Zeroizing;

pub use reply::{Public, Reply, Token, Why};
pub use request::{Request, TokenName};

/// No frame is larger. A list of revocations that Ed25519 signs is sent as a whole.
pub const LARGEST: usize = 16 << 20;
/// No text of a token or of an error is longer, in bytes.
pub const LONGEST_TEXT: usize = 512;
/// No id of a key (`CKA_ID`) is longer.
pub const LONGEST_ID: usize = 64;
/// No PIN is longer.
pub const LONGEST_PIN: usize = 4096;
/// A key has at most so many parts: those of RSA (RFC 8017 §3.2).
pub const MOST_PARTS: usize = 8;
/// No part of a key is longer.
pub const LONGEST_PART: usize = 4096;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The length is 0 or beyond [`LARGEST`].
    #[error("a frame of {0} bytes")]
    Size(u32),
    /// It ends in the middle of a field.
    #[error("a frame that is cut short")]
    Short,
    /// Something follows the last field.
    #[error("a frame with more than it should have")]
    Long,
    /// A field is beyond its limit, or not what it may be.
    #[error("a frame with a wrong {0}")]
    Field(&'static str),
}

/// Kinds of keys, by how they sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 3,072 bits when it is made; of any size when it is found.
    Rsa,
}

impl Kind {
    /// All of them; the place of each is its number on the wire.
    pub const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa];

    /// How many parts a private key of it has: value and public point, or the eight of RSA.
    pub const fn parts(self) -> usize {
        match self {
            Self::P256 | Self::P384 | Self::Ed25519 => 2,
            Self::Rsa => MOST_PARTS,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::P256 => 0,
            Self::P384 => 1,
            Self::Ed25519 => 2,
            Self::Rsa => 3,
        }
    }

    fn of(number: u8) -> Result<Self, WireError> {
        let found = Self::ALL.into_iter().find(|kind| kind.number() == number);
        found.ok_or(WireError::Field("kind of key"))
    }
}

/// A private key in its parts, none of them longer than [`LONGEST_PART`].
///
/// Curves: the private value (the seed of Ed25519), then the public point as `subjectPublicKey` has it. RSA: modulus,
/// public exponent, private exponent, two primes, two exponents, coefficient, each as big-endian bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Parts {
    /// What kind of key.
    pub kind: Kind,
    /// As many as the kind has.
    pub parts: Vec<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Parts({:?}, redacted)", self.kind)
    }
}

/// How long the content of a frame is that begins with these bytes.
pub fn length(head: [u8; 4]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(head);
    match usize::try_from(length) {
        Ok(size) if (1..=LARGEST).contains(&size) => Ok(size),
        _ => Err(WireError::Size(length)),
    }
}

/// For the fuzzer: what can be read is written as the very bytes that it was read from.
pub fn fuzz(content: &[u8]) {
    let body = |frame: Result<Zeroizing<Vec<u8>>, WireError>| {
        frame.ok().and_then(|frame| frame.get(4..).map(<[u8]>::to_vec))
    };
    if let Ok(request) = Request::read(content) {
        assert_eq!(body(request.frame()).as_deref(), Some(content));
    }
    if let Ok(reply) = Reply::read(content) {
        assert_eq!(body(reply.frame()).as_deref(), Some(content));
    }
    if let Some(head) = content.first_chunk::<4>() {
        let _ = length(*head);
    }
}

#[cfg(test)]
mod tests;
