//! Tunnels that end at the Forwarder, because the owner has named their hosts: what is said in them goes to the service as
//! a plain call does, and nothing else does.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use std::sync::Arc;

use forwarder_support::{
    App, Authority, Broker, Door, Gate, directory, exchange, expect, expect_head, header, listed,
    read_body, read_head, refusal, rest, send, server, soon, status, until,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_core::{Clock, ManualClock, SystemClock};
use sealock_net::tls::{LiveClient, client_config};
use sealock_traffic::forwarder::{Directory, Hop, Settings, Trust};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

struct Scene {
    app: App,
    broker: Arc<Broker>,
    door: Door,
    /// Held, or nobody would be there.
    gate: Gate,
    authority: Authority,
}

impl Scene {
    /// `orders.internal` is spoken for, and means `orders`.
    async fn start() -> Self {
        // Certificates are looked at by the real time.
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let (app, broker, authority) = (App::start().await, Broker::new(&clock), Authority::new());
        let tls = Some(authority.server("orders", false));
        let gate = Gate::start("orders", app.address, &broker, tls).await;
        let trust = Trust { roots: vec![authority.root()], ..Trust::default() };
        let directory = Self::directory(&gate, "orders.internal");
        let door = Door::start(Settings::default(), directory, trust, &broker).await;
        Self { app, broker, door, gate, authority }
    }

    fn directory(gate: &Gate, host: &str) -> Directory {
        let services = vec![listed("orders", &[gate.address], Hop::Tls)];
        directory(services).intercept(&[(host.to_owned(), "orders".to_owned())]).unwrap()
    }

    async fn tunnel(&self, to: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.door.proxy).await.unwrap();
        let head = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n");
        send(&mut stream, head.as_bytes()).await;
        expect_head(&mut stream, 200).await;
        stream
    }

    /// TLS within a tunnel, as an app does it that trusts the file.
    async fn shake(&self, to: &str, asked: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let root = self.door.forwarder.interception_authority().unwrap();
        let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
        let client = LiveClient::new(client_config(&[root], None).unwrap());
        let stream = self.tunnel(to).await;
        soon(client.connect(asked, stream)).await
    }
}

#[tokio::test]
async fn what_is_said_in_a_tunnel_to_a_named_host_goes_to_its_service_with_a_token() {
    let mut scene = Scene::start().await;
    let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
    for path in ["/v1/a?q=1", "/v1/b"] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: orders.internal\r\nauthorization: Bearer own\r\n\r\n"
        );
        send(&mut stream, head.as_bytes()).await;
        let head = expect_head(&mut stream, 200).await;
        assert_eq!(soon(read_body(&mut stream, &head)).await.unwrap(), b"ok");
        let seen = scene.app.last().head;
        assert!(seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{seen}");
        assert_eq!(header(&seen, "host"), Some("orders.internal"), "{seen}");
        let caller = header(&seen, "x-sealock-identity");
        assert_eq!(caller, Some("spiffe://t.sealock/service/shop"), "{seen}");
        assert_eq!(header(&seen, "authorization"), None, "{seen}");
    }
    // What the Gatekeeper denies is denied here too.
    send(&mut stream, b"GET /admin HTTP/1.1\r\nhost: orders.internal\r\n\r\n").await;
    expect_head(&mut stream, 403).await;
    drop(stream);
    until(|| scene.door.forwarder.figures().running == 0).await;
    assert_eq!((scene.app.calls(), scene.broker.asked()), (2, 1));
    // One line for each call, and one for the tunnel, which ends last.
    let mut lines = Vec::new();
    for _ in 0..4 {
        let line = soon(scene.door.lines.recv()).await.unwrap();
        lines.push((line.method.to_string(), line.path.clone(), line.service.clone()));
    }
    let orders = Some("orders".to_owned());
    let call = |path: &str| ("GET".to_owned(), Some(path.to_owned()), orders.clone());
    let tunnel = ("CONNECT".to_owned(), None, orders.clone());
    assert_eq!(lines, [call("/v1/a"), call("/v1/b"), call("/admin"), tunnel]);
}

