//! Where a directory is: `ldaps://HOST[:PORT]`, `ldap://HOST[:PORT]` or `ldapi://%2Fpath%2Fto%2Fsocket`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use rustls_pki_types::ServerName;
use thiserror::Error;

const LONGEST: usize = 512;
/// What of a socket's path cannot stand for itself.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'/').add(b'?').add(b'#').add(b'@').add(b'%');

/// Why a text is no URL of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocationError {
    /// Another scheme, or none.
    #[error("a directory's URL begins with ldaps://, ldap:// or ldapi://")]
    Scheme,
    /// More than a host and a port: a path, a query, somebody's name.
    #[error("a directory's URL has a host and a port, and nothing else: the entry is named apart")]
    More,
    /// The host.
    #[error("a directory's URL needs a host name or an address, an IPv6 address in brackets")]
    Host,
    /// The port.
    #[error("the port of a directory's URL must be 1 to 65535")]
    Port,
    /// The path of a socket.
    #[error("an ldapi:// URL has the absolute path of a socket, with %2F for each slash")]
    Socket,
    /// Too much.
    #[error("a directory's URL has at most {LONGEST} bytes")]
    TooLong,
}

/// Where a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// TLS from the first byte on.
    Ldaps {
        /// Name or address.
        host: String,
        /// 636 by default.
        port: u16,
    },
    /// Plain, until StartTLS.
    Ldap {
        /// Name or address.
        host: String,
        /// 389 by default.
        port: u16,
    },
    /// A socket of this host.
    Ldapi(PathBuf),
}

impl Location {
    /// Whether it is on this host by what it is called, so that no network is in between.
    pub fn is_local(&self) -> bool {
        self.is_called(is_loopback)
    }

    /// Whether it is called by something that leads to this host or no further than its link. A name in the DNS can
    /// lead there too: only who dials sees that.
    pub fn is_of_this_host(&self) -> bool {
        self.is_called(is_of_this_host)
    }

    fn is_called(&self, by: impl Fn(IpAddr) -> bool) -> bool {
        match self {
            Self::Ldapi(_) => true,
            Self::Ldap { host, .. } | Self::Ldaps { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(by)
            }
        }
    }

    /// As whom TLS must know it.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        match self {
            Self::Ldapi(_) => None,
            Self::Ldap { host, .. } | Self::Ldaps { host, .. } => {
                ServerName::try_from(host.as_str()).ok().map(|name| name.to_owned())
            }
        }
    }
}

