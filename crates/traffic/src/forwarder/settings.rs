//! How a Forwarder forwards.

use std::net::SocketAddr;
use std::time::Duration;

use sealock_net::Limits;

/// How a Forwarder forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What an app may ask of a listener; the connections are those of all listeners.
    pub limits: Limits,
    /// Requests, streams and tunnels at once, of all apps.
    pub concurrent: usize,
    /// For an instance to be connected to, the TLS handshake included.
    pub connect: Duration,
    /// For a service to begin its answer, while nothing of the request moves.
    pub answer: Duration,
    /// Connections that are kept for each instance while nobody needs them.
    pub idle: usize,
    /// Addresses that are never dialled, beside those of [`super::address`] and our own listeners: what controls this
    /// host.
    pub own: Vec<SocketAddr>,
    /// A mark on our connections to others, by which rules tell them from those of apps ([`super::Exempt`]). Setting it
    /// takes `CAP_NET_ADMIN`; without it nothing is dialled.
    pub mark: Option<u32>,
    /// Whether others than this host's own programs are served. Whoever can connect calls as we do.
    pub dangerous_remote_callers: bool,
    /// How tokens are got.
    pub tokens: TokenSettings,
}

/// How tokens are got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSettings {
    /// After so much of its life, in percent, the next one is fetched. What is left of it is how long the broker may be
    /// away at the worst moment before a call fails.
    pub renew_percent: u8,
    /// For the source to give one.
    pub fetch: Duration,
    /// For a request to wait for one.
    pub wait: Duration,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { renew_percent: 66, fetch: Duration::from_secs(10), wait: Duration::from_secs(10) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Apps keep connections, and streams stay open for hours.
            limits: Limits {
                connections: 10_000,
                head: Duration::from_secs(60),
                ..Limits::default()
            },
            concurrent: 10_000,
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(120),
            idle: 64,
            own: Vec::new(),
            mark: None,
            dangerous_remote_callers: false,
            tokens: TokenSettings::default(),
        }
    }
}
