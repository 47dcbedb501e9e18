//! What one caller may ask for, and floods of what nobody can check.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::Duration;

use sealock_traffic::gatekeeper::Rate;
use sealock_traffic::token::{Algorithm, Profile, SigningKey, issue};
use support::{Scene, expect_head, header, problem, request, send, status};

#[tokio::test]
async fn a_caller_asks_no_more_often_than_it_may_and_takes_nothing_from_others() {
    let mut scene =
        Scene::with(|settings| settings.rate = Some(Rate { per_second: 1, burst: 3 })).await;
    // Denied ones count, and those of strangers do not.
    assert_eq!(scene.status("/v2/a", "shop").await, 403);
    for _ in 0..20 {
        let answer = scene.exchange(request("GET /v1/a", Some("abc"), "").as_bytes()).await;
        assert_eq!(status(&answer), 401);
    }
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (429, Some("1")));
    assert_eq!(problem(&answer)["code"], "rate_limited");
    // By who calls, and not by the token.
    let mut claims = scene.claims("shop");
    claims.id = "another".to_owned();
    let another = request("GET /v1/a", Some(&scene.sealed(&claims)), "");
    assert_eq!(status(&scene.exchange(another.as_bytes()).await), 429);
    assert_eq!(scene.status("/v1/a", "web").await, 200);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
    assert_eq!(scene.status("/v1/a", "shop").await, 429);
    let figures = scene.gatekeeper.figures();
    assert_eq!((figures.limited, scene.gatekeeper.refusals()["rate_limited"]), (3, 3));
    let limited = loop {
        let line = scene.lines.recv().await.unwrap();
        if line.status == 429 {
            break line;
        }
    };
    assert!(limited.caller.is_some() && limited.code == Some("rate_limited"));
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_refused_and_pushes_nobody_out() {
    let scene = Scene::start().await;
    let token = scene.token("shop");
    let mut stream = scene.connect().await;
    let head =
        format!("GET /v1/a HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\n\r\n");
    let good = async |stream: &mut tokio::net::TcpStream| {
        send(stream, head.as_bytes()).await;
        expect_head(stream, 200).await;
        support::expect(stream, b"ok").await;
    };
    good(&mut stream).await;
    let before = scene.gatekeeper.figures();
    let mut flood = scene.connect().await;
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let mut claims = scene.claims("shop");
    for number in 0..300 {
        claims.id = format!("made-up-{number}");
        let token = issue(&other, Profile::AccessToken, &claims).unwrap();
        let head = format!(
            "GET /v1/a HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {}\r\n\r\n",
            *token
        );
        send(&mut flood, head.as_bytes()).await;
        let head = expect_head(&mut flood, 401).await;
        let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        tokio::io::AsyncReadExt::read_exact(&mut flood, &mut body).await.unwrap();
        assert!(String::from_utf8(body).unwrap().contains("unknown_key"));
    }
    good(&mut stream).await;
    let after = scene.gatekeeper.figures();
    assert_eq!(after.unauthenticated - before.unauthenticated, 300);
    assert_eq!(scene.gatekeeper.refusals()["unknown_key"], 300);
    // The good one is still remembered.
    assert_eq!(after.token_hits - before.token_hits, 1);
}
