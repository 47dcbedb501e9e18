//! Handshakes with hosts whose certificates prove nothing yet: getting one that does is what they ask us for. Only that the
//! server has the key of the certificate that it shows is looked at.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerMisbehaved,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use sealock_net::tls::{TlsError, provider};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Subject;
use super::failure::Failure;

/// What is spoken in a handshake of tls-alpn-01 (RFC 8737 §3), and nothing after it.
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The settings of both kinds of handshakes.
pub(super) struct Clients {
    page: Arc<ClientConfig>,
    challenge: Arc<ClientConfig>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clients")
    }
}

impl Clients {
    pub(super) fn new() -> Result<Self, TlsError> {
        Ok(Self { page: config(b"http/1.1")?, challenge: config(ACME_TLS)? })
    }

    /// To fetch a page over.
    pub(super) async fn page(
        &self,
        host: &Subject,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        shake(&self.page, host, name, stream).await
    }

    /// To see the certificate of a challenge.
    pub(super) async fn challenge(
        &self,
        host: &Subject,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        shake(&self.challenge, host, name, stream).await
    }
}

fn config(protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let algorithms = provider().signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HasItsKey { algorithms }))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    // Where a session goes on, no certificate is shown.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

async fn shake(
    config: &Arc<ClientConfig>,
    host: &Subject,
    name: ServerName<'static>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let shaken = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
    shaken.map_err(|error| {
        tracing::debug!(%host, %error, "no handshake");
        failure(host, &error)
    })
}

fn failure(host: &Subject, error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            Failure::Tls(format!("{host} does not speak what the handshake is for"))
        }
        Some(_) => Failure::Tls(format!("the handshake with {host} failed")),
        None => Failure::Connection(format!("{host} hung up in the handshake")),
    }
}

/// Takes every certificate whose key the server has.
#[derive(Debug)]
struct HasItsKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for HasItsKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    /// By the key alone: as a certificate, webpki would refuse one with the critical extension of tls-alpn-01.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad_encoding())?;
        let offered = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        let mut tried = offered.flat_map(|(_, algorithms)| algorithms.iter()).peekable();
        if tried.peek().is_none() {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        // In TLS 1.2 a scheme does not say which curve it is.
        let is_signed = tried
            .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
        if is_signed {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn key_of<'a>(certificate: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| bad_encoding())?;
    Ok(SubjectPublicKeyInfoDer::from(certificate.tbs_certificate.subject_pki.raw))
}

fn bad_encoding() -> Error {
    CertificateError::BadEncoding.into()
}
