//! tls-alpn-01.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};
use rustls::version::{TLS12, TLS13};

use super::host::{Host, Reply, shown};
use super::*;

const ACME_IDENTIFIER: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 31];

fn hashed() -> Vec<u8> {
    digest(&SHA256, KEY_AUTHORIZATION.as_bytes()).as_ref().to_vec()
}

/// An acmeIdentifier with this inside.
fn extension(content: Vec<u8>, is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(ACME_IDENTIFIER, content);
    extension.set_criticality(is_critical);
    extension
}

fn octets(digest: &[u8]) -> Vec<u8> {
    [&[4, u8::try_from(digest.len()).unwrap()], digest].concat()
}

fn certificate(names: &[&str], extensions: Vec<CustomExtension>) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.custom_extensions = extensions;
    params
}

fn right(names: &[&str]) -> CertificateParams {
    certificate(names, vec![CustomExtension::new_acme_identifier(&hashed())])
}

/// What comes of it when a host shows this, and what it was asked for.
async fn show(params: &CertificateParams, name: &str) -> (Result<(), Failure>, String) {
    let key = KeyPair::generate().unwrap();
    let config = shown(params, &key, &key, &["h2", "acme-tls/1"], &[&TLS13]);
    let mut host = Host::handshakes(config).await;
    let answer = ask(settings(&resolver().await, host.port), Method::TlsAlpn01, name).await;
    (answer, host.seen.recv().await.unwrap())
}

#[tokio::test]
async fn who_shows_such_a_certificate_controls_the_name() {
    for (name, asked_for) in [("a.test", "a.test"), ("127.0.0.1", "1.0.0.127.in-addr.arpa")] {
        let (answer, seen) = show(&right(&[name]), name).await;
        answer.unwrap();
        assert_eq!(seen, format!("{asked_for} acme-tls/1"));
    }
    show(&right(&["A.Test"]), "a.test").await.0.unwrap();
}

#[tokio::test]
async fn keys_and_versions_of_all_kinds_are_taken() {
    for kind in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let (key, other) =
            (KeyPair::generate_for(kind).unwrap(), KeyPair::generate_for(kind).unwrap());
        for version in [&TLS12, &TLS13] {
            let resolver = resolver().await;
            let config = shown(&right(&["a.test"]), &key, &key, &["acme-tls/1"], &[version]);
            let host = Host::handshakes(config).await;
            let answer = ask(settings(&resolver, host.port), Method::TlsAlpn01, "a.test").await;
            answer.unwrap_or_else(|error| panic!("{kind:?} {version:?} {error}"));
            // The certificate is public once it was shown: its key is what counts.
            let config = shown(&right(&["a.test"]), &key, &other, &["acme-tls/1"], &[version]);
            let host = Host::handshakes(config).await;
            let answer = ask(settings(&resolver, host.port), Method::TlsAlpn01, "a.test").await;
            assert_eq!(super::kind(answer), "tls", "{kind:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn another_certificate_shows_nothing() {
    let acme = || vec![CustomExtension::new_acme_identifier(&hashed())];
    let (mut other, mut short) = (hashed(), hashed());
    other[31] ^= 1;
    short.pop();
    let mut with_address = right(&["a.test"]);
    with_address.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    let twice = || extension(octets(&hashed()), true);
    for (params, name, expected) in [
        (certificate(&["a.test"], Vec::new()), "a.test", "incorrectResponse"),
        (
            certificate(&["a.test"], vec![extension(octets(&hashed()), false)]),
            "a.test",
            "incorrectResponse",
        ),
        (certificate(&["a.test"], vec![twice(), twice()]), "a.test", "incorrectResponse"),
        (certificate(&["a.test"], vec![extension(octets(&other), true)]), "a.test", "unauthorized"),
        (certificate(&["a.test"], vec![extension(octets(&short), true)]), "a.test", "unauthorized"),
        (certificate(&["a.test"], vec![extension(hashed(), true)]), "a.test", "unauthorized"),
        (
            certificate(&["a.test"], vec![extension([octets(&hashed()), vec![0]].concat(), true)]),
            "a.test",
            "unauthorized",
        ),
        (certificate(&["a.test", "b.test"], acme()), "a.test", "incorrectResponse"),
        (certificate(&["b.test", "a.test"], acme()), "a.test", "incorrectResponse"),
        (certificate(&["a.test", "a.test"], acme()), "a.test", "incorrectResponse"),
        (with_address, "a.test", "incorrectResponse"),
        (certificate(&[], acme()), "a.test", "incorrectResponse"),
        (certificate(&["b.test"], acme()), "a.test", "unauthorized"),
        (certificate(&["*.test"], acme()), "a.test", "unauthorized"),
        (certificate(&["127.0.0.1"], acme()), "a.test", "unauthorized"),
        (certificate(&["a.test"], acme()), "127.0.0.1", "unauthorized"),
        (certificate(&["127.0.0.2"], acme()), "127.0.0.1", "unauthorized"),
        (certificate(&["1.0.0.127.in-addr.arpa"], acme()), "127.0.0.1", "unauthorized"),
    ] {
        let case = format!("{:?} {:?}", params.subject_alt_names, params.custom_extensions);
        let (answer, _) = show(&params, name).await;
        assert_eq!(kind(answer), expected, "{case}");
    }
}

#[tokio::test]
async fn who_does_not_speak_acme_shows_nothing() {
    let key = KeyPair::generate().unwrap();
    for protocols in [&[][..], &["h2", "http/1.1"], &["acme-tls/2"]] {
        let config = shown(&right(&["a.test"]), &key, &key, protocols, &[&TLS12, &TLS13]);
        let host = Host::handshakes(config).await;
        let answer = ask(settings(&resolver().await, host.port), Method::TlsAlpn01, "a.test").await;
        assert_eq!(kind(answer), "tls", "{protocols:?}");
    }
    let mut garbage = Vec::new();
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\nhunter2"[..], "tls"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls"),
        (b"", "connection"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        garbage.push(tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
        }));
        let answer = ask(settings(&resolver().await, port), Method::TlsAlpn01, "a.test").await;
        assert_eq!(kind(answer), expected, "{bytes:?}");
    }
    // A page over plain HTTP, which waits for a head that never comes.
    let host = Host::http(|_, _| Reply::Silence).await;
    let resolver = resolver().await;
    let settings = ValidateSettings { deadline: SHORT, ..settings(&resolver, host.port) };
    assert_eq!(kind(ask(settings, Method::TlsAlpn01, "a.test").await), "connection");
}
