//! Tokens of another authorization server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::{ManualClock, Timestamp};
use sealock_traffic::broker::Revoked;
use sealock_traffic::gatekeeper::{
    Answer, Asked, Extras, IntrospectSettings, Introspection, Introspector,
};
use sealock_traffic::token::{Algorithm, Profile, SigningKey, issue};
use support::{
    NOW, Scene, expect_head, header, identity, problem, request, send, soon, status, websocket,
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The other server: what it says of which token, and what it was asked.
#[derive(Default)]
struct Idp {
    says: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
    /// Where it is to wait before it answers.
    waits: Mutex<Option<Arc<Semaphore>>>,
}

impl Idp {
    fn says(&self, token: &str, answer: &str) {
        let answer = Answer::Body(answer.as_bytes().to_vec());
        self.says.lock().insert(token.to_owned(), answer);
    }

    fn answers(&self, token: &str, status: u16) {
        self.says.lock().insert(token.to_owned(), Answer::Status(status));
    }

    fn count(&self) -> usize {
        self.asked.lock().len()
    }
}

struct Line(Arc<Idp>);

impl Introspector for Line {
    fn ask(&self, token: Zeroizing<String>) -> Asked {
        let idp = Arc::clone(&self.0);
        Box::pin(async move {
            idp.asked.lock().push(token.to_string());
            let waits = idp.waits.lock().clone();
            if let Some(waits) = waits {
                waits.acquire().await.unwrap().forget();
            }
            let answer = idp.says.lock().get(&*token).cloned();
            answer.ok_or_else(|| "it is away".into())
        })
    }
}

const POLICY: &str = r#"
permit(principal == Sealock::Human::"corp-alice", action == Sealock::Action::"Http::Call",
       resource == Sealock::Service::"orders") when { context.path like "/v1/*" };
permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call",
       resource == Sealock::Service::"orders") when { context.path like "/v1/*" };
"#;

const ALICE: &str = r#"{"active":true,"username":"alice","aud":"orders","iat":1699999000}"#;

struct World {
    scene: Scene,
    idp: Arc<Idp>,
}

