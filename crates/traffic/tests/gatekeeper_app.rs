//! An app that is away, hangs, or is not well, and what callers are told meanwhile.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use sealock_traffic::gatekeeper::{
    BreakerSettings, Health, HealthSettings, LOOK_EVERY, Retries, Settings, Staleness,
};
use support::{
    App, NOW, POLICY, Scene, expect, expect_head, header, problem, read_chunk, request, send, soon,
    status, websocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn code(answer: &str) -> (u16, String) {
    (status(answer), problem(answer)["code"].as_str().unwrap().to_owned())
}

/// Where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn before(address: SocketAddr, change: impl FnOnce(&mut Settings)) -> Scene {
    let app = App::start().await;
    let scene = Scene::before(app, Address::Tcp(address.to_string()), change, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    scene
}

#[tokio::test]
async fn what_has_no_effect_twice_is_sent_again_to_an_app_that_cannot_be_reached() {
    let scene = before(nowhere().await, |_| {}).await;
    for (line, retried) in [("GET /v1/a", 2), ("POST /v1/a", 2), ("PUT /v1/a", 3)] {
        let answer = scene.call(line, "shop", "content-length: 0\r\n").await;
        assert_eq!(code(&answer), (503, "app_unreachable".to_owned()));
        // The budget of a service that is seldom called are three.
        assert_eq!(scene.gatekeeper.figures().retried, retried, "{line}");
    }
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert_eq!(code(&answer), (503, "app_unreachable".to_owned()));
    assert_eq!(scene.gatekeeper.figures().retried, 3);
    assert_eq!(scene.gatekeeper.refusals()["app_unreachable"], 4);
}

#[tokio::test]
async fn a_request_arrives_when_the_app_is_back_in_the_middle_of_it() {
    let address = nowhere().await;
    let retries = Retries { most: 9, percent: 1000 };
    let scene = before(address, |settings| settings.retries = retries).await;
    let token = scene.token("shop");
    let mut stream = scene.connect().await;
    let head = request("PUT /v1/a", Some(&token), "content-length: 4\r\n");
    send(&mut stream, head.as_bytes()).await;
    send(&mut stream, b"body").await;
    until(|| scene.gatekeeper.figures().retried > 0).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let (mut app, _) = soon(listener.accept()).await.unwrap();
    let head = soon(support::read_head(&mut app)).await.unwrap();
    assert!(head.starts_with("PUT /v1/a HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "content-length"), Some("4"));
    assert_eq!(head.matches("x-sealock-identity").count(), 1, "{head}");
    expect(&mut app, b"body").await;
    send(&mut app, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    expect_head(&mut stream, 200).await;
}

#[tokio::test]
async fn an_app_that_fails_again_and_again_is_left_alone_and_then_tried_once() {
    let scene = Scene::with(|settings| settings.breaker = Some(BreakerSettings::after(2))).await;
    let fail = || scene.call("POST /v1/close", "shop", "content-length: 0\r\n");
    // What a caller breaks off itself does not count, and what is answered begins anew.
    let mut stream = scene.connect().await;
    let half = request("POST /v1/a", Some(&scene.token("shop")), "content-length: 9\r\n");
    send(&mut stream, half.as_bytes()).await;
    drop(stream);
    assert_eq!(code(&fail().await), (502, "app_broke".to_owned()));
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    assert_eq!(code(&fail().await), (502, "app_broke".to_owned()));
    assert!(!scene.gatekeeper.is_circuit_open());
    assert_eq!(code(&fail().await), (502, "app_broke".to_owned()));
    assert!(scene.gatekeeper.is_circuit_open());
    let calls = scene.app.calls();
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert_eq!(code(&answer), (503, "app_circuit_open".to_owned()));
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    // Who is not let in is told that.
    assert_eq!(scene.status("/v2/a", "shop").await, 403);
    assert_eq!(scene.app.calls(), calls);

    scene.clock.advance(Duration::from_secs(1));
    // One tries, whose answer is waited for, and another is told to wait.
    let mut trying = scene.connect().await;
    let token = scene.token("shop");
    send(&mut trying, request("GET /v1/hang", Some(&token), "").as_bytes()).await;
    until(|| scene.app.calls() > calls).await;
    assert_eq!(scene.status("/v1/a", "shop").await, 503);
    // It leaves, so nobody knows; the next one tries.
    drop(trying);
    soon(async { while scene.status("/v1/a", "shop").await != 200 {} }).await;
    assert!(!scene.gatekeeper.is_circuit_open());
    assert_eq!(scene.gatekeeper.figures().opened, 1);
}

/// An app that answers everything with the status that it is told.
async fn app(status: Arc<AtomicU16>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let status = Arc::clone(&status);
            tokio::spawn(async move {
                while let Some(head) = support::read_head(&mut stream).await {
                    let status = status.load(Ordering::SeqCst);
                    assert!(!head.contains("sealock-health") || head.starts_with("GET /up?deep "));
                    if status == 0 {
                        std::future::pending::<()>().await;
                    }
                    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_app_that_says_that_it_is_not_well_is_asked_nothing_else() {
    let says = Arc::new(AtomicU16::new(200));
    let address = app(Arc::clone(&says)).await;
    let (often, short) = (Duration::from_millis(5), Duration::from_millis(300));
    let scene =
        before(address, |settings| settings.health = HealthSettings::new("/up?deep", often, short))
            .await;
    let gatekeeper = &scene.gatekeeper;
    assert_eq!((gatekeeper.health(), gatekeeper.unready()), (Health::Unknown, Some("app_unknown")));
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    let app = Upstream::new(
        Address::Tcp(address.to_string()),
        UpstreamSettings { idle: 0, ..UpstreamSettings::default() },
    );
    let watching = Arc::clone(gatekeeper).watch_app(app, scene.shutdown.clone());
    let watching = tokio::spawn(watching);
    // It says that it is not well, it says nothing, and it comes back.
    for wrong in [503, 404, 0] {
        until(|| gatekeeper.health() == Health::Well).await;
        assert_eq!(gatekeeper.unready(), None);
        assert_eq!(scene.status("/v1/a", "shop").await, 200);
        says.store(wrong, Ordering::SeqCst);
        until(|| gatekeeper.health() == Health::Unwell).await;
        assert_eq!(gatekeeper.unready(), Some("app_unwell"));
        let answer = scene.call("GET /v1/a", "shop", "").await;
        assert_eq!(code(&answer), (503, "app_unwell".to_owned()));
        assert_eq!(header(&answer, "retry-after"), Some("1"));
        assert_eq!(scene.status("/v2/a", "shop").await, 403);
        says.store(200, Ordering::SeqCst);
    }
    scene.shutdown.trigger();
    soon(watching).await.unwrap();
}

#[test]
fn what_is_no_path_is_nothing_to_ask_for() {
    let second = Duration::from_secs(1);
    for path in ["", "up", "http://a/up", "/a b", "/up#x", "//", "/a\r\nx: y"] {
        assert!(HealthSettings::new(path, second, second).is_none(), "{path:?}");
    }
}

/// A GET whose answer streams, at its first piece.
async fn stream(scene: &Scene, path: &str) -> TcpStream {
    let mut stream = scene.connect().await;
    let token = scene.token("shop");
    send(&mut stream, request(&format!("GET {path}"), Some(&token), "").as_bytes()).await;
    expect_head(&mut stream, 200).await;
    assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"data1");
    stream
}

/// The other end hangs up.
async fn is_cut(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    assert!(matches!(soon(stream.read(&mut byte)).await, Ok(0) | Err(_)), "it goes on");
}

#[tokio::test]
async fn what_is_quiet_for_too_long_is_cut_and_what_moves_is_not() {
    let scene = Scene::with(|settings| settings.quiet = Some(Duration::from_secs(60))).await;
    let mut quiet = stream(&scene, "/v1/stream").await;
    let open = async || {
        let mut socket = scene.connect().await;
        send(&mut socket, websocket("/v1/ws", &scene.token("shop")).as_bytes()).await;
        expect_head(&mut socket, 101).await;
        socket
    };
    let (mut talking, mut silent) = (open().await, open().await);
    // One that waits for its answer has another deadline.
    let mut waiting = scene.connect().await;
    let token = scene.token("shop");
    send(&mut waiting, request("GET /v1/hang", Some(&token), "").as_bytes()).await;
    until(|| scene.gatekeeper.figures().running == 4).await;
    for _ in 0..3 {
        send(&mut talking, b"ping").await;
        expect(&mut talking, b"ping").await;
        scene.gatekeeper.look();
        scene.clock.advance(Duration::from_secs(31));
        scene.gatekeeper.look();
    }
    is_cut(&mut quiet).await;
    is_cut(&mut silent).await;
    send(&mut talking, b"ping").await;
    expect(&mut talking, b"ping").await;
    until(|| scene.gatekeeper.figures().running == 2).await;
    assert_eq!(scene.gatekeeper.figures().cut, 2);
}

#[tokio::test]
async fn a_request_runs_no_longer_than_it_may() {
    let scene = Scene::with(|settings| settings.whole = Some(Duration::from_secs(10))).await;
    let mut stream = stream(&scene, "/v1/stream").await;
    scene.clock.advance(Duration::from_secs(9));
    scene.gatekeeper.look();
    scene.app.go_on.add_permits(1);
    assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"data2");
    let mut stream = self::stream(&scene, "/v1/stream").await;
    scene.clock.advance(Duration::from_secs(10));
    is_cut(&mut stream).await;
    assert!(LOOK_EVERY <= Duration::from_secs(1));
    // An app that does not begin to answer.
    let scene = Scene::with(|settings| settings.whole = Some(Duration::from_millis(200))).await;
    let answer = scene.call("GET /v1/hang", "shop", "").await;
    assert_eq!(code(&answer), (504, "app_silent".to_owned()));
}

#[tokio::test]
async fn where_it_is_said_a_route_goes_on_when_the_feed_is_silent_and_no_other_does() {
    let scene = Scene::with(|settings| {
        settings.staleness = Staleness::RefuseAfter(Duration::from_secs(30));
        let later = Staleness::RefuseAfter(Duration::from_secs(100));
        settings.stale_routes.add("/v1/health", Staleness::GoOn).unwrap();
        settings.stale_routes.add("/v1/health/late", later).unwrap();
    })
    .await;
    let mut on = stream(&scene, "/v1/health/stream").await;
    let mut off = stream(&scene, "/v1/stream").await;
    scene.clock.advance(Duration::from_secs(31));
    let stale = async |path: &str| {
        let answer = scene.call(&format!("GET {path}"), "shop", "").await;
        assert_eq!(code(&answer), (503, "stale".to_owned()), "{path}");
    };
    for path in ["/v1/health", "/v1/health/a", "/v1/a/../health", "/v1/h%65alth", "/v1/health/late"]
    {
        assert_eq!(scene.status(path, "shop").await, 200, "{path}");
    }
    for path in ["/v1/a", "/v1/healthy", "/v1/Health", "/v1/health/../a", "/v1/health/%2e%2e/a"] {
        stale(path).await;
    }
    is_cut(&mut off).await;
    scene.clock.advance(Duration::from_secs(70));
    stale("/v1/health/late/a").await;
    assert_eq!(scene.status("/v1/health/a", "shop").await, 200);
    scene.gatekeeper.look();
    scene.app.go_on.add_permits(2);
    assert_eq!(soon(read_chunk(&mut on)).await.unwrap().unwrap(), b"data2");
    // Who may not call may not there either, and a token that has ended has ended.
    assert_eq!(scene.status("/v1/health", "stranger").await, 403);
    scene.clock.set(sealock_core::Timestamp::from_secs(NOW as i64 + 331));
    assert_eq!(scene.status("/v1/health", "shop").await, 401);
    assert_eq!(scene.gatekeeper.unready(), Some("stale"));
}
