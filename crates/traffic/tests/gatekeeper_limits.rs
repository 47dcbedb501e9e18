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
use support::{Scene, expect, expect_head, header, problem, request, rest, send, soon, status};
use tokio::net::TcpStream;

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

/// A connection on which this caller was let in, and that stays open.
async fn let_in(scene: &Scene, caller: &str) -> TcpStream {
    let mut stream = scene.connect().await;
    again(&mut stream, &scene.token(caller)).await;
    stream
}

fn head(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\n\r\n")
}

async fn again(stream: &mut TcpStream, token: &str) {
    send(stream, head("/v1/a", token).as_bytes()).await;
    expect_head(stream, 200).await;
    expect(stream, b"ok").await;
}

#[tokio::test]
async fn idle_strangers_keep_nobody_from_being_served_and_push_out_nobody_who_was_let_in() {
    // They are more than there are places, and have one address with good callers.
    let scene = Scene::with(|settings| settings.limits.connections = 64).await;
    let mut good = Vec::new();
    for _ in 0..20 {
        good.push(let_in(&scene, "shop").await);
    }
    let mut strangers = Vec::new();
    for number in 0..199 {
        let mut stream = scene.connect().await;
        // Some say nothing, some show a token that is none and stay, some begin.
        match number % 3 {
            0 => {}
            1 => send(&mut stream, head("/v1/a", "abc").as_bytes()).await,
            _ => send(&mut stream, b"GET /v1/a HTTP/1.1\r\nhost: or").await,
        }
        strangers.push(stream);
        if number % 50 == 0 {
            assert_eq!(scene.status("/v1/a", "web").await, 200);
        }
    }
    assert_eq!(scene.status("/v1/a", "web").await, 200);
    let token = scene.token("shop");
    for stream in &mut good {
        again(stream, &token).await;
    }
    // Who came first has lost its place, and who came last shows who it is in time.
    assert_eq!(rest(&mut strangers[0]).await, "");
    let last = strangers.last_mut().unwrap();
    send(last, head("/v1/a", &token).as_bytes()).await;
    expect_head(last, 200).await;
}

#[tokio::test]
async fn one_caller_has_its_share_of_connections_and_another_comes_in() {
    let scene = Scene::with(|settings| settings.limits.connections = 64).await;
    let mut own = Vec::new();
    for _ in 0..48 {
        own.push(let_in(&scene, "shop").await);
    }
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (429, Some("1")));
    assert_eq!(problem(&answer)["code"], "too_many_connections");
    assert_eq!(scene.status("/v1/a", "web").await, 200);
    again(own.last_mut().unwrap(), &scene.token("shop")).await;
    drop(own.pop());
    served(&scene, "shop").await;
}

#[tokio::test]
async fn no_more_runs_than_there_is_room_for() {
    let scene = Scene::with(|settings| settings.running = 2).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = scene.connect().await;
        send(&mut stream, head("/v1/stream", &scene.token("shop")).as_bytes()).await;
        expect_head(&mut stream, 200).await;
        streams.push(stream);
    }
    let answer = scene.call("GET /v1/a", "web", "").await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (503, Some("1")));
    assert_eq!(problem(&answer)["code"], "too_many_requests");
    drop(streams);
    served(&scene, "web").await;
}

/// When there is room again.
async fn served(scene: &Scene, caller: &str) {
    let served = async {
        while scene.status("/v1/a", caller).await != 200 {
            tokio::task::yield_now().await;
        }
    };
    soon(served).await;
}
