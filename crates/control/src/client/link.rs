//! A way to a daemon for those who have no part in its state: over a socket that it gives to containers, or over HTTPS
//! with a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_net::tls::{LiveClient, client_config};
use tokio::net::TcpStream;

use super::wire::{self, Follower};
use crate::api::FEED;
use crate::command::{Command, Reply};
use crate::error::{ErrorCode, ServiceError};

/// For a connection, with its handshake.
const CONNECTING: Duration = Duration::from_secs(5);

/// The files of an identity, as `cert issue` and labels lay them out. They are read anew for every connection, because
/// they are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFolder(pub PathBuf);

/// A certificate with its key, and the roots to trust.
pub(crate) struct IdentityFiles {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
}

impl IdentityFolder {
    /// Reads them. Blocking.
    pub(crate) fn read(&self) -> Result<IdentityFiles, ServiceError> {
        let failed = |path: &Path, error: &(dyn std::error::Error + 'static)| {
            ServiceError::new(ErrorCode::Failed, format!("cannot use {}", path.display()))
                .caused_by(error)
                .hint("the folder has tls.crt, tls.key and ca.crt, as `cert issue` and labels write them")
        };
        let certificates = |name: &str| {
            let path = self.0.join(name);
            let all: Vec<_> = CertificateDer::pem_file_iter(&path)
                .and_then(Iterator::collect)
                .map_err(|error| failed(&path, &error))?;
            if all.is_empty() {
                return Err(failed(&path, &std::io::Error::other("there is no certificate in it")));
            }
            Ok(all)
        };
        let path = self.0.join("tls.key");
        let key = PrivateKeyDer::from_pem_file(&path).map_err(|error| failed(&path, &error))?;
        Ok(IdentityFiles { chain: certificates("tls.crt")?, key, roots: certificates("ca.crt")? })
    }
}

/// A way to a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// A socket, at which kernel and engine say who we are.
    Socket(PathBuf),
    /// `host:port` of the API, where our certificate says so.
    Https(String, IdentityFolder),
}

impl std::fmt::Display for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "unix:{}", path.display()),
            Self::Https(address, _) => write!(formatter, "https://{address}"),
        }
    }
}

impl Link {
    /// One command.
    ///
    /// # Errors
    /// What the daemon says, or that it does not answer.
    pub async fn call(&self, command: &Command) -> Result<Reply, ServiceError> {
        match self {
            Self::Socket(path) => {
                let stream = wire::connect(path).await.map_err(|error| self.away(&error))?;
                wire::call(stream, command).await
            }
            Self::Https(address, identity) => {
                wire::call(self.handshake(address, identity).await?, command).await
            }
        }
    }

    /// What the Gatekeeper of a service decides by, line by line.
    pub(crate) async fn feed(&self, service: &str) -> Result<Follower, ServiceError> {
        let path = format!("{FEED}?service={service}");
        match self {
            Self::Socket(socket) => {
                let stream = wire::connect(socket).await.map_err(|error| self.away(&error))?;
                wire::lines(stream, &path).await
            }
            Self::Https(address, identity) => {
                wire::lines(self.handshake(address, identity).await?, &path).await
            }
        }
    }

    async fn handshake(
        &self,
        address: &str,
        identity: &IdentityFolder,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ServiceError> {
        let identity = identity.clone();
        let IdentityFiles { chain, key, roots } =
            crate::daemon::blocking(move || identity.read()).await?;
        let config = client_config(&roots, Some((chain, key)))
            .map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
        let client: Arc<LiveClient> = LiveClient::new(config);
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            client.connect(address, stream).await
        };
        let connected = tokio::time::timeout(CONNECTING, connecting).await;
        connected
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|error| self.away(&error))
    }

    fn away(&self, error: &std::io::Error) -> ServiceError {
        ServiceError::new(ErrorCode::Unavailable, format!("cannot reach the broker at {self}"))
            .caused_by(error)
            .hint("it is the daemon of `sealock up`: its API, or the workload socket that a container mounts")
    }
}
