//! How a Forwarder is started.

use std::net::SocketAddr;
use std::path::PathBuf;

use sealock_core::TrustDomain;
pub use sealock_traffic::forwarder::Exempt;

pub use crate::client::link::{IdentityFolder, Link};

/// How tokens are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// As whoever the daemon finds at the other end: by attestation, or by certificate.
    Link(Link),
    /// With a client's secret, over HTTPS. The broker's directory is open to it too.
    Secret {
        /// `host:port` of the API.
        address: String,
        /// The client's name.
        client: String,
        /// The file with its secret, read anew each time: it is rotated.
        secret: PathBuf,
        /// The roots to trust, PEM.
        ca: PathBuf,
        /// The trust domain of the services that are named.
        trust_domain: TrustDomain,
    },
}

impl Asker {
    /// `host:port` of the broker, over HTTPS.
    pub(super) fn address(&self) -> Option<&str> {
        match self {
            Self::Link(Link::Https(address, _)) | Self::Secret { address, .. } => Some(address),
            Self::Link(Link::Socket(_)) => None,
        }
    }
}

/// A service that may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAt {
    /// Its name, by which it is called.
    pub name: String,
    /// Its name at its own site, if it is called by another one here.
    pub known_as: Option<String>,
    /// Other hosts that mean it, `HOST` or `HOST:PORT`.
    pub aliases: Vec<String>,
    /// Its Gatekeepers, `HOST:PORT`.
    pub instances: Vec<String>,
    /// Whether they speak plain HTTP; on this host's loopback only.
    pub plain: bool,
}

/// A broker, who we are to it, and the services that it gives tokens for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// How tokens are asked for.
    pub asker: Asker,
    /// Our certificate at its Gatekeepers, and the roots to trust.
    pub identity: Option<IdentityFolder>,
    /// Who may be called.
    pub services: Vec<ServiceAt>,
    /// Whether services are called too that the broker knows, and that are not among those.
    pub learn: bool,
}

/// Connections of apps that the kernel brings here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transparent {
    /// Where it brings them: a port on this host's loopback.
    pub listen: SocketAddr,
    /// The ports whose connections are taken.
    pub ports: Vec<u16>,
    /// How ours are told from them; by the user that we run as, if nothing is said.
    pub exempt: Option<Exempt>,
    /// Whether we set the rules ourselves, in the network namespace that we are in.
    pub set_rules: bool,
    /// Addresses (`ADDRESS[/BITS]:PORT`) that connections go on to without a token, as they are.
    pub direct: Vec<String>,
}

impl Default for Transparent {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 15001)),
            ports: vec![80],
            exempt: None,
            set_rules: false,
            direct: Vec::new(),
        }
    }
}

/// Tunnels (CONNECT) that end here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intercept {
    /// The hosts, `HOST` or `HOST:PORT` (443), each with the service that it means.
    pub hosts: Vec<(String, String)>,
    /// Where the certificate is written that apps have to trust for it.
    pub authority: Option<PathBuf>,
}

/// How a Forwarder is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardOptions {
    /// Where it is an HTTP proxy.
    pub proxy: Option<SocketAddr>,
    /// Local ports, each for the service of this name.
    pub routes: Vec<(SocketAddr, String)>,
    /// Whether the kernel brings it connections.
    pub transparent: Option<Transparent>,
    /// Whom it works with. Each has a trust domain of its own.
    pub sites: Vec<Site>,
    /// Destinations that are passed on to without a token.
    pub pass: Vec<String>,
    /// Destinations that a tunnel (CONNECT) may lead to.
    pub connect: Vec<String>,
    /// Tunnels that end here.
    pub intercept: Intercept,
    /// Whether each call is written to stdout, as a line of JSON.
    pub access_log: bool,
    /// Where figures are shown.
    pub metrics: Option<SocketAddr>,
}
