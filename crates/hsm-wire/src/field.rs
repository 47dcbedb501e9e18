//! Fields of frames.

use zeroize::Zeroizing;

use crate::{Kind, LARGEST, LONGEST_ID, LONGEST_PART, LONGEST_TEXT, Parts, WireError};

/// Reads a frame's content from its beginning to its end.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn truth(&mut self, name: &'static str) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Field(name)),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u32, WireError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*first))
    }

    pub(crate) fn bytes(&mut self, most: usize, name: &'static str) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.number()?).map_err(|_| WireError::Field(name))?;
        if length > most {
            return Err(WireError::Field(name));
        }
        let (first, rest) = self.rest.split_at_checked(length).ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, WireError> {
        let bytes = self.bytes(LONGEST_TEXT, name)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| WireError::Field(name))
    }

    pub(crate) fn id(&mut self) -> Result<Vec<u8>, WireError> {
        let id = self.bytes(LONGEST_ID, "id")?;
        if id.is_empty() { Err(WireError::Field("id")) } else { Ok(id.to_vec()) }
    }

    pub(crate) fn kind(&mut self) -> Result<Kind, WireError> {
        Kind::of(self.byte()?)
    }

    pub(crate) fn parts(&mut self) -> Result<Parts, WireError> {
        let kind = self.kind()?;
        let part = |_| Ok(Zeroizing::new(self.bytes(LONGEST_PART, "part of a key")?.to_vec()));
        let parts = (0..kind.parts()).map(part).collect::<Result<_, _>>()?;
        Ok(Parts { kind, parts })
    }

    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Long) }
    }
}

/// Writes a frame, with room for all of it from the start, so that no copy of a secret stays behind when it grows.
pub(crate) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Writer {
    pub(crate) fn new(what: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(256)));
        bytes.extend([0, 0, 0, 0, what]);
        Self { bytes }
    }

    pub(crate) fn byte(mut self, byte: u8) -> Self {
        self.bytes.push(byte);
        self
    }

    pub(crate) fn number(mut self, number: u32) -> Self {
        self.bytes.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        // What does not fit is refused as a whole at the end.
        let mut this = self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        this.bytes.extend_from_slice(bytes);
        this
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn parts(mut self, parts: &Parts) -> Self {
        self = self.byte(parts.kind.number());
        for part in &parts.parts {
            self = self.bytes(part);
        }
        self
    }

    pub(crate) fn kind(self, kind: Kind) -> Self {
        self.byte(kind.number())
    }

    /// The whole frame, its length at the front.
    pub(crate) fn end(mut self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let length = self.bytes.len().saturating_sub(4);
        let number = u32::try_from(length).unwrap_or(u32::MAX);
        if length > LARGEST {
            return Err(WireError::Size(number));
        }
        for (to, from) in self.bytes.iter_mut().zip(number.to_be_bytes()) {
            *to = from;
        }
        Ok(self.bytes)
    }
}
