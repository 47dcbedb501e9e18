//! Over TLS, with intermediates: below a CA that is revoked nobody is let in, and a token that is bound to a revoked certificate
//! is worth nothing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sealock_net::tls::{
    ClientAuth, LiveCertificate, LiveServer, client_config, public_keys, server_config,
};
use sealock_traffic::broker::{EntryHash, Revoked, RevokedCas};
use support::{
    NOW, POLICY, Scene, expect, expect_head, problem, request, rest, send, soon, status,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Ca = CertifiedIssuer<'static, KeyPair>;
type Certified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The root, and who signs below it.
struct World {
    root: Ca,
    stolen: Ca,
    other: Ca,
}

impl World {
    fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        let root = Ca::self_signed(params("root"), key()).unwrap();
        let below = |name| Ca::signed_by(params(name), key(), &root).unwrap();
        let (stolen, other) = (below("stolen"), below("other"));
        Self { root, stolen, other }
    }

    async fn guarded(&self) -> Scene {
        let (chain, key) = certify(&self.root, "orders.test", &[]);
        let certificate = LiveCertificate::new(chain, key).unwrap();
        let clients = ClientAuth::Optional(vec![der(&self.root)]);
        let config = server_config(certificate, &clients).unwrap();
        let scene = Scene::ignorant(|_| {}, Some(LiveServer::new(config))).await;
        scene.gatekeeper.know(scene.known(POLICY, 1));
        scene
    }

    fn client(&self, own: Option<&Certified>) -> Arc<ClientConfig> {
        let own = own.map(|(chain, key)| (chain.clone(), key.clone_key()));
        Arc::new(client_config(&[der(&self.root)], own).unwrap())
    }

    fn revoked(&self) -> RevokedCas {
        let keys = public_keys(&[der(&self.stolen)]);
        RevokedCas::new(keys.into_iter().map(|key| (key, NOW + 1000))).unwrap()
    }
}

fn der(ca: &Ca) -> CertificateDer<'static> {
    ca.der().clone()
}

