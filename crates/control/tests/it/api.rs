//! HTTPS: who gets in, what they get, and how long.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sealock_control::api::error_of;
use sealock_control::command::{Files, Issue, Names, TrustAdd};
use sealock_control::daemon::{Daemon, up};
use sealock_control::{Command, ErrorCode, Reply};
use sealock_core::IdentityKind;
use sealock_core::audit::Fact;
use sealock_net::tls::client_config;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::scratch::{Scratch, call, issue, records};

pub(crate) type Sender = SendRequest<Full<Bytes>>;

pub(crate) async fn connect(
    daemon: &Daemon,
    roots: &str,
    identity: Option<(&[u8], &[u8])>,
) -> std::io::Result<Sender> {
    let certificates = |pem: &[u8]| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap()
    };
    let identity = identity
        .map(|(chain, key)| (certificates(chain), PrivateKeyDer::from_pem_slice(key).unwrap()));
    let config = client_config(&certificates(roots.as_bytes()), identity).unwrap();
    let stream = TcpStream::connect(daemon.started().api.as_ref().unwrap()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) async fn send(
    sender: &mut Sender,
    method: &str,
    path: &str,
    body: &str,
) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

pub(crate) async fn ask(
    sender: &mut Sender,
    command: &Command,
) -> Result<Reply, sealock_control::ServiceError> {
    let body = serde_json::to_string(command).unwrap();
    let (status, body) = send(sender, "POST", "/v1/call", &body).await;
    if status.is_success() {
        Ok(serde_json::from_slice(&body).unwrap())
    } else {
        Err(error_of(status.as_u16(), &body))
    }
}

