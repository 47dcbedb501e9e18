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
    /// Usages that no one certificate may have together.
    #[error("no certificate is for {0}")]
    MixedUsages(&'static str),
    /// For e-mail, without an address.
    #[error("a certificate for e-mail needs an e-mail address")]
    NoAddress,
    /// For a server, without anything by which a client can reach it.
    #[error("a server's certificate needs a DNS name, address, URI or identity")]
    NoServerName,
    /// For code, without anything that can be its subject.
    #[error(
        "a certificate for code needs a subject: an identity, DNS name or e-mail address of at most 64 characters \
         that the authority's constraints let through"
    )]
    NoSubject,
    /// Zero, or less than X.509 can express.
    #[error("a certificate lives for at least one second")]
    TooShort,
    /// The key of one of the authority's own certificates.
    #[error("the public key is the authority's own")]
    OwnKey,
}

/// What the holder may do with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a purpose of its own in the certificate"
)]
pub struct Usages {
    /// Be a TLS server (`serverAuth`).
    pub server: bool,
    /// Be a TLS client (`clientAuth`).
    pub client: bool,
    /// Sign code (`codeSigning`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub code: bool,
    /// Sign e-mail, and be sent encrypted e-mail (`emailProtection`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub email: bool,
}

impl Usages {
    /// None: what no certificate has.
    pub const NONE: Self = Self { server: false, client: false, code: false, email: false };
    /// Server only.
    pub const SERVER: Self = Self { server: true, ..Self::NONE };
    /// Client only.
    pub const CLIENT: Self = Self { client: true, ..Self::NONE };
    /// Server and client.
    pub const BOTH: Self = Self { client: true, ..Self::SERVER };
    /// Code only.
    pub const CODE: Self = Self { code: true, ..Self::NONE };
    /// E-mail only.
    pub const EMAIL: Self = Self { email: true, ..Self::NONE };

