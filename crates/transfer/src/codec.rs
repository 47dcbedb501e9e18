//! Fixed-order binary fields, big-endian, with lengths in front of what varies. A reader takes what it
//! expects or fails, and a message must end where its last field does.

use thiserror::Error;
use zeroize::Zeroizing;

/// Why a message is not as its format has it.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum CodecError {
    /// It ends before its last field.
    #[error("the message is cut off")]
    Short,
    /// Something follows its last field.
    #[error("the message is too long")]
    Trailing,
    /// A field has a value that it cannot have.
    #[error("the field `{0}` has an impossible value")]
    Field(&'static str),
    /// It is of a version that this program does not speak.
    #[error("the message is of version {0}, which this program does not speak")]
    Version(u8),
}

/// Builds a message. Its buffer is wiped: messages may hold secrets.
pub(crate) struct Encoder(Zeroizing<Vec<u8>>);

impl Encoder {
    /// Room for every message that is made this way, so that no copy is left behind by growing.
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(16 * 1024)))
    }

    pub(crate) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.byte(u8::from(value))
    }

    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn small_number(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Bytes whose length both sides know.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Text behind its length; cut to what two bytes can count.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        self.0.extend_from_slice(&u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Reads a message.
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.take(N)?.try_into().map_err(|_| CodecError::Short)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, CodecError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Field(field)),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn small_number(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn text(
        &mut self,
        limit: usize,
        field: &'static str,
    ) -> Result<&'a str, CodecError> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > limit {
            return Err(CodecError::Field(field));
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| CodecError::Field(field))
    }

    /// A value behind a flag that says whether it is there.
    pub(crate) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        if self.flag(field)? { read(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Trailing) }
    }
}
