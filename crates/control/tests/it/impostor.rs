//! Somebody with a certificate of the right root for the broker's name, which is not the broker's: a container that has come
//! to it, say. No client says anything to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls_pki_types::PrivateKeyDer;
use sealock_control::client::login::{LoginServer, renew_login};
use sealock_control::command::SecretText;
use sealock_control::forward::{Asker, ForwardOptions, ServiceAt, Site, forward};
use sealock_control::guard::{IdentityFolder, Link};
use sealock_control::{Command, ErrorCode, ServiceError};
use sealock_core::SecretBytes;
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, server_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);
const HOST: &str = "spiffe://t.sealock/host/h1";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, "t.sealock");
    params.distinguished_name.push(DnType::CommonName, "Sealock Root CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(authority: &Authority, uris: &[&str]) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(*uri).unwrap()));
    }
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// Everything that somebody has said after a handshake.
type Heard = Arc<Mutex<Vec<String>>>;

/// Says its root to everybody, and no to everything else.
async fn server(authority: &Authority, uris: &[&str]) -> (SocketAddr, Heard) {
    let (certificate, key) = leaf(authority, uris);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let certificate = LiveCertificate::new(vec![certificate.der().clone()], key).unwrap();
    let server = LiveServer::new(server_config(certificate, &ClientAuth::None).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, root, heard) =
        (listener.local_addr().unwrap(), authority.pem(), Heard::default());
    let told = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = server.accept(stream, PATIENCE).await else { continue };
            let mut head = [0; 4096];
            let Ok(read @ 1..) = stream.read(&mut head).await else { continue };
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let (status, body) = match head.starts_with("GET /ca.crt ") {
                true => ("200 OK", root.as_str()),
                false => ("404 Not Found", ""),
            };
            told.lock().push(head);
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, heard)
}

/// The files of a client.
struct Client {
    folder: tempfile::TempDir,
}

impl Client {
    fn new(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = leaf(authority, &["spiffe://t.sealock/human/jo"]);
        let files = [
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
            ("ca.crt", authority.pem()),
            ("secret", "a secret\n".to_owned()),
        ];
        for (file, text) in files {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        Self { folder }
    }

    fn identity(&self) -> IdentityFolder {
        IdentityFolder(self.folder.path().to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn login(address: &str, ca: &Path) -> ServiceError {
    let server = LoginServer::with_ca(address.to_owned(), ca).await.unwrap();
    server.begin(Some("jo")).await.unwrap_err()
}

async fn enrol(address: &str, ca: &Path) -> ServiceError {
    let server = LoginServer::with_ca(address.to_owned(), ca).await.unwrap();
    let code = SecretText::new(SecretBytes::new(b"a code".to_vec())).unwrap();
    server.enrol(&code).await.unwrap_err()
}

/// By a login's own way to know the root.
async fn login_by_fingerprint(address: &str, authority: &Authority) -> ServiceError {
    let fingerprint = digest(&SHA256, authority.der()).as_ref().try_into().unwrap();
    let server = LoginServer::with_fingerprint(address.to_owned(), fingerprint).await.unwrap();
    server.begin(Some("jo")).await.unwrap_err()
}

/// A call through a Forwarder that asks for tokens and the directory with a client's secret; the status.
async fn call_with_secret(address: &str, client: &Client) -> String {
    let asker = Asker::Secret {
        address: address.to_owned(),
        client: "shop".to_owned(),
        secret: client.file("secret"),
        ca: client.file("ca.crt"),
        trust_domain: "t.sealock".parse().unwrap(),
    };
    let services = vec![ServiceAt {
        name: "orders".to_owned(),
        instances: vec!["127.0.0.1:1".to_owned()],
        plain: true,
        ..ServiceAt::default()
    }];
    let forwarding = forward(ForwardOptions {
        proxy: Some("127.0.0.1:0".parse().unwrap()),
        sites: vec![Site { asker, identity: None, services, learn: true }],
        ..ForwardOptions::default()
    })
    .await
    .unwrap();
    let (proxy, end) = (forwarding.proxy.unwrap(), forwarding.shutdown());
    let running = tokio::spawn(forwarding.run());
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let text = "GET http://orders/v1/a HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    end.trigger();
    running.await.unwrap().unwrap();
    answer[9..12].to_owned()
}

fn is_no_broker(error: &ServiceError, what: &str) {
    assert_eq!(error.code, ErrorCode::Unavailable, "{what}: {error:?}");
    assert!(error.message.ends_with("is not the broker"), "{what}: {error:?}");
    assert!(error.hint.as_ref().unwrap().contains("/host/"), "{what}: {error:?}");
}

#[tokio::test]
async fn who_has_the_brokers_name_and_is_no_host_is_told_nothing() {
    let authority = authority();
    let client = Client::new(&authority);
    let service = "spiffe://t.sealock/service/web";
    for uris in [&[service][..], &[], &["spiffe://t.sealock/human/admin"], &[HOST, service]] {
        let (at, heard) = server(&authority, uris).await;
        let address = format!("localhost:{}", at.port());
        let link = Link::Https(address.clone(), client.identity());
        is_no_broker(&link.call(&Command::Whoami).await.unwrap_err(), "a call");
        is_no_broker(&login(&address, &client.file("ca.crt")).await, "a login");
        is_no_broker(&enrol(&address, &client.file("ca.crt")).await, "a code");
        let renewed = renew_login(&address, &client.identity()).await;
        is_no_broker(&renewed.map(drop).unwrap_err(), "a renewal");
        assert_eq!(call_with_secret(&address, &client).await, "503");
        assert_eq!(*heard.lock(), [""; 0], "{uris:?}");
        // Of the first contact the root is taken, and nothing said.
        is_no_broker(&login_by_fingerprint(&address, &authority).await, "a fingerprint");
        let heard = heard.lock();
        assert!(heard.len() == 1 && heard[0].starts_with("GET /ca.crt "), "{heard:?}");
    }
}

#[tokio::test]
async fn a_host_of_another_trust_domain_is_told_nothing_by_who_knows_their_own() {
    let authority = authority();
    let client = Client::new(&authority);
    let (at, heard) = server(&authority, &["spiffe://t2.sealock/host/h1"]).await;
    let address = format!("localhost:{}", at.port());
    let link = Link::Https(address.clone(), client.identity());
    is_no_broker(&link.call(&Command::Whoami).await.unwrap_err(), "a call");
    let renewed = renew_login(&address, &client.identity()).await;
    is_no_broker(&renewed.map(drop).unwrap_err(), "a renewal");
    assert_eq!(call_with_secret(&address, &client).await, "503");
    assert_eq!(*heard.lock(), [""; 0]);
}

#[tokio::test]
async fn a_host_under_the_name_that_was_dialled_is_spoken_to() {
    let authority = authority();
    let client = Client::new(&authority);
    let (at, heard) = server(&authority, &[HOST]).await;
    let address = format!("localhost:{}", at.port());
    let link = Link::Https(address.clone(), client.identity());
    link.call(&Command::Whoami).await.unwrap_err();
    login(&address, &client.file("ca.crt")).await;
    enrol(&address, &client.file("ca.crt")).await;
    renew_login(&address, &client.identity()).await.map(drop).unwrap_err();
    assert_eq!(call_with_secret(&address, &client).await, "503");
    assert!(heard.lock().len() >= 5, "{:?}", heard.lock());
    let elsewhere = format!("127.0.0.1:{}", at.port());
    let before = heard.lock().len();
    login(&elsewhere, &client.file("ca.crt")).await;
    assert_eq!(heard.lock().len(), before, "it is another name");
}
