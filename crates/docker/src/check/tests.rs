//! Against servers of our own; `tests/check.rs` has real daemons.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::{Clock, SystemClock};
use sealock_net::tls::{ClientAuth, LiveCertificate, server_config};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::daemon::scratch::{Authority, For, Leaf};

const OK: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";
const NO: &str = "a client certificate is required";

/// How a server of ours speaks.
#[derive(Clone)]
enum Speaks {
    /// To nobody.
    Nothing,
    /// Plain HTTP.
    Http,
    /// TLS; who shows no certificate is answered 400.
    Tls(Arc<ServerConfig>),
}

async fn serve(speaks: Speaks) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let speaks = speaks.clone();
            tokio::spawn(async move {
                match speaks {
                    Speaks::Nothing => std::future::pending().await,
                    Speaks::Http => answer(&mut stream, OK).await,
                    Speaks::Tls(config) => {
                        let accepted = TlsAcceptor::from(config).accept(stream).await;
                        let Ok(mut stream) = accepted else { return };
                        let known = stream.get_ref().1.peer_certificates().is_some();
                        let body = format!("{{\"message\":\"{NO}\"}}");
                        let refusal = format!("HTTP/1.1 400 Bad Request\r\n\r\n{body}");
                        answer(&mut stream, if known { OK } else { &refusal }).await;
                    }
                }
            });
        }
    });
    endpoint
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, text: &str) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

fn identity(leaf: &Leaf) -> ClientIdentity {
    ClientIdentity::from_pem(leaf.certificate.as_bytes(), &leaf.key).unwrap()
}

fn tls(authority: &Authority, clients: &ClientAuth) -> Speaks {
    let leaf = authority.leaf(For::Server, &["127.0.0.1", "docker.test"]);
    let key = PrivateKeyDer::from_pem_slice(leaf.key.expose()).unwrap();
    let certificate = LiveCertificate::new(ders(&leaf.certificate), key).unwrap();
    Speaks::Tls(Arc::new(server_config(certificate, clients).unwrap()))
}

fn probes(authority: &Authority) -> Probes {
    Probes {
        ca: ders(&authority.pem()),
        valid: Some(identity(&authority.leaf(For::Client, &["me.test"]))),
        gateway_message: Some(NO.to_owned()),
        ..Probes::new(SystemClock.now())
    }
}

#[tokio::test]
async fn a_gateway_is_known_by_its_message() {
    let authority = Authority::named("a");
    let clients = ClientAuth::Optional(ders(&authority.pem()));
    let endpoint = serve(tls(&authority, &clients)).await;
    let report = check(&endpoint, &probes(&authority)).await.unwrap();
    assert_eq!(report.mode, Mode::Gateway, "{report}");
    assert!(!report.stranger_gets_in(), "{report}");
    assert!(report.outcome(Probe::TlsValid).unwrap().is_accepted(), "{report}");
    let connects: Vec<_> = report.clients.iter().map(|client| client.connects).collect();
    assert_eq!(connects, [Some(false), Some(true), Some(false), Some(true)], "{report}");
    // The same answer is somebody else's when the text is not ours.
    let other = Probes { gateway_message: Some("x".to_owned()), ..probes(&authority) };
    assert_eq!(check(&endpoint, &other).await.unwrap().mode, Mode::Tlsverify);
}

#[tokio::test]
async fn what_an_impostor_and_a_wrong_name_are_worth_is_said() {
    let (ours, theirs) = (Authority::named("same name"), Authority::named("same name"));
    let endpoint = serve(tls(&theirs, &ClientAuth::Required(ders(&ours.pem())))).await;
    let report = check(&endpoint, &probes(&ours)).await.unwrap();
    let server = report.server.as_ref().unwrap();
    assert_eq!(server.verified, Some(false), "{report}");
    assert!(server.name_matches && server.key_proven, "{report}");
    assert_eq!(server.issuer, "CN=same name");
    assert_eq!(server.days_left, 89);
    assert_eq!(report.clients[3].connects, Some(false), "{report}");
    assert_eq!(report.clients[1].connects, Some(true), "{report}");
    let port = endpoint.to_string().rsplit_once(':').unwrap().1.to_owned();
    let elsewhere: Endpoint = format!("https://localhost:{port}").parse().unwrap();
    let report = check(&elsewhere, &probes(&theirs)).await.unwrap();
    let server = report.server.as_ref().unwrap();
    assert_eq!((server.verified, server.name_matches), (Some(true), false), "{report}");
}

#[tokio::test]
async fn a_stranger_of_the_same_names_is_not_the_one_it_imitates() {
    let authority = Authority::named("a");
    let probes = probes(&authority);
    let stranger = identity::stranger(&probes).unwrap();
    let facts =
        |chain: &[CertificateDer<'_>]| crate::daemon::certificate::Facts::read(&chain[0]).unwrap();
    let (own, valid) = (facts(&stranger.chain), facts(&probes.valid.as_ref().unwrap().chain));
    assert_eq!(own.issuer_der, valid.issuer_der);
    assert_eq!(own.names, valid.names);
    let endpoint = serve(tls(&authority, &ClientAuth::Required(probes.ca.clone()))).await;
    let report = check(&endpoint, &probes).await.unwrap();
    assert!(
        matches!(report.outcome(Probe::TlsStranger), Some(Outcome::Refused { .. })),
        "{report}"
    );
}

#[tokio::test]
async fn a_silent_endpoint_is_let_go() {
    let endpoint = serve(Speaks::Nothing).await;
    let probes = Probes { deadline: Duration::from_secs(1), ..Probes::new(SystemClock.now()) };
    let report = check(&endpoint, &probes).await.unwrap();
    assert_eq!(report.mode, Mode::Unknown);
    assert!(report.probes.iter().all(|tried| tried.outcome == Outcome::TimedOut), "{report}");
    assert!(!report.stranger_gets_in());
}

#[tokio::test]
async fn plain_http_lets_anybody_in_and_no_client_with_tls_flags() {
    let authority = Authority::named("a");
    let endpoint = serve(Speaks::Http).await;
    let report = check(&endpoint, &probes(&authority)).await.unwrap();
    assert_eq!(report.mode, Mode::Plain);
    assert!(report.stranger_gets_in());
    assert_eq!(report.outcome(Probe::TlsValid), Some(&Outcome::NotTls), "{report}");
    assert!(report.clients.iter().all(|client| client.connects == Some(false)), "{report}");
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: Endpoint = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = check(&endpoint, &Probes::new(SystemClock.now())).await.unwrap_err();
    assert!(matches!(error, CheckError::Connect { .. }));
}

#[test]
fn endpoints_are_read_strictly() {
    for (text, read) in [
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        ("tcp://[::1]:2376", "tcp://[::1]:2376"),
        ("http://docker.test", "tcp://docker.test:2375"),
        ("https://docker.test/", "tcp://docker.test:2376"),
        ("https://[::1]", "tcp://[::1]:2376"),
        ("https://10.0.0.1:4242", "tcp://10.0.0.1:4242"),
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), read);
    }
    for text in ["docker.test:2376", "unix://docker.sock", "tcp://h", "ssh://h:22", "http://h/v1"] {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}
