//! A growing buffer that leaves no copies behind.

use sealock_core::SecretBytes;
use zeroize::Zeroizing;

/// Bytes of a secret as they arrive. A plain vector would be moved as it grows, and its old places would keep
/// what was in them.
#[derive(Default)]
pub(super) struct SecretBuffer(Zeroizing<Vec<u8>>);

impl SecretBuffer {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger =
                Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2).max(256)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what it holds, and keeps its room.
    pub(super) fn clear(&mut self) {
        zeroize::Zeroize::zeroize(self.0.as_mut_slice());
        self.0.clear();
    }

    /// A part of it, copied once.
    pub(super) fn secret(part: &[u8]) -> SecretBytes {
        SecretBytes::new(part.to_vec())
    }
}
