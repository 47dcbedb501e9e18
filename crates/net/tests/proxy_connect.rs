//! CONNECT, connections that somebody else dials, and requests that can be sent elsewhere.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod support;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use sealock_net::Incoming;
use sealock_net::proxy::{
    Address, Answer, Dial, Dialled, RequestBody, Terms, Tunnel, Upstream, UpstreamSettings, serve,
};
use sealock_net::tls::Offer;
use support::{expect, rest, send, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers a CONNECT with a way to `server`, and everything else by its method.
async fn door(server: SocketAddr, connect: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let may_tunnel = |request: &Request<Incoming>| request.method() == Method::CONNECT;
            let terms = Terms { connect, may_tunnel, ..Terms::default() };
            let answer = move |request: Request<Incoming>| async move {
                let target = request.uri().authority().map(|authority| authority.to_string());
                if request.method() == Method::CONNECT && target.as_deref() == Some("server:7") {
                    let server = TcpStream::connect(server).await.unwrap();
                    return Answer::Tunnel(Box::new(Tunnel::connected(server)));
                }
                let text = Bytes::from(request.method().to_string());
                let mut response = Response::new(Full::<Bytes>::new(text));
                if request.method() == Method::CONNECT && target.as_deref() != Some("fault:7") {
                    *response.status_mut() = StatusCode::FORBIDDEN;
                }
                Answer::<Full<Bytes>>::Response(response)
            };
            tokio::spawn(serve(stream, terms, answer));
        }
    });
    address
}

/// Says hello, then gives back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(b"hello").await.unwrap();
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connect_becomes_a_tunnel_where_it_is_served() {
    let door = door(echo().await, true).await;
    let mut client = TcpStream::connect(door).await.unwrap();
    // Bytes of the tunnel may come with the head.
    send(&mut client, b"CONNECT server:7 HTTP/1.1\r\nhost: server:7\r\n\r\nearly").await;
    expect(&mut client, b"HTTP/1.1 200 OK\r\n\r\n").await;
    let mut said = vec![0; 10];
    soon(client.read_exact(&mut said)).await.unwrap();
    assert_eq!(said, b"helloearly");
    send(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
    expect(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_connect_that_is_refused_leaves_the_connection_http() {
    let door = door(echo().await, true).await;
    let mut client = TcpStream::connect(door).await.unwrap();
    let next = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let sent = format!("CONNECT other:7 HTTP/1.1\r\nhost: other:7\r\n\r\n{next}");
    send(&mut client, sent.as_bytes()).await;
    let answers = rest(&mut client).await;
    let (first, second) = answers.split_once("CONNECT").expect("the first has a body");
    assert!(first.starts_with("HTTP/1.1 403 ") && second.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(second.ends_with("\r\n\r\nGET"), "{answers}");
}

#[tokio::test]
async fn success_without_a_tunnel_is_a_fault_of_ours() {
    let door = door(echo().await, true).await;
    let mut client = TcpStream::connect(door).await.unwrap();
    send(&mut client, b"CONNECT fault:7 HTTP/1.1\r\nhost: fault:7\r\nconnection: close\r\n\r\n")
        .await;
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
}

#[tokio::test]
async fn a_connect_with_a_body_or_where_it_is_not_served_is_refused() {
    let server = echo().await;
    for (connect, fields) in [
        (false, ""),
        (true, "content-length: 4\r\n"),
        (true, "transfer-encoding: chunked\r\n"),
        (true, "host: server:7\r\n"),
    ] {
        let door = door(server, connect).await;
        let mut client = TcpStream::connect(door).await.unwrap();
        let head = format!("CONNECT server:7 HTTP/1.1\r\nhost: server:7\r\n{fields}\r\n");
        send(&mut client, head.as_bytes()).await;
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{connect} {fields}: {answer}");
    }
}

/// Dials one address, or nobody.
#[derive(Debug)]
struct To(Option<SocketAddr>);

impl fmt::Display for To {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("somewhere")
    }
}

impl Dial for To {
    fn dial(&self, _: Offer) -> Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send + '_>> {
        Box::pin(async move {
            let address = self.0.ok_or(io::ErrorKind::PermissionDenied)?;
            TcpStream::connect(address).await.map(Dialled::Tcp)
        })
    }
}

#[tokio::test]
async fn a_request_that_reached_nobody_can_be_sent_elsewhere_with_its_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (head, body) = support::read_request(&mut stream).await.unwrap();
        send(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").await;
        (head, body)
    });
    let upstream = |to| {
        let address = Address::Dialled(Arc::new(To(to)));
        Upstream::new(address, UpstreamSettings::default())
    };
    let body = RequestBody::new(Once(Some(Bytes::from_static(b"body"))));
    let mut request = Request::post("/a").body(body).unwrap();
    let failure = upstream(None).try_forward(&mut request).await.unwrap_err();
    assert!(failure.is_unreached(), "{failure}");
    assert_eq!(failure.to_string(), "cannot reach somewhere");
    let response = upstream(Some(address)).try_forward(&mut request).await.unwrap();
    assert_eq!(response.status(), 204);
    let (head, body) = soon(serving).await.unwrap();
    assert_eq!(head.matches("transfer-encoding: chunked").count(), 1, "{head}");
    assert_eq!(body, b"body");
}

/// One piece.
struct Once(Option<Bytes>);

impl hyper::body::Body for Once {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|piece| Ok(hyper::body::Frame::data(piece))))
    }
}