#[tokio::test]
async fn a_websocket_within_a_tunnel_goes_through_both_ways() {
    let scene = Scene::start().await;
    let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
    let head = "GET /v1/ws HTTP/1.1\r\nhost: orders.internal\r\nconnection: upgrade\r\n\
                upgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n";
    send(&mut stream, head.as_bytes()).await;
    expect_head(&mut stream, 101).await;
    send(&mut stream, b"ping").await;
    expect(&mut stream, b"ping").await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_through_a_tunnel_either() {
    let scene = Scene::start().await;
    for (fields, code) in [
        ("origin: https://orders.internal\r\n", 200),
        ("origin: https://evil.example\r\n", 403),
        ("origin: null\r\n", 403),
    ] {
        let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
        let head = format!(
            "POST /v1/a HTTP/1.1\r\nhost: orders.internal\r\ncontent-length: 0\r\n{fields}\r\n"
        );
        send(&mut stream, head.as_bytes()).await;
        expect_head(&mut stream, code).await;
    }
    assert_eq!(scene.app.calls(), 1);
}

#[tokio::test]
async fn nothing_else_gets_through_a_tunnel_that_ends_here() {
    let scene = Scene::start().await;
    // TLS asks for another host than the tunnel is for, or there is no TLS.
    for asked in ["billing.internal:443", "a.orders.internal:443", "127.0.0.1:443"] {
        assert!(scene.shake("orders.internal:443", asked).await.is_err(), "{asked}");
    }
    let mut plain = scene.tunnel("orders.internal:443").await;
    send(&mut plain, b"GET /v1/a HTTP/1.1\r\nhost: orders.internal\r\n\r\n").await;
    assert!(!rest(&mut plain).await.contains("HTTP/1.1"), "no TLS");
    // Requests for another host, or for none.
    for (text, code) in [
        ("GET /v1/a HTTP/1.1\r\nhost: billing.internal\r\n\r\n", "two_destinations"),
        ("GET /v1/a HTTP/1.1\r\nhost: orders\r\n\r\n", "two_destinations"),
        ("GET /v1/a HTTP/1.1\r\nhost: orders.internal:80\r\n\r\n", "two_destinations"),
        ("GET http://orders.internal/v1/a HTTP/1.1\r\nhost: orders.internal\r\n\r\n", "bad_target"),
        ("GET http://orders/v1/a HTTP/1.1\r\nhost: orders\r\n\r\n", "bad_target"),
        ("GET /v1/..%2fadmin HTTP/1.1\r\nhost: orders.internal\r\n\r\n", "bad_target"),
    ] {
        let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
        send(&mut stream, text.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
        let answer = rest(&mut stream).await;
        assert_eq!(refusal(&answer), (400, code.to_owned()), "{text:?}");
    }
    for text in [
        "CONNECT orders.internal:443 HTTP/1.1\r\nhost: orders.internal:443\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\n\r\n",
        "GET /v1/a HTTP/1.1\r\nhost: orders.internal\r\nhost: billing\r\n\r\n",
    ] {
        let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
        send(&mut stream, text.as_bytes()).await;
        let _ = stream.shutdown().await;
        assert_eq!(status(&rest(&mut stream).await), 400, "{text:?}");
    }
    assert_eq!((scene.app.calls(), scene.broker.asked()), (0, 0));
    until(|| scene.door.forwarder.figures().running == 0).await;
}

#[tokio::test]
async fn a_host_that_was_not_named_is_never_spoken_for() {
    let scene = Scene::start().await;
    for to in
        ["orders:443", "orders.internal:8443", "a.orders.internal:443", "billing.internal:443"]
    {
        let text = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
        let answer = exchange(scene.door.proxy, &text).await;
        assert_eq!(refusal(&answer), (403, "not_listed".to_owned()), "{to}");
    }
    // A tunnel that is passed on is the other side's, byte for byte.
    let echo = server(|mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let services = vec![listed("orders", &[scene.gate.address], Hop::Tls)];
    let open = Directory::new(services, &[], &[echo.to_string()]).unwrap();
    let both = open.intercept(&[("orders.internal".to_owned(), "orders".to_owned())]).unwrap();
    scene.door.forwarder.replace(both).unwrap();
    let mut stream = scene.tunnel(&echo.to_string()).await;
    send(&mut stream, b"\x16\x03\x01 a handshake of theirs").await;
    expect(&mut stream, b"\x16\x03\x01 a handshake of theirs").await;
    assert_eq!(scene.broker.asked(), 0);
}

#[tokio::test]
async fn a_host_that_is_taken_from_the_list_is_cut_with_all_that_runs_within() {
    let scene = Scene::start().await;
    let before = scene.door.forwarder.interception_authority();
    let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
    send(&mut stream, b"GET /v1/stream HTTP/1.1\r\nhost: orders.internal\r\n\r\n").await;
    let head = expect_head(&mut stream, 200).await;
    assert!(header(&head, "transfer-encoding").is_some(), "{head}");
    expect(&mut stream, b"5\r\ndata1\r\n").await;
    scene.door.forwarder.replace(Scene::directory(&scene.gate, "other.internal")).unwrap();
    assert_eq!(rest(&mut stream).await, "");
    until(|| scene.door.forwarder.figures().running == 0).await;
    // The authority is limited to other hosts now, so it is another one.
    assert_ne!(scene.door.forwarder.interception_authority(), before);
    assert!(scene.shake("other.internal:443", "other.internal:443").await.is_ok());
    let services = vec![listed("orders", &[scene.gate.address], Hop::Tls)];
    scene.door.forwarder.replace(directory(services)).unwrap();
    assert_eq!(scene.door.forwarder.interception_authority(), None);
    let _ = &scene.authority;
}

#[tokio::test]
async fn what_is_under_way_in_a_tunnel_is_finished_before_the_end() {
    let scene = Scene::start().await;
    let mut stream = scene.shake("orders.internal:443", "orders.internal:443").await.unwrap();
    send(&mut stream, b"GET /v1/wait HTTP/1.1\r\nhost: orders.internal\r\n\r\n").await;
    until(|| scene.app.calls() == 1).await;
    scene.door.shutdown.trigger();
    scene.app.go_on.add_permits(1);
    let head = soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(status(&head), 200);
    assert_eq!(soon(read_body(&mut stream, &head)).await.unwrap(), b"late");
}

#[test]
fn a_list_that_means_two_things_is_refused() {
    let services = || vec![listed("orders", &["10.0.0.1:1".parse().unwrap()], Hop::Tls)];
    let refused = |connect: &[&str], hosts: &[(&str, &str)]| {
        let connect: Vec<String> = connect.iter().map(|text| (*text).to_owned()).collect();
        let hosts: Vec<_> = hosts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let made = Directory::new(services(), &[], &connect).unwrap().intercept(&hosts);
        made.unwrap_err().to_string()
    };
    let orders = ("orders.internal", "orders");
    assert!(refused(&["orders.internal:443"], &[orders]).contains("listed twice"));
    assert!(refused(&[], &[orders, ("ORDERS.internal:443", "orders")]).contains("listed twice"));
    assert!(refused(&[], &[("a.internal", "nobody")]).contains("not listed"));
    assert!(refused(&[], &[("a b", "orders")]).contains("cannot be read"));
    assert!(refused(&[], &[("*.internal", "orders")]).contains("cannot be read"));
}
