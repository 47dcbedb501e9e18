//! A host and a port, in one spelling.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::http::host::Host;

/// The text is not a host with a port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not HOST:PORT")]
pub struct NoDestination(String);

/// A host, in lower case, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// IPv6 addresses are in brackets.
    host: String,
    port: u16,
}

impl Destination {
    /// Reads `host:port`, or `host` where there is a usual port.
    pub(super) fn read(text: &str, usual: Option<u16>) -> Option<Self> {
        let host = Host::read(text.as_bytes()).ok()?;
        Self::of(&host, usual)
    }

    /// The same of a `Host` header.
    pub(super) fn of(host: &Host, usual: Option<u16>) -> Option<Self> {
        let port = match port(host) {
            Some(port) => port.parse().ok(),
            None => usual,
        };
        let port = port.filter(|port| *port != 0)?;
        Some(Self { host: host.name().to_owned(), port })
    }

    /// The host; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, if it is one and no name. The one spelling of an address only: what a resolver makes of `127.1` or
    /// `0x7f000001` is looked at when it is dialled.
    pub fn address(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        bare.unwrap_or(&self.host).parse().ok()
    }

    /// This port of this address.
    pub(super) fn at(address: SocketAddr) -> Self {
        let host = match address.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port: address.port() }
    }

    /// As a `Host` header has it over TLS.
    pub(super) fn header_of_https(&self) -> String {
        if self.port == 443 { self.host.clone() } else { self.to_string() }
    }

    /// As a `Host` header has it: without the port of `http`.
    pub(super) fn header(&self) -> String {
        if self.port == 80 { self.host.clone() } else { self.to_string() }
    }
}

/// The port of a `Host`, as it stands there.
fn port(host: &Host) -> Option<&str> {
    host.as_str().get(host.name().len()..)?.strip_prefix(':')
}

impl FromStr for Destination {
    type Err = NoDestination;

    fn from_str(text: &str) -> Result<Self, NoDestination> {
        Self::read(text, None).ok_or_else(|| NoDestination(text.chars().take(300).collect()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_in_one_spelling() {
        for (text, spelt, address) in [
            ("Orders:80", "orders:80", None),
            ("10.0.0.1:8443", "10.0.0.1:8443", Some("10.0.0.1")),
            ("[::1]:1", "[::1]:1", Some("::1")),
            ("127.1:80", "127.1:80", None),
        ] {
            let read: Destination = text.parse().unwrap();
            assert_eq!(read.to_string(), spelt);
            assert_eq!(read.address(), address.map(|address| address.parse().unwrap()), "{text}");
        }
        for text in ["", "orders", "orders:", "orders:0", "orders:65536", "a b:1", "u@orders:1"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
        let usual = Destination::read("orders", Some(80)).unwrap();
        assert_eq!((usual.to_string().as_str(), usual.header().as_str()), ("orders:80", "orders"));
        let other = Destination::read("orders:81", Some(80)).unwrap();
        assert_eq!(other.header(), "orders:81");
    }
}
