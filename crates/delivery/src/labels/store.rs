//! The files that programs want which read no folder of PEM: key stores and trust stores.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::error::not_a_format;
use super::{Kind, LabelError, value};

/// No list of formats is longer.
const MAXIMUM_FORMATS: usize = 16;
/// The files of PEM are there whatever else is asked for, so this asks for nothing more.
const PEM: &str = "pem";
/// The formats of a certificate, as they stand in a label.
const FORMATS: [&str; 7] = [PEM, "pkcs12", "pkcs12-legacy", "jks", "der", "p7b", "pkcs7"];
/// The formats of a trust bundle.
const TRUST_FORMATS: [&str; 3] = [PEM, "pkcs12", "jks"];
/// The file with the password of the stores, where no secret is named for it.
pub const PASSWORD_FILE: &str = "keystore.password";

/// What a certificate's folder has beside its files of PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreFormat {
    /// Key and chain as PKCS#12, and the roots as such.
    Pkcs12,
    /// Key and chain as PKCS#12 for old programs. What reads no other reads the roots as JKS.
    Pkcs12Legacy,
    /// Key and chain as Java's old key store, and the roots as such.
    Jks,
    /// The certificate alone, binary.
    Der,
    /// Certificate and intermediates as PKCS#7.
    Pkcs7,
}

impl StoreFormat {
    /// What its files are called: that with the certificate, and that with the roots.
    pub const fn files(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Pkcs12 => ("keystore.p12", Some("truststore.p12")),
            Self::Pkcs12Legacy => ("keystore-legacy.p12", Some("truststore.jks")),
            Self::Jks => ("keystore.jks", Some("truststore.jks")),
            Self::Der => ("tls.der", None),
            Self::Pkcs7 => ("tls.p7b", None),
        }
    }

    /// Whether it is a store, with a private key in it and under a password.
    pub const fn is_store(self) -> bool {
        match self {
            Self::Pkcs12 | Self::Pkcs12Legacy | Self::Jks => true,
            Self::Der | Self::Pkcs7 => false,
        }
    }

    pub(super) fn list(text: &str) -> Result<BTreeSet<Self>, LabelError> {
        let mut formats = BTreeSet::new();
        for member in value::members(text, MAXIMUM_FORMATS)? {
            formats.extend(match member {
                PEM => None,
                "pkcs12" => Some(Self::Pkcs12),
                "pkcs12-legacy" => Some(Self::Pkcs12Legacy),
                "jks" => Some(Self::Jks),
                "der" => Some(Self::Der),
                // `cert export` and Windows call it by the file's ending.
                "p7b" | "pkcs7" => Some(Self::Pkcs7),
                other => return Err(not_a_format(Kind::Certificate, other, &FORMATS)),
            });
        }
        Ok(formats)
    }
}

impl fmt::Display for StoreFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pkcs12 => "pkcs12",
            Self::Pkcs12Legacy => "pkcs12-legacy",
            Self::Jks => "jks",
            Self::Der => "der",
            Self::Pkcs7 => "p7b",
        })
    }
}

/// What a trust bundle is a file of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TrustFormat {
    /// PEM.
    #[default]
    Pem,
    /// PKCS#12, as Java wants trusted certificates.
    Pkcs12,
    /// Java's old key store.
    Jks,
}

impl FromStr for TrustFormat {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err(LabelError::Empty),
            PEM => Ok(Self::Pem),
            "pkcs12" => Ok(Self::Pkcs12),
            "jks" => Ok(Self::Jks),
            other => Err(not_a_format(Kind::Trust, other, &TRUST_FORMATS)),
        }
    }
}

impl fmt::Display for TrustFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pem => PEM,
            Self::Pkcs12 => "pkcs12",
            Self::Jks => "jks",
        })
    }
}