    /// The words for them, as policy and people have them.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            ("server", self.server),
            ("client", self.client),
            ("code", self.code),
            ("email", self.email),
        ];
        all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }

    /// Those that are among both.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            server: self.server && other.server,
            client: self.client && other.client,
            code: self.code && other.code,
            email: self.email && other.email,
        }
    }

    /// The first of these that is not among `permitted`.
    pub(crate) fn lacking(self, permitted: Self) -> Option<&'static str> {
        let both = self.and(permitted).names();
        self.names().into_iter().find(|name| !both.contains(name))
    }

    /// Whether they go beyond TLS: then a name's holder is not thereby who may have them.
    pub fn beyond_tls(self) -> bool {
        self.code || self.email
    }

    /// The profile of an order that names none.
    pub fn usual_profile(self) -> &'static str {
        match self {
            Self { code: true, .. } => "code",
            Self { email: true, .. } => "email",
            Self { server: true, client: false, .. } => "server",
            Self { server: false, client: true, .. } => "client",
            _ => "both",
        }
    }

    /// Whether one certificate may be for all of these. Who holds a server's key must not thereby sign code or e-mail (RFC
    /// 5280 §4.2.1.12 lets purposes be mixed; key usages and those who hold the keys differ).
    pub fn check(self) -> Result<(), OrderError> {
        match self {
            Self::NONE => Err(OrderError::NoUsage),
            Self { code: true, .. } if self != Self::CODE => {
                Err(OrderError::MixedUsages("code and something else"))
            }
            Self { email: true, server: true, .. } => {
                Err(OrderError::MixedUsages("e-mail and a server"))
            }
            _ => Ok(()),
        }
    }

    /// Whether there are names for all of these; an identity is one by which a server is reached.
    pub(crate) fn check_names(
        self,
        names: &[SubjectName],
        has_identity: bool,
    ) -> Result<(), OrderError> {
        let has = |kind: fn(&SubjectName) -> bool| names.iter().any(kind);
        if self.email && !has(|name| matches!(name, SubjectName::Email(_))) {
            return Err(OrderError::NoAddress);
        }
        let reachable = has_identity || has(|name| !matches!(name, SubjectName::Email(_)));
        if self.server && !reachable {
            return Err(OrderError::NoServerName);
        }
        Ok(())
    }
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
    /// What it is for.
    pub usages: Usages,
    /// The profile that it is ordered by ([`crate::Profile`]); by none, it is that of its usages.
    pub profile: Option<String>,
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
        self.usages.check()?;
        self.usages.check_names(&self.names, self.identity.is_some())?;
        if self.ttl < Duration::from_secs(1) {
            return Err(OrderError::TooShort);
        }
        Ok(())
    }

    /// What can be the common name, best first, and says nothing that the other names do not say: the order's name if it is
    /// among them, the first DNS name, (where it is for no server) the identity's name, and (for e-mail or code) the first
    /// address.
    ///
    /// Old clients look at the common name when a certificate has no DNS name. For a server the
    /// identity's last segment, which no rule on DNS names has granted, must therefore not stand there.
    pub(crate) fn common_names(&self) -> Vec<String> {
        let own = self.names.iter().map(SubjectName::to_string).find(|text| *text == self.name);
        let dns = self.names.iter().find(|name| matches!(name, SubjectName::Dns(_)));
        let identity = self.identity.as_ref().filter(|_| !self.usages.server);
        let short = identity.map(|identity| identity.name().to_owned());
        // This cannot be taken for a DNS name, so no constraint on those is about it.
        let long = identity.filter(|_| self.usages.code);
        let long = long.map(|it| format!("{}/{}", it.kind().segment(), it.name()));
        let email = self.names.iter().find(|name| matches!(name, SubjectName::Email(_)));
        let email = email.filter(|_| self.usages.beyond_tls()).map(SubjectName::to_string);
        let all = own.into_iter().chain(dns.map(SubjectName::to_string));
        let all = all.chain(short).chain(long).chain(email);
        all.filter(|text| text.len() <= LONGEST_COMMON_NAME).collect()
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
            profile: None,
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
        let with = |usages: Usages| refused(Order { usages, ..order(&["a"]) });
        assert_eq!(with(Usages::NONE), OrderError::NoUsage);
        for mixed in [
            Usages { code: true, ..Usages::SERVER },
            Usages { code: true, ..Usages::EMAIL },
            Usages { email: true, ..Usages::SERVER },
            Usages { email: true, ..Usages::BOTH },
        ] {
            assert!(matches!(with(mixed), OrderError::MixedUsages(_)), "{mixed:?}");
        }
        assert_eq!(with(Usages::EMAIL), OrderError::NoAddress);
        let mail = vec![SubjectName::email("jo@corp.example").unwrap()];
        let server = Order { names: mail, usages: Usages::SERVER, ..order(&[]) };
        assert_eq!(refused(server), OrderError::NoServerName);
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
        let first = |order: &Order| order.common_names().into_iter().next();
        assert_eq!(first(&order(&["a.example", "web"])).as_deref(), Some("web"));
        assert_eq!(first(&order(&["a.example"])).as_deref(), Some("a.example"));
        assert_eq!(first(&order(&[&format!("{}.example", "a".repeat(60))])), None);
        let identity: Identity = "spiffe://corp.example/human/jo".parse().unwrap();
        let both = Order { identity: Some(identity), ..order(&[]) };
        assert_eq!(first(&both), None);
        let client = Order { usages: Usages::CLIENT, ..both };
        assert_eq!(first(&client).as_deref(), Some("jo"));
        let code = Order { usages: Usages::CODE, ..client.clone() };
        assert_eq!(code.common_names(), ["jo", "human/jo"]);
        let mail = vec![SubjectName::email("jo@corp.example").unwrap()];
        let email = Order { usages: Usages::EMAIL, names: mail, identity: None, ..client };
        assert_eq!(email.common_names(), ["jo@corp.example"]);
        assert_eq!(Order { usages: Usages::CLIENT, ..email }.common_names(), [""; 0]);
    }
}
