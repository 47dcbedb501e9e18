//! What is asked of the authority: an [`Order`], and the lint that it must pass before anything is signed.
//!
//! Policy has been asked before an order gets here; the lint is about what makes a certificate wrong or
//! dangerous whatever policy says (RFC 5280, SPIFFE X509-SVID).

use std::time::Duration;

use sealock_core::{Identity, IssuerName, SubjectName, TrustDomain};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::{KeyType, PublicKey};
use crate::serial::Serial;

/// The most names that one certificate may have.
pub const MOST_NAMES: usize = 100;
/// The longest name in the inventory, in bytes.
pub(crate) const LONGEST_NAME: usize = 200;
/// So many hex digits are no word: random serials that begin with four zero bytes are not to be expected.
const LIKE_A_SERIAL: usize = 24;
/// A common name has at most 64 characters (`ub-common-name`, RFC 5280 appendix A.1).
const LONGEST_COMMON_NAME: usize = 64;

/// Why an order was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OrderError {
    /// The name for the inventory.
    #[error(
        "`{0}` cannot name a certificate (1 to 200 bytes, no spaces or control characters, no serial number)"
    )]
    Name(String),
    /// Nothing to certify.
    #[error(
        "the certificate would have no name: it needs a DNS name, address, URI, e-mail or identity"
    )]
    NoNames,
    /// Too many.
    #[error("{0} names are more than a certificate may have ({MOST_NAMES})")]
    TooManyNames(usize),
    /// A name that is not of its kind's form, or that cannot be in a certificate.
    #[error("`{0}` cannot be in a certificate")]
    BadName(String),
    /// An identity of another trust domain.
    #[error("the identity {identity} is not of the trust domain {trust_domain}")]
    ForeignIdentity {
        /// The identity asked for.
        identity: String,
        /// The authority's own.
        trust_domain: TrustDomain,
    },
    /// A SPIFFE ID as a plain URI name.
    #[error("`{0}` is a SPIFFE ID: it can only be in a certificate as its identity")]
    IdentityAsName(String),
    /// An identity in a certificate of another issuer than our own.
    #[error(
        "{identity} is an identity, and those are certified by our own issuer only, not by `{issuer}`"
    )]
    IdentityElsewhere {
        /// The identity asked for.
        identity: String,
        /// Who should have signed it.
        issuer: IssuerName,
    },
    /// Good for nothing.
    #[error("the certificate would have no usage: it needs server, client or both")]
    NoUsage,
    /// Zero, or less than X.509 can express.
    #[error("a certificate lives for at least one second")]
    TooShort,
    /// The key of one of the authority's own certificates.
    #[error("the public key is the authority's own")]
    OwnKey,
}

/// What the holder may do with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usages {
    /// Be a TLS server (`serverAuth`).
    pub server: bool,
    /// Be a TLS client (`clientAuth`).
    pub client: bool,
}

impl Usages {
    /// Server and client.
    pub const BOTH: Self = Self { server: true, client: true };
    /// Server only.
    pub const SERVER: Self = Self { server: true, client: false };
    /// Client only.
    pub const CLIENT: Self = Self { server: false, client: true };
}

impl Default for Usages {
    fn default() -> Self {
        Self::BOTH
    }
}

/// Where the key of a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The authority makes one, hands it out once, and keeps no copy.
    Generate(KeyType),
    /// The public key of a CSR whose proof of possession held ([`crate::Csr`]).
    PublicKey(PublicKey),
}

/// An order for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What the inventory calls it; several certificates may have the same name, the newest counts.
    pub name: String,
    /// Becomes the first URI name. A certificate with one and no other URI is an X509-SVID.
    pub identity: Option<Identity>,
    /// The other names.
    pub names: Vec<SubjectName>,
    /// Server, client or both.
    pub usages: Usages,
    /// How long from now on; at most what the issuer has left.
    pub ttl: Duration,
    /// The key.
    pub key: KeySource,
    /// Who signs it: our own intermediate, where none is named.
    pub issuer: Option<IssuerName>,
}

