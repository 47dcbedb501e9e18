//! Identifiers: what a certificate is asked for (RFC 8555 §9.7.7, RFC 8738).
//!
//! **What an attacker controls:** type and value of each. What is read names a host in its one form. Addresses that
//! mean whoever dials, its own network segment only, or no single host, are refused: a server that validates must not
//! be led to itself by them. What a DNS name leads to is not known here; whoever dials has to look at the address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sealock_core::json::{Members, Value};
use sealock_core::{DnsName, SubjectName};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many identifiers an order may have.
pub const MAXIMUM_IDENTIFIERS: usize = 100;

/// The longest value that is looked at, in bytes: a DNS name of 253, with a dot behind it that is refused as such.
const MAXIMUM_VALUE: usize = 254;

/// A name or address that a certificate is asked for.
///
/// As an order has it; an authorization is for [`Identifier::base`], and says beside it that it is for a wildcard (RFC
/// 8555 §7.1.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Identifier {
    /// A host, or with `*.` in front all that are directly below a domain. Names of other scripts are A-labels.
    Dns(DnsName),
    /// An address that one host can have.
    Ip(IpAddr),
}

/// Why an identifier was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentifierFault {
    /// Not an object with the texts `type` and `value`.
    #[error("an identifier is an object with the texts type and value")]
    Form,
    /// A type other than `dns` and `ip`.
    #[error("identifiers are of the types dns and ip")]
    Unsupported,
    /// A value of `dns` that is no DNS name.
    #[error(
        "it is not a DNS name (letters, digits, hyphens and underscores, in labels; `*.` only in \
         front; other scripts as A-labels, no dot at the end)"
    )]
    Dns,
    /// A value of `ip` that is no address in its canonical form (RFC 8738 §3).
    #[error("it is not an IP address in its canonical form (RFC 5952 for IPv6)")]
    Ip,
    /// `localhost`, or below it, which is another host to everybody (RFC 6761 §6.3).
    #[error("no certificate is made for localhost: it is another host to everybody")]
    Localhost,
    /// An address that is another host to everybody, or no single one.
    #[error(
        "no certificate is made for this address: it is unspecified, loopback, link-local, \
         multicast, broadcast, or an IPv4 address written as IPv6"
    )]
    Address,
}

/// Why the identifiers of an order were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentifiersFault {
    /// Not a list.
    #[error("the order has no list of identifiers")]
    Form,
    /// An empty list.
    #[error("the order is for no identifier")]
    Empty,
    /// More than [`MAXIMUM_IDENTIFIERS`].
    #[error("the order is for more than {MAXIMUM_IDENTIFIERS} identifiers")]
    TooMany,
    /// One is refused.
    #[error("identifier {number} is refused: {fault}")]
    One {
        /// Which one, from 1.
        number: usize,
        /// Why.
        fault: IdentifierFault,
    },
    /// One stands there twice.
    #[error("identifier {number} is one that stands before it")]
    Twice {
        /// The second one, from 1.
        number: usize,
    },
}