/// Whether an address is this host's own, an IPv4 one within IPv6 included.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether an address leads to this host or no further than its link: loopback, unspecified (which the kernel takes for
/// loopback) and link-local ones, and those within IPv6, mapped or compatible.
pub(crate) fn is_of_this_host(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| {
        // All of 0/8 is "this network" (RFC 6890).
        let [first, ..] = address.octets();
        first == 0 || address.is_loopback() || address.is_link_local()
    };
    match address {
        IpAddr::V4(address) => v4(address),
        // As compatible ones, `::` and `::1` are of 0/8.
        IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4().is_some_and(v4),
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LONGEST {
            return Err(LocationError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(LocationError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        match scheme {
            "ldaps" => host_and_port(rest, 636).map(|(host, port)| Self::Ldaps { host, port }),
            "ldap" => host_and_port(rest, 389).map(|(host, port)| Self::Ldap { host, port }),
            "ldapi" => socket(rest).map(Self::Ldapi),
            _ => Err(LocationError::Scheme),
        }
    }
}

fn host_and_port(text: &str, usual: u16) -> Result<(String, u16), LocationError> {
    if text.contains(['/', '?', '#', '@']) {
        return Err(LocationError::More);
    }
    let (host, port, is_v6) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(LocationError::Host)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(port),
                None if rest.is_empty() => None,
                None => return Err(LocationError::Host),
            };
            (host, port, true)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port), false),
            None => (text, None, false),
        },
    };
    let good = match host.parse::<IpAddr>() {
        Ok(address) => address.is_ipv6() == is_v6,
        // What looks like an address and is none would be looked up, or read by inet_aton.
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or(host);
            let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
            !is_v6 && !number && matches!(ServerName::try_from(host), Ok(ServerName::DnsName(_)))
        }
    };
    if !good {
        return Err(LocationError::Host);
    }
    let port = match port {
        None => usual,
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok().filter(|port| *port != 0).ok_or(LocationError::Port)?
        }
        Some(_) => return Err(LocationError::Port),
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn socket(text: &str) -> Result<PathBuf, LocationError> {
    let bad = |c: char| !c.is_ascii_graphic() || matches!(c, '/' | '?' | '#' | '@');
    if text.contains(bad) {
        return Err(LocationError::Socket);
    }
    let path = percent_decode_str(text).decode_utf8().map_err(|_| LocationError::Socket)?;
    if path.starts_with('/') && !path.chars().any(char::is_control) && !path.contains('%') {
        Ok(PathBuf::from(path.into_owned()))
    } else {
        Err(LocationError::Socket)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network =
            |formatter: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16| match host
                .contains(':')
            {
                true => write!(formatter, "{scheme}://[{host}]:{port}"),
                false => write!(formatter, "{scheme}://{host}:{port}"),
            };
        match self {
            Self::Ldaps { host, port } => network(formatter, "ldaps", host, *port),
            Self::Ldap { host, port } => network(formatter, "ldap", host, *port),
            Self::Ldapi(path) => {
                let path = path.to_string_lossy();
                write!(formatter, "ldapi://{}", utf8_percent_encode(&path, &ENCODED))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let table = [
            ("ldaps://dir.corp.example", "ldaps://dir.corp.example:636", false),
            ("ldaps://DIR.corp.example:1636/", "ldaps://dir.corp.example:1636", false),
            ("ldap://localhost", "ldap://localhost:389", true),
            ("ldap://127.0.0.1:3389", "ldap://127.0.0.1:3389", true),
            ("ldap://[::1]:3389", "ldap://[::1]:3389", true),
            ("ldap://[::ffff:127.0.0.1]", "ldap://[::ffff:127.0.0.1]:389", true),
            ("ldap://10.0.0.5", "ldap://10.0.0.5:389", false),
            ("ldap://localhost.corp.example", "ldap://localhost.corp.example:389", false),
            ("ldapi://%2Frun%2Fslapd%2Fldapi", "ldapi://%2Frun%2Fslapd%2Fldapi", true),
        ];
        for (text, shown, local) in table {
            let location: Location = text.parse().unwrap();
            assert_eq!((location.to_string().as_str(), location.is_local()), (shown, local));
            assert_eq!(shown.parse::<Location>().unwrap(), location);
        }
    }

    #[test]
    fn what_is_no_url_of_a_directory_is_refused() {
        let table = [
            ("dir.corp.example", LocationError::Scheme),
            ("https://dir", LocationError::Scheme),
            ("LDAP://dir", LocationError::Scheme),
            ("ldap://", LocationError::Host),
            ("ldap://dir/dc=x", LocationError::More),
            ("ldap://me:secret@dir", LocationError::More),
            ("ldap://dir?x", LocationError::More),
            ("ldap://a b", LocationError::Host),
            ("ldap://::1", LocationError::Host),
            ("ldap://[127.0.0.1]", LocationError::Host),
            ("ldap://[::1", LocationError::Host),
            ("ldap://[::1]x", LocationError::Host),
            ("ldap://127.1", LocationError::Host),
            ("ldap://2130706433", LocationError::Host),
            ("ldap://0x7f000001", LocationError::Host),
            ("ldap://dir:0", LocationError::Port),
            ("ldap://dir:+1", LocationError::Port),
            ("ldap://dir:65536", LocationError::Port),
            ("ldapi://", LocationError::Socket),
            ("ldapi:///run/ldapi", LocationError::Socket),
            ("ldapi://run", LocationError::Socket),
            ("ldapi://%2Frun%00", LocationError::Socket),
            ("ldapi://%2F%25", LocationError::Socket),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Location>(), Err(error), "{text}");
        }
    }
}