impl Order {
    /// All names in the order in which the certificate has them: the identity first, none twice.
    pub(crate) fn all_names(&self) -> Vec<SubjectName> {
        let mut all: Vec<SubjectName> = Vec::with_capacity(self.names.len() + 1);
        let identity = self.identity.iter().map(|identity| SubjectName::Uri(identity.to_string()));
        for name in identity.chain(self.names.iter().cloned()) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// Everything that can be said against the order without knowing the issuer.
    pub(crate) fn lint(&self, trust_domain: &TrustDomain) -> Result<(), OrderError> {
        check_inventory_name(&self.name)?;
        let count = self.all_names().len();
        if count > MOST_NAMES {
            return Err(OrderError::TooManyNames(count));
        }
        if self.identity.is_none() && self.names.is_empty() {
            return Err(OrderError::NoNames);
        }
        if let Some(identity) = self.identity.as_ref()
            && identity.trust_domain() != trust_domain
        {
            let trust_domain = trust_domain.clone();
            return Err(OrderError::ForeignIdentity {
                identity: identity.to_string(),
                trust_domain,
            });
        }
        let elsewhere = self.issuer.as_ref().filter(|issuer| !issuer.is_own());
        if let (Some(identity), Some(issuer)) = (&self.identity, elsewhere) {
            let (identity, issuer) = (identity.to_string(), issuer.clone());
            return Err(OrderError::IdentityElsewhere { identity, issuer });
        }
        let identity = self.identity.as_ref().map(Identity::to_string);
        for name in &self.names {
            lint_name(name, identity.as_deref())?;
        }
        if !self.usages.server && !self.usages.client {
            return Err(OrderError::NoUsage);
        }
        if self.ttl < Duration::from_secs(1) {
            return Err(OrderError::TooShort);
        }
        Ok(())
    }

    /// The common name, where one can be had that says nothing that the other names do not say: the
    /// order's name if it is among them, else the first DNS name, else (for clients) the identity's name.
    ///
    /// Old clients look at the common name when a certificate has no DNS name. For a server the
    /// identity's last segment, which no rule on DNS names has granted, must therefore not stand there.
    pub(crate) fn common_name(&self) -> Option<String> {
        let fits = |text: &String| text.len() <= LONGEST_COMMON_NAME;
        let own = self.names.iter().map(SubjectName::to_string).find(|text| *text == self.name);
        let dns = self.names.iter().find(|name| matches!(name, SubjectName::Dns(_)));
        let identity = self.identity.as_ref().filter(|_| !self.usages.server);
        own.filter(fits)
            .or_else(|| dns.map(SubjectName::to_string).filter(fits))
            .or_else(|| identity.map(|identity| identity.name().to_owned()).filter(fits))
    }
}

/// Whether a text can name a certificate in the inventory.
pub(crate) fn check_inventory_name(name: &str) -> Result<(), OrderError> {
    let bad = |c: char| c.is_control() || c.is_whitespace();
    // Who names a certificate like another's serial number would be found in its place.
    let like_a_serial = name.len() >= LIKE_A_SERIAL && name.parse::<Serial>().is_ok();
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains(bad) || like_a_serial {
        return Err(OrderError::Name(
            name.chars().take(80).flat_map(char::escape_default).collect(),
        ));
    }
    Ok(())
}

fn lint_name(name: &SubjectName, identity: Option<&str>) -> Result<(), OrderError> {
    let refused = || OrderError::BadName(name.to_string().escape_default().take(80).collect());
    match name {
        SubjectName::Dns(_) => Ok(()),
        SubjectName::Ip(address) if address.is_unspecified() || address.is_multicast() => {
            Err(refused())
        }
        SubjectName::Ip(_) => Ok(()),
        // The variants are open, so their form is checked again.
        SubjectName::Email(text) => SubjectName::email(text)
            .ok()
            .filter(|again| again == name)
            .map(|_| ())
            .ok_or_else(refused),
        SubjectName::Uri(text) => {
            SubjectName::uri(text).map_err(|_| refused())?;
            let spiffe = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
            if spiffe && identity != Some(text.as_str()) {
                return Err(OrderError::IdentityAsName(text.escape_default().take(80).collect()));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> TrustDomain {
        "corp.example".parse().unwrap()
    }

    fn order(names: &[&str]) -> Order {
        Order {
            name: "web".into(),
            identity: None,
            names: names.iter().map(|name| SubjectName::dns(name).unwrap()).collect(),
            usages: Usages::BOTH,
            ttl: Duration::from_secs(3600),
            key: KeySource::Generate(KeyType::P256),
            issuer: None,
        }
    }

    #[test]
    fn good_orders_pass() {
        assert_eq!(order(&["web"]).lint(&domain()), Ok(()));
        let word = Order { name: "deadbeef".into(), ..order(&["web"]) };
        assert_eq!(word.lint(&domain()), Ok(()));
        let identity: Identity = "spiffe://corp.example/service/web".parse().unwrap();
        let own = SubjectName::Uri(identity.to_string());
        let with = Order { identity: Some(identity), names: vec![own.clone()], ..order(&[]) };
        assert_eq!(with.lint(&domain()), Ok(()));
        assert_eq!(with.all_names(), [own]);
    }

    #[test]
    fn bad_orders_do_not() {
        let refused = |order: Order| order.lint(&domain()).unwrap_err();
        assert_eq!(refused(order(&[])), OrderError::NoNames);
        let none = Usages { server: false, client: false };
        assert_eq!(refused(Order { usages: none, ..order(&["a"]) }), OrderError::NoUsage);
        let short = Duration::from_millis(999);
        assert_eq!(refused(Order { ttl: short, ..order(&["a"]) }), OrderError::TooShort);
        let serial = "ab".repeat(16);
        let colons = ["ab"; 16].join(":");
        for name in ["", "a b", "a\0", "a\n", &serial, &serial[8..], &colons] {
            let named = Order { name: name.into(), ..order(&["a"]) };
            assert!(matches!(refused(named), OrderError::Name(_)), "{name:?}");
        }
        let foreign = "spiffe://other.example/service/web".parse().unwrap();
        assert!(matches!(
            refused(Order { identity: Some(foreign), ..order(&["a"]) }),
            OrderError::ForeignIdentity { .. }
        ));
        for uri in ["spiffe://corp.example/human/root", "SPIFFE://corp.example/human/root"] {
            let names = vec![SubjectName::uri(uri).unwrap()];
            assert!(matches!(
                refused(Order { names, ..order(&[]) }),
                OrderError::IdentityAsName(_)
            ));
        }
        let identity = "spiffe://corp.example/service/web".parse().unwrap();
        let issuer = Some("corp".parse().unwrap());
        let elsewhere = Order { identity: Some(identity), issuer, ..order(&["a"]) };
        assert!(matches!(refused(elsewhere), OrderError::IdentityElsewhere { .. }));
        let name = vec![SubjectName::uri("spiffe://corp.example/service/web").unwrap()];
        let issuer = Some("corp".parse().unwrap());
        let elsewhere = Order { names: name, issuer, ..order(&[]) };
        assert!(matches!(refused(elsewhere), OrderError::IdentityAsName(_)));
        for name in [
            SubjectName::Email("no address".into()),
            SubjectName::Uri("no uri".into()),
            SubjectName::ip("0.0.0.0").unwrap(),
            SubjectName::ip("ff02::1").unwrap(),
        ] {
            let names = vec![name];
            assert!(matches!(refused(Order { names, ..order(&[]) }), OrderError::BadName(_)));
        }
        let many: Vec<String> = (0..=MOST_NAMES).map(|n| format!("n{n}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(refused(order(&many)), OrderError::TooManyNames(101));
    }

    #[test]
    fn the_common_name_says_nothing_new() {
        assert_eq!(order(&["a.example", "web"]).common_name().as_deref(), Some("web"));
        assert_eq!(order(&["a.example"]).common_name().as_deref(), Some("a.example"));
        assert_eq!(order(&[&format!("{}.example", "a".repeat(60))]).common_name(), None);
        let identity: Identity = "spiffe://corp.example/human/jo".parse().unwrap();
        let both = Order { identity: Some(identity), ..order(&[]) };
        assert_eq!(both.common_name(), None);
        let client = Order { usages: Usages::CLIENT, ..both };
        assert_eq!(client.common_name().as_deref(), Some("jo"));
    }
}
