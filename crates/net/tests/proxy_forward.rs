//! What is forwarded arrives as it was sent, when it was sent; and what breaks off is seen to break off.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealock_net::proxy::{Address, Cut, Terms, Upstream, UpstreamSettings};
use sealock_testkit::scratch_folder;
use support::{
    Gateway, Server, expect, header, listen, noise, read_chunk, read_head, read_request, rest,
    send, soon,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::mpsc::unbounded_channel;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn gateway(server: &Server) -> Gateway {
    Gateway::start(server.upstream.clone(), Terms::default()).await
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways_in_either_framing() {
    let server = Server::echo().await;
    let gateway = gateway(&server).await;
    let body = noise(3 << 20);
    for chunked in [false, true] {
        let stream = gateway.connect().await;
        let (mut reader, mut writer) = stream.into_split();
        let sending = async {
            let framing = if chunked {
                "transfer-encoding: chunked".to_owned()
            } else {
                format!("content-length: {}", body.len())
            };
            send(&mut writer, format!("PUT / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n").as_bytes())
                .await;
            if !chunked {
                return send(&mut writer, &body).await;
            }
            for piece in body.chunks(70_001) {
                send(&mut writer, format!("{:x}\r\n", piece.len()).as_bytes()).await;
                send(&mut writer, piece).await;
                send(&mut writer, b"\r\n").await;
            }
            send(&mut writer, b"0\r\n\r\n").await;
        };
        let reading = async {
            let head = read_head(&mut reader).await.unwrap();
            let mut all = vec![0; header(&head, "content-length").unwrap().parse().unwrap()];
            reader.read_exact(&mut all).await.unwrap();
            all
        };
        let ((), all) = soon(async { tokio::join!(sending, reading) }).await;
        let head = all.len() - body.len();
        assert!(all[head..] == body, "the body is another");
        let forwarded = String::from_utf8_lossy(&all[..head]).into_owned();
        assert_eq!(header(&forwarded, "transfer-encoding").is_some(), chunked, "{forwarded}");
        assert_eq!(header(&forwarded, "content-length").is_some(), !chunked, "{forwarded}");
    }
}

#[tokio::test]
async fn each_piece_of_a_stream_arrives_when_it_is_sent() {
    let (tick, ticks) = unbounded_channel::<()>();
    let ticks = Arc::new(tokio::sync::Mutex::new(ticks));
    let server = Server::start(move |_, mut stream| {
        let ticks = Arc::clone(&ticks);
        async move {
            read_head(&mut stream).await.unwrap();
            send(&mut stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            // Nothing is sent before the client has had the one before.
            while ticks.lock().await.recv().await.is_some() {
                send(&mut stream, b"5\r\nevent\r\n").await;
            }
            send(&mut stream, b"0\r\n\r\n").await;
        }
    })
    .await;
    let gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, GET).await;
    let head = soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    for _ in 0..100 {
        tick.send(()).unwrap();
        assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"event");
    }
    drop(tick);
    assert_eq!(soon(read_chunk(&mut stream)).await, Some(None));
}

/// A server that says a first piece, waits for its cue, and then ends the answer in the way that is asked
/// for by the path; it serves many requests on each connection.
async fn hesitant() -> (Server, tokio::sync::mpsc::UnboundedSender<()>) {
    let (cue, cues) = unbounded_channel::<()>();
    let cues = Arc::new(tokio::sync::Mutex::new(cues));
    let server = Server::start(move |_, mut stream| {
        let cues = Arc::clone(&cues);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                send(
                    &mut stream,
                    b"HTTP/1.1 200 OK\r\nx-kept: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                )
                .await;
                if !head.starts_with("GET /late ") {
                    send(&mut stream, b"5\r\nfirst\r\n").await;
                }
                cues.lock().await.recv().await.unwrap();
                if head.starts_with("GET /broken ") {
                    return;
                }
                send(&mut stream, b"4\r\nlast\r\n0\r\n\r\n").await;
            }
        }
    })
    .await;
    (server, cue)
}

