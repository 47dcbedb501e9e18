//! What the modes of Docker's client are worth against an endpoint.
//!
//! The documentation says of `tls` alone that the server is held against the public authorities. The
//! client of today takes any server unless `tlsverify` is set, even with `tlscacert`; said here is what it
//! does, and the tests hold it against the client itself.

use std::fmt;

use serde::Serialize;

use super::certificate::ServerCertificate;
use super::report::{Mode, Probe, Tried};

/// The flags that a client is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ClientMode {
    /// `tls`.
    #[serde(rename = "tls")]
    Tls,
    /// `tls`, `tlscert`, `tlskey`.
    #[serde(rename = "tls+tlscert+tlskey")]
    TlsWithCertificate,
    /// `tlsverify`, `tlscacert`.
    #[serde(rename = "tlsverify+tlscacert")]
    Tlsverify,
    /// `tlsverify`, `tlscacert`, `tlscert`, `tlskey`.
    #[serde(rename = "tlsverify+tlscacert+tlscert+tlskey")]
    TlsverifyWithCertificate,
}

impl ClientMode {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Tls, Self::TlsWithCertificate, Self::Tlsverify, Self::TlsverifyWithCertificate];

    fn sends_certificate(self) -> bool {
        matches!(self, Self::TlsWithCertificate | Self::TlsverifyWithCertificate)
    }

    fn checks_server(self) -> bool {
        matches!(self, Self::Tlsverify | Self::TlsverifyWithCertificate)
    }
}

impl fmt::Display for ClientMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tls => "tls",
            Self::TlsWithCertificate => "tls+tlscert+tlskey",
            Self::Tlsverify => "tlsverify+tlscacert",
            Self::TlsverifyWithCertificate => "tlsverify+tlscacert+tlscert+tlskey",
        })
    }
}

/// Against what such a client holds the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerCheck {
    /// Against nothing.
    Nothing,
    /// Against the given authority.
    GivenAuthority,
}

/// What a client's mode is worth against an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientFacts {
    /// Which mode.
    pub mode: ClientMode,
    /// Whether it gets an answer from the engine; `None` where what was given does not show it.
    pub connects: Option<bool>,
    /// Against what the server is held.
    pub server_checked: ServerCheck,
    /// Whether the server knows who the client is.
    pub client_authenticated: bool,
    /// All of it in a sentence.
    pub sentence: String,
}

pub(super) fn clients(
    mode: Mode,
    tried: &Tried,
    server: Option<&ServerCertificate>,
) -> Vec<ClientFacts> {
    ClientMode::ALL.into_iter().map(|client| facts(client, mode, tried, server)).collect()
}

fn facts(
    client: ClientMode,
    mode: Mode,
    tried: &Tried,
    server: Option<&ServerCertificate>,
) -> ClientFacts {
    let mutual = matches!(mode, Mode::Tlsverify | Mode::Gateway);
    let let_in = match mode {
        Mode::Plain => Some(false),
        // Whoever asks for no certificate takes no offence at one; who wants any takes ours.
        Mode::Tls if client.sends_certificate() => Some(true),
        Mode::Tls => Some(tried.accepted(Probe::TlsWithoutCertificate)),
        Mode::Tlsverify | Mode::Gateway if client.sends_certificate() => {
            tried.outcome(Probe::TlsValid).map(super::Outcome::is_accepted)
        }
        Mode::Tlsverify | Mode::Gateway => Some(false),
        Mode::Unix | Mode::Unknown => None,
    };
    let trusted =
        if client.checks_server() { server.and_then(ServerCertificate::holds) } else { Some(true) };
    let connects = match (let_in, trusted) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    };
    let tls = server.is_some() && mode != Mode::Plain;
    let server_checked = match client.checks_server() {
        true if tls => ServerCheck::GivenAuthority,
        _ => ServerCheck::Nothing,
    };
    let client_authenticated = mutual && client.sends_certificate();
    let sentence = match mode {
        Mode::Plain => {
            "does not connect: no TLS is spoken here, and whoever leaves it out gets in.".to_owned()
        }
        _ if !tls => "does not connect: no TLS is spoken here.".to_owned(),
        Mode::Unknown => {
            format!("{}; whom the server lets in is not known.", server_part(client, trusted))
        }
        _ => {
            let client_part = client_part(client, mutual, let_in);
            format!("{}; {client_part}.", server_part(client, trusted))
        }
    };
    ClientFacts { mode: client, connects, server_checked, client_authenticated, sentence }
}

fn server_part(client: ClientMode, trusted: Option<bool>) -> &'static str {
    match (client.checks_server(), trusted) {
        (false, _) => "the server is not authenticated, any will do",
        (true, Some(true)) => "the server is authenticated by the given authority",
        (true, Some(false)) => {
            "the server is not trusted under the given authority or name, so it \
                                does not connect"
        }
        (true, None) => "the server is held against the authority that the client is given",
    }
}

fn client_part(client: ClientMode, mutual: bool, let_in: Option<bool>) -> &'static str {
    match (client.sends_certificate(), mutual, let_in) {
        (true, true, Some(false)) => "the client's certificate is refused",
        (true, true, _) => "the client is authenticated by its certificate",
        (true, false, _) => "the client's certificate is not asked for or not checked",
        (false, true, _) => "the client shows no certificate and is refused",
        (false, false, Some(false)) => "the client shows no certificate, and any would do",
        (false, false, _) => "the client is not authenticated",
    }
}
