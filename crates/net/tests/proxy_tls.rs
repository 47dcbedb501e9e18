//! A server behind TLS: what works on a socket works the same, and nobody is spoken to who is not the server.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealock_net::proxy::{Address, Terms, Upstream, UpstreamSettings};
use sealock_net::tls::LiveClient;
use support::{
    Gateway, LONG, Pki, expect, header, noise, read_chunk, read_head, read_request, rest, send,
    soon,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

const ASK: &[u8] =
    b"POST /attach HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: tcp\r\ncontent-length: 0\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A server behind TLS that does with each connection what the script says.
struct Server {
    address: String,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    async fn start<F, S>(config: ServerConfig, script: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (acceptor, script) = (TlsAcceptor::from(Arc::new(config)), Arc::new(script));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        count.fetch_add(1, Ordering::SeqCst);
                        script(stream).await;
                    }
                });
            }
        });
        Self { address, accepted }
    }

    /// Answers each request with its body.
    async fn echo(config: ServerConfig) -> Self {
        Self::start(config, |mut stream| async move {
            while let Some((_, body)) = read_request(&mut stream).await {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                send(&mut stream, head.as_bytes()).await;
                send(&mut stream, &body).await;
            }
        })
        .await
    }

    fn upstream(&self, client: &Arc<LiveClient>) -> Upstream {
        let address = Address::Tls(self.address.clone(), Arc::clone(client));
        Upstream::new(address, UpstreamSettings::default())
    }

    fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The server's authority and the clients'.
struct Both {
    servers: Pki,
    clients: Pki,
}

impl Both {
    fn new() -> Self {
        Self { servers: Pki::new(), clients: Pki::new() }
    }

    fn server(&self) -> ServerConfig {
        self.servers.strict_server(&self.clients)
    }

    fn client(&self) -> Arc<LiveClient> {
        LiveClient::new(self.servers.client(&self.clients))
    }
}

async fn gateway(upstream: Upstream) -> Gateway {
    Gateway::start(upstream, Terms::default()).await
}

