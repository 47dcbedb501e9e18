//! Where an answer may send us on to: HTTP and HTTPS at the ports where challenges are, and nothing with credentials in it.

use std::net::IpAddr;

use sealock_core::DnsName;
use url::{Host, Position, Url};

use super::Subject;
use super::failure::Failure;
use super::settings::ValidateSettings;

/// No longer reference is followed.
const LONGEST: usize = 2000;

/// One place that is asked over HTTP.
#[derive(Debug, Clone)]
pub(super) struct Place {
    url: Url,
    pub(super) host: Subject,
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

impl Place {
    /// Where http-01 begins.
    pub(super) fn first(subject: &Subject, port: u16, token: &str) -> Result<Self, Failure> {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if token.is_empty() || !token.bytes().all(is_base64url) {
            return Err(Failure::IncorrectResponse("the token is not in base64url".to_owned()));
        }
        let host = match subject {
            Subject::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            other => other.to_string(),
        };
        let text = format!("http://{host}:{port}/.well-known/acme-challenge/{token}");
        let url = Url::parse(&text).ok().and_then(Self::of);
        // A name whose last label is a number is an address to whoever reads URLs, or nothing.
        url.filter(|place| place.host == *subject).ok_or_else(|| {
            Failure::Connection(format!("{subject} is no host that can be asked over HTTP"))
        })
    }

    /// Where the answer of this place leads.
    pub(super) fn follow(
        &self,
        location: Option<&[u8]>,
        settings: &ValidateSettings,
    ) -> Result<Self, Failure> {
        let wrong =
            |what: &str| Failure::IncorrectResponse(format!("{} redirects {what}", self.host));
        let location = location.filter(|text| text.len() <= LONGEST);
        let location = location.and_then(|text| std::str::from_utf8(text).ok());
        let url = location.and_then(|text| self.url.join(text).ok());
        let url = url.ok_or_else(|| wrong("to what is no address of a page"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("to something else than HTTP or HTTPS"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("to an address with credentials"));
        }
        let next = Self::of(url).ok_or_else(|| wrong("to what is no host"))?;
        let open = [80, 443, settings.http_port, settings.tls_port];
        if !open.contains(&next.port) {
            return Err(wrong("to a port where no challenges are"));
        }
        Ok(next)
    }

    fn of(url: Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => Subject::Dns(name.parse::<DnsName>().ok()?),
            Host::Ipv4(address) => Subject::Ip(address.into()),
            Host::Ipv6(address) => Subject::Ip(address.into()),
        };
        if matches!(&host, Subject::Dns(name) if name.is_wildcard()) {
            return None;
        }
        let port = url.port_or_known_default()?;
        Some(Self { is_tls: url.scheme() == "https", host, port, url })
    }

    /// For the `Host` header: with the port if it is not the scheme's own.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// For the request's first line.
    pub(super) fn target(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(subject: &str, port: u16) -> Result<Place, Failure> {
        let subject = match subject.parse::<IpAddr>() {
            Ok(address) => Subject::Ip(address),
            Err(_) => Subject::Dns(subject.parse().unwrap()),
        };
        Place::first(&subject, port, "to-ken_1")
    }

    #[test]
    fn the_first_place_is_the_name_itself() {
        for (subject, port, authority) in [
            ("a.example", 80, "a.example"),
            ("my_app", 80, "my_app"),
            ("a.example", 5002, "a.example:5002"),
            ("192.0.2.1", 80, "192.0.2.1"),
            ("2001:db8::1", 5002, "[2001:db8::1]:5002"),
        ] {
            let place = first(subject, port).unwrap();
            assert_eq!(place.authority(), authority);
            assert_eq!(place.target(), "/.well-known/acme-challenge/to-ken_1");
            assert_eq!((place.host.to_string().as_str(), place.port), (subject, port));
            assert!(!place.is_tls);
        }
        for subject in ["host.127", "host.0x7f"] {
            assert!(matches!(first(subject, 80), Err(Failure::Connection(_))), "{subject}");
        }
        for token in ["", "a/b", "a b", "..", "a?b", "ä"] {
            let subject = Subject::Dns("a.example".parse().unwrap());
            assert!(Place::first(&subject, 80, token).is_err(), "{token}");
        }
    }

    #[test]
    fn only_some_places_are_followed() {
        let settings = ValidateSettings { http_port: 5002, ..ValidateSettings::default() };
        let from = first("a.example", 5002).unwrap();
        let follow = |location: &str| from.follow(Some(location.as_bytes()), &settings);
        for (location, host, port, target) in [
            ("/other", "a.example", 5002, "/other"),
            ("x?y=z#f", "a.example", 5002, "/.well-known/acme-challenge/x?y=z"),
            ("//b.example/", "b.example", 80, "/"),
            ("HTTPS://b.example", "b.example", 443, "/"),
            ("http://b.example.:5002/", "b.example", 5002, "/"),
            ("http://0x7f.1/", "127.0.0.1", 80, "/"),
            ("http://[::ffff:169.254.169.254]/", "::ffff:169.254.169.254", 80, "/"),
            ("https://bücher.example/ü", "xn--bcher-kva.example", 443, "/%C3%BC"),
        ] {
            let next = follow(location).unwrap();
            assert_eq!(
                (next.host.to_string().as_str(), next.port, next.target()),
                (host, port, target),
                "{location}"
            );
            assert_eq!(next.is_tls, location.to_ascii_lowercase().starts_with("https"));
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        for location in [
            "file:///etc/passwd",
            "ftp://b.example/",
            "javascript:alert(1)",
            "http://user:secret@b.example/",
            "http://user@b.example/",
            "http://b.example:22/",
            "http://b.example:0/",
            "http://b.example:99999/",
            "http://*.example/",
            "http://-/",
            "http://",
            "unix:/run/docker.sock",
            &long,
        ] {
            let refused = follow(location);
            assert!(matches!(refused, Err(Failure::IncorrectResponse(_))), "{location}");
        }
        assert!(from.follow(None, &settings).is_err());
        assert!(from.follow(Some(b"\xff"), &settings).is_err());
    }
}
