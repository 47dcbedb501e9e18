//! What names a container: its id, or the beginning of it.

use std::fmt;

use data_encoding::HEXLOWER;

/// A container's full id: 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId([u8; 32]);

impl ContainerId {
    /// Reads exactly 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_bytes(text.as_bytes())
    }

    pub(crate) fn parse_bytes(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        HEXLOWER.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// From the 32 bytes that the digits stand for.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes that the digits stand for.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its first 12 digits, as Docker shows it and as it names the container's host by default.
    pub fn prefix(&self) -> ContainerPrefix {
        let [a, b, c, d, e, f, ..] = self.0;
        ContainerPrefix([a, b, c, d, e, f])
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.prefix(), formatter)
    }
}

/// The first 12 hex digits of a container's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContainerPrefix([u8; 6]);

impl ContainerPrefix {
    /// Reads exactly 12 lower-case hex digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 12 {
            return None;
        }
        HEXLOWER.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// From the 6 bytes that the digits stand for.
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The 6 bytes that the digits stand for.
    pub fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl fmt::Display for ContainerPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ContainerPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
