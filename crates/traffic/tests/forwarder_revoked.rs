//! A Gatekeeper whose certificate is below a revoked CA: nothing goes there any more, whatever was open.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use std::net::SocketAddr;
use std::sync::Arc;

use forwarder_support::{
    Authority, Door, Gate, NOW, Scene, directory, expect, expect_head, listed, rest, send, status,
};
use sealock_core::TrustDomain;
use sealock_net::tls::{
    ClientAuth, LiveCertificate, LiveServer, public_keys, server_config, with_http2,
};
use sealock_traffic::broker::RevokedCas;
use sealock_traffic::forwarder::{Hop, Settings, Trust};
use tokio::net::TcpStream;

fn domain(text: &str) -> TrustDomain {
    text.parse().unwrap()
}

fn revoked(ca: &Authority) -> RevokedCas {
    let end = u64::try_from(NOW).unwrap() + 1000;
    RevokedCas::new(public_keys(&[ca.root()]).into_iter().map(|key| (key, end))).unwrap()
}

/// A server of this service with a certificate below an intermediate.
fn server(below: &Authority, service: &str, http2: bool) -> Arc<LiveServer> {
    let (mut chain, key) = below.leaf(service, &["gate.test"]);
    chain.push(below.root());
    let certificate = LiveCertificate::new(chain, key).unwrap();
    let config = server_config(certificate, &ClientAuth::None).unwrap();
    LiveServer::new(if http2 { with_http2(config) } else { config })
}

async fn socket(proxy: SocketAddr, service: &str) -> TcpStream {
    let mut socket = TcpStream::connect(proxy).await.unwrap();
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let head = format!("GET http://{service}/v1/ws HTTP/1.1\r\nhost: {service}\r\n{upgrade}\r\n");
    send(&mut socket, head.as_bytes()).await;
    expect_head(&mut socket, 101).await;
    socket
}

#[tokio::test]
async fn nothing_goes_to_a_gatekeeper_below_a_revoked_ca_any_more() {
    for http2 in [false, true] {
        let scene = Scene::start().await;
        let (stolen, other) = (scene.authority.below("stolen"), scene.authority.below("other"));
        let tls = Some(server(&stolen, "billing", http2));
        let false_one = Gate::start("billing", scene.app.address, &scene.broker, tls).await;
        let tls = Some(server(&other, "till", http2));
        let good = Gate::start("till", scene.app.address, &scene.broker, tls).await;
        let services = || {
            let secured = |name, gate: &Gate| listed(name, &[gate.address], Hop::Tls);
            directory(vec![secured("billing", &false_one), secured("till", &good)])
        };
        let settings = Settings::default();
        let door = Door::start(settings, services(), scene.trust(), &scene.broker).await;
        // Kept connections, and one that runs.
        for name in ["billing", "till"] {
            for _ in 0..2 {
                assert_eq!(status(&door.get(&format!("http://{name}/v1/a")).await), 200);
            }
        }
        let mut open = socket(door.proxy, "billing").await;
        // Another domain's broker has no say in this one.
        door.forwarder.revoke_cas(&domain("t.sealock"), &RevokedCas::default());
        send(&mut open, b"hello").await;
        expect(&mut open, b"hello").await;

        door.forwarder.revoke_cas(&domain("t.sealock"), &revoked(&stolen));
        assert_eq!(rest(&mut open).await, "", "it is cut");
        let calls = scene.app.calls();
        for _ in 0..3 {
            let answer = door.get("http://billing/v1/a").await;
            assert!(status(&answer) >= 502, "{answer}");
        }
        assert_eq!(scene.app.calls(), calls);
        assert_eq!(status(&door.get("http://till/v1/a").await), 200);
        // With the certificate files read anew, the directory replaced, and a broker that was set back.
        door.forwarder.renew(scene.trust()).unwrap();
        let own = Some(scene.authority.leaf("shop", &[]));
        door.forwarder.renew(Trust { own, ..scene.trust() }).unwrap();
        door.forwarder.replace(services()).unwrap();
        door.forwarder.revoke_cas(&domain("t.sealock"), &RevokedCas::default());
        assert!(status(&door.get("http://billing/v1/a").await) >= 502);
        assert_eq!(status(&door.get("http://till/v1/a").await), 200);
        assert_eq!(scene.app.calls(), calls + 2);
    }
}

/// The old certificate of ours is gone on with while the broker is away, and what is told meanwhile counts there too.
#[tokio::test]
async fn it_counts_for_a_token_that_goes_with_an_older_certificate() {
    let scene = Scene::start().await;
    let stolen = scene.authority.below("stolen");
    let tls = Some(server(&stolen, "billing", false));
    let gate = Gate::start("billing", scene.app.address, &scene.broker, tls).await;
    let services = directory(vec![listed("billing", &[gate.address], Hop::Tls)]);
    let own = || Some(scene.authority.leaf("shop", &[]));
    let trust = Trust { own: own(), ..scene.trust() };
    let door = Door::start(Settings::default(), services, trust, &scene.broker).await;
    assert_eq!(status(&door.get("http://billing/v1/a").await), 200);
    *scene.broker.is_down.lock() = true;
    door.forwarder.renew(Trust { own: own(), ..scene.trust() }).unwrap();
    assert_eq!(status(&door.get("http://billing/v1/a").await), 200);
    let calls = scene.app.calls();
    door.forwarder.revoke_cas(&domain("t.sealock"), &revoked(&stolen));
    assert!(status(&door.get("http://billing/v1/a").await) >= 502);
    assert_eq!(scene.app.calls(), calls);
}
