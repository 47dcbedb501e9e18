//! What pages of other sites get from a Forwarder through a browser on its host: next to nothing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use forwarder_support::{
    Door, Scene, exchange, expect, expect_head, header, read_head, refusal, request, send, server,
    soon, status,
};
use sealock_traffic::forwarder::{Directory, Settings};
use tokio::net::TcpStream;

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_page_of_another_site_opens_no_websocket_and_changes_nothing() {
    let scene = Scene::start().await;
    let port = scene.door.port("orders").await;
    let here = format!("localhost:{}", port.port());
    for (door, target, host) in [
        (port, "/v1/a".to_owned(), here.as_str()),
        (scene.door.proxy, "http://orders/v1/a".to_owned(), "orders"),
    ] {
        let own = format!("http://{host}");
        let call = async |method: &str, origin: &str, more: &str| {
            let text = format!(
                "{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\
                 origin: {origin}\r\nconnection: close\r\n{more}\r\n"
            );
            exchange(door, &text).await
        };
        let calls = scene.app.calls();
        for origin in ["http://evil.example", "http://localhost:1", "null"] {
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let answer = call(method, origin, "").await;
                assert_eq!(refusal(&answer), (403, "cross_site".to_owned()), "{method} {origin}");
            }
            // No preflight is answered in a way that lets anything follow.
            let asks = "access-control-request-method: POST\r\n";
            let answer = call("OPTIONS", origin, asks).await;
            assert_eq!(refusal(&answer), (403, "cross_site".to_owned()), "{origin}");
            assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
            let head = format!(
                "GET {target} HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n{UPGRADE}\r\n"
            );
            let mut socket = TcpStream::connect(door).await.unwrap();
            send(&mut socket, head.as_bytes()).await;
            expect_head(&mut socket, 403).await;
        }
        assert_eq!(scene.app.calls(), calls, "none of these arrived");
        // Its own page, a program, and what only reads.
        assert_eq!(status(&call("POST", &own, "").await), 200);
        assert_eq!(
            status(
                &exchange(
                    door,
                    &request("POST", &target, "", "x")
                        .replace("host: \r\n", &format!("host: {host}\r\n"))
                )
                .await
            ),
            200
        );
        assert_eq!(status(&call("GET", "http://evil.example", "").await), 200);
        let socket = target.replace("/v1/a", "/v1/ws");
        for from in [String::new(), format!("origin: {own}\r\n")] {
            let head = format!("GET {socket} HTTP/1.1\r\nhost: {host}\r\n{from}{UPGRADE}\r\n");
            let mut socket = TcpStream::connect(door).await.unwrap();
            send(&mut socket, head.as_bytes()).await;
            expect_head(&mut socket, 101).await;
            send(&mut socket, b"ping").await;
            expect(&mut socket, b"ping").await;
        }
    }
}

#[tokio::test]
async fn what_goes_out_without_a_token_is_not_looked_at_for_it() {
    let scene = Scene::start().await;
    let other = server(|mut stream| async move {
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert_eq!(header(&head, "origin"), Some("http://evil.example"));
        send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let directory = Directory::new(Vec::new(), &[other.to_string()], &[]).unwrap();
    let door = Door::start(Settings::default(), directory, scene.trust(), &scene.broker).await;
    let url = format!("http://{other}/");
    let answer = door.call("POST", &url, "origin: http://evil.example\r\n", "").await;
    assert_eq!(status(&answer), 200, "{answer}");
}
