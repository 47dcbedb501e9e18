//! Against the real engine: what works on its socket works through the proxy.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use sealock_net::proxy::{Address, Terms, Upstream, UpstreamSettings};
use sealock_testkit::clients::skip_without_engine;
use sealock_testkit::docker::{Image, docker, try_docker};
use sealock_testkit::{LABEL, run_id};
use support::{Gateway, header, noise, read_head, send, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn engine() -> Gateway {
    let address = Address::Unix("/var/run/docker.sock".into());
    let upstream = Upstream::new(address, UpstreamSettings::default());
    Gateway::start(upstream, Terms::default()).await
}

#[tokio::test]
async fn the_engine_is_greeted_on_one_connection() {
    if skip_without_engine() {
        return;
    }
    let gateway = engine().await;
    let mut stream = gateway.connect().await;
    for (method, path, part) in
        [("GET", "/_ping", "OK"), ("HEAD", "/_ping", ""), ("GET", "/version", "\"ApiVersion\"")]
    {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: docker\r\n\r\n");
        send(&mut stream, request.as_bytes()).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(header(&head, "api-version").is_some(), "{head}");
        let length = header(&head, "content-length").unwrap_or("0").parse().unwrap();
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        soon(stream.read_exact(&mut body)).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(part));
    }
}

/// The output of a container without a terminal: a kind, three zeros, a length, and so many bytes.
fn demultiplexed(mut frames: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    while let Some((head, rest)) = frames.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        output.extend_from_slice(&rest[..length]);
        frames = &rest[length..];
    }
    output
}

/// A container that gives back its input, and takes the end of the one client's for the end of all: the
/// engine cuts off the output of any other kind.
struct Cat(String);

impl Cat {
    fn create(image: &Image) -> Self {
        let label = format!("{LABEL}={}", run_id());
        let attach = ["--interactive", "--attach", "stdin", "--attach", "stdout"];
        let arguments = [&["create", "--label", &label], &attach[..], &[image.name(), "cat"]];
        Self(docker(&arguments.concat()))
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "--force", &self.0]);
    }
}

#[tokio::test]
async fn a_container_is_attached_to_and_hears_the_end_of_its_input() {
    if skip_without_engine() {
        return;
    }
    let image = Image::busybox();
    let mut gateway = engine().await;
    for ask in ["connection: Upgrade\r\nupgrade: tcp\r\n", ""] {
        let container = Cat::create(&image);
        let mut stream = gateway.connect().await;
        let request = format!(
            "POST /containers/{}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nhost: docker\r\n\
             {ask}content-length: 0\r\n\r\n",
            container.0
        );
        send(&mut stream, request.as_bytes()).await;
        let head = soon(read_head(&mut stream)).await.unwrap();
        let status = if ask.is_empty() { "HTTP/1.1 200 OK" } else { "HTTP/1.1 101 " };
        assert!(head.starts_with(status), "{head}");
        let start = format!(
            "POST /containers/{}/start HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            container.0
        );
        let started = gateway.exchange(start.as_bytes()).await;
        assert!(started.starts_with("HTTP/1.1 204"), "{started}");
        soon(gateway.ended.recv()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let input = noise(1 << 20);
        let sending = async {
            send(&mut writer, &input).await;
            writer.shutdown().await.unwrap();
        };
        let mut frames = Vec::new();
        let reading = async { reader.read_to_end(&mut frames).await.unwrap() };
        soon(async { tokio::join!(sending, reading) }).await;
        assert!(demultiplexed(&frames) == input, "other bytes came back");
        soon(gateway.ended.recv()).await.unwrap();
    }
}
