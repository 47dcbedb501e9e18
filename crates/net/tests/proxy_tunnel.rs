//! Connections that stop to be HTTP: each way has an end of its own, over TCP and both versions of TLS.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use sealock_net::proxy::{Cut, Terms};
use support::{
    Gateway, Pki, Server, expect, header, noise, read_head, read_request, rest, send, soon,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

const ASK: &[u8] =
    b"POST /attach HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: tcp\r\ncontent-length: 0\r\n\r\n";
/// As clients did before they asked.
const OLD: &[u8] = b"POST /attach HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 UPGRADED\r\ncontent-type: application/raw\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n";

/// A server that switches, says `early` at once, gives all it hears back when the client's side has ended,
/// and then ends its own.
async fn parrot(early: &'static [u8]) -> Server {
    Server::start(move |_, mut stream| async move {
        loop {
            let Some((head, _)) = read_request(&mut stream).await else { return };
            if header(&head, "upgrade").is_some() {
                break;
            }
            send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
        send(&mut stream, &[SWITCH, early].concat()).await;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        send(&mut stream, &heard).await;
        stream.shutdown().await.unwrap();
    })
    .await
}

async fn gateway(server: &Server) -> Gateway {
    Gateway::start(server.upstream.clone(), Terms::default()).await
}

async fn expect_head<R: AsyncRead + Unpin>(stream: &mut R, status: &str) -> String {
    let head = soon(read_head(stream)).await.unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    head
}

#[tokio::test]
async fn a_client_that_asks_is_switched_and_may_end_before_the_server_speaks() {
    let server = parrot(b"early ").await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    let head = expect_head(&mut stream, "101").await;
    assert_eq!(header(&head, "upgrade"), Some("tcp"));
    assert_eq!(header(&head, "connection"), Some("Upgrade"));
    assert_eq!(header(&head, "content-type"), Some("application/raw"));
    expect(&mut stream, b"early ").await;
    send(&mut stream, b"not HTTP\n\n\0").await;
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "not HTTP\n\n\0");
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_client_of_the_older_way_speaks_on_after_200() {
    let server = parrot(b"").await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, OLD).await;
    let head = expect_head(&mut stream, "200 OK").await;
    for absent in ["upgrade", "connection", "content-length", "transfer-encoding"] {
        assert_eq!(header(&head, absent), None, "{head}");
    }
    send(&mut stream, b"raw").await;
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "raw");
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn what_comes_with_the_request_belongs_to_the_tunnel_whatever_it_looks_like() {
    let server = parrot(b"").await;
    let mut gateway = gateway(&server).await;
    let get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".as_slice();
    let body = b"POST /attach HTTP/1.1\r\nhost: a\r\nupgrade: tcp\r\nconnection: upgrade\r\ncontent-length: 4\r\n\r\n{  }";
    let chunked = b"POST /attach HTTP/1.1\r\nhost: a\r\nupgrade: tcp\r\nconnection: upgrade\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for ask in [ASK, body, chunked, OLD] {
        for early in [b"GET /evil HTTP/1.1\r\n\r\n".as_slice(), b"line\n\n", &noise(30_000)] {
            let mut stream = gateway.connect().await;
            // Earlier requests, the one that switches, and what follows, all at once.
            send(&mut stream, &[get, get, ask, early].concat()).await;
            for _ in 0..2 {
                expect_head(&mut stream, "200 OK").await;
                expect(&mut stream, b"ok").await;
            }
            expect_head(&mut stream, if ask == OLD { "200" } else { "101" }).await;
            stream.shutdown().await.unwrap();
            let mut heard = Vec::new();
            soon(stream.read_to_end(&mut heard)).await.unwrap();
            assert!(heard == early, "{}", String::from_utf8_lossy(&heard));
            soon(gateway.ended.recv()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_may_end_its_stream_with_its_request() {
    let server = parrot(b"").await;
    let gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, &[ASK, b"all I have"].concat()).await;
    stream.shutdown().await.unwrap();
    expect_head(&mut stream, "101").await;
    assert_eq!(rest(&mut stream).await, "all I have");
}

#[tokio::test]
async fn a_server_that_refuses_answers_as_ever_and_the_connection_goes_on() {
    let server = Server::start(|_, mut stream| async move {
        while read_request(&mut stream).await.is_some() {
            send(&mut stream, b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").await;
        }
    })
    .await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    for _ in 0..3 {
        send(&mut stream, ASK).await;
        expect_head(&mut stream, "404").await;
        expect(&mut stream, b"no").await;
    }
    drop(stream);
    soon(gateway.ended.recv()).await.unwrap();
    // One that ended with its request gets its answer too, and then the end.
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    stream.shutdown().await.unwrap();
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nno"));
    soon(gateway.ended.recv()).await.unwrap();
}

/// A server that switches, and reports the end of what it hears; the stream is the script's.
async fn switched<F, S>(script: F) -> (Server, UnboundedReceiver<String>)
where
    F: Fn(UnixStream) -> S + Clone + Send + 'static,
    S: Future<Output = UnixStream> + Send + 'static,
{
    let (report, reports) = unbounded_channel();
    let server = Server::start(move |_, mut stream| {
        let (report, script) = (report.clone(), script.clone());
        async move {
            read_request(&mut stream).await.unwrap();
            send(&mut stream, SWITCH).await;
            let mut stream = script(stream).await;
            report.send(rest(&mut stream).await).unwrap();
        }
    })
    .await;
    (server, reports)
}

#[tokio::test]
async fn a_server_may_end_before_the_client_does() {
    let (server, mut heard) = switched(|mut stream| async move {
        send(&mut stream, b"bye").await;
        stream.shutdown().await.unwrap();
        stream
    })
    .await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    expect_head(&mut stream, "101").await;
    assert_eq!(rest(&mut stream).await, "bye");
    send(&mut stream, b"still here").await;
    stream.shutdown().await.unwrap();
    assert_eq!(soon(heard.recv()).await.unwrap(), "still here");
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_up_ends_the_tunnel_though_the_client_does_not() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        send(&mut stream, &[SWITCH, b"last words"].concat()).await;
    })
    .await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    expect_head(&mut stream, "101").await;
    assert_eq!(rest(&mut stream).await, "last words");
    // Our side stays open until the gateway has let go.
    soon(gateway.ended.recv()).await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_client_that_is_torn_away_takes_the_tunnel_along() {
    let (server, mut heard) = switched(|stream| async move { stream }).await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    expect_head(&mut stream, "101").await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(soon(heard.recv()).await.unwrap(), "");
    soon(gateway.ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_cut_ends_a_tunnel_in_the_middle() {
    let (server, mut heard) = switched(|stream| async move { stream }).await;
    let cut = Cut::default();
    let terms = Terms { cut: cut.clone(), ..Terms::default() };
    let mut gateway = Gateway::start(server.upstream.clone(), terms).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, &[ASK, b"half a "].concat()).await;
    expect_head(&mut stream, "101").await;
    cut.now();
    assert_eq!(rest(&mut stream).await, "");
    assert!("half a ".starts_with(&soon(heard.recv()).await.unwrap()));
    soon(gateway.ended.recv()).await.unwrap();
}

/// Both ends at once, more than all the buffers hold.
async fn full_duplex<S: AsyncRead + AsyncWrite + Unpin>(stream: S, length: usize) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent = noise(length);
    let sending = async {
        send(&mut writer, &sent).await;
        writer.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let reading = async { reader.read_to_end(&mut heard).await.unwrap() };
    soon(async { tokio::join!(sending, reading) }).await;
    assert!(heard == sent, "other bytes came back: {} of {length}", heard.len());
}

/// Gives back at once what it hears.
async fn mirror() -> Server {
    Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        send(&mut stream, SWITCH).await;
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    })
    .await
}

#[tokio::test]
async fn megabytes_pass_both_ways_at_once() {
    let server = mirror().await;
    let mut gateway = gateway(&server).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    expect_head(&mut stream, "101").await;
    full_duplex(stream, 4 << 20).await;
    soon(gateway.ended.recv()).await.unwrap();
}

const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

#[tokio::test]
async fn over_tls_a_client_may_end_first() {
    let server = parrot(b"").await;
    let pki = Pki::new();
    let mut gateway = Gateway::start_tls(server.upstream.clone(), Terms::default(), &pki).await;
    for version in VERSIONS {
        let mut stream = pki.connect(&gateway, version).await;
        send(&mut stream, ASK).await;
        expect_head(&mut stream, "101").await;
        send(&mut stream, b"typed").await;
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        // An orderly end: without a close_notify this is an error.
        soon(stream.read_to_string(&mut heard)).await.unwrap();
        assert_eq!(heard, "typed");
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn over_tls_a_server_may_end_first() {
    let (server, mut heard) = switched(|mut stream| async move {
        send(&mut stream, b"bye").await;
        stream.shutdown().await.unwrap();
        stream
    })
    .await;
    let pki = Pki::new();
    let mut gateway = Gateway::start_tls(server.upstream.clone(), Terms::default(), &pki).await;
    for version in VERSIONS {
        let mut stream = pki.connect(&gateway, version).await;
        send(&mut stream, ASK).await;
        expect_head(&mut stream, "101").await;
        let mut said = String::new();
        soon(stream.read_to_string(&mut said)).await.unwrap();
        assert_eq!(said, "bye");
        send(&mut stream, b"still here").await;
        stream.shutdown().await.unwrap();
        assert_eq!(soon(heard.recv()).await.unwrap(), "still here");
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn over_tls_a_client_that_leaves_without_a_word_has_ended() {
    let (server, mut heard) = switched(|stream| async move { stream }).await;
    let pki = Pki::new();
    let mut gateway = Gateway::start_tls(server.upstream.clone(), Terms::default(), &pki).await;
    for version in VERSIONS {
        let mut stream = pki.connect(&gateway, version).await;
        send(&mut stream, ASK).await;
        expect_head(&mut stream, "101").await;
        send(&mut stream, b"typed").await;
        // The socket's end, and no close_notify.
        drop(stream);
        assert_eq!(soon(heard.recv()).await.unwrap(), "typed");
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn over_tls_megabytes_pass_both_ways_at_once() {
    let server = mirror().await;
    let pki = Pki::new();
    let mut gateway = Gateway::start_tls(server.upstream.clone(), Terms::default(), &pki).await;
    for version in VERSIONS {
        let mut stream = pki.connect(&gateway, version).await;
        send(&mut stream, ASK).await;
        expect_head(&mut stream, "101").await;
        full_duplex(stream, 2 << 20).await;
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn over_tls_an_answer_that_breaks_off_has_no_orderly_end() {
    let server = Server::start(|_, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello").await;
    })
    .await;
    let pki = Pki::new();
    let gateway = Gateway::start_tls(server.upstream.clone(), Terms::default(), &pki).await;
    for version in VERSIONS {
        // The old HTTP has nothing but the end of the connection to tell the end of a body.
        let mut stream = pki.connect(&gateway, version).await;
        send(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await;
        let mut text = Vec::new();
        let end = soon(stream.read_to_end(&mut text)).await;
        assert!(end.is_err(), "{}", String::from_utf8_lossy(&text));
    }
}

#[tokio::test]
async fn what_does_not_begin_as_tls_gets_a_fixed_answer_and_is_not_read() {
    let server = Server::start(|_, _| async { panic!("it reached the server") }).await;
    let pki = Pki::new();
    let mut gateway = Gateway::start_tls(server.upstream.clone(), Terms::default(), &pki).await;
    let large =
        [b"POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n".to_vec(), noise(100_000)].concat();
    for sent in
        [b"GET /_ping HTTP/1.1\r\nhost: a\r\n\r\n".as_slice(), b"\n", b"SSH-2.0-x\r\n", &large]
    {
        let mut stream = gateway.connect().await;
        send(&mut stream, sent).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"message\":\"TLS only\"}\n"), "{answer}");
        drop(stream);
        soon(gateway.ended.recv()).await.unwrap();
    }
    // Somebody who says nothing and leaves.
    drop(gateway.connect().await);
    soon(gateway.ended.recv()).await.unwrap();
}
