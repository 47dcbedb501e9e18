//! Where an engine is: a socket of this machine, or a TCP address with or without TLS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{EngineError, TlsFiles};

/// The address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineUrl {
    /// A socket of this machine.
    Unix(PathBuf),
    /// Plain TCP, `host:port`: whoever reaches it is root there.
    Tcp(String),
    /// TCP, `host:port`, with mutual TLS.
    Tls(String, TlsFiles),
}

impl EngineUrl {
    /// Where a Docker engine listens when nobody says otherwise.
    pub fn standard() -> Self {
        Self::Unix(PathBuf::from("/var/run/docker.sock"))
    }

    /// Reads a `DOCKER_HOST` value: `unix:///path`, `tcp://host[:port]`, `http://…`, `https://…`.
    /// With `tls`, a TCP address is spoken to over TLS.
    ///
    /// # Errors
    /// [`EngineError::BadUrl`].
    pub fn parse(text: &str, tls: Option<TlsFiles>) -> Result<Self, EngineError> {
        let bad = |reason| EngineError::BadUrl { url: text.to_owned(), reason };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| bad("no scheme such as unix:// or tcp://"))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(bad("the path of a socket must be absolute")),
            "tcp" | "http" | "https" => {
                let host = host_and_port(rest, tls.is_some() || scheme == "https")
                    .ok_or_else(|| bad("not host:port"))?;
                match tls {
                    Some(files) => Ok(Self::Tls(host, files)),
                    None if scheme == "https" => Err(bad("https needs TLS files")),
                    None => Ok(Self::Tcp(host)),
                }
            }
            _ => Err(bad("only unix://, tcp://, http:// and https:// are known")),
        }
    }
}

fn host_and_port(rest: &str, tls: bool) -> Option<String> {
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let plain = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    if !plain {
        return None;
    }
    let after_brackets = host.rfind(']').map_or(host, |at| host.get(at + 1..).unwrap_or(""));
    match after_brackets.split_once(':') {
        Some((_, port)) => port.parse::<u16>().ok().map(|_| host.to_owned()),
        None => Some(format!("{host}:{}", if tls { 2376 } else { 2375 })),
    }
}

impl FromStr for EngineUrl {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, None)
    }
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(host) | Self::Tls(host, _) => write!(formatter, "tcp://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        let read = |text: &str| text.parse::<EngineUrl>().map(|url| url.to_string()).ok();
        assert_eq!(read("unix:///run/x.sock").as_deref(), Some("unix:///run/x.sock"));
        assert_eq!(read("tcp://host").as_deref(), Some("tcp://host:2375"));
        assert_eq!(read("tcp://[::1]:99/").as_deref(), Some("tcp://[::1]:99"));
        assert_eq!(read("tcp://[::1]").as_deref(), Some("tcp://[::1]:2375"));
        for bad in [
            "",
            "host:1",
            "unix://run/x",
            "https://host",
            "tcp://",
            "tcp://h:p",
            "tcp://host:1/path",
            "tcp://user@host:1",
            "ssh://host",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let tls = EngineUrl::parse("tcp://host", Some(TlsFiles::in_folder(Path::new("/c"))));
        assert_eq!(tls.unwrap().to_string(), "tcp://host:2376");
    }
}
