//! Name constraints (RFC 5280 §4.2.1.10): what a CA certificate permits below it, and whether a name
//! agrees with it.
//!
//! The authority asks this before it signs, for each CA in its own chain: a certificate that its own
//! chain makes invalid would be found out only where it is served. Where verifiers differ, the strictest
//! reading wins: a wildcard that could stand for an excluded name is refused, and so is a URI whose host
//! is an address or is missing while a URI constraint applies.
//!
//! Names come in validated ([`SubjectName`]); constraints come from an administrator or from the DER of
//! a CA certificate.

#[cfg(test)]
mod agreement;
mod der;
mod directory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sealock_core::{DnsName, SubjectName};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use directory::DirectoryName;
use directory::Lies;

/// How many constraints an error tells, and how much of each.
const SHOWN: usize = 5;
const LONGEST_SHOWN: usize = 200;

/// Why a constraint was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConstraintError {
    /// Not `dns:…`, `ip:…`, `email:…` or `uri:…`, or not of the form that the kind needs.
    #[error(
        "`{0}` is not a name constraint (dns:corp.example, ip:10.0.0.0/8, email:corp.example, uri:.corp.example)"
    )]
    Form(String),
    /// A CA certificate has a constraint that the authority cannot check.
    #[error("the certificate has a name constraint that is not supported: {0}")]
    Unsupported(String),
}

/// One subtree of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Constraint {
    /// `corp.example`: the name and all below it. `.corp.example`: only those below it.
    Dns(String),
    /// All addresses with this prefix.
    Ip {
        /// The network's address; bits after the prefix are zero.
        network: IpAddr,
        /// How many bits count.
        prefix: u8,
    },
    /// `jo@corp.example`: this mailbox. `corp.example`: all at this host. `.corp.example`: all at hosts
    /// below it.
    Email(String),
    /// `corp.example`: URIs with exactly this host. `.corp.example`: with hosts below it. The identity is a
    /// URI whose host is the trust domain. Verifiers built on webpki (rustls) refuse every certificate
    /// with a URI below a CA with a URI constraint.
    Uri(String),
    /// Names that begin as this one does: those of subjects, and names of a directory among the others. Only CAs of
    /// others have such constraints. Verifiers built on webpki (rustls) refuse every certificate below one.
    Directory(DirectoryName),
}

impl Constraint {
    /// Whether `name` lies in this subtree; `None` when the constraint does not speak of such names.
    fn covers(&self, name: Name<'_>, side: Side) -> Option<bool> {
        let name = match (self, name) {
            (Self::Directory(base), Name::Directory(name)) => {
                return Some(match name.lies_below(base) {
                    Lies::Inside => true,
                    Lies::Outside => false,
                    // Some verifier may have it one way, and some the other.
                    Lies::Unclear => side == Side::Excluded,
                });
            }
            (_, Name::Directory(_)) => return None,
            (_, Name::Subject(name)) => name,
        };
        match (self, name) {
            (Self::Dns(base), SubjectName::Dns(name)) => Some(dns_covered(base, name, side)),
            (Self::Ip { network, prefix }, SubjectName::Ip(address)) => {
                Some(in_network(*network, *prefix, *address))
            }
            (Self::Email(base), SubjectName::Email(address)) => Some(email_covered(base, address)),
            (Self::Uri(base), SubjectName::Uri(uri)) => {
                // Without a host that the constraint could speak of, a verifier must refuse.
                let covered = uri_host(uri).map(|host| host_covered(base, &host));
                Some(covered.unwrap_or(side == Side::Excluded))
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Permitted,
    Excluded,
}

/// A name that constraints are about.
#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Subject(&'a SubjectName),
    Directory(&'a DirectoryName),
}

/// The subtrees of one CA certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameConstraints {
    /// Where there is one of a kind, names of that kind must lie in one of them.
    pub permitted: Vec<Constraint>,
    /// Names must lie in none of them.
    pub excluded: Vec<Constraint>,
}

/// How a name disagrees with a CA's constraints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It lies in this excluded subtree.
    Excluded(Box<Constraint>),
    /// It lies in none of these, which are all that are permitted of its kind.
    NotPermitted(Vec<Constraint>),
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded(constraint) => write!(formatter, "{} is excluded", shown(constraint)),
            Self::NotPermitted(constraints) => {
                let list: Vec<_> = constraints.iter().take(SHOWN).map(shown).collect();
                let more = constraints.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(formatter, "only {}{more} is permitted", list.join(", "))
            }
        }
    }
}

/// Somebody else may have written it, at any length.
fn shown(constraint: &Constraint) -> String {
    constraint.to_string().chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect()
}

impl NameConstraints {
    /// Whether there is no constraint at all.
    pub fn is_empty(&self) -> bool {
        self.permitted.is_empty() && self.excluded.is_empty()
    }

    /// Checks one name.
    pub fn check(&self, name: &SubjectName) -> Result<(), Violation> {
        self.check_one(Name::Subject(name))
    }

    /// Checks a subject, or a name of a directory among the others. An empty subject is none.
    pub(crate) fn check_directory(&self, name: &DirectoryName) -> Result<(), Violation> {
        if name.is_empty() { Ok(()) } else { self.check_one(Name::Directory(name)) }
    }

    /// Whether any of them is about names of a directory.
    pub(crate) fn has_directory(&self) -> bool {
        let mut all = self.permitted.iter().chain(&self.excluded);
        all.any(|constraint| matches!(constraint, Constraint::Directory(_)))
    }

