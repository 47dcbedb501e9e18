//! A way to a daemon for those who have no part in its state: over a socket that it gives to containers, or over HTTPS
//! with a certificate.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_authority::imported::{is_own_root, roots_above};
use sealock_core::TrustDomain;
use sealock_net::tls::{
    LiveClient, ServerIdentity, identity_of, is_no_machine, peer_client_config,
};
use sealock_traffic::broker::{RevokedCas, keys_of};
use sealock_traffic::registry::Address;
use tokio::net::TcpStream;

use super::wire::{self, Follower};
use crate::api::{FEED, SERVICES};
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
    /// Reads them, as who we are: the leaf has an identity, and its chain holds under a root of that trust domain's own.
    /// An imported certificate is none, so that the roots of those who sign such do not come to stand for ours. Blocking.
    pub(crate) fn read(&self) -> Result<IdentityFiles, ServiceError> {
        let files = self.read_any()?;
        let own = files.chain.first().and_then(identity_of);
        let wrong = |what: &str| {
            let path = self.0.join("tls.crt");
            ServiceError::new(ErrorCode::Failed, format!("cannot use {}", path.display()))
                .caused_by(&std::io::Error::other(what.to_owned()))
                .hint("it takes a certificate with an identity (spiffe://TRUST-DOMAIN/…) that `sealock` has issued, its \
                       intermediates, and its root in ca.crt; one of another authority is none")
        };
        let own = own.ok_or_else(|| wrong("its certificate has no identity"))?;
        let ours = |root: &CertificateDer<'_>| is_own_root(root, own.trust_domain());
        if files.roots.is_empty() || !files.roots.iter().all(ours) {
            return Err(wrong("its chain ends at no root of its trust domain's own"));
        }
        Ok(files)
    }

    /// Reads them, whoever has signed them, to show them to others. The roots are those above the chain. Blocking.
    pub(crate) fn read_any(&self) -> Result<IdentityFiles, ServiceError> {
        let failed = |path: &Path, error: &(dyn std::error::Error + 'static)| {
            ServiceError::new(ErrorCode::Failed, format!("cannot use {}", path.display()))
                .caused_by(error)
                .hint("the folder has tls.crt, tls.key and ca.crt, as `cert issue` and labels write them")
        };
        // A login is a link to a folder, and may be replaced while it is read.
        let folder = self.0.canonicalize().unwrap_or_else(|_| self.0.clone());
        let certificates = |name: &str| {
            let path = folder.join(name);
            certificates(&path).map_err(|error| failed(&path, error.as_ref()))
        };
        let path = folder.join("tls.key");
        let key = PrivateKeyDer::from_pem_file(&path).map_err(|error| failed(&path, &error))?;
        let (chain, roots) = (certificates("tls.crt")?, certificates("ca.crt")?);
        Ok(IdentityFiles { roots: roots_above(&chain, roots), chain, key })
    }
}

fn certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Box<dyn std::error::Error + 'static>> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect)?;
    if all.is_empty() { Err("there is no certificate in it".into()) } else { Ok(all) }
}

/// The roots in a file. Blocking.
pub(crate) fn roots_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServiceError> {
    certificates(path).map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot use {}", path.display()))
            .caused_by(error.as_ref())
            .hint("it is the trust bundle of our own: `sealock ca bundle --own`")
    })
}