#[tokio::test]
async fn a_connection_goes_on_after_a_stream_with_what_was_sent_meanwhile() {
    let (server, cue) = hesitant().await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, b"GET /first HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for next in ["/late", "/again", "/last"] {
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(header(&head, "x-kept"), Some("1"), "{head}");
        if next != "/again" {
            assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"first");
        }
        // The next request comes while this answer is still under way, one of them in parts.
        send(&mut stream, format!("GET {next} HT").as_bytes()).await;
        tokio::task::yield_now().await;
        send(&mut stream, b"TP/1.1\r\nhost: a\r\n\r\n").await;
        cue.send(()).unwrap();
        assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"last");
        assert_eq!(soon(read_chunk(&mut stream)).await, Some(None));
    }
    drop(stream);
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_the_connection_where_the_client_wants_it() {
    let (server, cue) = hesitant().await;
    let gateway = gateway(&server).await;
    for (path, chunks, bare) in
        [("/first", "5\r\nfirst\r\n4\r\nlast\r\n", "firstlast"), ("/late", "4\r\nlast\r\n", "last")]
    {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let mut stream = gateway.connect().await;
        send(&mut stream, request.as_bytes()).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert_eq!(header(&head, "connection"), Some("close"), "{head}");
        cue.send(()).unwrap();
        assert_eq!(rest(&mut stream).await, format!("{chunks}0\r\n\r\n"));
        // A client of the old version gets the bare body.
        let mut stream = gateway.connect().await;
        send(&mut stream, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert_eq!(header(&head, "transfer-encoding"), None, "{head}");
        cue.send(()).unwrap();
        assert_eq!(rest(&mut stream).await, bare);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_after_a_while_has_no_end() {
    let (server, cue) = hesitant().await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, b"GET /broken HTTP/1.1\r\nhost: a\r\n\r\n").await;
    soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"first");
    cue.send(()).unwrap();
    assert_eq!(rest(&mut stream).await, "");
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn answers_without_a_body_keep_what_they_say_of_it() {
    let server = Server::start(|_, mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
                "/head" => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nx-end: 2\r\n\r\n",
                "/none" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "/same" => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            };
            send(&mut stream, answer).await;
        }
    })
    .await;
    let gateway = gateway(&server).await;
    // One connection for all: a misread length would show in the next answer.
    let mut stream = gateway.connect().await;
    for (request, status, length) in [
        ("HEAD /head", "200 OK", Some("1234")),
        ("GET /none", "204 No Content", None),
        ("GET /same", "304 Not Modified", None),
        ("POST /empty", "200 OK", Some("0")),
    ] {
        send(&mut stream, format!("{request} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert_eq!(header(&head, "content-length"), length, "{head}");
        assert_eq!(header(&head, "transfer-encoding"), None, "{head}");
        assert_eq!(header(&head, "x-hop"), None, "{head}");
        assert_eq!(header(&head, "x-end").is_some(), request == "HEAD /head", "{head}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_found_when_it_returns() {
    let folder = scratch_folder();
    let path = folder.path().join("server.sock");
    let upstream = Upstream::new(Address::Unix(path.clone()), UpstreamSettings::default());
    let gateway = Gateway::start(upstream, Terms::default()).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, GET).await;
    let head = soon(read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    let mut text = vec![0; header(&head, "content-length").unwrap().parse().unwrap()];
    soon(stream.read_exact(&mut text)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&text), format!("cannot reach unix://{}", path.display()));
    // The same connection of the client's sees it return.
    listen(&path, |_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        send(&mut stream, OK).await;
    });
    send(&mut stream, LAST).await;
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn a_server_that_accepts_nobody_is_given_up_at_the_deadline() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // The kernel's queue is full when one of these has to wait.
    let mut waiting = Vec::new();
    loop {
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(300), connecting).await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => break,
        }
        assert!(waiting.len() < 64, "the queue has no end");
    }
    let settings =
        UpstreamSettings { connect: Duration::from_millis(50), ..UpstreamSettings::default() };
    let upstream = Upstream::new(Address::Tcp(address.to_string()), settings);
    let gateway = Gateway::start(upstream, Terms::default()).await;
    let answer = gateway.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("did not accept a connection within 0.05 s"), "{answer}");
}

#[tokio::test]
async fn a_server_that_dies_before_its_answer_is_a_bad_gateway() {
    for part in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"what?\r\n\r\n",
        b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let server = Server::start(move |_, mut stream| async move {
            read_head(&mut stream).await.unwrap();
            send(&mut stream, part).await;
        })
        .await;
        let gateway = gateway(&server).await;
        let answer = gateway.exchange(LAST).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{part:?}: {answer}");
    }
}

#[tokio::test]
async fn a_server_that_dies_in_its_answer_is_not_taken_for_one_that_finished() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let server = Server::start(move |_, mut stream| async move {
            read_head(&mut stream).await.unwrap();
            send(
                &mut stream,
                format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n").as_bytes(),
            )
            .await;
        })
        .await;
        let mut gateway = gateway(&server).await;
        let mut stream = gateway.connect().await;
        send(&mut stream, GET).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert!(answer.len() < 250, "{answer}");
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_its_upload_takes_the_connection_to_the_server_along() {
    let (report, mut reports) = unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            assert_eq!(read_chunk(&mut stream).await.unwrap().unwrap(), b"abc");
            report.send(None).unwrap();
            // Not the end of the body, but of the connection.
            report.send(Some(read_chunk(&mut stream).await)).unwrap();
        }
    })
    .await;
    let mut gateway = gateway(&server).await;
    for reset in [false, true] {
        let mut stream = gateway.connect().await;
        send(
            &mut stream,
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        )
        .await;
        assert_eq!(soon(reports.recv()).await.unwrap(), None);
        if reset {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
        assert_eq!(soon(reports.recv()).await.unwrap(), Some(None));
        soon(gateway.ended.recv()).await.unwrap();
    }
}

