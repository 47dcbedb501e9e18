//! Why what a service serves could not be seen.

use std::net::SocketAddr;

use sealock_engine::EngineError;
use thiserror::Error;

/// A look at a service that showed nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The engine could not say where the container is.
    #[error("the container's place could not be found out")]
    Engine(#[from] EngineError),
    /// No namespace to enter and no address to connect to.
    #[error("the container has no address that this host can reach")]
    NoAddress,
    /// The thread that enters the namespace could not be started, or ended early.
    #[error("no thread for the handshake")]
    Thread(#[source] std::io::Error),
    /// The container's network namespace could not be entered.
    #[error("the container's network cannot be entered")]
    Namespace(#[source] std::io::Error),
    /// The TLS client could not be made.
    #[error("the TLS client cannot be set up")]
    Client(#[source] rustls::Error),
    /// Nothing accepts connections there.
    #[error("no connection to {address}")]
    Connect {
        /// Where it was tried.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection broke before a certificate was shown.
    #[error("the connection to {address} broke before the service had shown a certificate")]
    Broken {
        /// Where it was connected.
        address: SocketAddr,
        /// How it broke.
        source: std::io::Error,
    },
    /// What answers does not speak TLS, or did not prove that it holds the key.
    #[error("the TLS handshake with {address} failed")]
    Handshake {
        /// Where it was connected.
        address: SocketAddr,
        /// Why.
        source: rustls::Error,
    },
    /// The service took too long.
    #[error("no handshake with {address} in time")]
    Deadline {
        /// Where it was connected.
        address: SocketAddr,
    },
    /// The certificate that was shown is not one.
    #[error("the service at {address} showed a certificate that cannot be read")]
    Unreadable {
        /// Where it was connected.
        address: SocketAddr,
    },
}
