//! One GET to a listener that is known by its certificate alone.
//!
//! TLS 1.3 with X25519MLKEM768, and a verifier that accepts exactly the certificate whose SHA-256 the
//! offer or ticket names (and checks that the listener has its key): no names, no authorities, no
//! clock. The GET asks for an upgrade; from the answer on, the connection carries messages both ways.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    StreamOwned,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sealock_transfer::offer::Address;

use crate::error::ReceiveError;
use crate::input::IDLE;

/// How long making the connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the head of an answer is at most.
const HEAD_LIMIT: usize = 4096;

/// A connection on which the listener has agreed to exchange messages.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Asks for what the address names.
pub fn open(address: &Address) -> Result<Connection, ReceiveError> {
    let (socket, path) = parse(&address.url).ok_or(ReceiveError::Url)?;
    let unreachable = |source| ReceiveError::Unreachable { address: socket, source };
    let tcp = TcpStream::connect_timeout(&socket, CONNECT).map_err(unreachable)?;
    tcp.set_read_timeout(Some(IDLE)).map_err(unreachable)?;
    tcp.set_write_timeout(Some(IDLE)).map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let wrong = |source| ReceiveError::WrongListener { address: socket, source };
    let config = config(address.pin).map_err(wrong)?;
    let name = ServerName::IpAddress(socket.ip().into());
    let connection = ClientConnection::new(config, name).map_err(wrong)?;
    let mut stream = StreamOwned::new(connection, tcp);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {socket}\r\nConnection: Upgrade\r\nUpgrade: sealock-transfer/1\r\n\r\n"
    );
    let told = |error: io::Error| match error.downcast::<rustls::Error>() {
        Ok(source) => wrong(source),
        Err(source) => unreachable(source),
    };
    stream.write_all(request.as_bytes()).map_err(told)?;
    stream.flush().map_err(told)?;
    match status(&mut stream).map_err(told)? {
        Some(101) => Ok(stream),
        Some(other) => Err(ReceiveError::NotGiven(other)),
        None => Err(ReceiveError::Answer),
    }
}

/// `https://<address>:<port>/<path>`, where the path is of letters, digits, `-` and `_`.
fn parse(url: &str) -> Option<(SocketAddr, &str)> {
    let rest = url.strip_prefix("https://")?;
    let slash = rest.find('/')?;
    let (socket, path) = rest.split_at_checked(slash)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let name = path.strip_prefix('/')?;
    if name.is_empty() || !name.bytes().all(plain) {
        return None;
    }
    Some((socket.parse().ok()?, path))
}

/// The number in the first line of an answer, and the stream right behind its head. A byte at a time:
/// what follows belongs to the messages.
fn status(stream: &mut impl Read) -> io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if head.len() == HEAD_LIMIT || stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&byte);
    }
    let number = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    Ok(number
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok()))
}

fn config(pin: [u8; 32]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let whole = provider::default_provider();
    let algorithms = whole.signature_verification_algorithms;
    let narrow = CryptoProvider {
        cipher_suites: vec![provider::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![provider::kx_group::X25519MLKEM768],
        ..whole
    };
    let config = ClientConfig::builder_with_provider(Arc::new(narrow))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, algorithms }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts one certificate.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        if digest.as_ref() == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_with_addresses_are_taken() {
        assert_eq!(
            parse("https://172.17.0.1:4443/aB-_9"),
            Some(("172.17.0.1:4443".parse().unwrap(), "/aB-_9"))
        );
        assert!(parse("https://[fd00::1]:4443/x").is_some());
        for bad in [
            "http://172.17.0.1:4443/x",
            "https://172.17.0.1/x",
            "https://host:4443/x",
            "https://172.17.0.1:4443/",
            "https://172.17.0.1:4443",
            "https://172.17.0.1:4443/a b",
            "https://172.17.0.1:4443/a\r\nHost: x",
            "https://172.17.0.1:4443/../x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_status_is_read_and_nothing_behind_the_head() {
        let mut answer: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nrest";
        assert_eq!(status(&mut answer).unwrap(), Some(101));
        assert_eq!(answer, b"rest");
        assert_eq!(status(&mut &b"HTTP/1.1 410"[..]).unwrap(), None);
        assert_eq!(status(&mut &b"SSH-2.0 x\r\n\r\n"[..]).unwrap(), None);
        assert_eq!(status(&mut [b'a'; 9000].as_slice()).unwrap(), None);
    }
}
