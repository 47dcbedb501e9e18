//! HTTP/2 as a server: what good clients get, and what hostile frames come to.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode, Version};
use parking_lot::Mutex;
use sealock_net::proxy::{Answer, Cut, Terms, serve_either};
use sealock_net::{Incoming, Limits, Shutdown};
use support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RESET,
    SETTINGS, block, frame, get, hello, next, request, reset,
};
use support::{noise, rest, soon};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Reply = UnsyncBoxBody<Bytes, std::io::Error>;

const PROTOCOL_ERROR: u32 = 1;
const CANCEL: u32 = 8;

/// What handlers have seen.
#[derive(Default, Clone)]
struct Seen {
    calls: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    cuts: Arc<Mutex<Vec<Cut>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    async fn handle(&self, request: Request<Incoming>) -> Answer<Reply> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(Arc::clone(&self.running));
        let cut = Cut::of_stream(request.extensions()).cloned();
        self.cuts.lock().extend(cut);
        let text = format!("{:?} {} {:?}", request.version(), request.uri(), request.headers());
        self.heads.lock().push(text);
        let full = |bytes: Vec<u8>| {
            Full::new(Bytes::from(bytes)).map_err(std::io::Error::other).boxed_unsync()
        };
        Answer::Response(Response::new(match request.uri().path() {
            "/hang" => std::future::pending().await,
            "/big" => full(noise(1 << 20)),
            "/empty" => Empty::new().map_err(std::io::Error::other).boxed_unsync(),
            "/echo" => request.into_body().map_err(std::io::Error::other).boxed_unsync(),
            "/read" => match request.into_body().collect().await {
                Ok(body) => full(body.to_bytes().to_vec()),
                Err(_) => full(b"broke off".to_vec()),
            },
            _ => full(b"ok".to_vec()),
        }))
    }
}

fn start(terms: Terms) -> (DuplexStream, Seen, JoinHandle<()>) {
    let (client, server) = duplex(1 << 16);
    let seen = Seen::default();
    let handler = seen.clone();
    let serving = tokio::spawn(async move {
        serve_either(server, terms, |request| handler.handle(request)).await;
    });
    (client, seen, serving)
}

async fn connect(stream: DuplexStream) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}

fn ask(path: &str) -> Request<()> {
    let uri = format!("http://orders{path}");
    Request::builder().version(Version::HTTP_2).uri(uri).body(()).unwrap()
}

