//! A Forwarder whose broker's certificate expires while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_control::forward::{Asker, ForwardOptions, ServiceAt, Site, forward};
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, server_config};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Of a token, in seconds.
const LIFE: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(20);

type Authority = CertifiedIssuer<'static, KeyPair>;
type Leaf = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(authority: &Authority, is_expired: bool) -> Leaf {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let host = Ia5String::try_from("spiffe://t.sealock/host/h1").unwrap();
    params.subject_alt_names.push(SanType::URI(host));
    if is_expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    }
    let key = KeyPair::generate().unwrap();
    let chain = vec![params.signed_by(&key, authority).unwrap().der().clone()];
    (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

async fn head<R: AsyncRead + Unpin>(stream: &mut R) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

#[derive(Default)]
struct Counts {
    /// Times that somebody connected.
    connections: AtomicUsize,
    /// Times that somebody asked for a token after the handshake.
    asked: AtomicUsize,
    /// Times that somebody asked for the directory, with the secret too.
    directory: AtomicUsize,
}

/// Gives a numbered token to whoever asks.
async fn broker(certificate: Arc<LiveCertificate>, counts: Arc<Counts>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = LiveServer::new(server_config(certificate, &ClientAuth::None).unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counts.connections.fetch_add(1, Ordering::SeqCst);
            let Ok(mut stream) = server.accept(stream, PATIENCE).await else { continue };
            let Some(said) = head(&mut stream).await else { continue };
            if said.starts_with("GET /v1/traffic/services HTTP/1.1\r\n") {
                // It says which CAs are revoked; this one has none.
                counts.directory.fetch_add(1, Ordering::SeqCst);
                let none =
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(none).await;
                let _ = stream.shutdown().await;
                continue;
            }
            let number = counts.asked.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(said.starts_with("POST /oauth/token HTTP/1.1\r\n"), "{said}");
            let json = format!("{{\"access_token\":\"token-{number}\",\"expires_in\":{LIFE}}}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{json}",
                json.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// Says back which token it was shown.
async fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while let Some(head) = head(&mut stream).await {
                    let shown = head.lines().find_map(|it| it.strip_prefix("authorization: "));
                    let shown = shown.unwrap_or("nothing");
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{shown}",
                        shown.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

/// Status and body.
async fn call(proxy: SocketAddr) -> (u16, String) {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let text = "GET http://orders/v1/a HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_certificate_has_expired_gets_no_secret_and_calls_go_on() {
    let (authority, folder) = (authority(), tempfile::tempdir().unwrap());
    let (good, expired) = (leaf(&authority, false), leaf(&authority, true));
    let (secret, ca) = (folder.path().join("secret"), folder.path().join("ca.pem"));
    std::fs::write(&secret, "a secret\n").unwrap();
    std::fs::write(&ca, authority.pem()).unwrap();
    let certificate = LiveCertificate::new(good.0.clone(), good.1.clone_key()).unwrap();
    let counts = Arc::new(Counts::default());
    let port = broker(Arc::clone(&certificate), Arc::clone(&counts)).await.port();
    let asker = Asker::Secret {
        address: format!("localhost:{port}"),
        client: "shop".to_owned(),
        secret,
        ca,
        trust_domain: "t.sealock".parse().unwrap(),
    };
    let services = vec![ServiceAt {
        name: "orders".to_owned(),
        instances: vec![service().await.to_string()],
        plain: true,
        ..ServiceAt::default()
    }];
    let forwarding = forward(ForwardOptions {
        proxy: Some("127.0.0.1:0".parse().unwrap()),
        sites: vec![Site { asker, identity: None, services, learn: false }],
        ..ForwardOptions::default()
    })
    .await
    .unwrap();
    let (proxy, end) = (forwarding.proxy.unwrap(), forwarding.shutdown());
    let running = tokio::spawn(forwarding.run());

    let began = Instant::now();
    assert_eq!(call(proxy).await, (200, "Bearer token-1".to_owned()));
    certificate.replace(expired.0, expired.1).unwrap();
    assert_eq!(call(proxy).await, (200, "Bearer token-1".to_owned()));
    let told = counts.directory.load(Ordering::SeqCst);
    // The next one is asked for in vain, and the one that there is goes on.
    while began.elapsed() < Duration::from_secs(LIFE - 2) {
        assert_eq!(call(proxy).await, (200, "Bearer token-1".to_owned()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(counts.connections.load(Ordering::SeqCst) > 1, "it was not asked again");
    assert_eq!(counts.asked.load(Ordering::SeqCst), 1, "it was told a secret");
    assert_eq!(counts.directory.load(Ordering::SeqCst), told, "it was told a secret");
    let until = |status: u16| async move {
        let end = Instant::now() + PATIENCE;
        loop {
            let (is, body) = call(proxy).await;
            if is == status {
                return body;
            }
            assert!(Instant::now() < end, "{is}: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let body = until(503).await;
    assert!(body.contains("no_token") && began.elapsed() >= Duration::from_secs(LIFE), "{body}");
    certificate.replace(good.0, good.1).unwrap();
    assert_eq!(until(200).await, "Bearer token-2");
    end.trigger();
    running.await.unwrap().unwrap();
}
