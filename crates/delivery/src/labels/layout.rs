//! What the delivered files are called.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::LabelError;
use super::error::shortened;

/// What the files in a certificate's folder are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `tls.crt`, `tls.key`, `ca.crt` and `bundle.pem`.
    Tls,
    /// `cert.pem`, `key.pem` and `ca.pem`: the folder can be a `DOCKER_CERT_PATH`.
    Docker,
}

impl Layout {
    /// The file with the certificate and its intermediates.
    pub fn certificate(self) -> &'static str {
        match self {
            Self::Tls => "tls.crt",
            Self::Docker => "cert.pem",
        }
    }

    /// All of its files.
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Tls => &["tls.crt", "tls.key", "ca.crt", "bundle.pem"],
            Self::Docker => &["cert.pem", "key.pem", "ca.pem"],
        }
    }
}

impl FromStr for Layout {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tls" => Ok(Self::Tls),
            "docker" => Ok(Self::Docker),
            other => Err(LabelError::Layout { text: shortened(other) }),
        }
    }
}
