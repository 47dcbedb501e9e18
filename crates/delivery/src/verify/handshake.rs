//! One TLS handshake, blocking, to see which certificate a service holds the key of.
//!
//! An attacker controls everything the service sends. rustls parses it; a deadline covers the whole
//! handshake, whatever the pace of single bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{Question, Seen, VerifyError};

/// Looks at loopback, then at `addresses`; the first that shows a certificate answers.
pub(super) fn look(
    question: &Question,
    loopback: bool,
    addresses: &[IpAddr],
) -> Result<Seen, VerifyError> {
    let own: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let until = Instant::now() + question.deadline;
    let mut told: Option<VerifyError> = None;
    for address in own.iter().filter(|_| loopback).chain(addresses) {
        match look_at(question, SocketAddr::new(*address, question.port), until) {
            Ok(seen) => return Ok(seen),
            // What a service answered tells more than where nothing listens.
            Err(error) if told.as_ref().is_none_or(is_connect) => told = Some(error),
            Err(_) => {}
        }
    }
    Err(told.unwrap_or(VerifyError::NoAddress))
}

fn is_connect(error: &VerifyError) -> bool {
    matches!(error, VerifyError::Connect { .. })
}

fn look_at(question: &Question, address: SocketAddr, until: Instant) -> Result<Seen, VerifyError> {
    let connect = |source| VerifyError::Connect { address, source };
    let stream =
        TcpStream::connect_timeout(&address, remaining(until, address)?).map_err(connect)?;
    stream.set_nodelay(true).map_err(connect)?;
    let witness = Arc::new(Witness::new(question)?);
    let config = ClientConfig::builder_with_provider(Arc::clone(&witness.provider))
        .with_safe_default_protocol_versions()
        .map_err(VerifyError::Client)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), question.server_name.clone())
        .map_err(VerifyError::Client)?;
    let ended = shake_hands(connection, stream, address, until);
    // A service that goes on to demand a client's certificate has shown its own and proven the key.
    match witness.testimony.lock().take() {
        Some(testimony) if testimony.proven => Ok(Seen {
            serial: serial_of(&testimony.leaf).ok_or(VerifyError::Unreadable { address })?,
            chain: testimony.chain,
            address,
        }),
        _ => Err(ended.err().unwrap_or(VerifyError::Unreadable { address })),
    }
}

fn remaining(until: Instant, address: SocketAddr) -> Result<Duration, VerifyError> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(VerifyError::Deadline { address }) } else { Ok(left) }
}

fn shake_hands(
    mut connection: ClientConnection,
    mut stream: TcpStream,
    address: SocketAddr,
    until: Instant,
) -> Result<(), VerifyError> {
    let broken = |source: io::Error| match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => VerifyError::Deadline { address },
        _ => VerifyError::Broken { address, source },
    };
    while connection.is_handshaking() {
        let left = remaining(until, address)?;
        stream.set_read_timeout(Some(left)).map_err(broken)?;
        stream.set_write_timeout(Some(left)).map_err(broken)?;
        while connection.wants_write() {
            connection.write_tls(&mut stream).map_err(broken)?;
        }
        if connection.is_handshaking() && connection.wants_read() {
            if connection.read_tls(&mut stream).map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            connection
                .process_new_packets()
                .map_err(|source| VerifyError::Handshake { address, source })?;
        }
    }
    // Our last flight and an orderly end; who has seen enough does not mind when these fail.
    connection.send_close_notify();
    while connection.wants_write() && connection.write_tls(&mut stream).is_ok() {}
    Ok(())
}

/// The serial of a certificate as lower-case hex of its bytes, without the sign's zero byte.
pub(crate) fn serial_of(leaf: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let raw = certificate.tbs_certificate.raw_serial();
    let first = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len().saturating_sub(1));
    Some(data_encoding::HEXLOWER.encode(raw.get(first..).unwrap_or_default()))
}

/// What was seen of the service's certificate.
#[derive(Debug)]
struct Testimony {
    leaf: Vec<u8>,
    chain: Result<(), String>,
    proven: bool,
}

/// Accepts any certificate, remembers it, and holds the chain against the trust bundle on the side. The
/// handshake's signature is checked in earnest: only who holds the key can show a serial.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    judge: Option<Arc<WebPkiServerVerifier>>,
    now: UnixTime,
    testimony: Mutex<Option<Testimony>>,
}

impl Witness {
    fn new(question: &Question) -> Result<Self, VerifyError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(question.anchors.iter().cloned());
        // Without a single anchor there is no judge, and every chain is one we cannot check.
        let judge =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .ok();
        Ok(Self { provider, judge, now: question.now, testimony: Mutex::new(None) })
    }

    fn prove(
        &self,
        checked: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if checked.is_ok()
            && let Some(testimony) = self.testimony.lock().as_mut()
        {
            testimony.proven = true;
        }
        checked
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = match &self.judge {
            None => Err("there is no trust bundle to check it with".to_owned()),
            Some(judge) => judge
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, self.now)
                .map(|_| ())
                .map_err(|error| error.to_string()),
        };
        *self.testimony.lock() =
            Some(Testimony { leaf: end_entity.to_vec(), chain, proven: false });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.prove(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.prove(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