/// A server whose streams never say anything more, and which reports how they end.
async fn quiet() -> (Server, tokio::sync::mpsc::UnboundedReceiver<usize>) {
    let (report, reports) = unbounded_channel();
    let server = Server::start(move |_, mut stream: UnixStream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            send(
                &mut stream,
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            )
            .await;
            report.send(stream.read(&mut [0; 1]).await.unwrap_or(0)).unwrap();
        }
    })
    .await;
    (server, reports)
}

async fn open_quiet_stream(gateway: &Gateway) -> TcpStream {
    let mut stream = gateway.connect().await;
    send(&mut stream, GET).await;
    soon(read_head(&mut stream)).await.unwrap();
    expect(&mut stream, b"5\r\nfirst\r\n").await;
    stream
}

#[tokio::test]
async fn a_client_that_leaves_a_quiet_stream_is_noticed() {
    let (server, mut reports) = quiet().await;
    let mut gateway = gateway(&server).await;
    for (reset, early) in [(false, &b""[..]), (true, b""), (false, b"GET /early HTTP/1.1\r\n")] {
        let mut stream = open_quiet_stream(&gateway).await;
        send(&mut stream, early).await;
        if reset {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
        assert_eq!(soon(reports.recv()).await, Some(0));
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_ends_a_quiet_stream_and_an_idle_connection_at_once() {
    let (server, mut reports) = quiet().await;
    let cut = Cut::default();
    let terms = Terms { cut: cut.clone(), ..Terms::default() };
    let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
    let mut stream = open_quiet_stream(&gateway).await;
    let mut idle = gateway.connect().await;
    cut.now();
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(soon(reports.recv()).await, Some(0));
    soon(gateway.ended.recv()).await.unwrap();
    soon(gateway.ended.recv()).await.unwrap();
    // Nobody who comes later is let in either.
    assert_eq!(gateway.exchange(GET).await, "");
}

#[tokio::test]
async fn a_shutdown_lets_the_answer_under_way_end() {
    let (server, _reports) = quiet().await;
    let terms = Terms::default();
    let shutdown = terms.shutdown.clone();
    let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
    let stream = open_quiet_stream(&gateway).await;
    let mut idle = gateway.connect().await;
    shutdown.trigger();
    assert_eq!(rest(&mut idle).await, "");
    drop(idle);
    soon(gateway.ended.recv()).await.unwrap();
    assert!(gateway.ended.try_recv().is_err(), "the stream was ended");
    drop(stream);
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn connections_to_the_server_are_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let server = Server::start(move |_, mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            while let Some((_, body)) = read_request(&mut stream).await {
                let framed: &[u8] = match body.len() {
                    0 => OK,
                    1 => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                    _ => {
                        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                    }
                };
                send(&mut stream, framed).await;
            }
        }
    })
    .await;
    let gateway = gateway(&server).await;
    for round in 0..30 {
        let body = "x".repeat(round % 3);
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = gateway.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_died_costs_nobody_a_request() {
    let (report, mut closed) = unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let report = report.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            send(&mut stream, OK).await;
            // Says that it keeps the connection, and does not.
            drop(stream);
            report.send(()).unwrap();
        }
    })
    .await;
    let gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    for _ in 0..10 {
        send(&mut stream, post).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        expect(&mut stream, b"ok").await;
        soon(closed.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn only_what_may_be_sent_twice_is_sent_twice() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let server = Server::start(move |_, mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            // The second request of a connection is read and not answered.
            read_request(&mut stream).await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            send(&mut stream, OK).await;
            if read_request(&mut stream).await.is_some() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let gateway = gateway(&server).await;
    assert!(gateway.exchange(LAST).await.starts_with("HTTP/1.1 200"));
    assert!(gateway.exchange(LAST).await.starts_with("HTTP/1.1 200"));
    assert_eq!(requests.load(Ordering::SeqCst), 3, "once more, on another connection");
    let post = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = gateway.exchange(post).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(requests.load(Ordering::SeqCst), 4, "it may have been acted on");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_arrives() {
    let server = Server::start(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        send(&mut stream, b"HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno").await;
        // Until the gateway has had enough.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nabc").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
    drop(stream);
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_keep_others_from_being_served() {
    let server = Server::echo().await;
    let mut gateway = gateway(&server).await;
    let mut idle = Vec::new();
    for _ in 0..2000 {
        idle.push(gateway.connect().await);
    }
    for stream in idle.iter_mut().step_by(100) {
        send(stream, GET).await;
        assert!(soon(read_head(stream)).await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert!(gateway.exchange(LAST).await.starts_with("HTTP/1.1 200"));
    soon(gateway.ended.recv()).await.unwrap();
    for mut stream in idle.drain(..) {
        let _ = stream.shutdown().await;
    }
    for _ in 0..2000 {
        soon(gateway.ended.recv()).await.unwrap();
    }
}
