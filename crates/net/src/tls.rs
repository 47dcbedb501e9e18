//! TLS as Sealock speaks it: 1.3 preferred, 1.2 the least, X25519MLKEM768 first, and a server certificate
//! and client roots that can be replaced while connections are open.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Certificate and key cannot be used together.
    #[error("the certificate and its key cannot be used")]
    Certificate(#[source] rustls::Error),
    /// A root is no certificate, or there is none.
    #[error("the roots to trust cannot be used")]
    Roots(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The settings contradict one another.
    #[error("the TLS settings cannot be used")]
    Settings(#[source] rustls::Error),
}

/// The algorithms: AWS-LC's, with the hybrid post-quantum key exchange first. Between two Sealocks every
/// connection uses it; other clients choose X25519 or a NIST curve.
pub fn provider() -> Arc<CryptoProvider> {
    let provider = aws_lc_rs::default_provider();
    let kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    Arc::new(CryptoProvider { kx_groups, ..provider })
}

/// A server's certificate that can be replaced; handshakes from then on see the new one.
pub struct LiveCertificate(ArcSwap<CertifiedKey>);

impl LiveCertificate {
    /// The chain (leaf first) and the leaf's key.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(chain, key)?))))
    }

    /// The chain as it is shown now, leaf first.
    pub fn certificate(&self) -> Vec<CertificateDer<'static>> {
        self.0.load().cert.clone()
    }

    /// Puts another in its place.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified(chain, key)?));
        Ok(())
    }
}

impl fmt::Debug for LiveCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LiveCertificate")
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Certificate)
}

/// What is asked of clients.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate under these roots, or none; whoever serves decides what is open without one.
    Optional(Vec<CertificateDer<'static>>),
    /// A certificate under these roots.
    Required(Vec<CertificateDer<'static>>),
}

fn store(roots: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|error| TlsError::Roots(error.into()))?;
    }
    Ok(Arc::new(store))
}

/// As ALPN has them (RFC 7301).
pub(crate) const HTTP1: &[u8] = b"http/1.1";
pub(crate) const HTTP2: &[u8] = b"h2";

/// What a client offers to speak in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2, or else HTTP/1.1.
    Either,
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        let offered: &[&[u8]] = match self {
            Self::Http1 => &[HTTP1],
            Self::Http2 => &[HTTP2],
            Self::Either => &[HTTP2, HTTP1],
        };
        offered.iter().map(|name| name.to_vec()).collect()
    }
}

/// Has a server speak HTTP/2 with clients that can, and HTTP/1.1 with the others.
#[must_use]
pub fn with_http2(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = Offer::Either.protocols();
    config
}

/// Whether the client and we have agreed on HTTP/2.
pub fn speaks_http2<I>(stream: &TlsStream<I>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// The settings of a server that speaks HTTP/1.1.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    clients: &ClientAuth,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?;
    let verifier = |roots: &[CertificateDer<'static>]| {
        Ok::<_, TlsError>(WebPkiClientVerifier::builder_with_provider(store(roots)?, provider()))
    };
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(roots) => builder.with_client_cert_verifier(
            verifier(roots)?
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::Roots(error.into()))?,
        ),
        ClientAuth::Required(roots) => builder.with_client_cert_verifier(
            verifier(roots)?.build().map_err(|error| TlsError::Roots(error.into()))?,
        ),
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = Offer::Http1.protocols();
    Ok(config)
}

/// The settings of a client that trusts these roots, with a certificate of its own where it has one.
pub fn client_config(
    roots: &[CertificateDer<'static>],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(store(roots)?, provider())
        .build()
        .map_err(|error| TlsError::Roots(error.into()))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(TlsError::Certificate)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = Offer::Http1.protocols();
    Ok(config)
}

/// A server's settings that can be replaced, for instance when the roots of clients change.
pub struct LiveServer(ArcSwap<ServerConfig>);

impl LiveServer {
    /// Starts with these settings.
    pub fn new(config: ServerConfig) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(config)))
    }

    /// Handshakes from now on use these.
    pub fn replace(&self, config: ServerConfig) {
        self.0.store(Arc::new(config));
    }

    /// Shakes hands within a deadline.
    pub async fn accept<I>(&self, connection: I, deadline: Duration) -> io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.0.load_full());
        tokio::time::timeout(deadline, acceptor.accept(connection))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A client's settings that can be replaced, for instance when its certificate was renewed.
pub struct LiveClient(ArcSwap<ClientConfig>);

impl LiveClient {
    /// Starts with these settings.
    pub fn new(config: ClientConfig) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(config)))
    }

    /// Handshakes from now on use these.
    pub fn replace(&self, config: ClientConfig) {
        self.0.store(Arc::new(config));
    }

    /// Shakes hands with the server at `address`, `host:port`, whose certificate must be for that host.
    pub async fn connect<I>(&self, address: &str, connection: I) -> io::Result<client::TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_for(address, connection, Offer::Http1).await
    }

    /// As [`LiveClient::connect`], to speak what `offer` says.
    pub async fn connect_for<I>(
        &self,
        address: &str,
        connection: I,
        offer: Offer,
    ) -> io::Result<client::TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host(address))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(self.0.load_full());
        connector.with_alpn(offer.protocols()).connect(name.to_owned(), connection).await
    }
}

impl fmt::Debug for LiveClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LiveClient")
    }
}

/// `host:port` without the port, and without the brackets of an IPv6 address.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl fmt::Debug for LiveServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LiveServer")
    }
}

mod first;
mod peer;

pub use first::dangerous_first_contact;
pub use peer::{
    ServerIdentity, identity_of, is_no_machine, peer_client_config, public_keys, server_name,
};

#[cfg(test)]
mod tests;
