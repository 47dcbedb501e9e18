//! The payload in sealed frames.
//!
//! Each frame is AES-256-GCM under the session's payload key, with a nonce that is its number (seven
//! zero bytes, then 32 bits big-endian) and one byte that says whether it is the last: the STREAM
//! construction. The key is used for one session, so a number says all. A frame that was left out,
//! repeated, moved, cut or changed, an end that came too early and anything after the end do not open.
//!
//! All frames but the last hold a piece of the archive, up to [`FRAME`] bytes. The last one holds the
//! [`Trailer`]: what the sender has read, which the receiver compares with what it has written.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use thiserror::Error;

use crate::archive::Summary;
use crate::codec::{CodecError, Decoder, Encoder};

/// How many bytes of content a frame holds at most. Larger frames cost memory in the container and gain
/// nothing: at this size the ciphers' and system calls' fixed costs are below one percent.
pub const FRAME: usize = 256 * 1024;
/// How much longer a sealed frame is than its content.
pub const TAG: usize = 16;

/// Why a frame cannot be sealed or opened.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// It was changed, moved or cut, or is of another session.
    #[error("frame {0} does not open: it was changed, moved or cut, or is of another transfer")]
    NotAuthentic(u32),
    /// It is longer or shorter than a frame can be.
    #[error("frame {0} has an impossible length")]
    Length(u32),
    /// There are more frames than can be numbered, or one comes after the last.
    #[error("there is a frame too many")]
    TooMany,
    /// The last one does not hold what it should.
    #[error("the last frame cannot be read")]
    Trailer(#[from] CodecError),
}

/// What the last frame says.
pub type Trailer = Summary;

/// Numbers frames, and forgets how after the last.
#[derive(Debug)]
struct Counter(Option<u32>);

impl Counter {
    fn next(&mut self, last: bool) -> Result<(u32, Nonce), FrameError> {
        let number = self.0.ok_or(FrameError::TooMany)?;
        self.0 = if last { None } else { number.checked_add(1) };
        let [a, b, c, d] = number.to_be_bytes();
        let nonce = [0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(last)];
        Ok((number, Nonce::assume_unique_for_key(nonce)))
    }
}

fn key(bytes: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// Seals frames, one after the other.
#[derive(Debug)]
pub struct Sealer {
    key: LessSafeKey,
    counter: Counter,
}

impl Sealer {
    pub(crate) fn new(bytes: &[u8; 32]) -> Option<Self> {
        Some(Self { key: key(bytes)?, counter: Counter(Some(0)) })
    }

    /// Seals a piece of the archive in its place, and gives the tag that goes behind it.
    pub fn seal(&mut self, content: &mut [u8]) -> Result<[u8; TAG], FrameError> {
        self.seal_any(content, false)
    }

    /// Seals the last frame, which says what all the others held.
    pub fn seal_trailer(&mut self, trailer: &Trailer) -> Result<Vec<u8>, FrameError> {
        let mut encoder = Encoder::new();
        encoder.fixed(&trailer.sha256).number(trailer.bytes).number(trailer.files);
        let mut content = encoder.finish().to_vec();
        let tag = self.seal_any(&mut content, true)?;
        content.extend_from_slice(&tag);
        Ok(content)
    }

    fn seal_any(&mut self, content: &mut [u8], last: bool) -> Result<[u8; TAG], FrameError> {
        let (number, nonce) = self.counter.next(last)?;
        if content.is_empty() || content.len() > FRAME {
            return Err(FrameError::Length(number));
        }
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), content)
            .map_err(|_| FrameError::NotAuthentic(number))?;
        tag_bytes(&tag).ok_or(FrameError::Length(number))
    }
}

fn tag_bytes(tag: &Tag) -> Option<[u8; TAG]> {
    tag.as_ref().try_into().ok()
}

/// Opens frames, one after the other.
#[derive(Debug)]
pub struct Opener {
    key: LessSafeKey,
    counter: Counter,
}

impl Opener {
    pub(crate) fn new(bytes: &[u8; 32]) -> Option<Self> {
        Some(Self { key: key(bytes)?, counter: Counter(Some(0)) })
    }

    /// Opens a frame in its place, and gives its content, a piece of the archive.
    pub fn open<'a>(&mut self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], FrameError> {
        self.open_any(sealed, false)
    }

    /// Opens the last frame.
    pub fn open_trailer(&mut self, sealed: &mut [u8]) -> Result<Trailer, FrameError> {
        let content = self.open_any(sealed, true)?;
        let mut decoder = Decoder::new(content);
        let trailer = Trailer {
            sha256: decoder.array()?,
            bytes: decoder.number()?,
            files: decoder.number()?,
        };
        decoder.finish()?;
        Ok(trailer)
    }

    fn open_any<'a>(
        &mut self,
        sealed: &'a mut [u8],
        last: bool,
    ) -> Result<&'a mut [u8], FrameError> {
        let (number, nonce) = self.counter.next(last)?;
        if sealed.len() <= TAG || sealed.len() > FRAME + TAG {
            return Err(FrameError::Length(number));
        }
        self.key
            .open_in_place(nonce, Aad::empty(), sealed)
            .map_err(|_| FrameError::NotAuthentic(number))
    }
}
