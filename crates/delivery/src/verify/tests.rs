use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SerialNumber};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().der().clone();
    Authority { issuer: Issuer::new(params, key), root }
}

fn config(
    authority: &Authority,
    name: &str,
    serial: &[u8],
    versions: &[&'static SupportedProtocolVersion],
    ask_client: bool,
) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    let leaf = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = if ask_client {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root.clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(clients.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(vec![leaf], key).unwrap()
}

/// Serves one connection with `serve`, on a thread; the port.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    port
}

fn tls_server(config: ServerConfig) -> u16 {
    server(move |mut stream| {
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                return;
            }
        }
        let mut rest = Vec::new();
        let _ = rustls::Stream::new(&mut connection, &mut stream).read_to_end(&mut rest);
    })
}

fn question(authority: &Authority, port: u16, name: &str) -> Question {
    Question {
        port,
        server_name: ServerName::try_from(name.to_owned()).unwrap(),
        anchors: vec![authority.root.clone()],
        now: UnixTime::now(),
        deadline: Duration::from_secs(5),
    }
}

async fn see(question: Question) -> Result<Seen, VerifyError> {
    look_at(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], question).await
}

#[tokio::test]
async fn the_serial_is_seen_whatever_the_version_and_the_wish_for_a_client_certificate() {
    let authority = authority();
    let thirteen: &[_] = &[&rustls::version::TLS13];
    let twelve: &[_] = &[&rustls::version::TLS12];
    for (versions, ask_client) in
        [(thirteen, false), (thirteen, true), (twelve, false), (twelve, true)]
    {
        // The high bit makes DER prepend a zero byte; container names have underscores.
        let config = config(&authority, "my_shop", &[0xab, 0x01, 0x02], versions, ask_client);
        let port = tls_server(config);
        let seen = see(question(&authority, port, "my_shop")).await.unwrap();
        assert_eq!(seen.serial, "ab0102", "{versions:?} {ask_client}");
        assert_eq!(seen.chain, Ok(()), "{versions:?} {ask_client}");
        assert_eq!(seen.address.port(), port);
    }
}

#[tokio::test]
async fn a_chain_of_somebody_else_or_for_another_name_is_told() {
    let (ours, theirs) = (authority(), authority());
    let port = tls_server(config(&theirs, "shop", &[7], rustls::ALL_VERSIONS, false));
    let seen = see(question(&ours, port, "shop")).await.unwrap();
    assert_eq!(seen.serial, "07");
    assert!(seen.chain.is_err());

    let port = tls_server(config(&ours, "shop", &[7], rustls::ALL_VERSIONS, false));
    let seen = see(question(&ours, port, "other")).await.unwrap();
    assert!(seen.chain.unwrap_err().contains("shop"));

    let port = tls_server(config(&ours, "shop", &[7], rustls::ALL_VERSIONS, false));
    let mut late = question(&ours, port, "shop");
    late.anchors.clear();
    assert!(see(late).await.unwrap().chain.unwrap_err().contains("no trust bundle"));
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told() {
    let authority = authority();
    let port = server(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        let _ = stream.read(&mut [0; 512]);
    });
    let error = see(question(&authority, port, "shop")).await.unwrap_err();
    assert!(matches!(error, VerifyError::Handshake { .. }), "{error:?}");

    let port = server(drop);
    let error = see(question(&authority, port, "shop")).await.unwrap_err();
    assert!(matches!(error, VerifyError::Broken { .. }), "{error:?}");

    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let error = see(question(&authority, free, "shop")).await.unwrap_err();
    assert!(matches!(error, VerifyError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_service_that_drips_bytes_does_not_outlast_the_deadline() {
    let authority = authority();
    // A TLS record of 16 KiB, one byte at a time.
    let port = server(|mut stream| {
        let bytes = [22, 3, 3, 64, 0].into_iter().chain(std::iter::repeat(2));
        for byte in bytes {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut question = question(&authority, port, "shop");
    question.deadline = Duration::from_millis(300);
    let started = std::time::Instant::now();
    let error = see(question).await.unwrap_err();
    assert!(matches!(error, VerifyError::Deadline { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}