impl World {
    async fn start() -> Self {
        let idp = Arc::new(Idp::default());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW as i64)));
        let settings = IntrospectSettings {
            audience: Some("orders".to_owned()),
            issuer: None,
            identities: vec!["human/corp-{username}".parse().unwrap()],
            keep: Duration::from_secs(60),
            deadline: Duration::from_millis(500),
        };
        let line = Box::new(Line(Arc::clone(&idp)));
        let introspection =
            Introspection::new(settings, &identity("orders"), line, clock.clone()).unwrap();
        let extras = Extras { introspection: Some(introspection), ..Extras::default() };
        let scene = Scene::with_clock(|_| {}, extras, clock).await;
        scene.gatekeeper.know(scene.known(POLICY, 1));
        Self { scene, idp }
    }

    async fn call(&self, token: &str) -> String {
        self.scene.exchange(request("GET /v1/a", Some(token), "").as_bytes()).await
    }

    async fn code(&self, token: &str) -> (u16, String) {
        let answer = self.call(token).await;
        if status(&answer) == 200 {
            return (200, String::new());
        }
        assert!(!answer.contains(token), "{answer}");
        (status(&answer), problem(&answer)["code"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_token_of_another_server_is_asked_about_once_and_its_holder_told_to_the_app() {
    let world = World::start().await;
    world.idp.says("opaque", ALICE);
    for _ in 0..5 {
        let answer = world.call("opaque").await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
    let head = world.scene.app.last().0;
    let told = header(&head, "x-sealock-identity");
    assert_eq!(told, Some("spiffe://t.sealock/human/corp-alice"));
    assert!(!head.contains("opaque") && !head.contains("authorization"), "{head}");
    assert_eq!(world.idp.count(), 1);
    // Policy decides as about anybody.
    let denied = request("GET /v2/a", Some("opaque"), "");
    assert_eq!(status(&world.scene.exchange(denied.as_bytes()).await), 403);
    // It is no longer kept, and no longer good.
    world.idp.says("opaque", r#"{"active":false}"#);
    world.scene.clock.advance(Duration::from_secs(59));
    world.scene.gatekeeper.heard();
    assert_eq!(status(&world.call("opaque").await), 200);
    world.scene.clock.advance(Duration::from_secs(1));
    world.scene.gatekeeper.heard();
    assert_eq!(world.code("opaque").await, (401, "token_inactive".to_owned()));
    assert_eq!(world.idp.count(), 2);
    // That is kept for a shorter while.
    world.idp.says("opaque", ALICE);
    assert_eq!(world.code("opaque").await.0, 401);
    world.scene.clock.advance(Duration::from_secs(8));
    assert_eq!(world.code("opaque").await.0, 200);
    assert_eq!(world.idp.count(), 3);
}

#[tokio::test]
async fn what_it_says_is_taken_strictly() {
    let world = World::start().await;
    for (number, (answer, status, code)) in [
        (r#"{"active":false}"#, 401, "token_inactive"),
        (r#"{"active":true,"username":"alice"}"#, 401, "wrong_audience"),
        (r#"{"active":true,"username":"alice","aud":["billing"]}"#, 401, "wrong_audience"),
        (r#"{"active":true,"aud":"orders"}"#, 401, "subject_unmapped"),
        (r#"{"active":true,"sub":"alice","aud":"orders"}"#, 401, "subject_unmapped"),
        (
            r#"{"active":true,"username":"a/../../service/shop","aud":"orders"}"#,
            401,
            "subject_unmapped",
        ),
        (
            r#"{"active":true,"username":"spiffe://t.sealock/service/shop","aud":"orders"}"#,
            401,
            "subject_unmapped",
        ),
        (
            r#"{"active":true,"username":"alice","aud":"orders","exp":1700000000}"#,
            401,
            "token_expired",
        ),
        (
            r#"{"active":true,"username":"alice","aud":"orders","nbf":1700000031}"#,
            401,
            "token_not_yet_valid",
        ),
        (
            r#"{"active":true,"username":"alice","aud":"orders","cnf":{"jkt":"x"}}"#,
            401,
            "confirmation_unknown",
        ),
        // What cannot be read says nothing about the token.
        (r#"{"active":"true","username":"alice","aud":"orders"}"#, 503, "introspection_failed"),
        (
            r#"{"active":true,"username":"alice","aud":"orders","exp":"1"}"#,
            503,
            "introspection_failed",
        ),
        ("<html>", 503, "introspection_failed"),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("opaque-{number}");
        world.idp.says(&token, answer);
        assert_eq!(world.code(&token).await, (status, code.to_owned()), "{answer}");
    }
    assert_eq!(world.scene.app.calls(), 0);
    // Who is mapped and may not call.
    world.idp.says("bob", r#"{"active":true,"username":"bob","aud":["x","orders"]}"#);
    assert_eq!(world.code("bob").await, (403, "denied".to_owned()));
    // A bound token is worth nothing without its certificate, kept or not.
    let hash = "A".repeat(43);
    let bound = format!(
        r#"{{"active":true,"username":"alice","aud":"orders","cnf":{{"x5t#S256":"{hash}"}}}}"#
    );
    world.idp.says("opaque-bound", &bound);
    for _ in 0..2 {
        assert_eq!(world.code("opaque-bound").await, (401, "certificate_required".to_owned()));
    }
}

#[tokio::test]
async fn a_token_that_says_that_it_is_ours_is_never_asked_about() {
    let world = World::start().await;
    let token = world.scene.token("shop");
    assert_eq!(world.code(&token).await.0, 200);
    let mut claims = world.scene.claims("shop");
    let forger = SigningKey::generate(Algorithm::Es256).unwrap();
    let forged = issue(&forger, Profile::AccessToken, &claims).unwrap();
    (claims.issued_at, claims.not_before, claims.expires_at) = (NOW - 200, NOW - 200, NOW - 100);
    let expired = world.scene.sealed(&claims);
    // The other server would say yes to all of them.
    for token in [&*forged, &expired] {
        world.idp.says(token, ALICE);
        assert_eq!(world.code(token).await.0, 401);
    }
    assert_eq!(world.idp.count(), 0, "the other server has seen a token of ours");
    // One of another issuer is.
    claims = world.scene.claims("shop");
    claims.issuer = "https://idp.test".to_owned();
    let other = issue(&forger, Profile::AccessToken, &claims).unwrap();
    world.idp.says(&other, ALICE);
    assert_eq!(world.code(&other).await.0, 200);
    let told = world.scene.app.last().0;
    assert!(told.contains("human/corp-alice") && !told.contains("service/shop"), "{told}");
}

#[tokio::test]
async fn its_trouble_is_503_and_is_not_asked_for_again_and_again() {
    let world = World::start().await;
    // It does not answer in time.
    *world.idp.waits.lock() = Some(Arc::new(Semaphore::new(0)));
    assert_eq!(world.code("slow").await, (503, "introspection_failed".to_owned()));
    *world.idp.waits.lock() = None;
    for number in 0..4 {
        let code = world.code(&format!("away-{number}")).await;
        assert_eq!(code, (503, "introspection_failed".to_owned()));
    }
    assert_eq!(world.idp.count(), 5);
    // It is left alone, and what is known already goes on; so do tokens of ours.
    world.idp.says("good", ALICE);
    assert_eq!(world.code("good").await.0, 503);
    assert_eq!(world.idp.count(), 5);
    assert_eq!(world.code(&world.scene.token("shop")).await.0, 200);
    world.scene.clock.advance(Duration::from_secs(1));
    assert_eq!(world.code("good").await.0, 200);
    world.idp.says.lock().clear();
    assert_eq!(world.code("good").await.0, 200);
}

#[tokio::test]
async fn no_token_makes_its_server_be_left_alone() {
    let world = World::start().await;
    let inactive = (401, "token_inactive".to_owned());
    let unknown = (503, "introspection_failed".to_owned());
    // What is no token to it, again and again, is a short no about each.
    for (number, status) in [400, 413, 414, 422, 431, 400, 413].into_iter().enumerate() {
        let token = format!("odd-{number}");
        world.idp.answers(&token, status);
        for _ in 0..2 {
            assert_eq!(world.code(&token).await, inactive, "{status}");
        }
        assert_eq!(world.idp.count(), number + 1, "it is kept");
    }
    // What says nothing about a token is neither yes nor no, and is not asked again at once.
    for (number, status) in [429, 404, 408, 302, 204, 429, 429].into_iter().enumerate() {
        let token = format!("unclear-{number}");
        world.idp.answers(&token, status);
        for _ in 0..2 {
            assert_eq!(world.code(&token).await, unknown, "{status}");
        }
        assert_eq!(world.idp.count(), 7 + number + 1);
    }
    for number in 0..7 {
        let token = format!("garbage-{number}");
        world.idp.says(&token, "<html>");
        assert_eq!(world.code(&token).await, unknown);
    }
    world.idp.says("good", ALICE);
    assert_eq!(world.code("good").await.0, 200, "nobody else is kept out by that");
    // Both are forgotten.
    world.idp.says("odd-0", ALICE);
    world.idp.says("unclear-0", ALICE);
    world.scene.clock.advance(Duration::from_secs(1));
    assert_eq!(world.code("unclear-0").await.0, 200);
    assert_eq!(world.code("odd-0").await, inactive);
    world.scene.clock.advance(Duration::from_secs(7));
    assert_eq!(world.code("odd-0").await.0, 200);
}

#[tokio::test]
async fn a_server_that_fails_or_does_not_know_us_is_left_alone() {
    for status in [401, 403, 500, 502, 503] {
        let world = World::start().await;
        for number in 0..6 {
            let token = format!("token-{number}");
            world.idp.answers(&token, status);
            assert_eq!(world.code(&token).await, (503, "introspection_failed".to_owned()));
        }
        assert_eq!(world.idp.count(), 5, "{status}");
        world.scene.clock.advance(Duration::from_secs(1));
        world.idp.says("token-0", ALICE);
        assert_eq!(world.code("token-0").await.0, 200);
    }
}

#[tokio::test]
async fn many_at_once_are_one_question_and_strangers_have_a_bound() {
    let world = World::start().await;
    let gate = Arc::new(Semaphore::new(0));
    *world.idp.waits.lock() = Some(Arc::clone(&gate));
    world.idp.says("opaque", ALICE);
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = world.scene.connect().await;
        send(&mut stream, request("GET /v1/a", Some("opaque"), "").as_bytes()).await;
        streams.push(stream);
    }
    let until = async |count: usize| {
        soon(async {
            while world.idp.count() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    until(1).await;
    // The one who came first leaves.
    drop(streams.remove(0));
    gate.add_permits(1);
    for stream in &mut streams {
        expect_head(stream, 200).await;
    }
    assert_eq!(world.idp.count(), 1);
    // A flood of made-up tokens: so many questions and no more.
    let mut flood = Vec::new();
    for number in 0..64 {
        let mut stream = world.scene.connect().await;
        let token = format!("made-up-{number}");
        world.idp.says(&token, r#"{"active":false}"#);
        send(&mut stream, request("GET /v1/a", Some(&token), "").as_bytes()).await;
        flood.push(stream);
    }
    until(65).await;
    assert_eq!(world.code("one-more").await, (503, "introspection_busy".to_owned()));
    assert_eq!(world.code("opaque").await.0, 200);
    gate.add_permits(100);
    for stream in &mut flood {
        expect_head(stream, 401).await;
    }
}

#[tokio::test]
async fn a_stream_is_cut_when_what_is_known_of_its_token_is_over_or_its_holder_is_revoked() {
    let world = World::start().await;
    world.idp.says("opaque", ALICE);
    let open = async || {
        let mut socket = world.scene.connect().await;
        send(&mut socket, websocket("/v1/ws", "opaque").as_bytes()).await;
        expect_head(&mut socket, 101).await;
        socket
    };
    let cut = async |mut socket: tokio::net::TcpStream| {
        let mut byte = [0; 1];
        let read = soon(tokio::io::AsyncReadExt::read(&mut socket, &mut byte)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "it goes on");
    };
    let socket = open().await;
    world.scene.clock.advance(Duration::from_secs(90));
    world.scene.gatekeeper.heard();
    world.scene.gatekeeper.look();
    cut(socket).await;
    let socket = open().await;
    // A change of keys does not touch it; a revocation does.
    let key = SigningKey::generate(Algorithm::Es256).unwrap().public();
    let keys = Arc::new(sealock_traffic::token::KeySet::from_iter([key]));
    assert!(world.scene.gatekeeper.change(|known| known.keys = keys));
    assert_eq!(world.code("opaque").await.0, 200);
    let alice = "spiffe://t.sealock/human/corp-alice".parse().unwrap();
    world.scene.revoke(1, Revoked::Identity(alice));
    cut(socket).await;
    assert_eq!(world.code("opaque").await, (401, "token_revoked".to_owned()));
}
