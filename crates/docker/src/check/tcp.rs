//! Probes over TCP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use sealock_net::tls::provider;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::certificate::{DangerousWitness, ServerCertificate, Witnessed};
use super::exchange::{ping, refused};
use super::identity::stranger;
use super::report::{Outcome, Probe, Probed, Tried};
use super::{CheckError, ClientIdentity, Endpoint, Probes, Report};
use crate::daemon::TcpHost;

/// Tries everything at once: each probe is a connection of its own.
pub(super) async fn check(
    endpoint: &Endpoint,
    host: &TcpHost,
    probes: &Probes,
) -> Result<Report, CheckError> {
    let address = reach(endpoint, host, probes).await?;
    let name = ServerName::try_from(host.name()).map_err(|error| CheckError::Resolve {
        endpoint: endpoint.clone(),
        source: io::Error::new(io::ErrorKind::InvalidInput, error),
    })?;
    let stranger = stranger(probes)?;
    let identities = [
        (Probe::TlsWithoutCertificate, None),
        (Probe::TlsStranger, Some(&stranger)),
        (Probe::TlsExpired, probes.expired.as_ref()),
        (Probe::TlsRevoked, probes.revoked.as_ref()),
        (Probe::TlsValid, probes.valid.as_ref()),
    ];
    let target = Target { address, host, name: &name, probes };
    let mut tls = Vec::new();
    for (probe, identity) in identities {
        if identity.is_some() || probe == Probe::TlsWithoutCertificate {
            let witness = DangerousWitness::new();
            let config = config(identity, &witness)?;
            tls.push((probe, witness, config));
        }
    }
    let over_tls = join_all(tls.iter().map(|(_, _, config)| target.tls(Arc::clone(config))));
    let (plain, over_tls) = tokio::join!(target.plain(), over_tls);
    let mut tried = vec![Probed { probe: Probe::PlainHttp, outcome: plain }];
    let outcomes = tls.iter().zip(over_tls);
    tried.extend(outcomes.map(|((probe, _, _), outcome)| Probed { probe: *probe, outcome }));
    let shown = tls.iter().map(|(_, witness, _)| witness.witnessed());
    let shown: Option<Witnessed> =
        shown.max_by_key(|shown| (!shown.chain.is_empty(), shown.key_proven));
    let server = shown.and_then(|shown| ServerCertificate::read(&shown, &name, probes));
    let gateway_message = probes.gateway_message.as_deref();
    Ok(Report::of_tcp(endpoint.clone(), Tried(tried), server, gateway_message))
}

/// An address that can be connected to. The connection is closed again: it has said nothing.
async fn reach(
    endpoint: &Endpoint,
    host: &TcpHost,
    probes: &Probes,
) -> Result<SocketAddr, CheckError> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let resolve = |source| CheckError::Resolve { endpoint: endpoint.clone(), source };
    let found = timeout(probes.deadline, tokio::net::lookup_host((host.name(), host.port())));
    let found = found.await.map_err(late).map_err(resolve)?.map_err(resolve)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in found {
        match timeout(probes.deadline, TcpStream::connect(address)).await.map_err(late) {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) | Err(error) => last = error,
        }
    }
    Err(CheckError::Connect { endpoint: endpoint.clone(), source: last })
}

/// A client that takes any server.
fn config(
    identity: Option<&ClientIdentity>,
    witness: &Arc<DangerousWitness>,
) -> Result<Arc<ClientConfig>, CheckError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CheckError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<DangerousWitness>::clone(witness));
    let mut config = match identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(CheckError::Tls)?,
        None => builder.with_no_client_auth(),
    };
    // A resumed session would be let in for what an earlier one had shown.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

struct Target<'a> {
    address: SocketAddr,
    host: &'a TcpHost,
    name: &'a ServerName<'static>,
    probes: &'a Probes,
}

impl Target<'_> {
    async fn plain(&self) -> Outcome {
        self.within(async {
            let mut stream = TcpStream::connect(self.address).await?;
            Ok(ping(&mut stream, &self.authority()).await)
        })
        .await
    }

    async fn tls(&self, config: Arc<ClientConfig>) -> Outcome {
        self.within(async {
            let stream = TcpStream::connect(self.address).await?;
            let connector = TlsConnector::from(config);
            let mut stream = connector.connect(self.name.clone(), stream).await?;
            Ok(ping(&mut stream, &self.authority()).await)
        })
        .await
    }

    async fn within(&self, probe: impl Future<Output = io::Result<Outcome>>) -> Outcome {
        match timeout(self.probes.deadline, probe).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => refused(&error),
            Err(_) => Outcome::TimedOut,
        }
    }

    fn authority(&self) -> String {
        self.host.to_string().trim_start_matches("tcp://").to_owned()
    }
}
