//! Engines that are away, silent or behind TLS. No Docker is needed but for the last test.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use sealock_engine::{Engine, EngineError, EngineUrl, ExecRequest, TlsFiles};
use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::Image;
use sealock_testkit::scratch_folder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, rustls};

async fn connect(url: &str) -> EngineError {
    Engine::connect(&url.parse().unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn where_nothing_listens_is_said() {
    let folder = scratch_folder();
    let socket = folder.path().join("docker.sock");
    let url = format!("unix://{}", socket.display());
    let missing = connect(&url).await;
    assert!(matches!(missing, EngineError::NoSocket { .. }), "{missing:?}");
    assert!(missing.is_away());
    // The file is there, but nobody behind it: an engine that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let dead = connect(&url).await;
    assert!(matches!(dead, EngineError::Unreachable { .. }), "{dead:?}");

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = connect(&format!("tcp://127.0.0.1:{port}")).await;
    assert!(matches!(refused, EngineError::Unreachable { .. }), "{refused:?}");
}

#[test]
fn a_socket_of_others_is_said_to_be_one() {
    if skip_without_root() {
        return;
    }
    let folder = scratch_folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Only this thread becomes somebody else, and it ends with the test.
    let refused = std::thread::spawn(move || {
        rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(65534)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(connect(&format!("unix://{}", socket.display())))
    })
    .join()
    .unwrap();
    assert!(matches!(refused, EngineError::PermissionDenied { .. }), "{refused:?}");
}

/// Answers each connection with these bytes and closes it, or keeps it open without a word.
async fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Some(answer) = answer {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            } else {
                open.push(stream);
            }
        }
    });
    url
}

#[tokio::test(start_paused = true)]
async fn a_silent_engine_is_given_up() {
    let silent = connect(&server(None).await).await;
    assert!(matches!(silent, EngineError::Deadline { .. }), "{silent:?}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_said() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "SSH-2.0-x\r\n"] {
        let error = connect(&server(Some(answer)).await).await;
        assert!(matches!(error, EngineError::BadAnswer { .. }), "{answer:?}: {error:?}");
    }
    let forbidden = "HTTP/1.1 403 Forbidden\r\ncontent-length: 18\r\n\r\n{\"message\":\"rule\"}";
    let error = connect(&server(Some(forbidden)).await).await;
    assert!(matches!(error, EngineError::Refused { status: 403, .. }), "{error:?}");
    assert!(error.to_string().contains("rule"));
}

#[tokio::test]
async fn the_end_of_events_comes_once_and_typed() {
    let stream = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a";
    for answer in [stream, cut] {
        let url: EngineUrl = server(Some(answer)).await.parse().unwrap();
        let engine = Engine::without_connecting(&url).unwrap();
        let seen: Vec<_> = engine.events(None).collect().await;
        assert!(matches!(seen.as_slice(), [Err(EngineError::EventsEnded)]), "{seen:?}");
    }
}

struct Ca {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: rcgen::CertifiedIssuer::self_signed(parameters, key).unwrap() }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// `ca.pem`, `cert.pem` and `key.pem` of a client.
    fn client(&self, folder: &Path) {
        let (certificate, key) = self.issue("client");
        std::fs::write(folder.join("ca.pem"), self.issuer.pem()).unwrap();
        std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    }

    /// A server that demands certificates of this CA and passes everything on to the real engine's
    /// socket, both directions closing on their own.
    async fn gateway(&self) -> String {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let (certificate, key) = self.issue("localhost");
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let Ok(mut inner) = UnixStream::connect("/var/run/docker.sock").await else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        format!("tcp://localhost:{port}")
    }
}

#[tokio::test]
async fn only_the_given_ca_is_trusted() {
    let (ours, theirs) = (Ca::new(), Ca::new());
    let folder = scratch_folder();
    ours.client(folder.path());
    let files = TlsFiles::in_folder(folder.path());
    let url = EngineUrl::parse(&theirs.gateway().await, Some(files.clone())).unwrap();
    let refused = Engine::connect(&url).await.unwrap_err();
    assert!(matches!(refused, EngineError::Unreachable { .. }), "{refused:?}");

    std::fs::write(&files.key, "no key").unwrap();
    let bad = Engine::connect(&url).await.unwrap_err();
    assert!(matches!(&bad, EngineError::TlsContent { path, .. } if *path == files.key), "{bad:?}");
    ours.client(folder.path());
    std::fs::write(&files.ca, "").unwrap();
    let bad = Engine::connect(&url).await.unwrap_err();
    assert!(matches!(&bad, EngineError::TlsContent { path, .. } if *path == files.ca), "{bad:?}");
    std::fs::remove_file(&files.ca).unwrap();
    let bad = Engine::connect(&url).await.unwrap_err();
    assert!(matches!(&bad, EngineError::TlsFile { path, .. } if *path == files.ca), "{bad:?}");
}

#[tokio::test]
async fn commands_run_over_tls_with_their_input_closed_first() {
    if skip_without_engine() {
        return;
    }
    let ca = Ca::new();
    let folder = scratch_folder();
    ca.client(folder.path());
    let files = TlsFiles::in_folder(folder.path());
    let url = EngineUrl::parse(&ca.gateway().await, Some(files)).unwrap();
    let engine = Engine::connect(&url).await.unwrap();
    assert!(!engine.is_local());
    let image = Image::busybox();
    let container = image.start(&[]);
    let request = ExecRequest {
        argv: ["sh", "-c", "wc -c; exit 4"].map(str::to_owned).to_vec(),
        user: None,
        stdin: true,
    };
    let patience = Duration::from_secs(30);
    let ran = engine.run(container.id(), &request, &[7; 500_000], patience, 100).await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_slice()), (4, &b"500000\n"[..]));
}
