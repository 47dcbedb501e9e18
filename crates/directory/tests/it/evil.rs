//! Servers that mean no good, scripted byte for byte.

use std::time::Duration;

use sealock_core::SecretBytes;
use sealock_directory::{
    Bind, Deadlines, DirectoryError, LONGEST_MESSAGE, Publication, Standing, Target, publish,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::pki::Pki;

const DN: &str = "cn=web,dc=x";

/// What a script says to each request, until it has nothing more to say. It returns all that it was sent.
type Script = Vec<Vec<u8>>;

async fn serve(script: Script) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for answer in script {
            hear(&mut stream, &mut heard).await;
            let _ = stream.write_all(&answer).await;
        }
        while hear(&mut stream, &mut heard).await {}
        heard
    });
    (port, heard)
}

async fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 4096];
    match stream.read(&mut bytes).await {
        Ok(0) | Err(_) => false,
        Ok(length) => {
            heard.extend_from_slice(&bytes[..length]);
            true
        }
    }
}

fn target(port: u16) -> Target {
    let short = Duration::from_secs(5);
    Target {
        location: format!("ldap://127.0.0.1:{port}").parse().unwrap(),
        start_tls: false,
        dangerous_plain: false,
        local_allowed: true,
        roots: Pki::new().roots(),
        bind: Bind::Anonymous,
        deadlines: Deadlines { connect: short, operation: short, ..Deadlines::default() },
    }
}

async fn asked(target: &Target) -> DirectoryError {
    let dn = DN.parse().unwrap();
    let publication = Publication { dn, wanted: Some(b"certificate".to_vec()), create: None };
    publish(target, &publication, &|_| Ok(Standing::Foreign)).await.unwrap_err()
}

async fn answered(script: Script) -> DirectoryError {
    let (port, _) = serve(script).await;
    asked(&target(port)).await
}

/// `LDAPResult` of the operation with this tag.
fn ended(id: u8, tag: u8, code: u8) -> Vec<u8> {
    vec![0x30, 12, 2, 1, id, tag, 7, 10, 1, code, 4, 0, 4, 0]
}

fn extended(id: u8, code: u8) -> Vec<u8> {
    ended(id, 0x78, code)
}

/// An entry with this certificate.
fn entry(id: u8, value: &[u8]) -> Vec<u8> {
    let element = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let mut bytes = vec![tag, u8::try_from(content.len()).unwrap()];
        bytes.extend(content);
        bytes
    };
    let values = element(0x31, &[&element(4, &[value])]);
    let attribute = element(0x30, &[&element(4, &[b"userCertificate;binary"]), &values]);
    let found = element(0x64, &[&element(4, &[DN.as_bytes()]), &element(0x30, &[&attribute])]);
    element(0x30, &[&[2, 1, id], &found])
}

#[tokio::test]
async fn huge_answers_are_not_waited_for() {
    // Four bytes of length: 4 GiB are announced.
    let error = answered(vec![vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]]).await;
    assert!(matches!(error, DirectoryError::TooLong { limit: LONGEST_MESSAGE }), "{error}");
    let announced = vec![0x30, 0x83, 0x10, 0, 1];
    let error = answered(vec![announced]).await;
    assert!(matches!(error, DirectoryError::TooLong { .. }), "{error}");
    let many = entry(1, b"x").repeat(100);
    let error = answered(vec![many]).await;
    assert!(matches!(error, DirectoryError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"220 mail.example ESMTP\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        vec![0x30, 0x80, 0, 0],
        // a message of nothing, and one of another request
        vec![0x30, 0],
        ended(9, 0x65, 0),
        // the answer of another operation, and to the reading none at all
        ended(1, 0x67, 0),
        ended(1, 0x65, 0),
    ] {
        let error = answered(vec![garbage.clone()]).await;
        assert!(matches!(error, DirectoryError::Protocol { .. }), "{garbage:?}: {error}");
    }
    let (port, heard) = serve(Vec::new()).await;
    drop(heard);
    let mut late = target(port);
    late.deadlines.operation = Duration::from_millis(200);
    assert!(matches!(asked(&late).await, DirectoryError::Late { .. }));
}

/// Byte by byte, so that no single read is late.
#[tokio::test]
async fn an_answer_that_trickles_is_late_as_a_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let trickle = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let announced = [0x30, 0x82, 0x10, 0];
        let _ = stream.write_all(&announced).await;
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut late = target(port);
    late.deadlines.operation = Duration::from_millis(400);
    assert!(matches!(asked(&late).await, DirectoryError::Late { .. }));
    trickle.abort();
}

/// Always a moment before the deadline of the operation, and again from the beginning.
#[tokio::test]
async fn a_server_that_uses_every_deadline_up_is_late_as_a_whole() {
    let (port, _) = serve(vec![ended(1, 0x61, 0)]).await;
    let mut slow = target(port);
    let (dn, password) = ("cn=me".parse().unwrap(), SecretBytes::new(b"pw".to_vec()));
    slow.bind = Bind::Simple { dn, password };
    slow.deadlines.whole = Duration::from_millis(300);
    let error = asked(&slow).await;
    assert!(matches!(error, DirectoryError::Late { .. }), "{error}");
    assert!(error.may_have_changed() && error.may_pass());
}

