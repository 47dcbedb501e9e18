//! Hostile and broken peers on both sides of the gateway, over mutual TLS with a certificate that is in force: each
//! gets a clear status or is hung up on, nothing leaks, and nobody else notices.

mod wire;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sealock_testkit::wait::until;
use wire::{A_WHILE, Engine, Stage};

use crate::support::PATIENCE;

const LOAD: &[u8] =
    b"POST /v1.41/images/load HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n";
const EVIL: &str = "GET /v1.41/containers/evil/json HTTP/1.1\r\nHost: docker\r\n\r\n";

#[test]
fn a_request_with_two_readings_reaches_nobody() {
    let stage = Stage::new();
    let mut other = stage.connect();
    let post = "POST /v1.41/containers/create?name=evil HTTP/1.1\r\nHost: docker\r\n";
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let heads = [
        format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        format!("{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}Content-Length: 2, 2\r\n\r\n{{}}"),
        format!("{post}Content-Length: +2\r\n\r\n{{}}"),
        format!("{post}Content-Length : 2\r\n\r\n{{}}"),
        format!("{post}Transfer-Encoding: identity\r\n\r\n"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}X: y\n\r\n"),
        format!("{post}X: y\rContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}Host: other\r\n\r\n"),
        format!("{post}X: \0\r\n\r\n"),
        "POST /v1.41/containers/create?name=evil HTTP/1.1\nHost: docker\n\n".to_owned(),
        "POST /v1.41/containers/create?name=evil HTTP/1.1\r\n\r\n".to_owned(),
        "POST /v1.41/containers/create?name=evil  HTTP/1.1\r\nHost: docker\r\n\r\n".to_owned(),
        "POST /v1.41/containers/create?name=evil HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
        "POST /v1.41/containers/create?name=evil HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "POST /v1.41/containers/create?name=evil HTTP/2.0\r\nHost: docker\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "CONNECT docker:80 HTTP/1.1\r\nHost: docker\r\n\r\n".to_owned(),
        // In the body: where parsers of chunks differ.
        format!("{chunked}2;x=y\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2 \r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}0x2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}+2\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2\r\n{{}}0\r\n\r\n"),
        format!("{chunked}10000000000000002\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}fffffffffffffffff\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2\r\n{{}}\r\n0\r\nX: y\n\r\n"),
    ];
    for head in &heads {
        let mut client = stage.connect();
        client.send(format!("{head}{EVIL}").as_bytes());
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head:?}: {answer}");
        assert!(answer.contains("{\"message\":\""), "docker prints a message: {head:?}: {answer}");
        assert_eq!(answer.matches("content-length").count(), 1, "one answer: {head:?}: {answer}");
        assert!(other.ask("/_ping").starts_with("http/1.1 200 ok"), "others are not disturbed");
    }
    assert_eq!(stage.engine.heard("evil"), Vec::<String>::new(), "the engine heard of it");
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn floods_of_headers_are_refused() {
    let stage = Stage::new();
    let before = stage.descriptors();
    let get = "GET /v1.41/evil HTTP/1.1\r\nHost: docker\r\n";
    let floods = [
        format!("{get}{}\r\n", "X: y\r\n".repeat(1000)),
        format!("{get}X: {}\r\n\r\n", "y".repeat(60_000)),
        // These never end.
        format!("{get}{}", "X: y\r\n".repeat(10_000)),
        format!("{get}X: {}", "y".repeat(60_000)),
        format!("GET /{}", "y".repeat(60_000)),
    ];
    for flood in floods.iter().cycle().take(30) {
        let mut client = stage.connect();
        // It may be refused before it has said all.
        let _ = client.try_send(flood.as_bytes());
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        stage.ping();
    }
    assert_eq!(stage.engine.heard("evil"), Vec::<String>::new());
    stage.await_descriptors(before);
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn slow_and_silent_peers_are_let_go() {
    let stage = Stage::new();
    let before = stage.descriptors();
    let began = Instant::now();
    std::thread::scope(|scope| {
        // Before the handshake, before a request, and in the middle of a head that comes byte by byte.
        scope.spawn(|| {
            let mut stream = stage.silent();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(std::io::Read::read(&mut stream, &mut [0; 1]).unwrap(), 0);
        });
        scope.spawn(|| assert_eq!(stage.connect().rest(), ""));
        scope.spawn(|| {
            let mut client = stage.connect();
            let mut head = b"GET /v1.41/evil HTTP/1.1\r\nHost: docker\r\nX: ".to_vec();
            head.resize(1000, b'y');
            for byte in head {
                if client.try_send(&[byte]).is_err() {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "a slow head has no end");
                std::thread::sleep(A_WHILE);
            }
            assert!(!client.rest().contains("200 OK"));
        });
        // Nobody waits for them.
        for _ in 0..20 {
            let asked = Instant::now();
            stage.ping();
            assert!(asked.elapsed() < Duration::from_secs(5), "others wait");
            std::thread::sleep(A_WHILE);
        }
    });
    assert_eq!(stage.engine.heard("evil"), Vec::<String>::new());
    stage.await_descriptors(before);
    assert_eq!(stage.daemon.stop(), Some(0));
}

/// Longer than the next piece of a body may take.
const TOO_LONG: Duration = Duration::from_secs(125);
/// Between two pieces of a body that comes slowly.
const PAUSE: Duration = Duration::from_secs(25);

#[test]
fn a_body_may_be_slow_but_not_stand_still() {
    let stage = Stage::new();
    let before = stage.descriptors();
    let create = b"POST /v1.41/containers/create?name=evil HTTP/1.1\r\nHost: docker\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"Image\":";
    let mut still = [LOAD, create].map(|head| {
        let mut client = stage.connect();
        client.send(head);
        client
    });
    still[0].send(b"10\r\nhalf");
    let mut slow = stage.connect();
    slow.send(LOAD);
    let began = Instant::now();
    while began.elapsed() < TOO_LONG {
        slow.send(b"1\r\nx\r\n");
        stage.ping();
        std::thread::sleep(PAUSE);
    }
    for client in &mut still {
        let answer = client.rest();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    stage.engine.await_heard("load broken off", 1);
    slow.send(b"0\r\n\r\n");
    assert!(slow.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    assert_eq!(stage.engine.heard("load whole").len(), 1);
    assert_eq!(stage.engine.heard("evil"), Vec::<String>::new());
    drop((still, slow));
    stage.await_descriptors(before);
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn half_open_peers_leave_nothing_behind() {
    let stage = Stage::new();
    let before = stage.descriptors();
    let mut left = Vec::new();
    for begun in ["", "GET /v1.41/ev", "GET /system/df HTTP/1.1\r\nHost: docker\r\n\r\n"] {
        for _ in 0..30 {
            let mut client = stage.connect();
            client.send(begun.as_bytes());
            client.half_close();
            left.push(client);
        }
    }
    // They still listen, and nobody speaks to them any more.
    for client in &mut left {
        assert_eq!(client.rest(), "");
    }
    stage.await_descriptors(before);
    let (begun, ended) = (stage.engine.heard("GET /system/df").len(), "df left");
    stage.engine.await_heard(ended, begun);
    stage.ping();
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn the_engine_sees_that_an_upload_breaks_off() {
    let stage = Stage::new();
    let before = stage.descriptors();
    let piece = [b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat();
    for number in 1..=30 {
        let mut client = stage.connect();
        client.send(LOAD);
        for _ in 0..16 {
            client.send(&piece);
        }
        // In the middle of a chunk, and between two.
        if number % 2 == 0 {
            client.send(b"10\r\nhalf");
        }
        drop(client);
        stage.engine.await_heard("load broken off", number);
    }
    assert_eq!(stage.engine.heard("load whole").len(), 0, "none was taken for the whole");
    stage.await_descriptors(before);
    let mut client = stage.connect();
    client.send(LOAD);
    client.send(&piece);
    client.send(b"0\r\n\r\n");
    assert!(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    assert_eq!(stage.engine.heard("load whole").len(), 1);
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn an_engine_that_hangs_holds_nobody_else_and_its_clients_may_leave() {
    let stage = Stage::new();
    let before = stage.descriptors();
    let mut waiting: Vec<_> = (0..40).map(|_| stage.connect()).collect();
    for client in &mut waiting {
        client.send(b"GET /system/df HTTP/1.1\r\nHost: docker\r\n\r\n");
    }
    stage.engine.await_heard("GET /system/df", waiting.len());
    for _ in 0..20 {
        stage.ping();
    }
    let count = waiting.len();
    drop(waiting);
    stage.engine.await_heard("df left: Ok(0)", count);
    stage.await_descriptors(before);
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn what_breaks_off_in_the_engine_breaks_off_at_the_client() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.send(b"GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n");
    let (answer, orderly) = client.end();
    assert!(answer.contains("content-length: 100") && answer.ends_with("{\"ID\":"), "{answer}");
    assert!(!orderly, "a part must not look like the whole");

    let before = stage.descriptors();
    let mut streams: Vec<_> = (0..40).map(|_| stage.connect()).collect();
    for stream in &mut streams {
        stream.send(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n");
        assert!(stream.read_until("{}\n\r\n").starts_with("HTTP/1.1 200 OK"));
    }
    stage.engine.die();
    for mut stream in streams {
        let (more, orderly) = stream.end();
        assert!(more.is_empty() && !orderly, "the stream seems to have ended: {more:?}");
    }
    stage.await_descriptors(before);

    let mut client = stage.connect();
    let away = client.ask("/v1.41/version");
    assert!(away.starts_with("http/1.1 503 service unavailable"), "{away}");
    let _engine = Engine::start(&stage.engine.socket);
    let back = client.ask("/v1.41/version");
    assert!(back.starts_with("http/1.1 200 ok"), "on the same connection: {back}");
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let stage = Stage::within("ulimit -n 100");
    // Strangers alone do not take them all.
    let (mut known, mut silent) = (Vec::new(), Vec::new());
    while stage.descriptors() < 92 {
        known.push(stage.connect());
    }
    for _ in 0..50 {
        silent.push(stage.silent());
    }
    until("all descriptors to be in use", PATIENCE, || (stage.descriptors() >= 99).then_some(()));
    drop((known, silent));
    stage.ping();
    assert_eq!(stage.daemon.stop(), Some(0));
}

#[test]
fn a_certificate_is_replaced_under_load_and_no_request_fails() {
    let stage = Stage::new();
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Some keep their connection, others come anew each time.
        for number in 0..6 {
            let (stage, over, asked) = (&stage, &over, &asked);
            scope.spawn(move || {
                let mut kept = stage.connect();
                while !over.load(Ordering::SeqCst) {
                    if number % 2 == 0 {
                        kept = stage.connect();
                    }
                    let answer = kept.ask("/v1.41/version");
                    assert!(answer.starts_with("http/1.1 200 ok"), "{answer}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _over = Over(&over);
        for _ in 0..5 {
            let before = stage.connect().certificate();
            let serial = own_serial(&stage);
            stage.home.ok(&["cert", "revoke", &serial, "--reason", "superseded"]);
            stage.home.ok(&["policy", "reload"]);
            until("another certificate", PATIENCE, || {
                (stage.connect().certificate() != before).then_some(())
            });
        }
    });
    assert!(asked.load(Ordering::SeqCst) > 100, "there was a load");
    assert_eq!(stage.daemon.stop(), Some(0));
}

/// Ends the load, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The serial of the certificate that the gateway has now.
fn own_serial(stage: &Stage) -> String {
    let shown = stage.home.json(&["cert", "show", "sealock-gateway"]);
    shown["serial"].as_str().unwrap().to_owned()
}
