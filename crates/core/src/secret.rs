//! Bytes that must not be seen: no `Serialize`, a redacted `Debug`, wiped when dropped, compared in
//! constant time.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Owned secret bytes.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over. Copies that the caller still has are the caller's to wipe.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves. The name makes each place that reads a secret easy to find.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without one trailing line end (LF or CRLF), as files written by editors have it.
    #[must_use]
    pub fn trim_line_end(&self) -> Self {
        let bytes = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        Self(bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec())
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(std::mem::take(&mut *bytes))
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes(redacted)");
        assert!(!format!("{:?}", Some(&secret)).contains("hunter2"));
    }

    #[test]
    fn only_one_line_end_is_trimmed() {
        let trimmed = |text: &str| SecretBytes::new(text.into()).trim_line_end().expose().to_vec();
        assert_eq!(trimmed("a\n"), b"a");
        assert_eq!(trimmed("a\r\n"), b"a");
        assert_eq!(trimmed("a\n\n"), b"a\n");
        assert_eq!(trimmed(" a "), b" a ");
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(SecretBytes::new(vec![1, 2]), SecretBytes::new(vec![1, 2]));
        assert_ne!(SecretBytes::new(vec![1, 2]), SecretBytes::new(vec![1]));
    }
}