/// The settings of a client of the broker, which is who it should be if its certificate is under these roots, for the name that
/// is dialled, and a machine's: a container may come to have a certificate for that name, and never one of a machine. With a
/// certificate of ours the trust domain is its own.
pub(super) fn broker_config(
    roots: &[CertificateDer<'static>],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    trust_domain: Option<TrustDomain>,
) -> Result<rustls::ClientConfig, ServiceError> {
    let leaf = identity.as_ref().and_then(|(chain, _)| chain.first());
    let own = leaf.and_then(identity_of).map(|own| own.trust_domain().clone());
    peer_client_config(roots, identity, ServerIdentity::Machine(trust_domain.or(own)))
        .map_err(|error| ServiceError::of(ErrorCode::Failed, &error))
}

/// A connection to the API, its certificate checked: one below a CA that is known to be revoked is nobody's.
pub(super) async fn connected(
    address: &str,
    config: rustls::ClientConfig,
    revoked: &RevokedCas,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ServiceError> {
    let client: Arc<LiveClient> = LiveClient::new(config);
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        client.connect(address, stream).await
    };
    let connected = tokio::time::timeout(CONNECTING, connecting).await;
    let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|error| away(&format!("https://{address}"), &error))?;
    if revoked.are_in(&keys_of(stream.get_ref().1.peer_certificates())) {
        let text = format!("who answers at https://{address} is not the broker");
        return Err(ServiceError::new(ErrorCode::Unavailable, text).hint(
            "its certificate is below a CA that is revoked; `sealock up` gets another one when it is its own",
        ));
    }
    Ok(stream)
}

/// A connection to the API, with a certificate of ours.
async fn shaken(
    address: &str,
    files: IdentityFiles,
    revoked: &RevokedCas,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ServiceError> {
    let IdentityFiles { chain, key, roots } = files;
    connected(address, broker_config(&roots, Some((chain, key)), None)?, revoked).await
}

fn away(broker: &str, error: &std::io::Error) -> ServiceError {
    if is_no_machine(error) {
        // Not for good: the broker itself may be back in a moment.
        let text = format!("who answers at {broker} is not the broker");
        return ServiceError::new(ErrorCode::Unavailable, text).caused_by(error).hint(
            "the certificate of a broker has the URI spiffe://TRUST-DOMAIN/host/NAME; \
             `sealock cert list` on its host shows who else has one for its name",
        );
    }
    ServiceError::new(ErrorCode::Unavailable, format!("cannot reach the broker at {broker}"))
        .caused_by(error)
        .hint("it is the daemon of `sealock up`: its API, or the workload socket that a container mounts")
}

/// Where others are told that a Gatekeeper is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// They are not told.
    No,
    /// `HOST:PORT`.
    At(String),
    /// Where it listens: at that address, or, if those are all of this host, at the one from which the broker is reached.
    Listening(SocketAddr),
}