async fn get(stream: &mut TcpStream) -> String {
    send(stream, GET).await;
    let head = soon(read_head(stream)).await.unwrap();
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    soon(stream.read_exact(&mut body)).await.unwrap();
    head
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways_on_connections_that_are_used_again() {
    let both = Both::new();
    let server = Server::echo(both.server()).await;
    let gateway = gateway(server.upstream(&both.client())).await;
    let mut stream = gateway.connect().await;
    for length in [1, 16 * 1024, 5_000_000] {
        let body = noise(length);
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let (mut reader, mut writer) = stream.split();
        let sending = async {
            send(&mut writer, head.as_bytes()).await;
            send(&mut writer, &body).await;
        };
        let reading = async {
            let head = read_head(&mut reader).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            let mut back = vec![0; length];
            reader.read_exact(&mut back).await.unwrap();
            assert!(back == body, "{length} bytes");
        };
        soon(async { tokio::join!(sending, reading) }).await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_the_server_is_slow_to_take_reaches_it_to_the_last_byte() {
    let both = Both::new();
    // It answers before it reads, so that the answer is there while the request is stuck.
    let server = Server::start(both.server(), |mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let fits = if body == noise(length) { "whole" } else { "other" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{fits}");
        send(&mut stream, answer.as_bytes()).await;
    })
    .await;
    let gateway = gateway(server.upstream(&both.client())).await;
    let mut stream = gateway.connect().await;
    let body = noise(9_000_000);
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    send(&mut stream, head.as_bytes()).await;
    soon(stream.write_all(&body)).await.unwrap();
    soon(read_head(&mut stream)).await.unwrap();
    expect(&mut stream, b"whole").await;
}

#[tokio::test]
async fn each_piece_of_an_upload_goes_out_before_the_next_is_there() {
    let both = Both::new();
    let server = Server::start(both.server(), |mut stream| async move {
        read_head(&mut stream).await.unwrap();
        let first = read_chunk(&mut stream).await.unwrap().unwrap();
        send(&mut stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let answer = format!("{:x}\r\n{}\r\n", first.len(), String::from_utf8(first).unwrap());
        send(&mut stream, answer.as_bytes()).await;
        let mut ended = Vec::new();
        let _ = stream.read_to_end(&mut ended).await;
    })
    .await;
    let gateway = gateway(server.upstream(&both.client())).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    send(&mut stream, b"5\r\nfirst\r\n").await;
    soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(soon(read_chunk(&mut stream)).await.unwrap().unwrap(), b"first");
}

#[tokio::test]
async fn a_tunnel_ends_one_way_at_a_time() {
    let both = Both::new();
    // Says something, hears all, and answers when the client's side has ended; then ends its own.
    let server = Server::start(both.server(), |mut stream| async move {
        read_head(&mut stream).await.unwrap();
        send(&mut stream, &[SWITCH, b"early "].concat()).await;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        send(&mut stream, &heard).await;
        stream.shutdown().await.unwrap();
    })
    .await;
    let mut gateway = gateway(server.upstream(&both.client())).await;
    for length in [3, 2_000_000] {
        let mut stream = gateway.connect().await;
        send(&mut stream, ASK).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        expect(&mut stream, b"early ").await;
        let said = noise(length);
        soon(stream.write_all(&said)).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        soon(stream.read_to_end(&mut heard)).await.unwrap();
        assert!(heard == said, "{length} bytes");
        soon(gateway.ended.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn the_server_may_end_its_side_first() {
    let both = Both::new();
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(both.server(), move |mut stream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            send(&mut stream, &[SWITCH, b"bye"].concat()).await;
            stream.shutdown().await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            report.send(heard).unwrap();
        }
    })
    .await;
    let gateway = gateway(server.upstream(&both.client())).await;
    let mut stream = gateway.connect().await;
    send(&mut stream, ASK).await;
    soon(read_head(&mut stream)).await.unwrap();
    assert_eq!(rest(&mut stream).await, "bye");
    send(&mut stream, b"and I say").await;
    stream.shutdown().await.unwrap();
    assert_eq!(soon(reports.recv()).await.unwrap(), "and I say");
}

#[tokio::test]
async fn a_pooled_connection_that_died_or_was_spoken_on_costs_nobody_a_request() {
    let both = Both::new();
    let server = Server::start(both.server(), |mut stream| async move {
        read_head(&mut stream).await.unwrap();
        // Says more than it was asked for, and hangs up a moment later.
        send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        send(&mut stream, b"HTTP/1.1 201 Not Asked For\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let gateway = gateway(server.upstream(&both.client())).await;
    let mut stream = gateway.connect().await;
    for _ in 0..5 {
        // One that is not sent twice: nobody knows what became of it.
        send(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_not_spoken_to() {
    let (both, other) = (Both::new(), Pki::new());
    let server = Server::echo(both.server()).await;
    let stranger = LiveClient::new(other.client(&both.clients));
    let answer = gateway(server.upstream(&stranger)).await.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // The right certificate, but not for this address.
    let port = server.address.rsplit(':').next().unwrap();
    let address = Address::Tls(format!("localhost:{port}"), both.client());
    let upstream = Upstream::new(address, UpstreamSettings::default());
    let answer = gateway(upstream).await.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn new_settings_are_for_new_connections() {
    let (both, other) = (Both::new(), Pki::new());
    let server = Server::echo(both.server()).await;
    // TLS 1.3 tells a client only after its handshake that it is not let in.
    let client = LiveClient::new(both.servers.client(&other));
    let upstream = server.upstream(&client);
    let gateway = gateway(upstream.clone()).await;
    let answer = gateway.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 50"), "{answer}");
    client.replace(both.servers.client(&both.clients));
    let mut stream = gateway.connect().await;
    assert!(get(&mut stream).await.starts_with("HTTP/1.1 200"));
    client.replace(both.servers.client(&other));
    // One that is open goes on, until it is forgotten.
    assert!(get(&mut stream).await.starts_with("HTTP/1.1 200"));
    upstream.forget_idle();
    assert!(get(&mut stream).await.starts_with("HTTP/1.1 50"));
}

#[tokio::test]
async fn a_server_that_does_not_shake_hands_is_given_up_at_the_deadline() {
    let both = Both::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tls(listener.local_addr().unwrap().to_string(), both.client());
    let settings = UpstreamSettings { connect: Duration::from_millis(200), ..Default::default() };
    let gateway = gateway(Upstream::new(address, settings)).await;
    let held = tokio::spawn(async move {
        let stream = listener.accept().await.unwrap();
        tokio::time::sleep(LONG).await;
        drop(stream);
    });
    let answer = gateway.exchange(LAST).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    held.abort();
}
