//! Who somebody is: SPIFFE IDs of three kinds under one trust domain (SPIFFE-ID standard, §2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a trust domain or identity was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// Empty, too long, or with a character outside `a-z 0-9 . - _`.
    #[error("`{0}` is not a trust domain (lower-case letters, digits, `.`, `-`, `_`; at most 255)")]
    TrustDomain(String),
    /// The last path segment.
    #[error("`{0}` is not an identity name (letters, digits, `.`, `-`, `_`; at most 128)")]
    Name(String),
    /// Not `spiffe://<trust domain>/<service|human|host>/<name>`.
    #[error("`{0}` is not an identity (spiffe://TRUST-DOMAIN/service|human|host/NAME)")]
    Form(String),
}

/// The name under which all identities of an installation live.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<hostname>.sealock`, with what a trust domain cannot hold replaced by `-`.
    pub fn for_host(hostname: &str) -> Self {
        let host: String = hostname
            .to_ascii_lowercase()
            .chars()
            .take(200)
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .collect();
        let host = host.trim_matches(|c| c == '.' || c == '-');
        Self(format!("{}.sealock", if host.is_empty() { "localhost" } else { host }))
    }
}

impl FromStr for TrustDomain {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
            return Err(IdentityError::TrustDomain(shortened(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What kind of principal an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// A program, usually in a container.
    Service,
    /// A person.
    Human,
    /// A machine.
    Host,
}

impl IdentityKind {
    /// The path segment: `service`, `human` or `host`.
    pub const fn segment(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Human => "human",
            Self::Host => "host",
        }
    }
}

/// A SPIFFE ID: `spiffe://<trust domain>/<kind>/<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    trust_domain: TrustDomain,
    kind: IdentityKind,
    name: String,
}

impl Identity {
    /// An identity from its parts. `name` is one path segment of at most 128 characters.
    pub fn new(
        trust_domain: &TrustDomain,
        kind: IdentityKind,
        name: &str,
    ) -> Result<Self, IdentityError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let dots = name == "." || name == "..";
        if name.is_empty() || name.len() > 128 || dots || !name.chars().all(allowed) {
            return Err(IdentityError::Name(shortened(name)));
        }
        Ok(Self { trust_domain: trust_domain.clone(), kind, name: name.to_owned() })
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Service, human or host.
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// The last path segment.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || IdentityError::Form(shortened(text));
        let rest = text.strip_prefix("spiffe://").ok_or_else(refused)?;
        let (domain, path) = rest.split_once('/').ok_or_else(refused)?;
        let (kind, name) = path.split_once('/').ok_or_else(refused)?;
        let kind = match kind {
            "service" => IdentityKind::Service,
            "human" => IdentityKind::Human,
            "host" => IdentityKind::Host,
            _ => return Err(refused()),
        };
        Self::new(&domain.parse()?, kind, name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "spiffe://{}/{}/{}", self.trust_domain, self.kind.segment(), self.name)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl TryFrom<String> for Identity {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
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
    fn parses_and_prints() {
        let text = "spiffe://web1.sealock/service/shop-api";
        let identity: Identity = text.parse().unwrap();
        assert_eq!(identity.to_string(), text);
        assert_eq!(identity.kind(), IdentityKind::Service);
        assert_eq!(identity.name(), "shop-api");
    }

    #[test]
    fn refuses_what_spiffe_refuses() {
        for bad in [
            "https://a/service/b",
            "spiffe://A/service/b",
            "spiffe://a/service/",
            "spiffe://a/service/..",
            "spiffe://a/service/b/c",
            "spiffe://a/service/b%2f",
            "spiffe://a/robot/b",
            "spiffe:///service/b",
            "spiffe://a:1/service/b",
            "spiffe://a/service/b?x",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names_become_trust_domains() {
        assert_eq!(TrustDomain::for_host("Web 1!").as_str(), "web-1.sealock");
        assert_eq!(TrustDomain::for_host("").as_str(), "localhost.sealock");
        assert!(TrustDomain::for_host("Ünï").as_str().parse::<TrustDomain>().is_ok());
    }
}
