//! Destinations that nobody has listed one by one, as the owner writes them down: `*` or `*.DOMAIN`, with a port or `*`.
//!
//! `*` means hosts with a dot in their name, and addresses. A bare name such as `orders` is that of a service, here or on
//! this network: while the directory does not have it, a request for it must not go elsewhere in clear text.

use super::destination::Destination;
use crate::http::host::Host;

/// Hosts and ports that are meant together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// With its dot in front; None for all.
    below: Option<String>,
    /// None for all.
    port: Option<u16>,
}

impl Pattern {
    /// Whether a text is meant as one, well-formed or not.
    pub(super) fn is_meant(text: &str) -> bool {
        text.contains('*')
    }

    /// Reads `*[.DOMAIN][:PORT]`, where the port may be `*` too. `usual` is that of one without.
    pub(super) fn read(text: &str, usual: Option<u16>) -> Option<Self> {
        let rest = text.strip_prefix('*')?;
        let (domain, port) = match rest.split_once(':') {
            Some((domain, "*")) => (domain, None),
            Some((domain, port)) => (domain, Some(of_port(port)?)),
            None => (rest, Some(usual?)),
        };
        if domain.is_empty() {
            return Some(Self { below: None, port });
        }
        let host = Host::read(domain.strip_prefix('.')?.as_bytes()).ok()?;
        // As one it would mean nothing: there is nothing below an address.
        let is_name = Destination::of(&host, Some(1))?.address().is_none();
        is_name.then(|| Self { below: Some(format!(".{}", host.name())), port })
    }

    /// Whether it means this destination.
    pub(super) fn has(&self, to: &Destination) -> bool {
        let host = to.host();
        let is_meant = match &self.below {
            Some(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
            None => host.contains('.') || to.address().is_some(),
        };
        is_meant && self.port.is_none_or(|port| port == to.port())
    }
}

fn of_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(pattern: &str, to: &str) -> bool {
        Pattern::read(pattern, Some(80)).unwrap().has(&to.parse().unwrap())
    }

    #[test]
    fn what_is_meant() {
        for (pattern, to) in [
            ("*", "example.com:80"),
            ("*", "10.0.0.1:80"),
            ("*", "[2001:db8::1]:80"),
            ("*:*", "example.com:8080"),
            ("*:8080", "example.com:8080"),
            ("*.Corp.example", "a.corp.example:80"),
            ("*.corp.example:*", "a.b.CORP.example:1"),
            ("*.local", "printer.local:80"),
        ] {
            assert!(has(pattern, to), "{pattern} {to}");
        }
        for (pattern, to) in [
            ("*", "orders:80"),
            ("*", "localhost:80"),
            ("*:*", "orders:80"),
            ("*", "example.com:81"),
            ("*:8080", "example.com:80"),
            ("*.corp.example", "corp.example:80"),
            ("*.corp.example", "evilcorp.example:80"),
            ("*.corp.example", "corp.example.evil.example:80"),
            ("*.corp.example", "a.corp.example:443"),
        ] {
            assert!(!has(pattern, to), "{pattern} {to}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        for text in [
            "",
            "a",
            "a.*",
            "*a",
            "**",
            "*.",
            "*.*",
            "*.10.0.0.1",
            "*:",
            "*:0",
            "*:65536",
            "*:+1",
            "*:80:80",
            "*.a b",
            "*.corp.example.",
            "*/x",
            "*.u@corp.example",
        ] {
            assert_eq!(Pattern::read(text, Some(80)), None, "{text}");
        }
        assert_eq!(Pattern::read("*", None), None, "a tunnel has a port");
        assert!(Pattern::read("*:443", None).is_some());
    }
}
