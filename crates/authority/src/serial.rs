//! Serial numbers: 128 bits, random, positive, never used twice (the inventory enforces it).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Not a serial number.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a serial number (up to 32 hex digits, colons allowed)")]
pub struct SerialError(String);

/// A certificate's serial number: a positive integer of at most 16 octets (17 in DER when the first bit
/// is set; RFC 5280 §4.1.2.2 allows 20). Shown as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial([u8; 16]);

impl Serial {
    /// A new random serial. Its first byte is never zero, so that whoever writes it without leading zeros
    /// writes the same 32 digits.
    pub(crate) fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 16];
        while bytes.first() == Some(&0) {
            aws_lc_rs::rand::fill(&mut bytes)?;
        }
        Ok(Self(bytes))
    }

    /// The integer, big-endian, with leading zeros.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The last 16 octets of a serial number in hex that somebody else has given, which may be longer than ours. It names
    /// nothing by itself.
    pub(crate) fn ending(hex: &str) -> Self {
        let start = hex.len().saturating_sub(32);
        let end = hex.get(start..).and_then(|end| end.parse().ok());
        end.unwrap_or(Self([0; 16]))
    }

    /// From a big-endian integer as DER has it, with any leading zeros. `None` for zero and for more than
    /// 16 octets.
    pub fn from_integer(bytes: &[u8]) -> Option<Self> {
        let start = bytes.iter().position(|byte| *byte != 0)?;
        let significant = bytes.get(start..)?;
        let mut serial = [0; 16];
        let room = serial.len().checked_sub(significant.len())?;
        serial.get_mut(room..)?.copy_from_slice(significant);
        Some(Self(serial))
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused =
            || SerialError(text.chars().take(60).flat_map(char::escape_default).collect());
        let hex: String = text.chars().filter(|c| *c != ':').collect();
        let hex = hex.to_ascii_lowercase();
        if hex.is_empty() || hex.len() > 40 {
            return Err(refused());
        }
        let even = if hex.len() % 2 == 1 { format!("0{hex}") } else { hex };
        let bytes = data_encoding::HEXLOWER.decode(even.as_bytes()).map_err(|_| refused())?;
        Self::from_integer(&bytes).ok_or_else(refused)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_is_read() {
        let serial = Serial::from_integer(&[0, 0x0a, 0xbc]).unwrap();
        assert_eq!(serial.to_string(), "00000000000000000000000000000abc");
        for text in ["abc", "0ABC", "0a:bc", &serial.to_string()] {
            assert_eq!(text.parse::<Serial>(), Ok(serial), "{text}");
        }
        let longest = "f".repeat(32);
        assert_eq!(longest.parse::<Serial>().unwrap().to_string(), longest);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "0", "00:00", "xyz", "-1", &"1".repeat(33), &"0".repeat(400)] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn random_ones_differ_and_have_full_length() {
        let made: Vec<Serial> = (0..2000).map(|_| Serial::random().unwrap()).collect();
        assert!(made.iter().all(|serial| serial.as_bytes()[0] != 0));
        assert!(made.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
