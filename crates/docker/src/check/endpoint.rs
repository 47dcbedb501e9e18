//! Where a Docker API may be.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::daemon::{HostError, TcpHost};

/// Why a text is no endpoint.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// Not a scheme that we know.
    #[error("`{0}` does not begin with unix://, tcp://, http:// or https://")]
    Scheme(String),
    /// A socket's path has to be absolute.
    #[error("`{0}` is not the absolute path of a socket")]
    Path(String),
    /// The address cannot be read.
    #[error("the endpoint's address cannot be read")]
    Host(#[from] HostError),
}

/// A socket of this host, or an address. What is spoken at an address is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://host:port`, `http://host[:2375]`, `https://host[:2376]`.
    Tcp(TcpHost),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.escape_debug().take(120).collect::<String>();
        if let Some(path) = text.strip_prefix("unix://") {
            let good = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
            return if good {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err(EndpointError::Path(shown()))
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::Scheme(shown()))?;
        let default = match scheme {
            "tcp" => None,
            "http" => Some(2375),
            "https" => Some(2376),
            _ => return Err(EndpointError::Scheme(shown())),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let bare = authority.rsplit(']').next().is_some_and(|behind| !behind.contains(':'));
        let host = match default {
            Some(port) if bare => TcpHost::parse_authority(&format!("{authority}:{port}"))?,
            _ => TcpHost::parse_authority(authority)?,
        };
        Ok(Self::Tcp(host))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(host) => host.fmt(formatter),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
