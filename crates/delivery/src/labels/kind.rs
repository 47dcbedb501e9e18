//! What labels can ask for.

use std::fmt;

use super::{certificate, secret, suggest, trust};

/// What a label asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `sealock.cert.`: a certificate of the authority.
    Certificate,
    /// `sealock.secret.`: a secret of the vault.
    Secret,
    /// `sealock.trust.`: the roots to trust.
    Trust,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Certificate, Self::Secret, Self::Trust];

    /// What its labels begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Certificate => "sealock.cert.",
            Self::Secret => "sealock.secret.",
            Self::Trust => "sealock.trust.",
        }
    }

    /// Its settings, as they stand in a label after the name.
    pub const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &certificate::SETTINGS,
            Self::Secret => &secret::SETTINGS,
            Self::Trust => &trust::SETTINGS,
        }
    }

    /// How many of it the labels of one container may ask for.
    pub const fn limit(self) -> usize {
        match self {
            Self::Certificate => 32,
            Self::Secret => 64,
            Self::Trust => 16,
        }
    }

    /// A label that one may copy.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Certificate => "sealock.cert.web.dns",
            Self::Secret => "sealock.secret.db.ref",
            Self::Trust => "sealock.trust.company.path",
        }
    }

    /// What a label asks for, misspelt prefixes included: `sealock.certs.web.dns` would otherwise be
    /// passed over in silence. `None` for a label of others.
    pub(super) fn of(label: &str) -> Option<Self> {
        if let Some(kind) = Self::ALL.into_iter().find(|kind| label.starts_with(kind.prefix())) {
            return Some(kind);
        }
        let second = label.strip_prefix("sealock.")?.split('.').next()?;
        // A slip of the hand, no more: `sealock.test` is another word.
        let near = |word, slips| second.len() <= 16 && suggest::distance(second, word) <= slips;
        match second {
            "certificate" | "certificates" => Some(Self::Certificate),
            _ if near("cert", 1) => Some(Self::Certificate),
            _ if near("secret", 2) => Some(Self::Secret),
            _ if near("trust", 1) => Some(Self::Trust),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Certificate => "certificate",
            Self::Secret => "secret",
            Self::Trust => "trust bundle",
        })
    }
}