    /// Whether any of them is about addresses of e-mail.
    pub(crate) fn has_email(&self) -> bool {
        let mut all = self.permitted.iter().chain(&self.excluded);
        all.any(|constraint| matches!(constraint, Constraint::Email(_)))
    }

    fn check_one(&self, name: Name<'_>) -> Result<(), Violation> {
        for constraint in &self.excluded {
            if constraint.covers(name, Side::Excluded) == Some(true) {
                return Err(Violation::Excluded(Box::new(constraint.clone())));
            }
        }
        let mut others = Vec::new();
        for constraint in &self.permitted {
            match constraint.covers(name, Side::Permitted) {
                Some(true) => return Ok(()),
                Some(false) => others.push(constraint.clone()),
                None => {}
            }
        }
        if others.is_empty() { Ok(()) } else { Err(Violation::NotPermitted(others)) }
    }
}

fn dns_covered(base: &str, name: &DnsName, side: Side) -> bool {
    if base.is_empty() {
        return true;
    }
    if let Some(rest) = name.as_str().strip_prefix("*.")
        && side == Side::Excluded
    {
        // `*.a.b` stands for every `x.a.b`, and so for an excluded `x.a.b` too.
        let base = base.trim_start_matches('.');
        if base.split_once('.').is_some_and(|(_, parent)| parent == rest) {
            return true;
        }
    }
    below_or_equal(base, name.as_str())
}

/// The DNS reading: `base` itself (unless it has a leading dot) and everything below it.
fn below_or_equal(base: &str, name: &str) -> bool {
    let (bare, only_below) = base.strip_prefix('.').map_or((base, false), |bare| (bare, true));
    match name.strip_suffix(bare) {
        Some("") => !only_below,
        Some(rest) => rest.ends_with('.'),
        None => false,
    }
}

/// The e-mail and URI reading: exactly `base`, or with a leading dot only what is below it.
fn host_covered(base: &str, host: &str) -> bool {
    match base.strip_prefix('.') {
        Some(bare) => host.strip_suffix(bare).is_some_and(|rest| rest.ends_with('.')),
        None => base.is_empty() || base == host,
    }
}

fn email_covered(base: &str, address: &str) -> bool {
    let Some((local, host)) = address.rsplit_once('@') else { return false };
    match base.rsplit_once('@') {
        Some((base_local, base_host)) => base_local == local && base_host == host,
        None => host_covered(base, host),
    }
}

/// The host of a URI where it is a DNS name.
fn uri_host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) =
        authority.split_once(':').map_or((authority, ""), |(host, port)| (host, port));
    if !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let name: DnsName = host.parse().ok()?;
    (!name.is_wildcard()).then(|| name.as_str().to_owned())
}

fn in_network(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let (Some(wanted), Some(given)) = (masked(network, prefix), masked(address, prefix)) else {
        return false;
    };
    network.is_ipv4() == address.is_ipv4() && wanted == given
}

/// The address with the bits after the prefix cleared; `None` when the prefix is too long.
fn masked(address: IpAddr, prefix: u8) -> Option<u128> {
    let (bits, width) = match address {
        IpAddr::V4(four) => (u128::from(four.to_bits()), 32),
        IpAddr::V6(six) => (six.to_bits(), 128),
    };
    let drop = u32::from(width - prefix.min(width));
    (prefix <= width).then(|| bits.checked_shr(drop).unwrap_or(0).checked_shl(drop).unwrap_or(0))
}

impl fmt::Display for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(base) => write!(formatter, "dns:{base}"),
            Self::Ip { network, prefix } => write!(formatter, "ip:{network}/{prefix}"),
            Self::Email(base) => write!(formatter, "email:{base}"),
            Self::Uri(base) => write!(formatter, "uri:{base}"),
            Self::Directory(base) => write!(formatter, "dir:{base}"),
        }
    }
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            ConstraintError::Form(text.chars().take(80).flat_map(char::escape_default).collect())
        };
        let (kind, base) = text.split_once(':').ok_or_else(refused)?;
        match kind {
            "dns" => host(base).map(Self::Dns).ok_or_else(refused),
            "uri" => host(base).map(Self::Uri).ok_or_else(refused),
            "email" => mail_base(base).map(Self::Email).ok_or_else(refused),
            "ip" => network(base).ok_or_else(refused),
            _ => Err(refused()),
        }
    }
}

impl TryFrom<String> for Constraint {
    type Error = ConstraintError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        constraint.to_string()
    }
}

/// A DNS name or a DNS name with a leading dot, in lower case; empty for all names.
fn host(base: &str) -> Option<String> {
    if base.is_empty() {
        return Some(String::new());
    }
    let (dot, bare) = base.strip_prefix('.').map_or(("", base), |bare| (".", bare));
    let name: DnsName = bare.parse().ok()?;
    (!name.is_wildcard()).then(|| format!("{dot}{name}"))
}

fn mail_base(base: &str) -> Option<String> {
    if base.contains('@') {
        SubjectName::email(base).ok().map(|address| address.to_string())
    } else {
        host(base)
    }
}

fn network(base: &str) -> Option<Constraint> {
    let (address, prefix) = match base.split_once('/') {
        Some((address, prefix)) => (address.parse().ok()?, prefix.parse().ok()?),
        None => {
            let address: IpAddr = base.parse().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    // Bits set after the prefix are more likely a slip than a wish.
    let whole = masked(address, if address.is_ipv4() { 32 } else { 128 });
    (masked(address, prefix)? == whole?).then_some(Constraint::Ip { network: address, prefix })
}
