//! Over TLS: a token that is bound to a certificate is worth nothing without it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, client_config, server_config};
use support::{POLICY, Scene, header, problem, request, rest, send, soon, status};
use tokio_rustls::TlsConnector;

type Certified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn certify(&self, name: &str) -> Certified {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![leaf.der().clone()], key)
    }

    fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

fn binding(certified: &Certified) -> [u8; 32] {
    digest(&SHA256, certified.0.first().unwrap()).as_ref().try_into().unwrap()
}

fn copy((chain, key): &Certified) -> Certified {
    (chain.clone(), key.clone_key())
}

async fn guarded(authority: &Authority) -> Scene {
    let (chain, key) = authority.certify("orders.test");
    let certificate = LiveCertificate::new(chain, key).unwrap();
    let clients = ClientAuth::Optional(vec![authority.root()]);
    let config = server_config(certificate, &clients).unwrap();
    let scene = Scene::ignorant(|_| {}, Some(LiveServer::new(config))).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    scene
}

/// The answer to a request over TLS, with this certificate.
async fn call(
    scene: &Scene,
    authority: &Authority,
    own: Option<&Certified>,
    token: &str,
) -> String {
    let config = client_config(&[authority.root()], own.map(copy)).unwrap();
    let name = ServerName::try_from("orders.test").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = soon(connector.connect(name, scene.connect().await)).await.unwrap();
    send(&mut stream, request("GET /v1/a", Some(token), "").as_bytes()).await;
    rest(&mut stream).await
}

#[tokio::test]
async fn a_bound_token_comes_with_its_certificate_or_not_at_all() {
    let authority = Authority::new();
    let scene = guarded(&authority).await;
    let (own, other) = (authority.certify("shop"), authority.certify("thief"));
    let mut claims = scene.claims("shop");
    claims.binding = Some(binding(&own));
    let bound = scene.sealed(&claims);
    // Several times, so that a remembered token is tried under every certificate.
    for _ in 0..2 {
        let answer = call(&scene, &authority, Some(&own), &bound).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&scene.app.last().0, "x-forwarded-proto"), Some("https"));
        for (own, code) in [(None, "certificate_required"), (Some(&other), "wrong_certificate")] {
            let answer = call(&scene, &authority, own, &bound).await;
            assert_eq!(status(&answer), 401, "{answer}");
            assert_eq!(problem(&answer)["code"].as_str(), Some(code));
        }
    }
    assert_eq!(scene.app.calls(), 2);
    let unbound = scene.token("shop");
    for own in [None, Some(&own), Some(&other)] {
        assert_eq!(status(&call(&scene, &authority, own, &unbound).await), 200);
    }
    let figures = scene.gatekeeper.figures();
    assert_eq!((figures.token_hits, figures.unauthenticated), (1, 4), "{figures:?}");
}

#[tokio::test]
async fn without_tls_nothing_is_read_where_it_is_spoken() {
    let authority = Authority::new();
    let scene = guarded(&authority).await;
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert!(status(&answer) == 400 && answer.contains("over TLS"), "{answer}");
    assert_eq!((scene.app.calls(), scene.gatekeeper.figures().requests), (0, 0));
}

#[tokio::test]
async fn a_bound_token_is_refused_where_there_are_no_certificates() {
    let authority = Authority::new();
    let scene = Scene::start().await;
    let mut claims = scene.claims("shop");
    claims.binding = Some(binding(&authority.certify("shop")));
    let sent = request("GET /v1/a", Some(&scene.sealed(&claims)), "");
    let answer = scene.exchange(sent.as_bytes()).await;
    assert_eq!(problem(&answer)["code"].as_str(), Some("certificate_required"));
    assert_eq!(scene.app.calls(), 0);
}
