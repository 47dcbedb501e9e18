//! How a certificate is named to ask when to renew it, and what an order replaces (RFC 9773 §4.1).
//!
//! **What an attacker controls:** all of it. It names a certificate and proves nothing; whether there is one, and whose
//! it is, the inventory says.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest identifier of an issuer's key, in bytes. They are hashes.
const MAXIMUM_KEY_IDENTIFIER: usize = 64;

/// The longest serial number, in bytes as DER has it (RFC 5280 §4.1.2.2).
const MAXIMUM_SERIAL: usize = 20;

/// Not the identifier of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "it is not the identifier of a certificate: base64url, without padding, of the keyIdentifier \
     of its authority and of its serial number, with a dot between them"
)]
pub struct CertificateIdFault;

/// The identifier of a certificate: which key has issued it, and its serial number. One certificate has one text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateId {
    key_identifier: Vec<u8>,
    /// Big-endian and positive, without zeros in front.
    serial: Vec<u8>,
}

impl CertificateId {
    /// That of a certificate: `keyIdentifier` of its extension authorityKeyIdentifier, and its serial number as a
    /// big-endian integer, with any zeros in front. `None` if one of them is too long, empty, or the number is zero.
    pub fn new(key_identifier: &[u8], serial: &[u8]) -> Option<Self> {
        let start = serial.iter().position(|byte| *byte != 0)?;
        let serial = serial.get(start..)?.to_vec();
        let id = Self { key_identifier: key_identifier.to_vec(), serial };
        let lengths = (1..=MAXIMUM_KEY_IDENTIFIER).contains(&id.key_identifier.len())
            && id.serial_der().len() <= MAXIMUM_SERIAL;
        lengths.then_some(id)
    }

    /// `keyIdentifier` of the extension authorityKeyIdentifier.
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// The serial number: a big-endian integer without zeros in front.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// As DER has it, without tag and length: with a zero in front where it would be negative else.
    fn serial_der(&self) -> Vec<u8> {
        let negative = self.serial.first().is_some_and(|first| first & 0x80 != 0);
        let zero: &[u8] = if negative { &[0] } else { &[] };
        [zero, &self.serial].concat()
    }
}

impl FromStr for CertificateId {
    type Err = CertificateIdFault;

    fn from_str(text: &str) -> Result<Self, CertificateIdFault> {
        let (key_identifier, serial) = text.split_once('.').ok_or(CertificateIdFault)?;
        // Nobody's are longer, and decoding is bounded by it.
        if key_identifier.len() > 2 * MAXIMUM_KEY_IDENTIFIER || serial.len() > 2 * MAXIMUM_SERIAL {
            return Err(CertificateIdFault);
        }
        let decode =
            |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| CertificateIdFault);
        let (key_identifier, serial) = (decode(key_identifier)?, decode(serial)?);
        let id = Self::new(&key_identifier, &serial).ok_or(CertificateIdFault)?;
        // The number has one spelling in DER: neither negative nor with a zero too many.
        if id.serial_der() == serial { Ok(id) } else { Err(CertificateIdFault) }
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        write!(formatter, "{}.{}", encode(&self.key_identifier), encode(&self.serial_der()))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl TryFrom<String> for CertificateId {
    type Error = CertificateIdFault;

    fn try_from(text: String) -> Result<Self, CertificateIdFault> {
        text.parse()
    }
}

impl From<CertificateId> for String {
    fn from(id: CertificateId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests;