pub(crate) async fn roots(daemon: &Daemon) -> String {
    match call(daemon.service(), Command::CaBundle).await.unwrap() {
        Reply::Bundle(pem) => pem,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn client_of(daemon: &Daemon, identity: &str) -> Files {
    let names = Names { uri: vec![identity.to_owned()], ..Names::default() };
    let order = Issue { name: "client".into(), names, ..Issue::default() };
    match call(daemon.service(), Command::CertIssue(order)).await.unwrap() {
        Reply::Files(files) => *files,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn pair(files: &Files) -> (&[u8], &[u8]) {
    (files.tls_crt.as_bytes(), files.tls_key.as_ref().unwrap().bytes().expose())
}

pub(crate) async fn end(daemon: Daemon) {
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

#[tokio::test]
async fn the_administrators_certificate_opens_the_api() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let roots = roots(&daemon).await;
    let folder = scratch.path().join("identities/admin");
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let (chain, key) = (read("tls.crt"), read("tls.key"));
    let mut admin = connect(&daemon, &roots, Some((&chain, &key))).await.unwrap();
    let Reply::Files(files) = ask(&mut admin, &issue("web")).await.unwrap() else {
        panic!("no files")
    };
    assert!(files.tls_key.is_some());
    let (status, body) = send(&mut admin, "GET", "/metrics", "").await;
    assert_eq!(status, StatusCode::OK);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("sealock_certificates_issued_total"), "{text}");
    assert!(text.contains("sealock_ca_not_after_seconds{certificate=\"root\"}"), "{text}");
    let export = Command::CaExportRootKey { passphrase: None };
    let error = ask(&mut admin, &export).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    assert!(error.causes[0].contains("default.cedar#root-key-stays-here"), "{error:?}");
    end(daemon).await;
}

#[tokio::test]
async fn without_a_certificate_only_what_everybody_may_have() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let roots = roots(&daemon).await;
    let mut anybody = connect(&daemon, &roots, None).await.unwrap();
    assert_eq!(send(&mut anybody, "GET", "/healthz", "").await.0, StatusCode::OK);
    let (status, bundle) = send(&mut anybody, "GET", "/ca.crt", "").await;
    assert_eq!((status, bundle), (StatusCode::OK, Bytes::from(roots)));
    let error = ask(&mut anybody, &Command::CaShow).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthenticated);
    assert_eq!(send(&mut anybody, "GET", "/metrics", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&mut anybody, "GET", "/v1/audit/follow", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&mut anybody, "GET", "/elsewhere", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(&mut anybody, "GET", "/crl/../x.crl", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(&mut anybody, "GET", "/v1/call", "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    end(daemon).await;
}

#[tokio::test]
async fn a_weak_identity_is_denied_and_a_revoked_one_is_out_at_once() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let roots = roots(&daemon).await;
    let files = client_of(&daemon, "spiffe://test.sealock/service/shop").await;
    let mut shop = connect(&daemon, &roots, Some(pair(&files))).await.unwrap();
    let error = ask(&mut shop, &Command::Status).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    assert!(error.message.contains("Status::Read"), "{error}");
    let revoke = Command::CertRevoke { serial: files.serial.clone(), reason: Default::default() };
    call(daemon.service(), revoke).await.unwrap();
    let error = ask(&mut shop, &Command::Status).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthenticated, "on the same connection");
    assert!(error.message.contains("revoked"));
    // A certificate of another authority does not even shake hands.
    let other = Scratch::new();
    let theirs = other.initialised().await;
    let Reply::Files(foreign) = call(&theirs, issue("shop")).await.unwrap() else {
        panic!("no files")
    };
    let refused = match connect(&daemon, &roots, Some(pair(&foreign))).await {
        Err(_) => true,
        // In TLS 1.3 the client learns of the refusal with its first read.
        Ok(mut sender) => {
            let request = Request::get("/healthz").header("host", "x");
            let request = request.body(Full::new(Bytes::new())).unwrap();
            sender.send_request(request).await.is_err()
        }
    };
    assert!(refused);
    end(daemon).await;
}

#[tokio::test]
async fn whoever_is_below_a_revoked_ca_is_out_at_once_and_comes_back_below_its_successor() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let roots = roots(&daemon).await;
    let files = client_of(&daemon, "spiffe://test.sealock/service/shop").await;
    let mut shop = connect(&daemon, &roots, Some(pair(&files))).await.unwrap();
    assert!(matches!(ask(&mut shop, &Command::Whoami).await, Ok(Reply::Whoami(_))));
    let Reply::Ca(ca) = call(daemon.service(), Command::CaShow).await.unwrap() else {
        panic!("no CA")
    };
    let revoke = Command::CaRevoke {
        ca: ca.intermediates[0].id.clone(),
        reason: Default::default(),
        root_key: None,
        passphrase: None,
    };
    call(daemon.service(), revoke).await.unwrap();
    let error = ask(&mut shop, &Command::Whoami).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthenticated, "on the same connection");
    assert!(error.message.contains("revoked"));
    let files = client_of(&daemon, "spiffe://test.sealock/service/shop").await;
    let mut shop = connect(&daemon, &roots, Some(pair(&files))).await.unwrap();
    assert!(matches!(ask(&mut shop, &Command::Whoami).await, Ok(Reply::Whoami(_))));
    end(daemon).await;
}

#[tokio::test]
async fn a_rotated_root_is_trusted_and_served_without_a_restart() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let old_roots = roots(&daemon).await;
    let rotate = Command::CaRotate {
        what: sealock_control::command::RotateWhat::Root,
        root_key: None,
        passphrase: None,
    };
    call(daemon.service(), rotate).await.unwrap();
    let both = roots(&daemon).await;
    assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
    let files = client_of(&daemon, "spiffe://test.sealock/human/admin").await;
    // The listener takes the new root over a moment later.
    let accepted = async {
        loop {
            if let Ok(mut admin) = connect(&daemon, &both, Some(pair(&files))).await {
                let request = Request::get("/healthz").header("host", "x");
                let request = request.body(Full::new(Bytes::new())).unwrap();
                if admin.send_request(request).await.is_ok() {
                    return ask(&mut admin, &Command::CaShow).await;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, accepted).await.unwrap().unwrap();
    connect(&daemon, &old_roots, None).await.expect("who knows only the old root still gets in");
    end(daemon).await;
}

#[tokio::test]
async fn bad_requests_get_problems_that_repeat_nothing() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let stream = UnixStream::connect(&daemon.started().socket).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for body in [
        "",
        "{",
        "{\"command\":\"hunter2\"}",
        "{\"command\":\"ca-rotate\",\"with\":{\"what\":\"root\",\"root_key\":[\"hunter2\"]}}",
        "{\"command\":\"ca-remove-root-key\",\"with\":{\"exported\":\"x\",\"hunter2\":1}}",
    ] {
        let (status, answer) = send(&mut sender, "POST", "/v1/call", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!String::from_utf8_lossy(&answer).contains("hunter2"), "{answer:?}");
        assert_eq!(error_of(400, &answer).code, ErrorCode::Usage);
    }
    let large = "x".repeat(9 << 20);
    let request = Request::post("/v1/call").header("host", "x");
    let request = request.body(Full::new(Bytes::from(large))).unwrap();
    // The answer may come while the body is still being sent, and then the connection goes.
    if let Ok(response) = sender.send_request(request).await {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    end(daemon).await;
}

#[tokio::test]
async fn a_group_gives_its_rights_on_a_connection_that_is_open_and_after_a_restart() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let rule = "permit (principal in Sealock::Group::\"readers\",\n  \
                action == Sealock::Action::\"Status::Read\", resource);\n";
    std::fs::write(scratch.rule_file("readers.cedar"), rule).unwrap();
    call(daemon.service(), Command::PolicyReload).await.unwrap();
    let authority = roots(&daemon).await;
    let files = client_of(&daemon, "spiffe://test.sealock/human/alice").await;
    let mut alice = connect(&daemon, &authority, Some(pair(&files))).await.unwrap();
    let error = ask(&mut alice, &Command::Status).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);

    let add = |name: &str, group: &str| Command::GroupAdd {
        kind: IdentityKind::Human,
        name: name.into(),
        group: group.into(),
    };
    let error = ask(&mut alice, &add("alice", "admin")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied, "nobody makes themselves an administrator");
    // Names that are another's with something behind, or before the separator of the key.
    call(daemon.service(), add("alice2", "admin")).await.unwrap();
    call(daemon.service(), add("alic", "admin")).await.unwrap();
    call(daemon.service(), add("alice", "readers")).await.unwrap();
    let before = daemon.service().journal().last_seq();
    call(daemon.service(), add("alice", "readers")).await.unwrap();
    assert_eq!(daemon.service().journal().last_seq(), before, "again, it changes nothing");
    assert!(ask(&mut alice, &Command::Status).await.is_ok());
    assert_eq!(ask(&mut alice, &issue("x")).await.unwrap_err().code, ErrorCode::Denied);
    drop(alice);
    end(daemon).await;

    let daemon = up(scratch.opening()).await.unwrap();
    let mut alice = connect(&daemon, &authority, Some(pair(&files))).await.unwrap();
    assert!(ask(&mut alice, &Command::Status).await.is_ok());
    let changes: Vec<Fact> = records(daemon.service())
        .into_iter()
        .map(|record| record.event.fact)
        .filter(|fact| matches!(fact, Fact::GroupChanged { member, .. } if member == "human/alice"))
        .collect();
    let wanted = Fact::GroupChanged {
        group: "readers".into(),
        member: "human/alice".into(),
        change: "added".into(),
    };
    assert_eq!(changes, [wanted]);
    end(daemon).await;
}

#[tokio::test]
async fn a_root_of_another_authority_lets_nobody_in() {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair, SanType,
    };
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let own = roots(&daemon).await;
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.distinguished_name.push(DnType::CommonName, "Corp Root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let add = TrustAdd {
        certificate: data_encoding::BASE64.encode(root.der()),
        name: Some("corp".into()),
        intermediate: false,
    };
    call(daemon.service(), Command::TrustAdd(add)).await.unwrap();
    assert_eq!(roots(&daemon).await, own.clone() + &root.pem(), "it is handed out");

    // The other authority says that somebody is our administrator.
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    let admin = "spiffe://test.sealock/human/admin";
    leaf.subject_alt_names.push(SanType::URI(admin.try_into().unwrap()));
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let chain = leaf.signed_by(&key, &root).unwrap().pem();
    let key = key.serialize_pem();
    let identity = Some((chain.as_bytes(), key.as_bytes()));
    let refused = match connect(&daemon, &own, identity).await {
        Err(_) => true,
        // In TLS 1.3 a client learns of it with the first answer.
        Ok(mut sender) => {
            let asked = Request::get("/v1/status").header("host", "localhost");
            let asked = asked.body(Full::new(Bytes::new())).unwrap();
            sender.ready().await.is_err() || sender.send_request(asked).await.is_err()
        }
    };
    assert!(refused, "a certificate of another authority was let in");
    end(daemon).await;
}
