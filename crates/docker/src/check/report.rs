//! What was found out.

mod show;

use serde::Serialize;

use super::certificate::ServerCertificate;
use super::client::{ClientFacts, clients};
use super::endpoint::Endpoint;
use super::unix::SocketAccess;

/// How was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Through the socket of this host.
    Socket,
    /// Plain HTTP.
    PlainHttp,
    /// TLS without a certificate.
    TlsWithoutCertificate,
    /// TLS with a certificate of another authority of the same name.
    TlsStranger,
    /// TLS with a certificate whose time is over.
    TlsExpired,
    /// TLS with a certificate that was revoked.
    TlsRevoked,
    /// TLS with a certificate that should be let in.
    TlsValid,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The request was answered, so whoever sent it is in; also where the answer was an error.
    Accepted {
        /// The HTTP status.
        status: u16,
        /// The engine's API version; without one it may not be an engine.
        api_version: Option<String>,
        /// The `Server` header.
        server: Option<String>,
    },
    /// By a TLS alert.
    Refused {
        /// Which.
        alert: String,
    },
    /// By an HTTP status.
    Status {
        /// Which.
        status: u16,
        /// What was said with it.
        message: Option<String>,
    },
    /// The connection was closed without a word.
    Closed,
    /// Nothing came within the deadline.
    TimedOut,
    /// What came is not TLS.
    NotTls,
    /// What came is not HTTP.
    NotHttp,
    /// Something else went wrong.
    Failed {
        /// What.
        reason: String,
    },
}

impl Outcome {
    /// Whether the request was let in.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// Whether it was refused, by whatever means.
    fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Status { .. } | Self::Closed)
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// How.
    pub probe: Probe,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a daemon guards its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No TLS.
    Plain,
    /// TLS that asks nobody who they are.
    Tls,
    /// Mutual TLS.
    Tlsverify,
    /// Our gateway: mutual TLS, and a policy for each identity.
    Gateway,
    /// A socket of this host.
    Unix,
    /// None of these.
    Unknown,
}

impl Mode {
    /// What it is worth, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Plain => "no TLS: anybody who reaches it is root on that host",
            Self::Tls => {
                "encrypted, but nobody is asked who they are: anybody who reaches it is root"
            }
            Self::Tlsverify => {
                "mutual TLS: only certificates of its authority get in, and each is root"
            }
            Self::Gateway => "mutual TLS, and a policy decides on each request",
            Self::Unix => "no TLS: the socket's owner, group and mode say who is root",
            Self::Unknown => "what was tried does not show how it is guarded",
        }
    }

    fn of(tried: &Tried, has_certificate: bool, gateway_message: Option<&str>) -> Self {
        use Probe::{PlainHttp, TlsStranger, TlsValid, TlsWithoutCertificate};
        if tried.accepted(PlainHttp) {
            return Self::Plain;
        }
        if tried.accepted(TlsWithoutCertificate) || tried.accepted(TlsStranger) {
            return Self::Tls;
        }
        let (Some(without), Some(stranger)) =
            (tried.outcome(TlsWithoutCertificate), tried.outcome(TlsStranger))
        else {
            return Self::Unknown;
        };
        if !has_certificate || !without.is_refused() || !stranger.is_refused() {
            return Self::Unknown;
        }
        if let Outcome::Status { status: 400, message: Some(message) } = without
            && gateway_message == Some(message)
        {
            return Self::Gateway;
        }
        // A service that hangs up on everybody is no daemon that asks for certificates.
        let closes_on_all = *without == Outcome::Closed && *stranger == Outcome::Closed;
        if closes_on_all && !tried.accepted(TlsValid) { Self::Unknown } else { Self::Tlsverify }
    }
}

/// All that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried(pub(super) Vec<Probed>);

impl Tried {
    pub(super) fn outcome(&self, probe: Probe) -> Option<&Outcome> {
        self.0.iter().find(|tried| tried.probe == probe).map(|tried| &tried.outcome)
    }

    pub(super) fn accepted(&self, probe: Probe) -> bool {
        self.outcome(probe).is_some_and(Outcome::is_accepted)
    }
}

/// What was found out about an endpoint. `Display` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which.
    pub endpoint: Endpoint,
    /// How it is guarded.
    pub mode: Mode,
    /// What that is worth.
    pub meaning: &'static str,
    /// Whether somebody without any right gets in.
    stranger_gets_in: bool,
    /// Whether an expired or revoked certificate gets in.
    former_gets_in: bool,
    /// What was tried.
    pub probes: Vec<Probed>,
    /// What the server showed, where TLS is spoken.
    pub server: Option<ServerCertificate>,
    /// What each of the client's modes is worth here; empty for a socket.
    pub clients: Vec<ClientFacts>,
    /// Who may connect, for a socket.
    pub socket: Option<SocketAccess>,
}

impl Report {
    pub(super) fn of_tcp(
        endpoint: Endpoint,
        tried: Tried,
        server: Option<ServerCertificate>,
        gateway_message: Option<&str>,
    ) -> Self {
        use Probe::{PlainHttp, TlsExpired, TlsRevoked, TlsStranger, TlsWithoutCertificate};
        let mode = Mode::of(&tried, server.is_some(), gateway_message);
        let any = |probes: &[Probe]| probes.iter().any(|probe| tried.accepted(*probe));
        Self {
            endpoint,
            mode,
            meaning: mode.meaning(),
            stranger_gets_in: any(&[PlainHttp, TlsWithoutCertificate, TlsStranger]),
            former_gets_in: any(&[TlsExpired, TlsRevoked]),
            clients: clients(mode, &tried, server.as_ref()),
            probes: tried.0,
            server,
            socket: None,
        }
    }

    pub(super) fn of_socket(endpoint: Endpoint, outcome: Outcome, socket: SocketAccess) -> Self {
        Self {
            endpoint,
            mode: Mode::Unix,
            meaning: Mode::Unix.meaning(),
            stranger_gets_in: socket.anybody,
            former_gets_in: false,
            probes: vec![Probed { probe: Probe::Socket, outcome }],
            server: None,
            clients: Vec::new(),
            socket: Some(socket),
        }
    }

    /// Whether somebody without any right gets in: without TLS, without a certificate, with one of any
    /// authority, or as any user of the host.
    pub fn stranger_gets_in(&self) -> bool {
        self.stranger_gets_in
    }

    /// Whether a given certificate gets in that is expired or revoked.
    pub fn former_gets_in(&self) -> bool {
        self.former_gets_in
    }

    /// What came of a probe, where it was tried.
    pub fn outcome(&self, probe: Probe) -> Option<&Outcome> {
        self.probes.iter().find(|tried| tried.probe == probe).map(|tried| &tried.outcome)
    }
}
