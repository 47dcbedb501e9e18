//! A growing run of secret bytes that leaves no copy behind when it grows.

use sealock_core::SecretBytes;
use zeroize::Zeroizing;

/// As a `Vec`, but what it grew out of is wiped.
#[derive(Default)]
pub(crate) struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.reserve(1);
        self.0.push(byte);
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn push_char(&mut self, character: char) {
        self.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// `count` times the same byte.
    pub(crate) fn fill(&mut self, byte: u8, count: usize) {
        self.reserve(count);
        let length = self.0.len() + count;
        self.0.resize(length, byte);
    }

    /// Takes the first `count` bytes away.
    pub(crate) fn drop_front(&mut self, count: usize) {
        let count = count.min(self.0.len());
        let rest = self.0.len() - count;
        self.0.copy_within(count.., 0);
        self.0.truncate(rest);
    }

    pub(crate) fn into_secret(self) -> SecretBytes {
        self.0.into()
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.0.len().saturating_add(more);
        if needed > self.0.capacity() {
            let doubled = self.0.capacity().saturating_mul(2);
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(doubled).max(64)));
            larger.extend_from_slice(&self.0);
            // The old one is wiped as it is dropped.
            self.0 = larger;
        }
    }
}

/// Numbers and other text that is no secret.
impl std::fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.extend(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_shrinks() {
        let mut buffer = Buffer::default();
        for byte in 0..=255 {
            buffer.push(byte);
        }
        buffer.extend(&[7; 1000]);
        buffer.fill(8, 3);
        buffer.drop_front(256);
        assert_eq!(buffer.as_slice(), [vec![7; 1000], vec![8; 3]].concat());
        buffer.drop_front(5000);
        assert_eq!(buffer.into_secret().len(), 0);
    }
}
