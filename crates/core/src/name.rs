//! Names as they stand in certificates (RFC 5280 §4.2.1.6). Past this edge a name is of the right form.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a name was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Not a DNS name in preferred syntax (RFC 1034 §3.5), with an optional leading `*.`.
    #[error("`{0}` is not a DNS name")]
    Dns(String),
    /// Not an IPv4 or IPv6 address.
    #[error("`{0}` is not an IP address")]
    Ip(String),
    /// Not an absolute URI in ASCII.
    #[error("`{0}` is not an absolute URI")]
    Uri(String),
    /// Not `local@domain`.
    #[error("`{0}` is not an e-mail address")]
    Email(String),
}

/// A DNS name, lower-case, without a trailing dot; `*.` only as the whole first label.
/// An underscore is accepted (container and compose names have them), as certificates in use do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// Whether certificates for one and the other can both be shown for some host: they are the same, or one is a wildcard
    /// that stands for the other (RFC 9525 §6.3).
    pub fn overlaps(&self, other: &Self) -> bool {
        let stands_for = |wildcard: &Self, name: &Self| {
            wildcard.is_wildcard() && wildcard.parents().next() == name.parents().next()
        };
        self == other || stands_for(self, other) || stands_for(other, self)
    }

    /// The domains above this name, nearest first: `a.b.c` → `b.c`, `c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.0.split_once('.').map(|(_, rest)| rest), |name| {
            name.split_once('.').map(|(_, rest)| rest)
        })
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NameError::Dns(shortened(text));
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let labels = name.strip_prefix("*.").unwrap_or(&name);
        let good_label = |label: &str| {
            let middle = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(middle)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.is_empty() || name.len() > 253 || !labels.split('.').all(good_label) {
            return Err(refused());
        }
        // A name that reads as an IPv4 address would be one to most clients.
        if labels.parse::<IpAddr>().is_ok() {
            return Err(refused());
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for DnsName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase")]
pub enum SubjectName {
    /// dNSName.
    Dns(DnsName),
    /// iPAddress.
    Ip(IpAddr),
    /// uniformResourceIdentifier; the identity is one.
    Uri(String),
    /// rfc822Name.
    Email(String),
}

impl SubjectName {
    /// A DNS name.
    pub fn dns(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::Dns)
    }

    /// An IP address.
    pub fn ip(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::Ip).map_err(|_| NameError::Ip(shortened(text)))
    }

    /// An absolute URI: scheme, colon, something; printable ASCII without spaces; at most 2,048 bytes.
    pub fn uri(text: &str) -> Result<Self, NameError> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let good_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if !good_scheme || !printable || text.len() > 2048 || text.len() <= scheme.len() + 1 {
            return Err(NameError::Uri(shortened(text)));
        }
        Ok(Self::Uri(text.to_owned()))
    }

    /// An e-mail address; the domain is lower-cased.
    pub fn email(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Email(shortened(text));
        let (local, domain) = text.rsplit_once('@').ok_or_else(refused)?;
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        if local.is_empty() || local.len() > 64 || !local.chars().all(atom) {
            return Err(refused());
        }
        let domain: DnsName = domain.parse().map_err(|_| refused())?;
        if domain.is_wildcard() {
            return Err(refused());
        }
        Ok(Self::Email(format!("{local}@{domain}")))
    }

    /// Whether certificates for one and the other can both be shown at some address. An IPv4 address and the IPv6 address that
    /// maps it are one to many clients.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dns(one), Self::Dns(other)) => one.overlaps(other),
            (Self::Ip(one), Self::Ip(other)) => one.to_canonical() == other.to_canonical(),
            _ => false,
        }
    }

    /// `dns`, `ip`, `uri` or `email`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
            Self::Uri(_) => "uri",
            Self::Email(_) => "email",
        }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(formatter),
            Self::Ip(address) => address.fmt(formatter),
            Self::Uri(text) | Self::Email(text) => formatter.write_str(text),
        }
    }
}

/// What of a refused text is worth repeating, without control characters.
fn shortened(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names() {
        assert_eq!("Shop.Example.".parse::<DnsName>().unwrap().as_str(), "shop.example");
        assert!("*.shop.example".parse::<DnsName>().unwrap().is_wildcard());
        assert!("my_app".parse::<DnsName>().is_ok());
        for bad in
            ["", ".", "a..b", "-a", "a-", "*", "a.*.b", "*a.b", "a b", "ä.de", "127.0.0.1", "a\0b"]
        {
            assert!(bad.parse::<DnsName>().is_err(), "{bad:?}");
        }
        assert!(format!("{}.x", "a".repeat(64)).parse::<DnsName>().is_err());
        let name: DnsName = "a.b.c".parse().unwrap();
        assert_eq!(name.parents().collect::<Vec<_>>(), ["b.c", "c"]);
    }

    #[test]
    fn names_overlap_where_both_can_be_shown() {
        let overlap = |one: &str, other: &str| {
            let read = |text: &str| SubjectName::ip(text).or_else(|_| SubjectName::dns(text));
            let (one, other) = (read(one).unwrap(), read(other).unwrap());
            assert_eq!(one.overlaps(&other), other.overlaps(&one), "{one} {other}");
            one.overlaps(&other)
        };
        for (one, other) in [
            ("Host.corp.example", "host.corp.example."),
            ("*.corp.example", "host.corp.example"),
            ("*.corp.example", "*.corp.example"),
            ("10.0.0.1", "::ffff:10.0.0.1"),
        ] {
            assert!(overlap(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("host.corp.example", "host2.corp.example"),
            ("host", "host.corp.example"),
            ("*.corp.example", "corp.example"),
            ("*.corp.example", "a.host.corp.example"),
            ("*.example", "*.corp.example"),
            ("10.0.0.1", "10.0.0.2"),
        ] {
            assert!(!overlap(one, other), "{one} {other}");
        }
        let uri = SubjectName::uri("spiffe://t/host/h").unwrap();
        assert!(!uri.overlaps(&uri), "an identity is no address");
    }

    #[test]
    fn other_names() {
        assert!(SubjectName::ip("::1").is_ok());
        assert!(SubjectName::ip("1.2.3").is_err());
        assert!(SubjectName::uri("spiffe://a/service/b").is_ok());
        assert!(SubjectName::uri("nothing").is_err());
        assert!(SubjectName::uri("a:").is_err());
        assert_eq!(SubjectName::email("Jo@EX.org").unwrap().to_string(), "Jo@ex.org");
        assert!(SubjectName::email("jo@*.org").is_err());
        assert!(SubjectName::email("a b@ex.org").is_err());
    }
}
