//! Whom a call is addressed to: the `Host` header in one spelling.

use hyper::header::{HOST, HeaderMap};
use thiserror::Error;

/// The longest name in DNS.
const LONGEST: usize = 253;

/// Why a `Host` is refused: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the Host header is not one host with or without a port")]
pub struct HostFault;

/// A host, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    text: String,
    /// Where the port's colon is.
    end: usize,
}

impl Host {
    /// The host of a request; none if it has no such header, as HTTP/1.0 may.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, HostFault> {
        let mut all = headers.get_all(HOST).into_iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(host), None) => Self::read(host.as_bytes()).map(Some),
            _ => Err(HostFault),
        }
    }

    /// Reads `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. A name with a dot at its end is refused: it is the same
    /// host in another spelling.
    pub fn read(bytes: &[u8]) -> Result<Self, HostFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| HostFault)?.to_ascii_lowercase();
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']').ok_or(HostFault)? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at_checked(end).ok_or(HostFault)?;
        let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_number);
        if is_host && is_port { Ok(Self { text, end }) } else { Err(HostFault) }
    }

    /// The host without the port: what policy sees.
    pub fn name(&self) -> &str {
        self.text.get(..self.end).unwrap_or(&self.text)
    }

    /// With the port: what the app gets.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty()
        && host.len() <= LONGEST
        && host.bytes().all(allowed)
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !host.contains("..")
}

fn is_number(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_and_no_port_for_policy() {
        for (text, name, all) in [
            ("Orders", "orders", "orders"),
            ("orders.example:8080", "orders.example", "orders.example:8080"),
            ("10.0.0.1:80", "10.0.0.1", "10.0.0.1:80"),
            ("[2001:DB8::1]:443", "[2001:db8::1]", "[2001:db8::1]:443"),
            ("[::1]", "[::1]", "[::1]"),
            ("my_app", "my_app", "my_app"),
        ] {
            let host = Host::read(text.as_bytes()).unwrap();
            assert_eq!((host.name(), host.as_str()), (name, all));
        }
        for text in [
            "", ":80", "a:", "a:x", "a:99999", "a:+1", "a:1:2", "a.", "a..b", ".a", "a b", "a,b",
            "a/b", "user@a", "a%2e", "[::1", "[a]", "[::1]x", "[::1]:", "\u{e9}",
        ] {
            assert_eq!(Host::read(text.as_bytes()), Err(HostFault), "{text}");
        }
        assert!(Host::read("a".repeat(254).as_bytes()).is_err());
    }

    #[test]
    fn two_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(Host::of(&headers), Ok(None));
        headers.append(HOST, "a".parse().unwrap());
        assert!(Host::of(&headers).unwrap().is_some());
        headers.append(HOST, "a".parse().unwrap());
        assert_eq!(Host::of(&headers), Err(HostFault));
    }
}
