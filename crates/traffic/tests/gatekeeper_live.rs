//! What runs is cut when it would no longer be let in, and nothing slips through while that changes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::{Clock, ManualClock, Timestamp};
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use sealock_traffic::broker::Revoked;
use sealock_traffic::gatekeeper::{Gatekeeper, LOOK_EVERY, Settings, Staleness};
use sealock_traffic::token::{Algorithm, KeySet, SigningKey};
use support::{
    NOW, POLICY, Scene, expect, expect_head, identity, read_head, request, rest, send, set, soon,
    status, websocket,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// A WebSocket that carries.
async fn open(scene: &Scene, caller: &str) -> TcpStream {
    let mut stream = scene.connect().await;
    send(&mut stream, websocket("/v1/ws", &scene.token(caller)).as_bytes()).await;
    expect_head(&mut stream, 101).await;
    alive(&mut stream).await;
    stream
}

async fn alive(stream: &mut TcpStream) {
    send(stream, b"ping").await;
    expect(stream, b"ping").await;
}

/// The other end hangs up, in an orderly way or not.
async fn cut(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    assert!(matches!(soon(stream.read(&mut byte)).await, Ok(0) | Err(_)), "it goes on");
}

#[tokio::test]
async fn a_revoked_callers_websocket_drops_and_anothers_goes_on() {
    let mut scene = Scene::start().await;
    let (mut shop, mut web) = (open(&scene, "shop").await, open(&scene, "web").await);
    assert_eq!(scene.gatekeeper.figures().running, 2);
    scene.revoke(1, Revoked::Identity(identity("shop")));
    cut(&mut shop).await;
    alive(&mut web).await;
    assert_eq!(scene.status("/v1/a", "shop").await, 401);
    let line = soon(scene.lines.recv()).await.unwrap();
    assert!(line.cut && line.status == 101, "{line:?}");
    let figures = scene.gatekeeper.figures();
    assert!(figures.cut == 1 && figures.running == 1, "{figures:?}");
}

#[tokio::test]
async fn a_policy_that_denies_cuts_what_it_denies() {
    let scene = Scene::start().await;
    let token = scene.token("shop");
    let mut streaming = scene.connect().await;
    send(&mut streaming, request("GET /v1/stream", Some(&token), "").as_bytes()).await;
    expect_head(&mut streaming, 200).await;
    let mut waiting = scene.connect().await;
    send(&mut waiting, request("GET /v1/hang", Some(&token), "").as_bytes()).await;
    while scene.app.calls() < 2 {
        tokio::task::yield_now().await;
    }
    let (mut shop, mut web) = (open(&scene, "shop").await, open(&scene, "web").await);
    // The same rules under another number change nothing.
    scene.gatekeeper.know(scene.known(POLICY, 2));
    alive(&mut shop).await;
    let known =
        scene.known(&POLICY.replace("service::\"shop\"", "").replace("\"shop\"", "\"other\""), 3);
    scene.gatekeeper.know(known);
    for stream in [&mut shop, &mut waiting] {
        cut(stream).await;
    }
    let seen = rest(&mut streaming).await;
    assert!(!seen.contains("data2") && !seen.ends_with("0\r\n\r\n"), "{seen}");
    alive(&mut web).await;
    assert_eq!(scene.gatekeeper.figures().cut, 3);
    // Groups are a part of what is decided by.
    scene.gatekeeper.change(|known| known.groups = Arc::default());
    cut(&mut web).await;
    assert_eq!(scene.status("/v1/a", "web").await, 403);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_the_skew() {
    let scene = Scene::start().await;
    let mut shop = open(&scene, "shop").await;
    scene.clock.advance(Duration::from_secs(329));
    scene.gatekeeper.look();
    alive(&mut shop).await;
    scene.clock.advance(Duration::from_secs(1));
    // Nobody has to say so.
    soon(tokio::time::sleep(LOOK_EVERY)).await;
    cut(&mut shop).await;
}

#[tokio::test]
async fn a_stream_may_outlive_its_token_and_is_cut_all_the_same() {
    let scene = Scene::with(|settings| settings.outlive = Duration::from_secs(3600)).await;
    let mut sockets =
        [open(&scene, "shop").await, open(&scene, "web").await, open(&scene, "shop").await];
    scene.clock.advance(Duration::from_secs(1000));
    scene.gatekeeper.heard();
    scene.gatekeeper.look();
    let [shop, web, again] = &mut sockets;
    for stream in [&mut *shop, &mut *web, &mut *again] {
        alive(stream).await;
    }
    // It comes late, and no token of these is alive any more.
    scene.revoke(1, Revoked::Identity(identity("shop")));
    cut(shop).await;
    cut(again).await;
    alive(web).await;
    scene.clock.advance(Duration::from_secs(2930));
    scene.gatekeeper.heard();
    scene.gatekeeper.look();
    cut(web).await;
}

#[tokio::test]
async fn what_outlives_its_token_needs_the_feed() {
    let scene = Scene::with(|settings| {
        settings.outlive = Duration::from_secs(3600);
        settings.staleness = Staleness::GoOn;
    })
    .await;
    let mut old = open(&scene, "shop").await;
    scene.clock.advance(Duration::from_secs(100));
    let mut claims = scene.claims("web");
    (claims.issued_at, claims.expires_at) = (NOW + 100, NOW + 400);
    let mut young = scene.connect().await;
    send(&mut young, websocket("/v1/ws", &scene.sealed(&claims)).as_bytes()).await;
    expect_head(&mut young, 101).await;
    scene.clock.advance(Duration::from_secs(200));
    scene.gatekeeper.look();
    alive(&mut old).await;
    scene.clock.advance(Duration::from_secs(60));
    scene.gatekeeper.look();
    cut(&mut old).await;
    // A token that is alive is good without the broker, if that is how the route is set.
    alive(&mut young).await;
}

#[tokio::test]
async fn a_key_takes_its_streams_along_and_a_silent_feed_all_of_them() {
    let scene = Scene::start().await;
    let mut shop = open(&scene, "shop").await;
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let both = Arc::new(KeySet::from_iter([other.public(), scene.key.public()]));
    scene.gatekeeper.change(|known| known.keys = both);
    alive(&mut shop).await;
    let mut again = open(&scene, "web").await;
    scene.gatekeeper.change(|known| known.keys = Arc::new(KeySet::from_iter([other.public()])));
    cut(&mut shop).await;
    cut(&mut again).await;

    let scene = Scene::with(|settings| {
        settings.outlive = Duration::from_secs(3600);
    })
    .await;
    let mut web = open(&scene, "web").await;
    scene.clock.advance(Duration::from_secs(601));
    scene.gatekeeper.look();
    cut(&mut web).await;
}

/// A clock that, asked for the time, has the policy replaced by one that denies.
#[derive(Debug)]
struct Meddling {
    inner: ManualClock,
    /// When it is asked so many times more.
    after: AtomicI64,
    gatekeeper: Mutex<Weak<Gatekeeper>>,
}

impl Clock for Meddling {
    fn now(&self) -> Timestamp {
        let Some(gatekeeper) = self.gatekeeper.lock().upgrade() else { return self.inner.now() };
        let figures = gatekeeper.figures();
        // Not when it is asked beside requests, to look for tokens that have ended.
        let is_looked_at = figures.requests > figures.forwarded + figures.denied;
        if is_looked_at && self.after.fetch_sub(1, Ordering::SeqCst) == 0 {
            let deny = Arc::new(set("", 9));
            assert!(gatekeeper.change(|known| known.policy = Arc::clone(&deny)));
        }
        self.inner.now()
    }
}

#[tokio::test]
async fn a_request_that_is_looked_at_while_the_policy_changes_is_decided_by_the_newer() {
    let scene = Scene::start().await;
    let clock = Arc::new(Meddling {
        inner: ManualClock::new(Timestamp::from_secs(support::NOW as i64)),
        after: AtomicI64::new(-1),
        gatekeeper: Mutex::default(),
    });
    let app =
        Upstream::new(Address::Tcp(scene.app.address.to_string()), UpstreamSettings::default());
    let settings = Settings::new(identity("orders"));
    let gatekeeper = Gatekeeper::new(settings, app, scene.report.clone(), clock.clone());
    *clock.gatekeeper.lock() = Arc::downgrade(&gatekeeper);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Arc::clone(&gatekeeper).serve(listener, None, scene.shutdown.clone());
    let serving = tokio::spawn(serving);
    let ask = request("GET /v1/a", Some(&scene.token("shop")), "");
    let mut permitted = 0;
    for after in 0..8 {
        gatekeeper.know(scene.known(POLICY, 1));
        let before = scene.app.calls();
        clock.after.store(after, Ordering::SeqCst);
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, ask.as_bytes()).await;
        let answer = rest(&mut stream).await;
        let was_asked = clock.after.swap(-1, Ordering::SeqCst) < 0;
        // One that was among those that run already is cut, and has no answer.
        let code = if was_asked && answer.is_empty() { 403 } else { status(&answer) };
        assert_eq!(code, if was_asked { 403 } else { 200 }, "asked {after} times before");
        assert_eq!(scene.app.calls() - before, usize::from(code == 200));
        permitted += u64::from(code == 200);
    }
    assert!((1..6).contains(&permitted), "it is asked several times: {permitted}");
    scene.shutdown.trigger();
    soon(serving).await.unwrap();
}

/// Policies follow one another, and after each that denies, every request that begins is denied; meanwhile others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_replaced_under_load_with_no_wrong_permit() {
    let scene = Arc::new(Scene::start().await);
    let deny = Arc::new(set("", 3));
    let permit = Arc::new(set(POLICY, 2));
    // Even while it permits, odd from just after it denies until just before it permits again.
    let turn = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for number in 0..4 {
        let (scene, turn, over) = (Arc::clone(&scene), Arc::clone(&turn), Arc::clone(&over));
        callers.push(tokio::spawn(async move {
            let token = scene.token(if number % 2 == 0 { "shop" } else { "web" });
            let ask = format!(
                "GET /v1/{number} HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            let (mut permitted, mut denied, mut stream) = (0_u64, 0_u64, None);
            while !over.load(Ordering::SeqCst) {
                let mut on = match stream.take() {
                    Some(stream) => stream,
                    None => scene.connect().await,
                };
                let before = turn.load(Ordering::SeqCst);
                send(&mut on, ask.as_bytes()).await;
                let head = soon(read_head(&mut on)).await;
                let after = turn.load(Ordering::SeqCst);
                // A request that ran when the policy came was cut.
                let Some(head) = head else { continue };
                let length = support::header(&head, "content-length").unwrap().parse().unwrap();
                let mut body = vec![0; length];
                soon(on.read_exact(&mut body)).await.unwrap();
                stream = Some(on);
                let code = status(&head);
                if before == after && before % 2 == 1 {
                    assert_eq!(code, 403, "permitted after it was denied");
                }
                permitted += u64::from(code == 200);
                denied += u64::from(code == 403);
            }
            (permitted, denied)
        }));
    }
    for _ in 0..25 {
        for (policy, step) in [(&deny, 1), (&permit, 0)] {
            if step == 0 {
                turn.fetch_add(1, Ordering::SeqCst);
            }
            scene.gatekeeper.change(|known| known.policy = Arc::clone(policy));
            if step == 1 {
                turn.fetch_add(1, Ordering::SeqCst);
            }
            let goal = scene.gatekeeper.figures().requests + 40;
            while scene.gatekeeper.figures().requests < goal {
                tokio::task::yield_now().await;
            }
        }
    }
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        let (permitted, denied) = soon(caller).await.unwrap();
        assert!(permitted > 25 && denied > 25, "{permitted} and {denied}");
    }
    assert_eq!(scene.gatekeeper.figures().running, 0);
}
