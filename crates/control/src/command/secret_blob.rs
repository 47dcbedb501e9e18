//! Secret bytes that have to travel between the daemon and its client.

use std::fmt;

use data_encoding::BASE64;
use sealock_core::SecretBytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// Secret bytes, on the wire as base64 (RFC 4648, 4). Serialised only because a value must get from the vault to
/// whoever may read it; the doors that carry it are sockets of this host and mutual TLS. Debug shows nothing, the
/// memory is wiped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBlob(SecretBytes);

impl SecretBlob {
    /// The bytes.
    pub fn bytes(&self) -> &SecretBytes {
        &self.0
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> SecretBytes {
        self.0
    }
}

impl From<SecretBytes> for SecretBlob {
    fn from(bytes: SecretBytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SecretBlob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBlob(redacted)")
    }
}

impl Serialize for SecretBlob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(BASE64.encode(self.0.expose()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SecretBlob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes());
        text.zeroize();
        // The decoder's error has the place and not the text.
        bytes.map(|bytes| Self(SecretBytes::new(bytes))).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_travel_and_are_not_shown() {
        let secret = SecretBlob::from(SecretBytes::new(vec![0, 0xff, b'x']));
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, "\"AP94\"");
        assert_eq!(serde_json::from_str::<SecretBlob>(&json).unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "SecretBlob(redacted)");
        for bad in ["\"AP9\"", "\"hunter2!\"", "1"] {
            let error = serde_json::from_str::<SecretBlob>(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
