//! Challenges: how a client shows that a name or an address is its own (RFC 8555 §8, RFC 8737, RFC 8738).
//!
//! What a client has to show is the token of the challenge together with the thumbprint of its account's key, so that
//! nobody who only sees the token can answer for another account. Nothing here asks anyone.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::identifier::Identifier;
use crate::jwk::Jwk;

/// Random bytes of a token. RFC 8555 §8.1 wants at least 128 bits.
const TOKEN: usize = 32;

/// Characters of a token: a whole number of bytes, with the bits that are left over zero.
const TOKEN_CHARACTERS: usize = 43;

/// The object identifier of the certificate extension acmeIdentifier (RFC 8737 §6.1).
pub const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// The name of the protocol that tls-alpn-01 negotiates (RFC 8737 §6.2).
pub const ALPN_PROTOCOL: &[u8] = b"acme-tls/1";

/// Where http-01 looks; the token stands behind it (RFC 8555 §8.3).
pub const HTTP_PATH: &str = "/.well-known/acme-challenge/";

/// The label in front of a domain where dns-01 looks (RFC 8555 §8.4).
pub const DNS_LABEL: &str = "_acme-challenge.";

/// The longest name of the DNS, in characters.
const MAXIMUM_NAME: usize = 253;

/// How something is shown to be one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChallengeType {
    /// A file on port 80 (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A record in the DNS (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
    /// A certificate on port 443, by a protocol of its own (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl ChallengeType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http01, Self::Dns01, Self::TlsAlpn01];

    /// The value of `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// Whether this can show anything about an identifier. Of a wildcard only the DNS can (a host says nothing about
    /// its neighbours; RFC 8737 §3 forbids it too); of an address the DNS cannot (RFC 8738 §7).
    pub fn fits(self, identifier: &Identifier) -> bool {
        match self {
            Self::Dns01 => dns_name(identifier).is_some(),
            Self::Http01 | Self::TlsAlpn01 => !identifier.is_wildcard(),
        }
    }

    /// Which ones an identifier can have. A wildcard so long that no label fits in front of its domain has none.
    pub fn of(identifier: &Identifier) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.fits(identifier))
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where dns-01 looks for an identifier (RFC 8555 §8.4). `None` of an address, and of a domain that leaves no room.
pub fn dns_name(identifier: &Identifier) -> Option<String> {
    let Identifier::Dns(domain) = identifier.base() else { return None };
    let name = format!("{DNS_LABEL}{domain}");
    (name.len() <= MAXIMUM_NAME).then_some(name)
}

/// Not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not a token of a challenge")]
pub struct TokenFault;

/// What a challenge is told apart by: 256 random bits, as base64url. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The random source fails.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut bytes = [0; TOKEN];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where http-01 looks: the path of the URL.
    pub fn http_path(&self) -> String {
        format!("{HTTP_PATH}{}", self.0)
    }
}

impl TryFrom<String> for Token {
    type Error = TokenFault;

    fn try_from(text: String) -> Result<Self, TokenFault> {
        let good =
            text.len() == TOKEN_CHARACTERS && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok();
        if good { Ok(Self(text)) } else { Err(TokenFault) }
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What answers a challenge, and so what is looked for (RFC 8555 §8.1): token and thumbprint, with a dot between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAuthorization(String);

impl KeyAuthorization {
    /// That of an account for a challenge.
    pub fn new(token: &Token, account: &Jwk) -> Self {
        Self(format!("{token}.{}", account.thumbprint()))
    }

    /// As http-01 serves it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As dns-01 has it in a TXT record: SHA-256, as base64url.
    pub fn dns_value(&self) -> String {
        BASE64URL_NOPAD.encode(&self.sha256())
    }

    /// As tls-alpn-01 has it in the extension [`ACME_IDENTIFIER`], which is critical: an OCTET STRING with the SHA-256,
    /// DER (RFC 8737 §3).
    pub fn extension_value(&self) -> [u8; 34] {
        let mut value = [0; 34];
        let octets = [0x04, 0x20].into_iter().chain(self.sha256());
        value.iter_mut().zip(octets).for_each(|(place, octet)| *place = octet);
        value
    }

    /// SHA-256 of the text.
    pub fn sha256(&self) -> [u8; 32] {
        digest(&SHA256, self.0.as_bytes()).as_ref().try_into().unwrap_or_default()
    }
}

impl fmt::Display for KeyAuthorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
