//! The facts of a container that Sealock uses.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use bollard::models::{ContainerInspectResponse, EndpointSettings, MountPoint};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::EngineError;

/// Text that may stand for a container in a request: a name, an id or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerReference(String);

impl ContainerReference {
    /// Checks the text; one leading slash, as the API writes names, is dropped.
    ///
    /// # Errors
    /// [`EngineError::BadReference`].
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if first && rest && name.len() <= 255 {
            Ok(Self(name.to_owned()))
        } else {
            Err(EngineError::BadReference { reference: text.to_owned() })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a container's first process was started, as the engine writes it: RFC 3339 with
/// nanoseconds. It changes with every start, so it tells one life of a container from the next.
#[derive(Clone, PartialEq, Eq)]
pub struct StartedAt {
    text: String,
    unix_nanoseconds: i128,
}

impl StartedAt {
    /// Reads the engine's text. `None` for the zero time of containers that never ran.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let unix_nanoseconds = moment.unix_timestamp_nanos();
        (unix_nanoseconds > 0).then(|| Self { text: text.to_owned(), unix_nanoseconds })
    }

    /// The engine's own text, to the nanosecond.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix_nanoseconds(&self) -> i128 {
        self.unix_nanoseconds
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub fn unix_milliseconds(&self) -> i64 {
        i64::try_from(self.unix_nanoseconds.div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for StartedAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for StartedAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A network that a container is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The network's name.
    pub name: String,
    /// The network's id.
    pub id: String,
    /// The container's address there (IPv4 before IPv6), when it has one.
    pub ip: Option<IpAddr>,
    /// The gateway: on a bridge, an address of the engine's host.
    pub gateway: Option<IpAddr>,
    /// The length of the network's prefix.
    pub prefix_length: Option<u8>,
    /// Names under which others on that network find it.
    pub aliases: Vec<String>,
}

/// A mount that the engine has made in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// Where it comes from, on the engine's host.
    pub source: String,
    /// Where it is in the container.
    pub destination: String,
    /// Whether it can be written to.
    pub writable: bool,
}

/// A container, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The full id: 64 hexadecimal digits.
    pub id: String,
    /// The name, without the slash.
    pub name: String,
    /// The image as it was asked for.
    pub image: String,
    /// The image's digest.
    pub image_id: String,
    /// Whether it runs. Paused containers run too.
    pub running: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// The first process, as the engine's host numbers it. None when it does not run.
    pub pid: Option<u32>,
    /// When it was started last. None when it never was.
    pub started_at: Option<StartedAt>,
    /// Its labels, those of its image included.
    pub labels: BTreeMap<String, String>,
    /// Its host name.
    pub hostname: String,
    /// The user its first process runs as, as it was asked for; empty means root.
    pub user: String,
    /// `host`, `container:<id>`, or empty for one of its own.
    pub pid_mode: String,
    /// `host`, `none`, `bridge`, `container:<id>`, or a network's name.
    pub network_mode: String,
    /// `host` when it is exempt from the engine's user-namespace remapping, else empty.
    pub userns_mode: String,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// Whether it was started with all privileges.
    pub privileged: bool,
    /// The networks it is attached to, by name.
    pub networks: Vec<Network>,
    /// Its mounts; tmpfs mounts that were asked for with `--tmpfs` included.
    pub mounts: Vec<Mount>,
}

impl Container {
    pub(crate) fn from_inspect(answer: ContainerInspectResponse) -> Result<Self, EngineError> {
        let id = answer.id.unwrap_or_default();
        if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let source = format!("`{id}` is not a container's id").into();
            return Err(EngineError::BadAnswer { operation: "inspect", source });
        }
        let state = answer.state.unwrap_or_default();
        let config = answer.config.unwrap_or_default();
        let host = answer.host_config.unwrap_or_default();
        let mut mounts: Vec<Mount> =
            answer.mounts.unwrap_or_default().into_iter().map(Mount::from_engine).collect();
        mounts.extend(host.tmpfs.unwrap_or_default().into_iter().map(Mount::from_tmpfs));
        let attached = answer.network_settings.and_then(|settings| settings.networks);
        let mut networks: Vec<Network> =
            attached.unwrap_or_default().into_iter().map(Network::from_engine).collect();
        networks.sort_by(|left, right| left.name.cmp(&right.name));
        let running = state.running.unwrap_or(false);
        let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        Ok(Self {
            id,
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.image.unwrap_or_default(),
            image_id: answer.image.unwrap_or_default(),
            running,
            paused: state.paused.unwrap_or(false),
            pid: if running { pid } else { None },
            started_at: state.started_at.as_deref().and_then(StartedAt::parse),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            hostname: config.hostname.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            pid_mode: host.pid_mode.unwrap_or_default(),
            network_mode: host.network_mode.unwrap_or_default(),
            userns_mode: host.userns_mode.unwrap_or_default(),
            read_only: host.readonly_rootfs.unwrap_or(false),
            privileged: host.privileged.unwrap_or(false),
            networks,
            mounts,
        })
    }
}

impl Network {
    fn from_engine((name, endpoint): (String, EndpointSettings)) -> Self {
        let address = |text: Option<String>| text.and_then(|text| text.parse::<IpAddr>().ok());
        let four = address(endpoint.ip_address);
        let (ip, gateway, prefix) = match four {
            Some(_) => (four, address(endpoint.gateway), endpoint.ip_prefix_len),
            None => (
                address(endpoint.global_ipv6_address),
                address(endpoint.ipv6_gateway),
                endpoint.global_ipv6_prefix_len,
            ),
        };
        Self {
            name,
            id: endpoint.network_id.unwrap_or_default(),
            ip,
            gateway,
            prefix_length: prefix.and_then(|bits| u8::try_from(bits).ok()),
            aliases: endpoint.aliases.unwrap_or_default(),
        }
    }
}

impl Mount {
    fn from_engine(mount: MountPoint) -> Self {
        Self {
            kind: mount.typ.map(|kind| kind.to_string()).unwrap_or_default(),
            source: mount.source.unwrap_or_default(),
            destination: mount.destination.unwrap_or_default(),
            writable: mount.rw.unwrap_or(true),
        }
    }

    fn from_tmpfs((destination, options): (String, String)) -> Self {
        Self {
            kind: "tmpfs".to_owned(),
            source: String::new(),
            destination,
            writable: !options.split(',').any(|option| option == "ro"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_cannot_leave_their_place_in_the_url() {
        for good in ["web", "/web", "a", "0123abcd", "my_app.web-1"] {
            assert!(ContainerReference::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "../x", "a/b", "a?x=1", "a%2fb", "-a", ".a", "a b", "ä", "//a"] {
            assert!(ContainerReference::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_start_is_read_to_the_nanosecond() {
        let start = StartedAt::parse("2024-02-29T10:11:12.123456789Z").unwrap();
        assert_eq!(start.unix_nanoseconds() % 1_000_000_000, 123_456_789);
        assert_eq!(start.as_str(), "2024-02-29T10:11:12.123456789Z");
        assert_eq!(StartedAt::parse("0001-01-01T00:00:00Z"), None);
        assert_eq!(StartedAt::parse("yesterday"), None);
    }

    #[test]
    fn an_answer_without_an_id_is_not_a_container() {
        assert!(Container::from_inspect(ContainerInspectResponse::default()).is_err());
    }
}