/// Status, body and trailers of an answer.
async fn answer(response: h2::client::ResponseFuture) -> (StatusCode, Vec<u8>, Option<HeaderMap>) {
    let response = soon(response).await.unwrap();
    let (status, mut body, mut all) = (response.status(), response.into_body(), Vec::new());
    while let Some(piece) = soon(body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    (status, all, soon(body.trailers()).await.unwrap())
}

/// Waits until it is so, without a time of its own.
async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn both_versions_are_served_and_many_requests_at_once() {
    let (mut client, seen, _) = start(Terms::default());
    client.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let text = rest(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("ok"), "{text}");
    assert!(seen.cuts.lock().is_empty(), "a connection of HTTP/1.1 is cut as a whole");

    let (client, seen, _) = start(Terms::default());
    let mut sender = connect(client).await;
    let (hangs, _) = sender.send_request(ask("/hang"), true).unwrap();
    let (big, _) = sender.send_request(ask("/big"), true).unwrap();
    let (small, _) = sender.send_request(ask("/v1?a=b"), true).unwrap();
    let ((status, body, trailers), big) = tokio::join!(answer(small), answer(big));
    assert_eq!((status.as_u16(), body.as_slice(), trailers), (200, &b"ok"[..], None));
    assert_eq!(big.1, noise(1 << 20));
    let (empty, _) = sender.send_request(ask("/empty"), true).unwrap();
    assert!(answer(empty).await.1.is_empty());
    let heads = seen.heads.lock().join("\n");
    assert!(heads.contains("HTTP/2.0 /v1?a=b {\"host\": \"orders\"}"), "{heads}");
    drop(hangs);
    until(|| seen.running() == 0).await;
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let (client, ..) = start(Terms::default());
    let mut sender = connect(client).await;
    let (response, mut body) = sender.send_request(ask("/echo"), false).unwrap();
    body.send_data(Bytes::from_static(b"one"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    body.send_trailers(trailers.clone()).unwrap();
    let (_, echoed, back) = answer(response).await;
    assert_eq!((echoed.as_slice(), back), (&b"one"[..], Some(trailers)));
}

/// The first frame that says what became of the stream.
async fn outcome(client: &mut DuplexStream) -> Frame {
    soon(next(client, &[HEADERS, RESET, GOAWAY])).await.expect("it hung up")
}

#[tokio::test]
async fn nothing_follows_the_head_of_an_answer_to_head() {
    let (client, seen, _) = start(Terms::default());
    let mut client = connect(client).await;
    // Of the handler, of a handler that says nothing, and one of ours.
    for (path, host, status, length) in [
        ("/big", "orders", 200, Some("1048576")),
        ("/empty", "orders", 200, None),
        ("/big", "billing", 400, None),
    ] {
        let mut request = ask(path);
        *request.method_mut() = hyper::Method::HEAD;
        request.headers_mut().insert("host", host.parse().unwrap());
        let (response, _) = client.send_request(request, true).unwrap();
        let response = soon(response).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let said =
            response.headers().get("content-length").map(|it| it.to_str().unwrap().to_owned());
        assert!(length.is_none() || said.as_deref() == length, "{path}: {said:?}");
        assert!(soon(response.into_body().data()).await.is_none(), "{path}");
    }
    assert_eq!(seen.calls(), 2);
}

#[tokio::test]
async fn a_malformed_head_reaches_no_handler() {
    let good = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [&good[..], more].concat();
    for fields in [
        with(&[("connection", "close")]),
        with(&[("connection", "keep-alive, x-a"), ("x-a", "1")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "h2c")]),
        with(&[("keep-alive", "1")]),
        with(&[("proxy-connection", "close")]),
        with(&[("te", "gzip")]),
        with(&[("X-Upper", "1")]),
        with(&[("x y", "1")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\0")]),
        with(&[(":path", "/b")]),
        with(&[(":authority", "b")]),
        with(&[(":unknown", "b")]),
        with(&[(":status", "200")]),
        with(&[("x", "y"), (":method", "GET")]),
        good[..3].to_vec(),
        good[1..].to_vec(),
        vec![good[0], good[2], good[3]],
        vec![good[0], good[1], good[2], (":path", "")],
        vec![(":method", "CONNECT"), (":authority", "a:1"), (":path", "/"), (":scheme", "http")],
        // RFC 8441, which we have not offered.
        vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ],
    ] {
        let (mut client, seen, _) = start(Terms::default());
        let sent = [hello(&[]), request(1, &fields), get(3, "/after")].concat();
        client.write_all(&sent).await.unwrap();
        let frame = outcome(&mut client).await;
        let is_refused = match frame.kind {
            RESET => frame.stream == 1 && frame.code() == PROTOCOL_ERROR,
            GOAWAY => true,
            // 400, from the static table.
            _ => frame.stream == 1 && frame.payload.first() == Some(&0x8c),
        };
        assert!(is_refused, "{fields:?}: {frame:?}");
        let heads = seen.heads.lock().join("\n");
        assert!(seen.calls() <= 1 && !heads.contains(" / "), "{fields:?}: {heads}");
    }
}

#[tokio::test]
async fn what_two_servers_could_read_in_two_ways_is_answered_by_400() {
    let good = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [&good[..], more].concat();
    for fields in [
        with(&[("host", "b")]),
        with(&[("host", "a"), ("host", "a")]),
        with(&[("x", " y")]),
        with(&[("content-length", "0"), ("content-length", "0")]),
        vec![good[0], good[1], good[3]],
        vec![good[0], (":scheme", "ftp"), good[2], good[3]],
        vec![(":method", "CONNECT"), (":authority", "a:1")],
    ] {
        let (mut client, seen, _) = start(Terms::default());
        client.write_all(&[hello(&[]), request(1, &fields)].concat()).await.unwrap();
        let frame = outcome(&mut client).await;
        let got = (frame.kind, frame.payload.first());
        assert_eq!(got, (HEADERS, Some(&0x8c)), "{fields:?}: {frame:?}");
        assert_eq!(seen.calls(), 0, "{fields:?}");
        // The connection goes on.
        client.write_all(&get(3, "/")).await.unwrap();
        let frame = soon(async {
            loop {
                let frame = outcome(&mut client).await;
                if frame.stream == 3 {
                    return frame;
                }
            }
        });
        assert_eq!(frame.await.payload.first(), Some(&0x88), "{fields:?}");
    }
}

#[tokio::test]
async fn a_body_has_the_length_that_was_said() {
    for (length, sent) in [("3", &b"four"[..]), ("3", b"tw"), ("0", b"x")] {
        let (mut client, seen, _) = start(Terms::default());
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/read"),
            ("content-length", length),
        ];
        let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
        let data = frame(DATA, END_STREAM, 1, sent);
        client.write_all(&[hello(&[]), head, data].concat()).await.unwrap();
        let frame = soon(next(&mut client, &[RESET, GOAWAY, DATA])).await.unwrap();
        assert_eq!((frame.kind, frame.code()), (RESET, PROTOCOL_ERROR), "{length}: {frame:?}");
        until(|| seen.running() == 0).await;
    }
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let (mut client, seen, serving) = start(Terms::default());
    let first = frame(HEADERS, END_STREAM, 1, &block(&[(":method", "GET")]));
    client.write_all(&[hello(&[]), first].concat()).await.unwrap();
    let piece = frame(CONTINUATION, 0, 1, &block(&[("x-flood", "y".repeat(100).as_str()); 100]));
    let flooding = async {
        for _ in 0..10_000 {
            if client.write_all(&piece).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(soon(flooding).await, "100 MB of one head were taken");
    soon(serving).await.unwrap();
    assert_eq!(seen.calls(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let limits = Limits { head_bytes: 2048, ..Limits::default() };
    let (mut client, seen, _) = start(Terms { limits, ..Terms::default() });
    let long = "y".repeat(120);
    let mut fields =
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    fields.extend((0..30).map(|_| ("x-long", long.as_str())));
    client.write_all(&[hello(&[]), request(1, &fields)].concat()).await.unwrap();
    let frame = outcome(&mut client).await;
    assert_ne!(frame.payload.first(), Some(&0x88), "{frame:?}");
    assert_eq!(seen.calls(), 0);
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_the_connection() {
    // At once, so that they are reset before anybody has looked at them.
    let (mut client, seen, serving) = start(Terms::default());
    client.write_all(&hello(&[])).await.unwrap();
    let flooding = async {
        for number in 0..20_000_u32 {
            let stream = number * 2 + 1;
            if client.write_all(&[get(stream, "/hang"), reset(stream)].concat()).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(soon(flooding).await, "20000 streams were reset");
    soon(serving).await.unwrap();
    assert!(seen.calls() < 1000 && seen.running() == 0, "{} calls", seen.calls());
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_begun_and_reset_end_it_too_but_not_where_that_is_seldom() {
    async fn resets(every: Duration) -> usize {
        let (mut client, seen, serving) = start(Terms::default());
        client.write_all(&hello(&[])).await.unwrap();
        for number in 0..1000_u32 {
            let stream = number * 2 + 1;
            if client.write_all(&get(stream, "/hang")).await.is_err() {
                break;
            }
            let begun = number as usize + 1;
            until(|| seen.calls() == begun || serving.is_finished()).await;
            let _ = client.write_all(&reset(stream)).await;
            until(|| seen.running() == 0).await;
            tokio::time::sleep(every).await;
        }
        seen.calls()
    }
    let calls = resets(Duration::ZERO).await;
    assert!((100..400).contains(&calls), "{calls} calls");
    assert_eq!(resets(Duration::from_millis(100)).await, 1000);
}

#[tokio::test]
async fn who_stays_as_often_as_it_leaves_keeps_its_connection() {
    let (client, seen, serving) = start(Terms::default());
    let mut sender = connect(client).await;
    for left in 0..500 {
        let (hangs, _) = sender.send_request(ask("/hang"), true).unwrap();
        until(|| seen.running() == 1 || serving.is_finished()).await;
        drop(hangs);
        until(|| seen.running() == 0).await;
        let (response, _) = sender.send_request(ask("/"), true).unwrap();
        assert_eq!(answer(response).await.0, StatusCode::OK, "after {left} that were left");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_reset_at_the_deadline() {
    let write = Duration::from_secs(8);
    let limits = Limits { write, ..Limits::default() };
    // The first takes nothing at all, the second a little.
    for window in [0, 1000] {
        let (mut client, seen, _) = start(Terms { limits, ..Terms::default() });
        const INITIAL_WINDOW_SIZE: u16 = 4;
        let sent = [hello(&[(INITIAL_WINDOW_SIZE, window)]), get(1, "/big")].concat();
        let begun = Instant::now();
        client.write_all(&sent).await.unwrap();
        let frame = next(&mut client, &[RESET, GOAWAY]).await.unwrap();
        assert_eq!((frame.kind, frame.stream, frame.code()), (RESET, 1, CANCEL), "{frame:?}");
        let waited = begun.elapsed();
        assert!(waited >= write && waited < write * 2, "{waited:?}");
        assert_eq!(seen.running(), 0);
        // The connection is none the worse for it.
        client.write_all(&get(3, "/empty")).await.unwrap();
        let frame = next(&mut client, &[HEADERS, RESET, GOAWAY]).await.unwrap();
        assert_eq!((frame.kind, frame.stream), (HEADERS, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_is_let_go() {
    let head = Duration::from_secs(5);
    let limits = Limits { head, write: Duration::from_secs(5), ..Limits::default() };
    for sent in [&b""[..], b"PRI * HT", &hello(&[]), &[hello(&[]), get(1, "/")].concat()] {
        let (mut client, _, serving) = start(Terms { limits, ..Terms::default() });
        let begun = Instant::now();
        client.write_all(sent).await.unwrap();
        // It reads, and answers what it is asked.
        while next(&mut client, &[GOAWAY]).await.is_some() {}
        soon(serving).await.unwrap();
        let waited = begun.elapsed();
        assert!(waited >= head && waited < head * 3, "{waited:?}");
    }
    // One that does not even read.
    let (mut client, _, serving) = start(Terms { limits, ..Terms::default() });
    client.write_all(&hello(&[])).await.unwrap();
    tokio::time::timeout(head * 4, serving).await.expect("it is kept for ever").unwrap();
    // A request that is at work keeps it.
    let (mut client, seen, serving) = start(Terms { limits, ..Terms::default() });
    client.write_all(&[hello(&[]), get(1, "/hang")].concat()).await.unwrap();
    let reading = async { next(&mut client, &[GOAWAY]).await };
    assert!(tokio::time::timeout(head * 10, reading).await.is_err(), "it was let go");
    assert!(!serving.is_finished() && seen.running() == 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_without_a_word_is_noticed() {
    let (mut client, seen, serving) = start(Terms::default());
    client.write_all(&[hello(&[]), get(1, "/hang")].concat()).await.unwrap();
    until(|| seen.running() == 1).await;
    // Nobody answers the ping.
    tokio::time::timeout(Duration::from_secs(120), serving).await.expect("it waits").unwrap();
    assert_eq!(seen.running(), 0);
}

#[tokio::test]
async fn pings_and_settings_without_end_cost_no_memory_and_hold_nobody_up() {
    let (client, _, serving) = start(Terms::default());
    let (mut reader, mut writer) = tokio::io::split(client);
    writer.write_all(&hello(&[])).await.unwrap();
    // Nobody reads the answers, so that it has to stop to read.
    let flood = [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])].concat().repeat(100);
    let flooding = async {
        for _ in 0..10_000 {
            if writer.write_all(&flood).await.is_err() {
                return;
            }
        }
        panic!("it takes them all");
    };
    let blocked = tokio::time::timeout(Duration::from_secs(2), flooding).await;
    if blocked.is_err() {
        // It waits for us, as it should: what it has to say first is not taken.
        let mut frames = 0;
        while frames < 100 && support::http2::read_frame(&mut reader).await.is_ok() {
            frames += 1;
        }
        assert_eq!(frames, 100);
    }
    drop((reader, writer));
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn the_cut_of_one_stream_is_not_that_of_the_others() {
    let (client, seen, _) = start(Terms::default());
    let mut sender = connect(client).await;
    let (first, _) = sender.send_request(ask("/hang"), true).unwrap();
    until(|| seen.cuts.lock().len() == 1).await;
    let (second, mut body) = sender.send_request(ask("/echo"), false).unwrap();
    until(|| seen.cuts.lock().len() == 2).await;
    seen.cuts.lock()[0].now();
    let error = soon(first).await.unwrap_err();
    assert!(error.is_reset() && error.reason() == Some(h2::Reason::CANCEL), "{error:?}");
    body.send_data(Bytes::from_static(b"goes on"), true).unwrap();
    assert_eq!(answer(second).await.1, b"goes on");
    // In the middle of an answer too.
    let (third, mut body) = sender.send_request(ask("/echo"), false).unwrap();
    body.send_data(Bytes::from_static(b"one"), false).unwrap();
    let mut streamed = soon(third).await.unwrap().into_body();
    assert_eq!(soon(streamed.data()).await.unwrap().unwrap(), "one");
    seen.cuts.lock()[2].now();
    assert!(soon(streamed.data()).await.unwrap().unwrap_err().is_reset());
    assert!(answer(sender.send_request(ask("/"), true).unwrap().0).await.1 == b"ok");
}

#[tokio::test]
async fn the_cut_of_the_connection_ends_all_at_once() {
    let cut = Cut::default();
    let (client, seen, serving) = start(Terms { cut: cut.clone(), ..Terms::default() });
    let mut sender = connect(client).await;
    let (first, _) = sender.send_request(ask("/hang"), true).unwrap();
    let (second, _) = sender.send_request(ask("/hang"), true).unwrap();
    until(|| seen.running() == 2).await;
    cut.now();
    assert!(soon(first).await.is_err() && soon(second).await.is_err());
    soon(serving).await.unwrap();
    assert_eq!(seen.running(), 0);
}

#[tokio::test]
async fn at_the_end_what_is_under_way_is_finished_and_nothing_else_begun() {
    let shutdown = Shutdown::default();
    let (client, seen, serving) = start(Terms { shutdown: shutdown.clone(), ..Terms::default() });
    let mut sender = connect(client).await;
    let (response, mut body) = sender.send_request(ask("/echo"), false).unwrap();
    until(|| seen.calls() == 1).await;
    shutdown.trigger();
    soon(async {
        while sender.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    body.send_data(Bytes::from_static(b"finished"), true).unwrap();
    assert_eq!(answer(response).await.1, b"finished");
    drop(sender);
    soon(serving).await.unwrap();
    // Who says nothing is not waited for.
    let (_client, seen, serving) = start(Terms { shutdown, ..Terms::default() });
    soon(serving).await.unwrap();
    assert_eq!(seen.calls(), 0);
}

#[tokio::test]
async fn whoever_has_just_connected_is_answered_at_the_end_too() {
    let http1 = b"GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n".to_vec();
    for first in [http1, [hello(&[]), get(1, "/")].concat()] {
        let shutdown = Shutdown::default();
        let terms = Terms { shutdown: shutdown.clone(), ..Terms::default() };
        let (mut client, seen, serving) = start(terms);
        tokio::task::yield_now().await;
        shutdown.trigger();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        client.write_all(&first).await.unwrap();
        until(|| seen.calls() == 1).await;
        if first.starts_with(b"GET") {
            assert!(rest(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
        } else {
            assert!(soon(next(&mut client, &[HEADERS])).await.is_some());
        }
        drop(client);
        soon(serving).await.unwrap();
    }
}

#[tokio::test]
async fn no_more_streams_run_than_may() {
    let limits = Limits { streams: 3, ..Limits::default() };
    let (mut client, seen, _) = start(Terms { limits, ..Terms::default() });
    let all: Vec<u8> = (0..10).flat_map(|number| get(number * 2 + 1, "/hang")).collect();
    client.write_all(&[hello(&[]), all, frame(PING, 0, 0, b"are-here")].concat()).await.unwrap();
    let mut refused = 0;
    loop {
        let frame = soon(next(&mut client, &[RESET, PING, GOAWAY])).await.unwrap();
        match frame.kind {
            RESET => refused += 1,
            PING if frame.flags & ACK == ACK => break,
            kind => panic!("a frame of kind {kind}"),
        }
    }
    assert_eq!((seen.running(), refused), (3, 7));
}
