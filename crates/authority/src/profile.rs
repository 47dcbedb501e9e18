//! Certificate profiles: what a certificate is for, and within which bounds it may be ordered.
//!
//! A profile bounds, it grants nothing: policy decides on each order, and is told the profile. The ones that are built in are
//! for what a certificate's extended key usage says (RFC 5280 §4.2.1.12); settings add others. [`OWN`] are for the authority
//! itself and cannot be ordered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sealock_core::span::format_span;
use sealock_core::{Identity, SubjectName};
use thiserror::Error;

use crate::key::{KeyType, PublicKeyKind};
use crate::order::Usages;

/// What certificates the authority makes for itself alone, and what each is for.
pub const OWN: [(&str, &str); 2] = [
    ("ocsp", "answers OCSP for one issuer (OCSPSigning, RFC 6960 §4.2.2.2)"),
    ("intermediate", "signs certificates and revocation lists"),
];

/// The longest name of a profile: it stands in labels, orders and settings.
const LONGEST_NAME: usize = 64;
const DAY: Duration = Duration::from_secs(86_400);
/// How long certificates for code and e-mail live where nobody says: as long as can be ordered at any time, because an
/// intermediate is replaced when a third of its year is left.
const LONG: Duration = Duration::from_secs(90 * 86_400);

/// A kind of name, as far as profiles tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// DNS names.
    Dns,
    /// IP addresses.
    Ip,
    /// URIs that are no identity.
    Uri,
    /// E-mail addresses.
    Email,
    /// The SPIFFE ID.
    Identity,
}

impl NameKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Dns, Self::Ip, Self::Uri, Self::Email, Self::Identity];

    /// As it stands in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Ip => "ip",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Identity => "identity",
        }
    }

    const fn of(name: &SubjectName) -> Self {
        match name {
            SubjectName::Dns(_) => Self::Dns,
            SubjectName::Ip(_) => Self::Ip,
            SubjectName::Uri(_) => Self::Uri,
            SubjectName::Email(_) => Self::Email,
        }
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for NameKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| "there are dns, ip, uri, email and identity".to_owned())
    }
}

/// Why an order is not one of its profile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// A key of another kind.
    #[error("the profile has no certificates for {found} keys, but for {}", list(.known))]
    Key {
        /// The key's kind.
        found: String,
        /// Those that the profile has.
        known: Vec<&'static str>,
    },
    /// A name of another kind.
    #[error("the profile has no certificates with {found} names, but with {}", list(.known))]
    Name {
        /// The name's kind.
        found: &'static str,
        /// Those that the profile has.
        known: Vec<&'static str>,
    },
    /// A life beyond the profile's longest.
    #[error("the profile's certificates live for {} at most", format_span(*.0))]
    TooLong(Duration),
}

fn list(known: &[&'static str]) -> String {
    known.join(", ")
}

/// What certificates of a profile are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What they are for.
    pub usages: Usages,
    /// How long they live when nobody says; `None` leaves it to the door at which they are ordered.
    pub life: Option<Duration>,
    /// How long they live at most.
    pub longest: Option<Duration>,
    /// The kinds of key that they may have. RSA is any of 3,072 bits or more where there is no other rule; all kinds, smaller
    /// RSA keys of others too, when there are none here.
    pub key_types: Vec<KeyType>,
    /// The kinds of name that they may have.
    pub names: Vec<NameKind>,
}

impl Profile {
    /// A profile for these usages that bounds nothing else than what follows from them.
    pub fn of(usages: Usages) -> Self {
        let (life, names) = if usages.code {
            let names = vec![NameKind::Dns, NameKind::Uri, NameKind::Email, NameKind::Identity];
            (Some(LONG), names)
        } else if usages.email {
            (Some(LONG), vec![NameKind::Email, NameKind::Identity])
        } else {
            (None, NameKind::ALL.to_vec())
        };
        Self { usages, life, longest: None, key_types: Vec::new(), names }
    }

    /// The ones that are built in and can be ordered, by name.
    pub fn built_in() -> Vec<(&'static str, Self)> {
        vec![
            ("server", Self::of(Usages::SERVER)),
            ("client", Self::of(Usages::CLIENT)),
            ("both", Self::of(Usages::BOTH)),
            ("code", Self::of(Usages::CODE)),
            ("email", Self::of(Usages::EMAIL)),
            ("short", Self { life: Some(DAY * 6), ..Self::of(Usages::SERVER) }),
            ("mutual", Self::of(Usages::BOTH)),
        ]
    }

