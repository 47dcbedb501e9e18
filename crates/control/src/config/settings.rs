//! The settings as types.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sealock_core::policy::Modes;
use sealock_core::{DnsName, IdentityKind, IssuerName, TrustDomain};
use sealock_docker::gateway::{Limit, Most, Quota, Quotas};
use sealock_traffic::token::Algorithm;

use super::acme::AcmeSettings;
use super::directories::Directories;
use super::file::Value;
use super::hsm::HsmSettings;
use super::profiles::Profiles;
use super::revocation::RevocationSettings;
use super::services::Services;
use super::shape::{self, Field, Shape};
use super::upstreams::Upstreams;
use crate::command::{KeyHome, KeyType};

/// Where a listener listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// There; port 0 is any free one.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "must be ADDRESS:PORT (such as 127.0.0.1:8443) or off".to_owned())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => formatter.write_str("off"),
            Self::At(address) => address.fmt(formatter),
        }
    }
}

/// The Docker engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// `unix:///path` or `tcp://host:port`; else `DOCKER_HOST`, else the standard socket.
    pub url: Option<String>,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`; else `DOCKER_CERT_PATH`.
    pub tls: Option<PathBuf>,
}

/// The HTTPS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where it listens.
    pub listen: Listen,
    /// Names in its certificate besides the host's name and the listener's address.
    pub names: Vec<String>,
    /// Whether `/metrics` is served.
    pub metrics: bool,
}

/// Where a socket for containers is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Workload {
    /// In the run folder, where the kernel can attest.
    #[default]
    Standard,
    /// Nowhere.
    Off,
    /// There.
    At(PathBuf),
}

/// The Docker gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Where it listens.
    pub listen: Listen,
    /// How much each identity may ask for.
    pub limits: Quotas,
    /// Names in its certificate besides the host's name and the listener's address.
    pub names: Vec<String>,
    /// Where its socket for containers is.
    pub socket: Workload,
}

/// The policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// The folder of the rules; else the one in the state folder.
    pub folder: Option<PathBuf>,
    /// The modes of the planes.
    pub modes: Modes,
}

/// The authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// Where clients find the CRL; written into every certificate.
    pub crl_url: Option<String>,
    /// The algorithm of the authority's keys when it is made.
    pub key_type: KeyType,
    /// The longest life of a certificate.
    pub longest_life: Duration,
    /// Where what other authorities have signed may be put.
    pub drop_folder: Option<PathBuf>,
    /// Who signs an order that names nobody: the first of these that policy permits.
    pub issuers: Vec<IssuerName>,
    /// Where its keys are made when it is made.
    pub keys: KeyHome,
}

/// Labelled certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// Whether the daemon looks after labels.
    pub enabled: bool,
    /// How long a service has to serve what was delivered.
    pub grace: Duration,
    /// Which containers are this installation's, where several share an engine.
    pub scope: Option<String>,
}

/// Tokens and calls between services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficSettings {
    /// `iss` of tokens; otherwise the API's address.
    pub issuer: Option<String>,
    /// Of new keys.
    pub algorithm: Algorithm,
    /// The longest life of a token; at most five minutes.
    pub longest_life: Duration,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name under which all identities live, when the authority is made.
    pub trust_domain: Option<TrustDomain>,
    /// The Docker engine.
    pub engine: EngineSettings,
    /// The HTTPS listener.
    pub api: ApiSettings,
    /// The Docker gateway.
    pub gateway: GatewaySettings,
    /// Where the API's socket for containers is.
    pub workload: Workload,
    /// The policy.
    pub policy: PolicySettings,
    /// The authority.
    pub authority: AuthoritySettings,
    /// Where others learn what is revoked.
    pub revocation: RevocationSettings,
    /// Tokens.
    pub traffic: TrafficSettings,
    /// The ACME server.
    pub acme: AcmeSettings,
    /// Labelled certificates.
    pub watch: WatchSettings,
    /// The members of each group, as `human/alice`.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Between two signed checkpoints of the audit log.
    pub checkpoint: Duration,
    /// The services that Forwarders are told of.
    pub services: Services,
    /// The LDAP directories in which certificates are published.
    pub directories: Directories,
    /// The certificate profiles.
    pub profiles: Profiles,
    /// The CAs of others that are asked by protocol.
    pub upstreams: Upstreams,
    /// The HSM in which keys of the CA may be.
    pub hsm: HsmSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust_domain: None,
            engine: EngineSettings::default(),
            api: ApiSettings {
                listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 8443))),
                names: Vec::new(),
                metrics: true,
            },
            gateway: GatewaySettings {
                listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 4242))),
                limits: Quotas { everybody: usual_limits(), named: BTreeMap::new() },
                names: Vec::new(),
                socket: Workload::Standard,
            },
            workload: Workload::Standard,
            policy: PolicySettings::default(),
            authority: AuthoritySettings {
                crl_url: None,
                key_type: KeyType::P256,
                longest_life: Duration::from_secs(398 * 86_400),
                drop_folder: None,
                issuers: vec![IssuerName::own()],
                keys: KeyHome::Store,
            },
            revocation: RevocationSettings::default(),
            traffic: TrafficSettings {
                issuer: None,
                algorithm: Algorithm::Es256,
                longest_life: sealock_traffic::broker::LONGEST,
            },
            acme: AcmeSettings::default(),
            watch: WatchSettings { enabled: true, grace: Duration::from_secs(30), scope: None },
            groups: BTreeMap::new(),
            checkpoint: Duration::from_secs(3600),
            services: Services::new(),
            directories: Directories::new(),
            profiles: Profiles::default(),
            upstreams: Upstreams::new(),
            hsm: HsmSettings::default(),
        }
    }
}

impl Settings {
    /// The groups that an identity is in by the settings.
    pub fn groups_of(&self, kind: IdentityKind, name: &str) -> Vec<String> {
        let member = format!("{}/{name}", kind.segment());
        let groups = self.groups.iter().filter(|(_, members)| members.contains(&member));
        groups.map(|(group, _)| group.clone()).collect()
    }

    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        for path in [&mut self.policy.folder, &mut self.engine.tls].into_iter().flatten() {
            if path.is_relative() {
                *path = folder.join(&path);
            }
        }
        self.hsm.resolve_paths(folder);
        for directory in self.directories.values_mut() {
            directory.resolve_paths(folder);
        }
        for upstream in self.upstreams.values_mut() {
            upstream.resolve_paths(folder);
        }
        if let Workload::At(path) = &mut self.gateway.socket
            && path.is_relative()
        {
            *path = folder.join(&path);
        }
    }
}

/// What a table of limits has.
pub(super) const LIMITS: &[Field] = &[
    Field::new("rate", Shape::Most, "requests in a second, or off"),
    Field::new("burst", Shape::Count, "requests at once, after a pause"),
    Field::new("concurrent", Shape::Most, "requests and streams under way, or off"),
    Field::new("connections", Shape::Most, "connections, or off"),
];

/// Far beyond what people, compose and runners do; an identity that runs wild takes nothing from others.
fn usual_limits() -> Quota {
    [
        (Limit::Rate, 500),
        (Limit::Burst, 1000),
        (Limit::Concurrent, 1000),
        (Limit::Connections, 2000),
    ]
    .into_iter()
    .map(|(limit, most)| (limit, NonZeroU32::new(most).map_or(Most::Off, Most::At)))
    .collect()
}

/// Sets `name.limit`, where the name is `service/runner` or `group/ci`.
pub(super) fn set_limit(settings: &mut Settings, key: &str, value: &Value) -> Result<(), String> {
    let (name, limit) = key.rsplit_once('.').unwrap_or_default();
    let (kind, last) = name.split_once('/').unwrap_or_default();
    if !["human", "service", "host", "group"].contains(&kind) || last.is_empty() {
        return Err("does not begin with human/NAME, service/NAME, host/NAME or group/NAME \
                    (in quotes), followed by a limit"
            .to_owned());
    }
    let limit = Limit::ALL
        .into_iter()
        .find(|known| known.as_str() == limit)
        .ok_or_else(|| format!("ends in `{limit}`; there are {}", shape::known(LIMITS)))?;
    let most = at_most(limit, value)?;
    settings.gateway.limits.named.entry(name.to_owned()).or_default().insert(limit, most);
    Ok(())
}

/// A limit's number.
pub(super) fn at_most(limit: Limit, value: &Value) -> Result<Most, String> {
    match (limit, value.most()?) {
        (Limit::Burst, Most::Off) => Err("must be a whole number from 1 on".to_owned()),
        (_, most) => Ok(most),
    }
}

pub(super) fn set_group(settings: &mut Settings, group: &str, value: &Value) -> Result<(), String> {
    let members = value.list()?;
    for member in &members {
        let (kind, name) = member.split_once('/').unwrap_or_default();
        let known = ["human", "service", "host"].contains(&kind);
        if !known || name.is_empty() {
            return Err(format!(
                "has `{member}`, which is not human/NAME, service/NAME or host/NAME"
            ));
        }
    }
    settings.groups.insert(group.to_owned(), members);
    Ok(())
}

pub(super) fn names(value: &Value) -> Result<Vec<String>, String> {
    let names = value.list()?;
    for name in &names {
        let address = name.parse::<std::net::IpAddr>().is_ok();
        if !address && name.parse::<DnsName>().is_err() {
            return Err(format!("has `{name}`, which is no DNS name and no IP address"));
        }
    }
    Ok(names)
}
