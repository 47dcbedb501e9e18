//! What a client may send, by raw sockets: requests with two readings are refused before anybody acts on
//! them, and what is forwarded is written anew.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use std::time::{Duration, Instant};

use sealock_net::{Limits, Shutdown};
use sealock_net::proxy::Terms;
use support::{Gateway, Server, expect, header, read_head, read_request, rest, send, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn echoing() -> (Gateway, Server) {
    let server = Server::echo().await;
    (Gateway::start(server.upstream.clone(), Terms::default()).await, server)
}

#[tokio::test]
async fn a_request_with_two_readings_is_refused_and_nothing_of_it_is_forwarded() {
    // A connection is a failure: nothing may get this far.
    let (reached, mut reaches) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, _| {
        reached.send(()).unwrap();
        async {}
    })
    .await;
    let gateway = Gateway::start(server.upstream.clone(), Terms::default()).await;
    let smuggled = "0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\x0bchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 4\r\n\r\n",
        "POST / HTTP/1.1\nhost: a\n\n",
        "POST / HTTP/1.1\r\nhost: a\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\n\n",
        "POST / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nhost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let answer = gateway.exchange(format!("{head}{smuggled}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head:?}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{head:?}: {answer}");
        assert!(answer.contains("\r\n\r\n{\"message\":\""), "{head:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            if answer.contains("only HTTP/1.1") { 2 } else { 1 },
            "{answer}"
        );
    }
    assert!(reaches.try_recv().is_err(), "something reached the server");
}

#[tokio::test]
async fn a_refusal_leaves_the_answers_before_it_alone() {
    let (gateway, _server) = echoing().await;
    let good = "GET /first HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer =
        gateway.exchange(format!("{good}{good}GET /bad HTTP/1.1\nhost: a\n\n").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("GET /first HTTP/1.1").count(), 2, "{answer}");
    assert!(answer.contains("HTTP/1.1 400 Bad Request"), "{answer}");
    assert!(!answer.contains("/bad"), "{answer}");
}

#[tokio::test]
async fn what_is_forwarded_is_written_anew() {
    let (gateway, _server) = echoing().await;
    let answer = gateway
        .exchange(
            b"POST /a?b=c HTTP/1.1\r\nHost: docker\r\nConnection: close, X-Private\r\n\
            X-Private: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Authorization: x\r\n\
            Trailer: x-sum\r\nX-Kept:   2  \r\ntransfer-encoding: chunked\r\n\r\n\
            5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
        )
        .await;
    let forwarded = answer.split_once("\r\n\r\n").unwrap().1;
    let (head, body) = forwarded.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let kept = ["host: docker", "transfer-encoding: chunked", "x-kept: 2"];
    assert_eq!(lines[0], "POST /a?b=c HTTP/1.1");
    assert_eq!(lines[1..], kept, "{answer}");
    assert_eq!(body, "hello");
}

