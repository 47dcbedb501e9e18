//! What may be sent, by raw sockets: what has two readings is refused and never reaches the app, and what has one
//! streams both ways.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::Duration;

use sealock_net::Limits;
use sealock_net::proxy::Address;
use support::{
    App, POLICY, Scene, expect, expect_head, header, noise, problem, read_chunk, request, rest,
    send, soon, status, websocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_request_with_two_readings_is_refused_with_all_that_follows() {
    let scene = Scene::start().await;
    let bearer = format!("host: orders\r\nauthorization: Bearer {}\r\n", scene.token("shop"));
    let smuggled = format!("GET /v1/smuggled HTTP/1.1\r\n{bearer}\r\n");
    let length = smuggled.len() + 5;
    let post = format!("POST /v1/a HTTP/1.1\r\n{bearer}");
    for sent in [
        format!("{post}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n"),
        format!("{post}content-length: 0\r\ncontent-length: {length}\r\n\r\n"),
        format!("{post}content-length: +0\r\n\r\n"),
        format!("{post}content-length: 0, 0\r\n\r\n"),
        format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"),
        format!("{post}x-a: b\r\n content-length: {length}\r\n\r\n"),
        format!("{post}x-a: b\ncontent-length: {length}\r\n\r\n"),
        format!("{post}x-a: b\0\r\n\r\n"),
        format!("{post}host: billing\r\n\r\n"),
        format!("POST /v1/a HTTP/1.0\r\n{bearer}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /v1/a HTTP/1.0\r\n{bearer}connection: keep-alive\r\n\r\n"),
        format!("GET  /v1/a HTTP/1.1\r\n{bearer}\r\n"),
        format!("GET /v1/a b HTTP/1.1\r\n{bearer}\r\n"),
        format!("GET /v1/a HTTP/2.0\r\n{bearer}\r\n"),
        format!("\r\nGET /v1/a HTTP/1.1\r\n{bearer}\r\n"),
        format!("CONNECT orders:80 HTTP/1.1\r\n{bearer}\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /v1/a\r\n".to_owned(),
    ] {
        let answer = scene.exchange((sent.clone() + &smuggled).as_bytes()).await;
        let answers = answer.matches("\r\n\r\n").count();
        assert!(answers <= 1 && !answer.contains("HTTP/1.1 2"), "{sent:?}: {answer}");
    }
    assert_eq!(scene.app.calls(), 0, "{:?}", scene.app.seen.lock());
    assert_eq!(scene.status("/v1/a", "shop").await, 200);
}

#[tokio::test]
async fn what_means_nothing_is_told_as_any_refusal_and_stands_in_the_log() {
    let mut scene = Scene::start().await;
    let long = "x".repeat(200 * 1024);
    for (sent, code, word) in [
        (
            "GET /v1/a HTTP/1.1\r\nhost: orders\r\nhost: billing\r\n\r\n".to_owned(),
            400,
            "bad_request",
        ),
        (format!("GET /v1/a HTTP/1.1\r\nhost: orders\r\nx: {long}\r\n\r\n"), 431, "head_too_large"),
    ] {
        let answer = scene.exchange(sent.as_bytes()).await;
        assert_eq!(status(&answer), code, "{answer}");
        assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
        let told = problem(&answer);
        assert_eq!((&told["status"], &told["code"]), (&code.into(), &word.into()), "{answer}");
        let line = soon(scene.lines.recv()).await.unwrap();
        assert_eq!((line.status, line.code), (code, Some(word)));
        assert_eq!(told["request_id"], line.ids.request());
        assert_eq!(header(&answer, "x-request-id"), Some(line.ids.request()));
        assert!(line.call.is_none() && line.caller.is_none());
    }
    let figures = scene.gatekeeper.figures();
    assert_eq!((figures.requests, figures.malformed, figures.running), (2, 2, 0));
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused_and_the_rest_goes_on_in_one_spelling() {
    let scene = Scene::start().await;
    for target in [
        "/v1/%2e%2e%2fadmin",
        "/v1/..%2fadmin",
        "/v1/..%5cadmin",
        "/v1\\..\\admin",
        "/v1/%252e%252e/admin",
        "/v1/..;/admin",
        "/v1/a;b",
        "//v1/a",
        "/v1//a",
        "/v1/%00",
        "/v1/%",
        "/v1/%zz",
        "/v1/%c0%ae",
        "/../v1/a",
        "/v1/../../v1/a",
        "http://orders/v1/a",
        "http://billing/v1/a",
        "orders:80",
        "v1/a",
        "*",
    ] {
        let answer = scene.call(&format!("GET {target}"), "shop", "").await;
        assert_eq!(status(&answer), 400, "{target}: {answer}");
    }
    for method in ["get", "Get", "delete"] {
        let answer = scene.call(&format!("{method} /v1/a"), "shop", "").await;
        assert_eq!((status(&answer), problem(&answer)["code"].as_str()), (400, Some("bad_method")));
    }
    for host in ["orders.", "a@orders", "orders:x", "or/ders"] {
        let token = scene.token("shop");
        let sent = request("GET /v1/a", Some(&token), "")
            .replace("host: orders", &format!("host: {host}"));
        let answer = scene.exchange(sent.as_bytes()).await;
        assert_eq!((status(&answer), problem(&answer)["code"].as_str()), (400, Some("bad_host")));
    }
    assert_eq!(scene.app.calls(), 0);
    let sent = request("GET /v1/a", Some(&scene.token("shop")), "").replace("host: o", "Host: O");
    for (sent, code) in [(sent.clone(), 200), (sent.replace("/v1", "/v2"), 403)] {
        let sent = sent.replace("Orders", "OrderS:8080");
        assert_eq!(status(&scene.exchange(sent.as_bytes()).await), code);
    }
    assert_eq!(header(&scene.app.last().0, "host"), Some("orders:8080"));
    assert_eq!(scene.report.denied.lock().remove(0).question.context["host"], "orders");
    for (target, forwarded, code) in [
        ("/v1/./%61?x=%2F//", "/v1/a?x=%2F//", 200),
        ("/v1/caf%c3%a9", "/v1/caf%C3%A9", 200),
        ("/admin/%2e./v1/a", "/v1/a", 200),
        ("/v1/..", "", 403),
        ("/v1/%2e%2e/admin", "", 403),
    ] {
        assert_eq!(scene.status(target, "shop").await, code, "{target}");
        if code == 200 {
            assert!(scene.app.last().0.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")));
        }
    }
}

#[tokio::test]
async fn nobody_tells_the_app_who_they_are() {
    let scene = Scene::start().await;
    let forged = "x-sealock-identity: spiffe://t.sealock/service/root\r\n\
        x_sealock_identity: root\r\nX-Sealock_Identity: root\r\nx.sealock.identity: root\r\n\
        x-sealock-more: root\r\nx-forwarded-client-cert: root\r\nx_forwarded_user: root\r\n\
        forwarded: for=root\r\nx-forwarded-for: root\r\nx-real-ip: root\r\nx-original-url: /root\r\n\
        x-http-method-override: ROOT\r\nremote_user: root\r\nproxy: root\r\ncontent_length: 4\r\n\
        connection: x-sealock-identity, x-forwarded-proto, x-hop\r\nx-hop: root\r\n";
    let answer = scene.call("GET /v1/a", "shop", forged).await;
    assert_eq!(status(&answer), 200);
    let (head, _) = scene.app.last();
    assert!(!head.to_lowercase().contains("root"), "{head}");
    assert!(!head.contains("content_length"), "{head}");
    assert_eq!(head.matches("identity").count(), 1, "{head}");
    assert_eq!(header(&head, "x-sealock-identity"), Some("spiffe://t.sealock/service/shop"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
}

#[tokio::test]
async fn what_follows_an_upgrade_waits_for_it() {
    let scene = Scene::start().await;
    let token = scene.token("shop");
    let next = b"GET /v1/next HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
    // The app does not switch: what follows is a request like any other, and has no token.
    let sent = [websocket("/v1/a", &token).as_bytes(), next].concat();
    let answers = scene.exchange(&sent).await;
    assert!(status(&answers) == 200 && answers.contains("HTTP/1.1 401 "), "{answers}");
    assert_eq!(scene.app.calls(), 1);
    let (head, _) = scene.app.last();
    assert!(header(&head, "upgrade").is_some() && header(&head, "sec-websocket-key").is_some());
    // The app switches: what follows is the WebSocket's.
    let mut stream = scene.connect().await;
    send(&mut stream, &[websocket("/v1/ws", &token).as_bytes(), next].concat()).await;
    let head = expect_head(&mut stream, 101).await;
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "sec-websocket-accept"), Some("x"));
    expect(&mut stream, next).await;
    assert_eq!(scene.app.calls(), 2);
}

#[tokio::test]
async fn only_a_websocket_is_upgraded() {
    let scene = Scene::start().await;
    let token = scene.token("shop");
    let good = websocket("/v1/ws", &token);
    for (from, to) in [
        ("upgrade: WebSocket", "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__"),
        ("upgrade: WebSocket", "upgrade: websocket, h2c"),
        ("upgrade: WebSocket", "upgrade: websocket\r\nupgrade: h2c"),
        ("keep-alive, Upgrade", "keep-alive"),
        ("GET ", "POST "),
        ("\r\n\r\n", "\r\ncontent-length: 1\r\n\r\nx"),
    ] {
        let mut stream = scene.connect().await;
        send(&mut stream, good.replacen(from, to, 1).as_bytes()).await;
        expect_head(&mut stream, 200).await;
        let (head, _) = scene.app.last();
        assert_eq!(header(&head, "upgrade"), None, "{to}: {head}");
        assert_eq!(header(&head, "connection"), None, "{to}: {head}");
    }
    // Whether it may be one is policy, and so is who.
    let mut stream = scene.connect().await;
    send(&mut stream, websocket("/v2/ws", &token).as_bytes()).await;
    expect_head(&mut stream, 403).await;
    assert_eq!(scene.report.denied.lock()[0].question.context["protocol"], "websocket");
    let sent = websocket("/v1/other-switch", &token).replace("keep-alive", "close");
    assert_eq!(status(&scene.exchange(sent.as_bytes()).await), 502);
}

#[tokio::test]
async fn a_stream_streams() {
    let scene = Scene::start().await;
    let mut stream = scene.connect().await;
    let ask = format!(
        "GET /v1/stream HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {}\r\n\r\n",
        scene.token("shop")
    );
    for _ in 0..2 {
        send(&mut stream, ask.as_bytes()).await;
        let head = expect_head(&mut stream, 200).await;
        assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
        assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"data1");
        assert_eq!(scene.gatekeeper.figures().running, 1);
        scene.app.go_on.add_permits(1);
        assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"data2");
        assert_eq!(soon(read_chunk(&mut stream)).await.unwrap(), None);
    }
    assert_eq!(scene.gatekeeper.figures().running, 0);
}

#[tokio::test]
async fn large_bodies_pass_both_ways_and_an_early_answer_comes_early() {
    let scene = Scene::start().await;
    let body = noise(4 << 20);
    for fields in
        [format!("content-length: {}\r\n", body.len()), "transfer-encoding: chunked\r\n".to_owned()]
    {
        let mut stream = scene.connect().await;
        let head = request("PUT /v1/a", Some(&scene.token("shop")), &fields);
        send(&mut stream, head.as_bytes()).await;
        if fields.starts_with("transfer") {
            for chunk in body.chunks(100_000) {
                send(&mut stream, format!("{:x}\r\n", chunk.len()).as_bytes()).await;
                send(&mut stream, chunk).await;
                send(&mut stream, b"\r\n").await;
            }
            send(&mut stream, b"0\r\n\r\n").await;
        } else {
            send(&mut stream, &body).await;
        }
        expect_head(&mut stream, 200).await;
        assert!(scene.app.last().1 == body, "the body is another one");
    }
    let mut stream = scene.connect().await;
    send(&mut stream, request("GET /v1/big", Some(&scene.token("shop")), "").as_bytes()).await;
    expect_head(&mut stream, 200).await;
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer == body, "the answer is another one");
    let answer = scene.call("PUT /v1/early", "shop", "content-length: 1000000\r\n").await;
    assert!(status(&answer) == 413 && answer.ends_with("much"), "{answer}");
}

#[tokio::test]
async fn whoever_is_let_in_is_told_to_go_on_and_nobody_else() {
    let scene = Scene::start().await;
    let fields = "expect: 100-continue\r\ncontent-length: 4\r\n";
    let mut stream = scene.connect().await;
    send(&mut stream, request("PUT /v1/a", Some(&scene.token("shop")), fields).as_bytes()).await;
    expect_head(&mut stream, 100).await;
    send(&mut stream, b"body").await;
    expect_head(&mut stream, 200).await;
    let (head, body) = scene.app.last();
    assert_eq!((header(&head, "expect"), body.as_slice()), (None, b"body".as_slice()));
    let answer = scene.call("PUT /v2/a", "shop", fields).await;
    assert_eq!(status(&answer), 403, "{answer}");
    let answer = scene.exchange(request("PUT /v1/a", None, fields).as_bytes()).await;
    assert_eq!(status(&answer), 401, "{answer}");
}

#[tokio::test]
async fn slow_clients_lose_their_place() {
    let limits =
        Limits { head: SHORT, body: SHORT, write: SHORT, connections: 3, ..Limits::default() };
    let scene = Scene::with(|settings| settings.limits = limits).await;
    let token = scene.token("shop");
    let mut silent = scene.connect().await;
    let mut slow = scene.connect().await;
    send(&mut slow, b"GET /v1/a HTTP/1.1\r\nhost: or").await;
    let mut stuck = scene.connect().await;
    let put = request("PUT /v1/a", Some(&token), "content-length: 9\r\n");
    send(&mut stuck, (put + "half").as_bytes()).await;
    // There are as many as may be, so this one waits until one of them has lost its place.
    assert_eq!(scene.status("/v1/b", "shop").await, 200);
    for stream in [&mut silent, &mut slow, &mut stuck] {
        let answer = rest(stream).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    let mut deaf = TcpStream::connect(scene.address).await.unwrap();
    send(&mut deaf, request("GET /v1/big", Some(&token), "").as_bytes()).await;
    expect_head(&mut deaf, 200).await;
    let left = async {
        while scene.gatekeeper.figures().running > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(left).await;
    assert_eq!(scene.app.seen.lock().iter().filter(|(_, body)| !body.is_empty()).count(), 0);
}

#[tokio::test]
async fn an_app_that_is_not_well_is_told_from_a_refusal() {
    let mut scene = Scene::with(|settings| settings.answer = SHORT).await;
    let code = |answer: &str| (status(answer), problem(answer)["code"].as_str().map(str::to_owned));
    let failed = |status, code: &str| (status, Some(code.to_owned()));
    let answer = scene.call("GET /v1/hang", "shop", "").await;
    assert_eq!(code(&answer), failed(504, "app_silent"));
    let answer = scene.call("POST /v1/close", "shop", "content-length: 0\r\n").await;
    assert_eq!(code(&answer), failed(502, "app_broke"));
    let mut stream = scene.connect().await;
    send(&mut stream, request("GET /v1/half", Some(&scene.token("shop")), "").as_bytes()).await;
    let half = rest(&mut stream).await;
    assert!(half.contains("content-length: 9") && half.ends_with("half"), "{half}");
    assert_eq!(soon(scene.lines.recv()).await.unwrap().code, Some("app_silent"));

    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(nobody.local_addr().unwrap().to_string());
    drop(nobody);
    let scene = Scene::before(App::start().await, address, |_| {}, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    let answer = scene.call("GET /v1/a", "shop", "").await;
    assert_eq!(code(&answer), failed(503, "app_unreachable"));
    assert!(!answer.contains("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn an_app_may_be_at_a_unix_socket_and_what_runs_is_finished_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let app = App::start().await;
    app.listen_at(&path);
    let mut scene = Scene::before(app, Address::Unix(path), |_| {}, None).await;
    scene.gatekeeper.know(scene.known(POLICY, 1));
    let mut stream = scene.connect().await;
    send(&mut stream, request("GET /v1/stream", Some(&scene.token("shop")), "").as_bytes()).await;
    expect_head(&mut stream, 200).await;
    let mut idle = scene.connect().await;
    scene.shutdown.trigger();
    assert_eq!(rest(&mut idle).await, "");
    scene.app.go_on.add_permits(1);
    assert!(rest(&mut stream).await.ends_with("data2\r\n0\r\n\r\n"));
    soon(scene.ended.recv()).await.unwrap();
    assert!(TcpStream::connect(scene.address).await.is_err(), "somebody still listens");
    let _ = idle.shutdown().await;
}
