//! A secret that has to travel between the daemon and its client.

use std::fmt;

use sealock_core::SecretBytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

/// Secret text. Serialised only because a private key must get from the daemon to the file that it is
/// for; the doors that carry it are a socket of mode 0600 and mutual TLS. Debug shows nothing, the memory
/// is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(SecretBytes);

impl SecretText {
    /// From UTF-8 bytes; anything else is refused.
    pub fn new(bytes: SecretBytes) -> Option<Self> {
        std::str::from_utf8(bytes.expose()).is_ok().then_some(Self(bytes))
    }

    /// The bytes.
    pub fn bytes(&self) -> &SecretBytes {
        &self.0
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> SecretBytes {
        self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretText(redacted)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(self.0.expose()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let secret = SecretBytes::new(text.as_bytes().to_vec());
        text.zeroize();
        Ok(Self(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_and_is_not_shown() {
        let secret = SecretText::new(SecretBytes::new(b"hunter2\n".to_vec())).unwrap();
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, "\"hunter2\\n\"");
        assert_eq!(serde_json::from_str::<SecretText>(&json).unwrap(), secret);
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(SecretText::new(SecretBytes::new(vec![0xff])).is_none());
    }
}