#[tokio::test]
async fn the_old_version_is_answered_without_keep_alive() {
    let (gateway, _server) = echoing().await;
    let answer = gateway.exchange(b"GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    assert!(answer.contains("GET /old HTTP/1.1\r\n"), "{answer}");
    assert!(answer.contains("host: localhost\r\n"), "{answer}");
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_their_order() {
    let (gateway, _server) = echoing().await;
    let mut sent = Vec::new();
    for number in 0..50 {
        let body = "x".repeat(number * 100);
        let head =
            format!("POST /{number} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        sent.extend_from_slice(head.as_bytes());
        sent.extend_from_slice(body.as_bytes());
        sent.extend_from_slice(b"POST /chunked HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    }
    sent.extend_from_slice(b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = gateway.exchange(&sent).await;
    let asked: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.split_once(" /")?.1.strip_suffix(" HTTP/1.1"))
        .collect();
    let expected: Vec<String> =
        (0..50).flat_map(|number| [number.to_string(), "chunked".to_owned()]).collect();
    assert_eq!(asked.len(), 101, "{answer}");
    assert_eq!(asked[..100], expected);
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let (gateway, _server) = echoing().await;
    let mut stream = gateway.connect().await;
    let request = b"POST /slow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for _ in 0..2 {
        for byte in request {
            send(&mut stream, &[*byte]).await;
            tokio::task::yield_now().await;
        }
        let head = soon(read_head(&mut stream)).await.unwrap();
        let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        soon(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body)).await.unwrap();
        assert!(body.ends_with(b"\r\n\r\nabc"), "{}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn heads_have_bounds() {
    let (gateway, _server) = echoing().await;
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(40 * 1024));
    let answer = gateway.exchange(large.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // One that never ends.
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "a".repeat(40 * 1024));
    let answer = gateway.exchange(endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(64));
    let answer = gateway.exchange(many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // As large as is allowed, and more than hyper reads at once.
    let fits = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n",
        "a".repeat(31 * 1024)
    );
    let answer = gateway.exchange(fits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_malformed_chunk_breaks_the_request_off() {
    let (gateway, _server) = echoing().await;
    let answer = gateway
        .exchange(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n\
            3;x\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn slow_heads_and_bodies_are_ended() {
    let server = Server::echo().await;
    let (short, long) = (Duration::from_millis(200), Duration::from_secs(600));
    // Only the one deadline can end the one, and the other the other.
    for (head, body, sent) in [
        (short, long, "GET / HTTP/1.1\r\nhost: a"),
        (long, short, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab"),
        (long, short, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nab"),
    ] {
        let limits = Limits { head, body, ..Limits::default() };
        let terms = Terms { limits, ..Terms::default() };
        let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
        let answer = gateway.exchange(sent.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_large_upload_needs_no_hurry_as_long_as_it_goes_on() {
    let server = Server::echo().await;
    let limits = Limits { body: Duration::from_secs(5), ..Limits::default() };
    let terms = Terms { limits, ..Terms::default() };
    let gateway = Gateway::start(server.upstream.clone(), terms).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 6\r\nconnection: close\r\n\r\n").await;
    expect(&mut stream, b"HTTP/1.1 100 Continue\r\n\r\n").await;
    for piece in [b"ab", b"cd", b"ef"] {
        send(&mut stream, piece).await;
        tokio::task::yield_now().await;
    }
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("\r\n\r\nabcdef"), "{answer}");
    assert!(!answer.contains("expect"), "{answer}");
    stream.shutdown().await.unwrap();
}

/// One exchange on a connection that stays open.
async fn exchange(stream: &mut TcpStream) {
    send(stream, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_answer(stream).await;
}

async fn read_answer(stream: &mut TcpStream) {
    let head = soon(read_head(stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut body = vec![0; header(&head, "content-length").unwrap().parse().unwrap()];
    soon(stream.read_exact(&mut body)).await.unwrap();
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_a_time() {
    let server = Server::echo().await;
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(600));
    let limits = Limits { head: short, body: long, ..Limits::default() };
    let terms = Terms { limits, ..Terms::default() };
    let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
    // How many requests it had, and what it has sent of the next one.
    for (requests, begun) in [(0, ""), (1, ""), (3, ""), (1, "GET / HTT")] {
        let from = Instant::now();
        let mut stream = gateway.connect().await;
        for _ in 0..requests {
            exchange(&mut stream).await;
        }
        send(&mut stream, begun.as_bytes()).await;
        let said = rest(&mut stream).await;
        assert!(!said.contains("200 OK"), "{said}");
        assert!(from.elapsed() >= short / 2, "not before its time: {requests} {begun:?} {said}");
        drop(stream);
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_in_use_is_not_idle() {
    let server = Server::echo().await;
    let limits = Limits { head: Duration::from_millis(600), ..Limits::default() };
    let terms = Terms { limits, ..Terms::default() };
    let gateway = Gateway::start(server.upstream.clone(), terms).await;
    let mut stream = gateway.connect().await;
    // Longer than the deadline in all, each pause shorter.
    for _ in 0..5 {
        exchange(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_connection_that_has_rested_goes_on_as_if_it_had_not() {
    let server = Server::echo().await;
    let shutdown = Shutdown::default();
    let terms = Terms { shutdown: shutdown.clone(), ..Terms::default() };
    let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
    let mut stream = gateway.connect().await;
    let rested = || tokio::time::sleep(Duration::from_millis(400));
    for _ in 0..2 {
        rested().await;
        exchange(&mut stream).await;
    }
    rested().await;
    // What comes first may be the half of a head, or more than one request.
    send(&mut stream, b"G").await;
    rested().await;
    send(&mut stream, b"ET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_answer(&mut stream).await;
    rested().await;
    send(&mut stream, &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200)).await;
    for _ in 0..200 {
        read_answer(&mut stream).await;
    }
    rested().await;
    // Who is not understood is told so.
    let mut wrong = gateway.connect().await;
    rested().await;
    send(&mut wrong, b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    let said = rest(&mut wrong).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    soon(gateway.ended.recv()).await.unwrap();
    shutdown.trigger();
    assert_eq!(rest(&mut stream).await, "");
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn after_a_stream_the_connection_is_idle_like_any_other() {
    let server = Server::start(|_, mut stream| async move {
        while read_request(&mut stream).await.is_some() {
            send(&mut stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            // A stream may be quiet for longer than a connection may be idle.
            tokio::time::sleep(Duration::from_millis(500)).await;
            send(&mut stream, b"3\r\nend\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let terms = Terms { limits, ..Terms::default() };
    let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let said = rest(&mut stream).await;
    assert!(said.ends_with("3\r\nend\r\n0\r\n\r\n"), "the stream is whole: {said}");
    drop(stream);
    soon(gateway.ended.recv()).await.unwrap();
}
