//! `tcp://HOST:PORT`, as daemon and clients write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use sealock_core::DnsName;
use thiserror::Error;

/// Why a text is no address.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// Not of this form.
    #[error("`{0}` is not of the form tcp://HOST:PORT")]
    Form(String),
    /// What stands before the port is neither a DNS name nor an IP address.
    #[error("`{0}` is neither a DNS name nor an IP address")]
    Name(String),
    /// The port is not 1 to 65535.
    #[error("`{0}` is not a port")]
    Port(String),
}

/// An address that a daemon listens at or a client dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpHost {
    name: Name,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Dns(DnsName),
    Ip(IpAddr),
}

impl TcpHost {
    /// The name or address, without brackets.
    pub fn name(&self) -> String {
        match &self.name {
            Name::Dns(name) => name.to_string(),
            Name::Ip(ip) => ip.to_string(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a daemon cannot listen at both: the same port, and an address that one of them covers.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let all = |host: &Self| matches!(&host.name, Name::Ip(ip) if ip.is_unspecified());
        self.port == other.port && (self.name == other.name || all(self) || all(other))
    }

    /// `HOST:PORT`, after the scheme.
    pub(crate) fn parse_authority(text: &str) -> Result<Self, HostError> {
        let (name, port) = text.rsplit_once(':').ok_or_else(|| HostError::Form(shown(text)))?;
        let refused = || HostError::Name(shown(name));
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let name = match bracketed {
            Some(inner) => Name::Ip(inner.parse::<Ipv6Addr>().map_err(|_| refused())?.into()),
            None => match name.parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) => Name::Ip(ip.into()),
                Ok(IpAddr::V6(_)) => return Err(refused()),
                Err(_) => {
                    let name = DnsName::from_str(name).map_err(|_| refused())?;
                    if name.is_wildcard() {
                        return Err(refused());
                    }
                    Name::Dns(name)
                }
            },
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = port.parse().ok().filter(|port| digits && *port != 0);
        Ok(Self { name, port: parsed.ok_or_else(|| HostError::Port(shown(port)))? })
    }
}

/// Enough of a text to recognise it, without what would move a terminal's cursor.
fn shown(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

impl FromStr for TcpHost {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("tcp://").ok_or_else(|| HostError::Form(shown(text)))?;
        Self::parse_authority(rest)
    }
}

impl fmt::Display for TcpHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Ip(IpAddr::V6(ip)) => write!(formatter, "tcp://[{ip}]:{}", self.port),
            _ => write!(formatter, "tcp://{}:{}", self.name(), self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for text in ["tcp://0.0.0.0:2376", "tcp://[::1]:2376", "tcp://docker.example:65535"] {
            assert_eq!(text.parse::<TcpHost>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://[::1]:1".parse::<TcpHost>().unwrap().name(), "::1");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "0.0.0.0:2376",
            "tcp://host",
            "tcp://host:0",
            "tcp://host:65536",
            "tcp://host:+1",
            "tcp://::1:2376",
            "tcp://[h]:1",
            "tcp://me@host:1",
            "tcp://host:1/path",
            "tcp://*.host:1",
            "tcp://:2376",
            "tcp://a b:1",
        ] {
            assert!(text.parse::<TcpHost>().is_err(), "{text}");
        }
    }
}
