//! Where a server is, and which URLs are its own.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

/// No longer URL is asked.
const LONGEST: usize = 2048;

/// Why a URL is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// It is none.
    #[error("it is no URL")]
    NoUrl,
    /// What is asked there could be read and changed by anybody on the way.
    #[error("it does not begin with https://")]
    Plain,
    /// Name or password in it.
    #[error("it has a name or a password in it")]
    Credentials,
    /// Too long.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
}

/// A host and a port, such as `acme.corp.example:443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// In lower case; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Origin {
    type Err = PlaceError;

    /// `HOST` or `HOST:PORT`; without a port, that of https.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.contains(['/', '?', '#', '@', '\\']) {
            return Err(PlaceError::NoUrl);
        }
        format!("https://{text}/").parse::<Place>().map(|place| place.origin())
    }
}

/// An `https` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Url);

impl Place {
    /// Host and port.
    pub fn origin(&self) -> Origin {
        let host = match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            // A URL whose scheme is https has one.
            None => String::new(),
        };
        Origin { host, port: self.0.port_or_known_default().unwrap_or(443) }
    }

    /// As `Host` has it: without the usual port.
    pub(crate) fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Path and query.
    pub(crate) fn target(&self) -> String {
        let path = self.0.path();
        self.0.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }

    /// With segments behind its path, and no query.
    #[must_use]
    pub fn below(&self, segments: &[&str]) -> Self {
        let mut url = self.0.clone();
        url.set_query(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Self(url)
    }

    /// Whether it names nothing but a server.
    pub fn is_root(&self) -> bool {
        self.0.path() == "/" && self.0.query().is_none()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.len() > LONGEST {
            return Err(PlaceError::TooLong);
        }
        let url = Url::parse(text).map_err(|_| PlaceError::NoUrl)?;
        if url.scheme() != "https" {
            return Err(PlaceError::Plain);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PlaceError::Credentials);
        }
        let mut url = url;
        url.set_fragment(None);
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_spelling() {
        let place: Place = "https://ACME.corp.example:443/dir/../x?y#z".parse().unwrap();
        assert_eq!(place.to_string(), "https://acme.corp.example/x?y");
        assert_eq!(place.origin().to_string(), "acme.corp.example:443");
        assert_eq!(
            (place.authority().as_str(), place.target().as_str()),
            ("acme.corp.example", "/x?y")
        );
        let place: Place = "https://[fd00::1]:8443/".parse().unwrap();
        assert_eq!(place.origin().to_string(), "[fd00::1]:8443");
        assert_eq!(
            place.below(&[".well-known", "est", "a/b"]).to_string(),
            "https://[fd00::1]:8443/.well-known/est/a%2Fb"
        );
        // A number is an address however it is written.
        assert_eq!("https://0x7f.1/".parse::<Place>().unwrap().origin().host, "127.0.0.1");
        assert_eq!("Acme:8443".parse::<Origin>().unwrap().to_string(), "acme:8443");
    }

    #[test]
    fn what_is_not_asked() {
        for (text, why) in [
            ("http://acme/", PlaceError::Plain),
            ("file:///etc/passwd", PlaceError::Plain),
            ("https://", PlaceError::NoUrl),
            ("acme/dir", PlaceError::NoUrl),
            ("https://a:b@acme/", PlaceError::Credentials),
            ("https://a@acme/", PlaceError::Credentials),
        ] {
            assert_eq!(text.parse::<Place>().unwrap_err(), why, "{text}");
        }
        assert_eq!(
            format!("https://a/{}", "x".repeat(3000)).parse::<Place>().unwrap_err(),
            PlaceError::TooLong
        );
        for text in ["a/b", "a@b", "a?b", ""] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