#[tokio::test]
async fn referrals_are_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ldap://{}/", elsewhere.local_addr().unwrap());
    let referral = [
        &[0xa3, u8::try_from(url.len() + 2).unwrap(), 4],
        &[u8::try_from(url.len()).unwrap()][..],
        url.as_bytes(),
    ]
    .concat();
    let mut result = vec![10, 1, 10, 4, 0, 4, 0];
    result.extend(referral);
    let mut operation = vec![2, 1, 1, 0x65, u8::try_from(result.len()).unwrap()];
    operation.extend(result);
    let mut message = vec![0x30, u8::try_from(operation.len()).unwrap()];
    message.extend(operation);
    let error = answered(vec![message]).await;
    assert!(matches!(error, DirectoryError::Referral { .. }), "{error}");
    // As a reference among the results, too.
    let reference = vec![0x30, 3 + 2 + 4, 2, 1, 1, 0x73, 4, 4, 2, b'x', b'y'];
    let error = answered(vec![reference]).await;
    assert!(matches!(error, DirectoryError::Referral { .. }), "{error}");
    assert!(error.hint().unwrap().contains("URL of the server"));
    let dialled = tokio::time::timeout(Duration::from_millis(200), elsewhere.accept()).await;
    assert!(dialled.is_err(), "somebody followed it");
}

/// Whoever is on the way puts answers behind the one to StartTLS, in the hope that they are read after the handshake: a
/// bind that has succeeded, an entry of which things are to be taken out.
#[tokio::test]
async fn what_comes_before_tls_is_not_read_after_it() {
    let mut injected = extended(1, 0);
    injected.extend(ended(2, 0x61, 0));
    injected.extend(entry(3, b"ours"));
    injected.extend(ended(3, 0x65, 0));
    let (port, heard) = serve(vec![injected]).await;
    let mut target = target(port);
    target.start_tls = true;
    let (dn, password) = ("cn=me".parse().unwrap(), SecretBytes::new(b"open sesame".to_vec()));
    target.bind = Bind::Simple { dn, password };
    let error = asked(&target).await;
    assert!(matches!(error, DirectoryError::Handshake { .. }), "{error}");
    let heard = heard.await.unwrap();
    let contains = |needle: &[u8]| heard.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"1.3.6.1.4.1.1466.20037"), "StartTLS was asked for");
    assert!(!contains(b"open sesame") && !contains(b"cn=web"), "and nothing else in the clear");
}

#[tokio::test]
async fn no_start_tls_means_nothing_more_is_said() {
    let (port, heard) = serve(vec![extended(1, 2)]).await;
    let mut target = target(port);
    target.start_tls = true;
    let (dn, password) = ("cn=me".parse().unwrap(), SecretBytes::new(b"open sesame".to_vec()));
    target.bind = Bind::Simple { dn, password };
    let error = asked(&target).await;
    assert!(matches!(error, DirectoryError::NoStartTls { .. }), "{error}");
    let heard = heard.await.unwrap();
    assert!(!heard.windows(11).any(|window| window == b"open sesame"));
}

#[tokio::test]
async fn a_notice_of_disconnection_ends_it() {
    let mut notice = extended(0, 52);
    notice.extend(ended(1, 0x65, 0));
    let error = answered(vec![notice]).await;
    assert!(matches!(error, DirectoryError::Disconnects { .. }), "{error}");
    assert!(error.to_string().contains("unavailable"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hang_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        // In the middle of a message.
        let _ = stream.write_all(&[0x30, 12, 2, 1]).await;
    });
    let error = asked(&target(port)).await;
    hang_up.await.unwrap();
    assert!(matches!(error, DirectoryError::Broken { .. }), "{error}");
}

/// To the kernel, "no address" is loopback. Who asks from elsewhere learns nothing of what listens there: one error for
/// a port that is open and for one that is not.
#[tokio::test]
async fn this_host_is_not_dialled_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]"] {
        let mut said = Vec::new();
        for port in [open, 1] {
            let mut target = target(port);
            target.location = format!("ldap://{host}:{port}").parse().unwrap();
            (target.dangerous_plain, target.local_allowed) = (true, false);
            let error = asked(&target).await;
            assert!(matches!(error, DirectoryError::Local(_)), "{host}: {error}");
            assert!(!error.may_pass() && !error.may_have_changed());
            said.push(error.to_string().replace(&format!(":{port} "), " "));
        }
        assert_eq!(said[0], said[1]);
    }
    let dialled = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(dialled.is_err(), "somebody dialled it");
}

/// Over a network nothing goes without TLS, however it is spelt; nobody is dialled to find that out.
#[tokio::test]
async fn plain_ldap_is_for_this_host() {
    for url in ["ldap://192.0.2.1", "ldap://directory.corp.example", "ldap://[2001:db8::1]"] {
        let mut target = target(1);
        target.location = url.parse().unwrap();
        let error = asked(&target).await;
        assert!(matches!(error, DirectoryError::Plain(_)), "{url}: {error}");
        assert!(error.hint().unwrap().contains("ldaps://"));
        target.dangerous_plain = true;
        assert!(target.check().is_ok());
    }
}