/// A leaf of this CA, with these certificates behind it.
fn certify(by: &Ca, name: &str, chain: &[CertificateDer<'static>]) -> Certified {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = params.signed_by(&key, by).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ([&[leaf], chain].concat(), key)
}

async fn connect(scene: &Scene, client: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("orders.test").unwrap();
    let connector = TlsConnector::from(Arc::clone(client));
    soon(connector.connect(name, scene.connect().await)).await.unwrap()
}

async fn call(scene: &Scene, client: &Arc<ClientConfig>, token: &str) -> String {
    let mut stream = connect(scene, client).await;
    send(&mut stream, request("GET /v1/a", Some(token), "").as_bytes()).await;
    rest(&mut stream).await
}

fn code(answer: &str) -> String {
    problem(answer)["code"].as_str().unwrap_or_default().to_owned()
}

async fn socket(scene: &Scene, client: &Arc<ClientConfig>, token: &str) -> TlsStream<TcpStream> {
    let mut stream = connect(scene, client).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    send(&mut stream, request("GET /v1/ws", Some(token), upgrade).as_bytes()).await;
    expect_head(&mut stream, 101).await;
    echo(&mut stream).await;
    stream
}

async fn echo(stream: &mut TlsStream<TcpStream>) {
    send(stream, b"hello").await;
    expect(stream, b"hello").await;
}

fn bound(scene: &Scene, own: &Certified, issued_at: u64) -> String {
    let mut claims = scene.claims("shop");
    let leaf = own.0.first().unwrap();
    claims.binding = Some(digest(&SHA256, leaf).as_ref().try_into().unwrap());
    (claims.issued_at, claims.not_before) = (issued_at, issued_at);
    (claims.expires_at, claims.id) = (issued_at + 300, format!("at-{issued_at}"));
    scene.sealed(&claims)
}

#[tokio::test]
async fn below_a_revoked_ca_nobody_is_let_in_and_what_runs_is_cut() {
    let world = World::new();
    let scene = world.guarded().await;
    let below = certify(&world.stolen, "shop", &[der(&world.stolen)]);
    let fine = certify(&world.other, "shop", &[der(&world.other)]);
    let [of_below, of_fine] = [&below, &fine].map(|own| bound(&scene, own, NOW));
    let unbound = scene.token("shop");
    // What each handshake leaves behind is used for the next one.
    let [gone, stays] = [&below, &fine].map(|own| world.client(Some(own)));
    let mut cut = socket(&scene, &gone, &of_below).await;
    let mut cut_too = socket(&scene, &gone, &unbound).await;
    let mut goes_on = socket(&scene, &stays, &of_fine).await;
    assert_eq!(status(&call(&scene, &gone, &of_below).await), 200);

    assert!(scene.gatekeeper.revoke_cas(&world.revoked()));
    // Both of them are over, and the other is not.
    for stream in [&mut cut, &mut cut_too] {
        assert_eq!(rest(stream).await, "");
    }
    echo(&mut goes_on).await;
    let calls = scene.app.calls();
    // With the session of before, with another one, and with a token that is bound to nothing.
    for client in [&gone, &world.client(Some(&below))] {
        for token in [&of_below, &unbound] {
            let answer = call(&scene, client, token).await;
            assert_eq!((status(&answer), code(&answer)), (401, "certificate_revoked".to_owned()));
        }
    }
    // Whoever has the key gets other certificates for it, and puts good ones around it.
    let again = Ca::signed_by(params("innocent"), copy_of(&world.stolen), &world.root).unwrap();
    for chain in [vec![der(&again)], vec![der(&world.other), der(&world.stolen)]] {
        let thief = certify(&world.stolen, "shop", &chain);
        let renamed = certify(&again, "shop", &chain);
        for own in [thief, renamed] {
            let name = ServerName::try_from("orders.test").unwrap();
            let connector = TlsConnector::from(world.client(Some(&own)));
            let Ok(mut stream) = soon(connector.connect(name, scene.connect().await)).await else {
                continue;
            };
            send(&mut stream, request("GET /v1/a", Some(&unbound), "").as_bytes()).await;
            let answer = rest(&mut stream).await;
            // Where the chain does not hold there is no answer at all.
            assert!(answer.is_empty() || code(&answer) == "certificate_revoked", "{answer}");
        }
    }
    assert_eq!(scene.app.calls(), calls);
    for (client, token) in [(&stays, &of_fine), (&stays, &unbound), (&world.client(None), &unbound)]
    {
        assert_eq!(status(&call(&scene, client, token).await), 200);
    }
    // All of it anew, by a broker that says nothing of it any more.
    scene.gatekeeper.know(scene.known(POLICY, 2));
    assert_eq!(code(&call(&scene, &gone, &of_below).await), "certificate_revoked");
}

fn copy_of(ca: &Ca) -> KeyPair {
    KeyPair::from_pem(&ca.key().serialize_pem()).unwrap()
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_revoked_certificate_is_worth_nothing_whenever_it_was_issued() {
    let world = World::new();
    let scene = world.guarded().await;
    let lost = certify(&world.other, "shop", &[der(&world.other)]);
    let next = certify(&world.other, "shop", &[der(&world.other)]);
    let [of_lost, of_next] = [&lost, &next].map(|own| bound(&scene, own, NOW));
    let [gone, stays] = [&lost, &next].map(|own| world.client(Some(own)));
    let mut cut = socket(&scene, &gone, &of_lost).await;
    let mut goes_on = socket(&scene, &stays, &of_next).await;
    scene.revoke(1, Revoked::Certificate(EntryHash::of_bytes(lost.0.first().unwrap())));
    assert_eq!(rest(&mut cut).await, "");
    echo(&mut goes_on).await;
    for issued_at in [NOW, NOW + 5] {
        let answer = call(&scene, &gone, &bound(&scene, &lost, issued_at)).await;
        assert_eq!((status(&answer), code(&answer)), (401, "token_revoked".to_owned()));
    }
    assert_eq!(status(&call(&scene, &stays, &of_next).await), 200);
}
