//! Who is let in, and what the app gets to see.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use sealock_core::policy::Mode;
use sealock_net::proxy::Address;
use sealock_net::{Incoming, Limits, accept_loop, serve_http};
use sealock_traffic::broker::Revoked;
use sealock_traffic::gatekeeper::Staleness;
use sealock_traffic::token::{Algorithm, Claims, KeySet, SigningKey};
use support::{
    App, NOW, POLICY, Scene, header, identity, in_mode, problem, request, set, soon, status,
};
use tokio::net::TcpListener;

#[tokio::test]
async fn an_allowed_call_arrives_with_its_callers_identity_and_without_the_token() {
    let mut scene = Scene::start().await;
    let fields = "content-length: 4\r\nx-request-id: call-7\r\ncookie: a=b\r\n";
    let token = scene.token("shop");
    let sent = request("POST /v1/%6frders/../new?q=%2f..;x", Some(&token), fields) + "body";
    let answer = scene.exchange(sent.as_bytes()).await;
    assert!(status(&answer) == 200 && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(header(&answer, "x-request-id"), Some("call-7"));
    let (head, body) = scene.app.last();
    assert!(head.starts_with("POST /v1/new?q=%2f..;x HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, b"body");
    for (name, value) in [
        ("x-sealock-identity", Some("spiffe://t.sealock/service/shop")),
        ("x-request-id", Some("call-7")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("host", Some("orders")),
        ("cookie", Some("a=b")),
        ("authorization", None),
    ] {
        assert_eq!(header(&head, name), value, "{name}");
    }
    assert_eq!(header(&head, "traceparent").map(str::len), Some(55));
    assert!(!head.contains(&token), "{head}");
    let line = soon(scene.lines.recv()).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&line.to_json()).unwrap();
    for (name, value) in [
        ("caller", "spiffe://t.sealock/service/shop"),
        ("method", "POST"),
        ("path", "/v1/new"),
        ("host", "orders"),
        ("request_id", "call-7"),
        ("protocol", "http"),
    ] {
        assert_eq!(json[name], value, "{json}");
    }
    assert!(json["status"] == 200 && json["bytes"] == 2 && json["epoch"] == 1, "{json}");
    assert!(!json.to_string().contains("q="), "a query may hold a secret: {json}");
}

/// The app as hyper reads it: method, target, length of the body and names of the headers.
async fn as_hyper_reads(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let names: Vec<&str> = head.headers.keys().map(|name| name.as_str()).collect();
    let text = format!("{} {} {} {}", head.method, head.uri, body.len(), names.join(","));
    Response::new(Full::new(text.into()))
}

#[tokio::test]
async fn another_server_reads_what_was_meant() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap().to_string());
    let scene = Scene::before(App::start().await, address, |_| {}, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    let shutdown = scene.shutdown.clone();
    tokio::spawn(accept_loop(
        "app",
        listener,
        Limits::default(),
        shutdown.clone(),
        move |stream, _| serve_http(stream, Limits::default(), shutdown.clone(), as_hyper_reads),
    ));
    let token = scene.token("shop");
    let ours = "x-sealock-identity,x-request-id,traceparent,x-forwarded-for,x-forwarded-proto";
    for (line, fields, body, read) in [
        ("GET /v1/%61?b=%2f", "", "", "GET /v1/a?b=%2f 0 "),
        ("PUT /v1/a", "content-length: 5\r\nx-a: b\r\n", "hello", "PUT /v1/a 5 "),
        (
            "POST /v1/a",
            "transfer-encoding: chunked\r\n",
            "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "POST /v1/a 5 ",
        ),
        ("POST /v1/a", "content-length: 0\r\nx_sealock_identity: a\r\n", "", "POST /v1/a 0 "),
    ] {
        let sent = request(line, Some(&token), fields) + body;
        let answer = scene.exchange(sent.as_bytes()).await;
        let (_, text) = answer.split_once("\r\n\r\n").unwrap();
        let names = text.strip_prefix(read).unwrap_or_else(|| panic!("{answer}"));
        for name in ours.split(',') {
            assert_eq!(names.split(',').filter(|other| *other == name).count(), 1, "{answer}");
        }
        assert!(!names.contains('_') && !names.contains("authorization"), "{answer}");
    }
}

#[tokio::test]
async fn without_a_good_token_nobody_is_let_in() {
    let scene = Scene::start().await;
    let answer = scene.exchange(request("GET /v1/a", None, "").as_bytes()).await;
    assert_eq!((status(&answer), problem(&answer)["code"].as_str()), (401, Some("token_missing")));
    let realm = "Bearer realm=\"spiffe://t.sealock/service/orders\"";
    assert_eq!(header(&answer, "www-authenticate"), Some(realm));
    let basic = request("GET /v1/a", None, "authorization: Basic YTpi\r\n");
    let answer = scene.exchange(basic.as_bytes()).await;
    assert_eq!((status(&answer), header(&answer, "www-authenticate")), (401, Some(realm)));

    let good = scene.claims("shop");
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let stranger =
        sealock_traffic::token::issue(&other, sealock_traffic::token::Profile::AccessToken, &good);
    let with = |change: fn(&mut Claims)| {
        let mut claims = good.clone();
        change(&mut claims);
        scene.sealed(&claims)
    };
    for (code, token) in [
        ("unknown_key", stranger.unwrap().to_string()),
        ("wrong_audience", with(|it| it.audience = identity("billing").to_string())),
        ("wrong_issuer", with(|it| it.issuer = "https://other.test".to_owned())),
        (
            "token_expired",
            with(|it| {
                (it.issued_at, it.not_before, it.expires_at) = (NOW - 200, NOW - 200, NOW - 40)
            }),
        ),
        ("wrong_lifetime", with(|it| it.expires_at = NOW + 301)),
        ("certificate_required", with(|it| it.binding = Some([7; 32]))),
        (
            "foreign_subject",
            with(|it| {
                it.subject = "spiffe://other.sealock/service/shop".parse().unwrap();
            }),
        ),
        ("token_malformed", "abc".to_owned()),
    ] {
        let answer = scene.exchange(request("GET /v1/a", Some(&token), "").as_bytes()).await;
        assert_eq!((status(&answer), problem(&answer)["code"].as_str()), (401, Some(code)));
        let challenge = format!("{realm}, error=\"invalid_token\", error_description=\"{code}\"");
        assert_eq!(header(&answer, "www-authenticate"), Some(challenge.as_str()));
        assert!(!answer.contains(&token), "{answer}");
    }
    let token = scene.token("shop");
    for fields in [
        format!("authorization: Bearer {token}\r\nauthorization: Bearer {token}\r\n"),
        format!("authorization: Basic YTpi\r\nauthorization: Bearer {token}\r\n"),
        format!("authorization: Bearer {token}, Bearer {token}\r\n"),
        format!("authorization: Bearer {token} x\r\n"),
    ] {
        let answer = scene.exchange(request("GET /v1/a", None, &fields).as_bytes()).await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(header(&answer, "www-authenticate").unwrap().contains("invalid_request"));
    }
    assert_eq!(scene.app.calls(), 0);
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
}

#[tokio::test]
async fn a_denial_has_a_reason_that_can_be_explained() {
    let scene = Scene::start().await;
    for (line, caller, code) in [
        ("GET /v1/a", "shop", 200),
        ("DELETE /v1/a", "shop", 403),
        ("GET /v2/a", "shop", 403),
        ("GET /v1/../admin", "shop", 403),
        ("GET /v1/a", "web", 200),
        ("POST /v1/a", "web", 403),
        ("GET /v1/a", "stranger", 403),
    ] {
        let before = scene.app.calls();
        let answer = scene.call(line, caller, "x-request-id: mine\r\n").await;
        assert_eq!(status(&answer), code, "{caller}: {line}");
        assert_eq!(scene.app.calls() - before, usize::from(code == 200), "{caller}: {line}");
        if code == 200 {
            continue;
        }
        let told = problem(&answer);
        let denied = scene.report.denied.lock().pop().unwrap();
        assert_eq!(
            (told["code"].as_str(), told["request_id"].as_str()),
            (Some("denied"), Some("mine"))
        );
        assert_eq!(told["reason"].as_str(), Some(denied.reason.as_str()));
        assert!(denied.enforced && denied.request == "mine" && denied.decision.epoch == 1);
        let rule = set(POLICY, 1).explain(&denied.question).suggestion.unwrap();
        assert!(set(&rule, 2).decide(&denied.question).allowed, "{rule}");
    }
    assert_eq!(scene.gatekeeper.figures().denied, 5);
}

#[tokio::test]
async fn what_cannot_be_known_now_is_503() {
    let scene = Scene::ignorant(|_| {}, None).await;
    let unavailable = async |code: &str| {
        let answer = scene.call("GET /v1/a", "shop", "").await;
        assert_eq!((status(&answer), problem(&answer)["code"].as_str()), (503, Some(code)));
        assert_eq!(header(&answer, "retry-after"), Some("5"));
    };
    unavailable("not_ready").await;
    assert!(!scene.gatekeeper.change(|_| panic!("there is nothing to change")));
    let mut known = scene.known(POLICY, 1);
    known.keys = Arc::default();
    scene.gatekeeper.know(known);
    unavailable("no_keys").await;
    let keys = Arc::new(KeySet::from_iter([scene.key.public()]));
    assert!(scene.gatekeeper.change(|known| known.keys = keys));
    assert_eq!(scene.status("/v1/a", "shop").await, 200);

    scene.clock.advance(Duration::from_secs(601));
    unavailable("stale").await;
    scene.gatekeeper.heard();
    // The token of the scene has ended meanwhile: it is looked at again.
    assert_eq!(scene.status("/v1/a", "shop").await, 401);
    scene.clock.advance(Duration::from_secs(5));
    // The clock is set back: how long the feed was silent, nobody knows.
    scene.clock.set(sealock_core::Timestamp::from_secs(NOW as i64));
    unavailable("stale").await;
    scene.gatekeeper.heard();
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    assert_eq!(scene.app.calls(), 2);
}

#[tokio::test]
async fn a_route_may_go_on_without_its_broker() {
    let scene = Scene::with(|settings| settings.staleness = Staleness::GoOn).await;
    scene.clock.advance(Duration::from_secs(299));
    scene.gatekeeper.look();
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    assert_eq!(scene.gatekeeper.silence(), Some(Duration::from_secs(299)));
}

#[tokio::test]
async fn other_modes_record_and_let_pass_who_is_known() {
    let scene = Scene::start().await;
    for (number, mode) in [(2, Mode::Audit), (3, Mode::Learn)] {
        let policy = Arc::new(in_mode(POLICY, number, mode));
        scene.gatekeeper.change(|known| known.policy = policy);
        assert_eq!(scene.status("/v2/secret", "stranger").await, 200);
        let denied = scene.report.denied.lock().pop().unwrap();
        assert!(!denied.enforced && denied.decision.epoch == number);
        assert_eq!(denied.question.context["path"], "/v2/secret");
        assert_eq!(scene.status("/v1/a", "shop").await, 200);
        assert!(scene.report.denied.lock().is_empty());
        let answer = scene.exchange(request("GET /v1/a", None, "").as_bytes()).await;
        assert_eq!(status(&answer), 401);
    }
    assert_eq!(scene.gatekeeper.figures().recorded, 2);
}

#[tokio::test]
async fn a_revoked_caller_is_refused_at_once_and_others_are_not() {
    let scene = Scene::start().await;
    let revoked = async |caller: &str| {
        let answer = scene.call("GET /v1/a", caller, "").await;
        assert_eq!(
            (status(&answer), problem(&answer)["code"].as_str()),
            (401, Some("token_revoked"))
        );
    };
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    scene.revoke(1, Revoked::Identity(identity("shop")));
    revoked("shop").await;
    assert_eq!(scene.status("/v1/a", "web").await, 200);
    scene.revoke(2, Revoked::Token("token-of-web".to_owned()));
    revoked("web").await;
    // A token that was issued later is another one.
    let mut later = scene.claims("web");
    (later.issued_at, later.id) = (NOW + 1, "another".to_owned());
    let later = request("GET /v1/a", Some(&scene.sealed(&later)), "");
    assert_eq!(status(&scene.exchange(later.as_bytes()).await), 200);
    // A snapshot that is older than these takes nothing back.
    scene.gatekeeper.know(scene.known(POLICY, 1));
    revoked("shop").await;
    revoked("web").await;
    scene.revoke(3, Revoked::Before);
    assert_eq!(status(&scene.exchange(later.as_bytes()).await), 200);
    revoked("stranger").await;
}

#[tokio::test]
async fn a_remembered_token_is_worth_no_more_than_a_new_one() {
    let scene = Scene::start().await;
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    let token = scene.token("shop");
    let ask = request("GET /v1/a", Some(&token), "");
    for _ in 0..3 {
        assert_eq!(status(&scene.exchange(ask.as_bytes()).await), 200);
    }
    let figures = scene.gatekeeper.figures();
    assert!(figures.token_hits == 2 && figures.decision_hits == 3, "{figures:?}");
    // In the skew after its end it is still good, and from then on it is not.
    scene.clock.advance(Duration::from_secs(329));
    scene.gatekeeper.heard();
    assert_eq!(status(&scene.exchange(ask.as_bytes()).await), 200);
    assert_eq!(scene.gatekeeper.figures().token_hits, 2);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&scene.exchange(ask.as_bytes()).await), 401);
    scene.clock.set(sealock_core::Timestamp::from_secs(NOW as i64));
    scene.gatekeeper.heard();
    assert_eq!(status(&scene.exchange(ask.as_bytes()).await), 200);
    // A key that is gone takes its tokens along, remembered or not.
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    scene.gatekeeper.change(|known| known.keys = Arc::new(KeySet::from_iter([other.public()])));
    assert_eq!(status(&scene.exchange(ask.as_bytes()).await), 401);
}

#[tokio::test]
async fn a_caller_runs_no_more_than_it_may_and_takes_nothing_from_others() {
    let scene = Scene::with(|settings| settings.concurrent = 2).await;
    let token = scene.token("shop");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = scene.connect().await;
        support::send(&mut stream, request("GET /v1/stream", Some(&token), "").as_bytes()).await;
        support::expect_head(&mut stream, 200).await;
        streams.push(stream);
    }
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (429, Some("1")));
    assert_eq!(scene.status("/v1/a", "web").await, 200);
    scene.app.go_on.add_permits(2);
    for mut stream in streams {
        assert!(support::rest(&mut stream).await.contains("data2"));
    }
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    assert_eq!(scene.gatekeeper.figures().limited, 1);
}