impl Identifier {
    /// Reads the members of one.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(kind: &str, value: &str) -> Result<Self, IdentifierFault> {
        match kind {
            "dns" => dns(value),
            "ip" => ip(value),
            _ => Err(IdentifierFault::Unsupported),
        }
    }

    /// Reads one as it stands in JSON. Other members are passed over (RFC 8555 §7.1).
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn from_members(mut members: Members) -> Result<Self, IdentifierFault> {
        match (members.take("type"), members.take("value")) {
            (Some(Value::Text(kind)), Some(Value::Text(value))) => Self::read(&kind, &value),
            _ => Err(IdentifierFault::Form),
        }
    }

    /// Reads `identifiers` of an order: 1 to [`MAXIMUM_IDENTIFIERS`], none of them twice.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn list(value: Value) -> Result<Vec<Self>, IdentifiersFault> {
        let Value::List(list) = value else { return Err(IdentifiersFault::Form) };
        if list.is_empty() {
            return Err(IdentifiersFault::Empty);
        }
        if list.len() > MAXIMUM_IDENTIFIERS {
            return Err(IdentifiersFault::TooMany);
        }
        let mut identifiers = Vec::with_capacity(list.len());
        for (number, value) in (1..).zip(list) {
            let identifier = match value {
                Value::Object(members) => Self::from_members(members),
                _ => Err(IdentifierFault::Form),
            };
            let identifier = identifier.map_err(|fault| IdentifiersFault::One { number, fault })?;
            // Few enough to be compared one by one.
            if identifiers.contains(&identifier) {
                return Err(IdentifiersFault::Twice { number });
            }
            identifiers.push(identifier);
        }
        Ok(identifiers)
    }

    /// `dns` or `ip`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
        }
    }

    /// Whether it is for all hosts directly below a domain.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.is_wildcard())
    }

    /// What is to be proven: of a wildcard the domain that its hosts are below, else the identifier itself.
    #[must_use]
    pub fn base(&self) -> Self {
        match self {
            // What is behind `*.` of a name is a name, but for a number that looks like part of an address.
            Self::Dns(name) if name.is_wildcard() => {
                let below = name.parents().next().and_then(|domain| domain.parse().ok());
                Self::Dns(below.unwrap_or_else(|| name.clone()))
            }
            other => other.clone(),
        }
    }

    /// The name as a certificate has it.
    pub fn to_subject_name(&self) -> SubjectName {
        match self {
            Self::Dns(name) => SubjectName::Dns(name.clone()),
            Self::Ip(address) => SubjectName::Ip(*address),
        }
    }

    /// What a client of tls-alpn-01 sends as the server's name: the name itself, or of an address that by which its
    /// name is looked up (RFC 8738 §6), because the extension holds no addresses.
    pub fn server_name(&self) -> String {
        match self {
            Self::Dns(name) => name.to_string(),
            Self::Ip(address) => reverse_name(*address),
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(formatter),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

/// The name below `in-addr.arpa` (RFC 1034 §5.2.1) or `ip6.arpa` (RFC 3596 §2.5).
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles =
                address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

fn dns(value: &str) -> Result<Identifier, IdentifierFault> {
    // A name of the DNS has a dot at its end or has not; a certificate never has one.
    if value.len() > MAXIMUM_VALUE || value.ends_with('.') {
        return Err(IdentifierFault::Dns);
    }
    let name: DnsName = value.parse().map_err(|_| IdentifierFault::Dns)?;
    // The domain below which a wildcard's hosts are has to be a name by itself: `*.10.0.0.1` has none.
    if name.is_wildcard() {
        let domain = name.parents().next().unwrap_or_default();
        domain.parse::<DnsName>().map_err(|_| IdentifierFault::Dns)?;
    }
    if name.as_str().rsplit('.').next() == Some("localhost") {
        return Err(IdentifierFault::Localhost);
    }
    Ok(Identifier::Dns(name))
}

fn ip(value: &str) -> Result<Identifier, IdentifierFault> {
    let address: IpAddr = value.parse().map_err(|_| IdentifierFault::Ip)?;
    // The library writes IPv6 as RFC 5952 wants it.
    if address.to_string() != value {
        return Err(IdentifierFault::Ip);
    }
    let one_host = match address {
        IpAddr::V4(address) => is_one_host(address),
        IpAddr::V6(address) => is_one_host_6(address),
    };
    if one_host { Ok(Identifier::Ip(address)) } else { Err(IdentifierFault::Address) }
}

fn is_one_host(address: Ipv4Addr) -> bool {
    // All of 0/8 is "this network" (RFC 6890).
    let [first, ..] = address.octets();
    !(first == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast())
}

/// An IPv4 address in IPv6 (mapped, or compatible as it was once) is one host with two names, of which a rule about
/// one does not know the other. Compatible ones take in `::` and `::1`.
fn is_one_host_6(address: Ipv6Addr) -> bool {
    !(address.to_ipv4().is_some() || address.is_unicast_link_local() || address.is_multicast())
}

/// An identifier as JSON has it.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl From<Identifier> for Written {
    fn from(identifier: Identifier) -> Self {
        Self { kind: identifier.kind().to_owned(), value: identifier.to_string() }
    }
}

impl TryFrom<Written> for Identifier {
    type Error = IdentifierFault;

    fn try_from(written: Written) -> Result<Self, IdentifierFault> {
        Self::read(&written.kind, &written.value)
    }
}

#[cfg(test)]
mod tests;