    /// Whether `text` can be a profile's name.
    pub fn is_name(text: &str) -> bool {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(good)
    }

    /// Whether a certificate with an identity is in this profile.
    pub fn has_identity(&self) -> bool {
        self.names.contains(&NameKind::Identity)
    }

    /// Whether these names are of the profile's kinds.
    pub fn check_names(
        &self,
        identity: Option<&Identity>,
        names: &[SubjectName],
    ) -> Result<(), ProfileError> {
        let own = identity.map(ToString::to_string);
        let is_own = |name: &SubjectName| match name {
            SubjectName::Uri(uri) => Some(uri) == own.as_ref(),
            _ => false,
        };
        let others = names.iter().filter(|name| !is_own(name)).map(NameKind::of);
        let mut all = identity.map(|_| NameKind::Identity).into_iter().chain(others);
        match all.find(|kind| !self.names.contains(kind)) {
            None => Ok(()),
            Some(other) => {
                let known = self.names.iter().map(|kind| kind.as_str()).collect();
                Err(ProfileError::Name { found: other.as_str(), known })
            }
        }
    }

    /// Whether a key of this kind is one of the profile's.
    pub fn check_key(&self, kind: PublicKeyKind) -> Result<(), ProfileError> {
        let fits = |known: &KeyType| match (known, kind) {
            (KeyType::P256, PublicKeyKind::P256)
            | (KeyType::P384, PublicKeyKind::P384)
            | (KeyType::Ed25519, PublicKeyKind::Ed25519) => true,
            (KeyType::Rsa3072, PublicKeyKind::Rsa(bits)) => bits >= 3072,
            _ => false,
        };
        if self.key_types.is_empty() || self.key_types.iter().any(fits) {
            return Ok(());
        }
        let known = self.key_types.iter().map(|kind| kind.as_str()).collect();
        Err(ProfileError::Key { found: kind.to_string(), known })
    }

    /// Whether a certificate of the profile may live so long.
    pub fn check_life(&self, life: Duration) -> Result<(), ProfileError> {
        match self.longest {
            Some(longest) if life > longest => Err(ProfileError::TooLong(longest)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_is_possible_and_named() {
        for (name, profile) in Profile::built_in() {
            assert!(Profile::is_name(name), "{name}");
            assert_eq!(profile.usages.check(), Ok(()), "{name}");
            assert!(!OWN.iter().any(|(own, _)| *own == name), "{name}");
        }
        for usages in [Usages::SERVER, Usages::CLIENT, Usages::BOTH, Usages::CODE, Usages::EMAIL] {
            let found = Profile::built_in().into_iter().find(|(_, it)| it.usages == usages);
            assert_eq!(found.map(|(name, _)| name), Some(usages.usual_profile()));
        }
        for bad in ["", "a b", "Server", "a.b", "ä", &"a".repeat(65)] {
            assert!(!Profile::is_name(bad), "{bad}");
        }
    }

    #[test]
    fn names_keys_and_lives_outside_a_profile_are_refused() {
        let email = Profile::of(Usages::EMAIL);
        let mail = SubjectName::email("jo@corp.example").unwrap();
        let identity: Identity = "spiffe://corp.example/human/jo".parse().unwrap();
        let own = SubjectName::Uri(identity.to_string());
        assert_eq!(email.check_names(Some(&identity), &[own, mail]), Ok(()));
        for name in [
            SubjectName::dns("a.example").unwrap(),
            SubjectName::ip("10.0.0.1").unwrap(),
            SubjectName::uri("https://a.example/").unwrap(),
        ] {
            let refused = email.check_names(None, std::slice::from_ref(&name)).unwrap_err();
            assert!(refused.to_string().contains(name.kind()), "{refused}");
        }
        let nobody = Profile { names: vec![NameKind::Dns], ..email.clone() };
        assert!(nobody.check_names(Some(&identity), &[]).is_err());

        let strict = Profile { key_types: vec![KeyType::P384, KeyType::Rsa3072], ..email };
        for (kind, fits) in [
            (PublicKeyKind::P256, false),
            (PublicKeyKind::P384, true),
            (PublicKeyKind::Ed25519, false),
            (PublicKeyKind::Rsa(2048), false),
            (PublicKeyKind::Rsa(4096), true),
        ] {
            assert_eq!(strict.check_key(kind).is_ok(), fits, "{kind}");
        }
        let short = Profile { longest: Some(DAY), ..strict };
        assert_eq!(short.check_life(DAY), Ok(()));
        assert_eq!(short.check_life(DAY * 2), Err(ProfileError::TooLong(DAY)));
    }
}
