//! Where the app is, as settings say it.

use std::path::{Component, PathBuf};

use sealock_net::proxy::Address;
use thiserror::Error;

use crate::http::host::Host;

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Neither of the two forms.
    #[error("`{0}` is not the address of a service (http://HOST:PORT or unix:/PATH)")]
    Form(String),
    /// TLS to the app is not spoken.
    #[error("`{0}` is https, and the Gatekeeper speaks plain HTTP to the service behind it")]
    Https(String),
}

/// Reads `http://HOST[:PORT]` or `unix:/PATH`. Between the Gatekeeper and its app there is neither TLS nor a token, so the
/// app is to be reachable for nobody else: at a unix socket, or at loopback in a network namespace that they share.
pub fn address(text: &str) -> Result<Address, AddressError> {
    let form = || AddressError::Form(text.chars().take(200).collect());
    if text.starts_with("https:") {
        return Err(AddressError::Https(text.chars().take(200).collect()));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        let is_plain = path.is_absolute()
            && path.file_name().is_some()
            && !path.components().any(|part| part == Component::ParentDir);
        return if is_plain { Ok(Address::Unix(path)) } else { Err(form()) };
    }
    let authority = text.strip_prefix("http://").ok_or_else(form)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let host = Host::read(authority.as_bytes()).map_err(|_| form())?;
    let has_port = host.name() != host.as_str();
    Ok(Address::Tcp(if has_port {
        host.as_str().to_owned()
    } else {
        format!("{}:80", host.name())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_at_a_port_or_a_socket() {
        for (text, address) in [
            ("http://127.0.0.1:8080", "tcp://127.0.0.1:8080"),
            ("http://localhost:8080/", "tcp://localhost:8080"),
            ("http://App", "tcp://app:80"),
            ("http://[::1]:8080", "tcp://[::1]:8080"),
            ("http://[::1]", "tcp://[::1]:80"),
            ("unix:/run/app.sock", "unix:///run/app.sock"),
            ("unix:///run/app.sock", "unix:///run/app.sock"),
        ] {
            assert_eq!(super::address(text).unwrap().to_string(), address, "{text}");
        }
        for text in [
            "",
            "127.0.0.1:8080",
            "http://",
            "http://a/b",
            "http://a:b",
            "http://u@a",
            "http://a?b",
            "ftp://a",
            "unix:",
            "unix:app.sock",
            "unix:/",
            "unix:/a/../b",
            "unix://a",
        ] {
            assert_eq!(super::address(text).unwrap_err(), AddressError::Form(text.to_owned()));
        }
        assert!(matches!(super::address("https://a"), Err(AddressError::Https(_))));
    }
}