impl Advertise {
    /// What the broker is told. Nobody has said it in so many words unless it is [`Advertise::At`], so only what the
    /// broker would take is told then, and no loopback address.
    fn address(&self, from: Option<IpAddr>) -> Option<String> {
        match self {
            Self::No => None,
            Self::At(address) => Some(address.clone()),
            Self::Listening(at) => {
                let ip = if at.ip().is_unspecified() { from? } else { at.ip() };
                let at = SocketAddr::new(ip.to_canonical(), at.port()).to_string();
                Address::read(&at, false).ok().map(|at| at.to_string())
            }
        }
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
                let stream = self.handshake(address, identity, &RevokedCas::default()).await?;
                wire::call(stream, command).await
            }
        }
    }

    /// One command, over HTTPS with this certificate instead of what is in the folder by now.
    pub(crate) async fn call_as(
        &self,
        files: IdentityFiles,
        revoked: &RevokedCas,
        command: &Command,
    ) -> Result<Reply, ServiceError> {
        match self {
            Self::Socket(_) => self.call(command).await,
            Self::Https(address, _) => {
                wire::call(shaken(address, files, revoked).await?, command).await
            }
        }
    }

    /// What the Gatekeeper of a service decides by, line by line. As long as it lasts, the Gatekeeper is in the directory.
    pub(crate) async fn feed(
        &self,
        service: &str,
        advertise: &Advertise,
        revoked: &RevokedCas,
    ) -> Result<Follower, ServiceError> {
        let path = |from: Option<IpAddr>| match advertise.address(from) {
            Some(at) => format!("{FEED}?service={service}&advertise={at}"),
            None => format!("{FEED}?service={service}"),
        };
        match self {
            Self::Socket(socket) => {
                let stream = wire::connect(socket).await.map_err(|error| self.away(&error))?;
                wire::lines(stream, &path(None), None).await
            }
            Self::Https(address, identity) => {
                let stream = self.handshake(address, identity, revoked).await?;
                let from = stream.get_ref().0.local_addr().ok().map(|from| from.ip());
                wire::lines(stream, &path(from), None).await
            }
        }
    }

    /// The services that we may call, line by line.
    pub(crate) async fn services(&self, revoked: &RevokedCas) -> Result<Follower, ServiceError> {
        match self {
            Self::Socket(socket) => {
                let stream = wire::connect(socket).await.map_err(|error| self.away(&error))?;
                wire::lines(stream, SERVICES, None).await
            }
            Self::Https(address, identity) => {
                let stream = self.handshake(address, identity, revoked).await?;
                wire::lines(stream, SERVICES, None).await
            }
        }
    }

    async fn handshake(
        &self,
        address: &str,
        identity: &IdentityFolder,
        revoked: &RevokedCas,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ServiceError> {
        let identity = identity.clone();
        let files = crate::daemon::blocking(move || identity.read()).await?;
        shaken(address, files, revoked).await
    }

    fn away(&self, error: &std::io::Error) -> ServiceError {
        away(&self.to_string(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_by_itself_is_an_address_that_others_can_reach() {
        let of = |listen: &str, from: Option<&str>| {
            let from = from.map(|from| from.parse().unwrap());
            Advertise::Listening(listen.parse().unwrap()).address(from)
        };
        assert_eq!(of("10.0.0.5:8443", None).as_deref(), Some("10.0.0.5:8443"));
        assert_eq!(of("0.0.0.0:8443", Some("10.0.0.7")).as_deref(), Some("10.0.0.7:8443"));
        assert_eq!(of("[::]:8443", Some("::ffff:10.0.0.7")).as_deref(), Some("10.0.0.7:8443"));
        assert_eq!(of("[fd12::1]:8443", None).as_deref(), Some("[fd12::1]:8443"));
        for (listen, from) in [
            ("127.0.0.1:8443", Some("10.0.0.7")),
            ("0.0.0.0:8443", Some("127.0.0.1")),
            ("0.0.0.0:8443", None),
            ("169.254.1.1:8443", None),
            ("100.64.0.1:8443", None),
        ] {
            assert_eq!(of(listen, from), None, "{listen} {from:?}");
        }
        assert_eq!(Advertise::No.address(None), None);
    }

    #[test]
    fn an_identity_is_ours_only_under_a_root_of_its_own_trust_domain() {
        use rcgen::{
            BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
        };
        let root = |organization: &str, name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::OrganizationName, organization);
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let ours = root("corp.example", "Sealock Root CA");
        let corporate = root("corp.example", "Corp Root");
        let elsewhere = root("other.example", "Sealock Root CA");
        let bundle = ours.pem() + &corporate.pem() + &elsewhere.pem();
        let read = |issuer: &CertifiedIssuer<'_, KeyPair>, uri: Option<&str>| {
            let mut params = CertificateParams::new(vec!["web".to_owned()]).unwrap();
            let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
            params.subject_alt_names.extend(uri);
            let key = KeyPair::generate().unwrap();
            let leaf = params.signed_by(&key, issuer).unwrap();
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in [
                ("tls.crt", leaf.pem()),
                ("tls.key", key.serialize_pem()),
                ("ca.crt", bundle.clone()),
            ] {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let identity = IdentityFolder(folder.path().to_owned());
            let any = identity.read_any().unwrap().roots;
            assert_eq!(any, [CertificateDer::from(issuer.der().to_vec())]);
            identity.read().map(|files| files.roots).map_err(|error| error.causes.join(" "))
        };
        let uri = Some("spiffe://corp.example/service/web");
        assert_eq!(read(&ours, uri).unwrap(), [CertificateDer::from(ours.der().to_vec())]);
        assert!(read(&ours, None).unwrap_err().contains("no identity"));
        for stranger in [&corporate, &elsewhere] {
            assert!(read(stranger, uri).unwrap_err().contains("no root of its trust domain"));
        }
    }
}
