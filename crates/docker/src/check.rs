//! Finds out, by trying, what a Docker endpoint accepts, and from whom.
//!
//! Each probe is a connection of its own with one `GET /_ping`. Nothing secret is sent: certificates are
//! public, and a key only signs the handshake. In TLS 1.3 a server refuses a client's certificate only
//! after the client thinks the handshake done, so every probe sends its request and waits for the answer.
//!
//! **What an attacker controls:** the whole other end: certificates, every byte of the answer, how slowly
//! it comes. A probe has a deadline and reads a bounded answer; what is shown of it has no control
//! characters. The verifier that takes any certificate is private to this module and used for nothing else.

mod certificate;
mod client;
mod endpoint;
mod exchange;
mod identity;
mod report;
mod tcp;
#[cfg(test)]
mod tests;
mod unix;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use sealock_core::Timestamp;
use thiserror::Error;

pub use certificate::ServerCertificate;
pub use client::{ClientFacts, ClientMode, ServerCheck};
pub use endpoint::{Endpoint, EndpointError};
pub use identity::{ClientIdentity, IdentityError};
pub use report::{Mode, Outcome, Probe, Probed, Report};
pub use unix::SocketAccess;

/// Why nothing was found out.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The name cannot be resolved.
    #[error("cannot find {endpoint}")]
    Resolve {
        /// What was asked for.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// What was asked for.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be looked at.
    #[error("cannot look at {}", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate for probing cannot be made.
    #[error("cannot make a stranger's certificate")]
    Stranger(#[source] rcgen::Error),
    /// TLS cannot be set up with a given certificate and key.
    #[error("cannot use a certificate for probing")]
    Tls(#[source] rustls::Error),
}

/// What to try with, and how long.
#[derive(Debug)]
pub struct Probes {
    /// The authority that the server should come from; without any, its chain is judged by itself only.
    pub ca: Vec<CertificateDer<'static>>,
    /// A certificate that should be let in.
    pub valid: Option<ClientIdentity>,
    /// One whose time is over.
    pub expired: Option<ClientIdentity>,
    /// One that was revoked.
    pub revoked: Option<ClientIdentity>,
    /// The fixed message by which our gateway answers a connection without a certificate.
    pub gateway_message: Option<String>,
    /// The time, for days left.
    pub now: Timestamp,
    /// How long each probe may take.
    pub deadline: Duration,
}

impl Probes {
    /// Nothing but what a stranger has; ten seconds a probe.
    pub fn new(now: Timestamp) -> Self {
        Self {
            ca: Vec::new(),
            valid: None,
            expired: None,
            revoked: None,
            gateway_message: None,
            now,
            deadline: Duration::from_secs(10),
        }
    }
}

/// Tries what `endpoint` accepts.
pub async fn check(endpoint: &Endpoint, probes: &Probes) -> Result<Report, CheckError> {
    match endpoint {
        Endpoint::Unix(path) => unix::check(endpoint, path, probes).await,
        Endpoint::Tcp(host) => tcp::check(endpoint, host, probes).await,
    }
}
