//! An app that answers before it has read the upload, in the ways in which apps do.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The heads that it has got.
pub(crate) type Heads = Arc<Mutex<Vec<String>>>;

/// What it does once it has answered: the path is `/v1/` and this.
pub(crate) const WAYS: [&str; 5] = [
    // It reads on, and is there for the next request.
    "reads-on", // It does neither, and does not hang up.
    "stops",
    // It says that it hangs up, and does, with an upload that it has not read.
    "hangs-up", // It is gone, without a word.
    "resets",   // It has read nothing at all.
    "at-once",
];

/// Of the upload it reads so much, before it answers.
pub(crate) const READ: usize = 10_000;

const ANSWER: &str = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 8\r\n";

pub(crate) async fn app() -> (SocketAddr, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Heads::default();
    let all = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(behave(stream, Arc::clone(&all)));
        }
    });
    (address, heads)
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

async fn behave(mut stream: TcpStream, heads: Heads) {
    while let Some(head) = head(&mut stream).await {
        let way = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: Option<usize> = length.map(|length| length.parse().unwrap());
        heads.lock().push(head);
        if !WAYS.contains(&way.as_str()) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            continue;
        }
        let read = if way == "at-once" { 0 } else { READ };
        if stream.read_exact(&mut vec![0; read]).await.is_err() {
            return;
        }
        let end =
            if way == "hangs-up" { "connection: close\r\n\r\ntoo much" } else { "\r\ntoo much" };
        if stream.write_all(format!("{ANSWER}{end}").as_bytes()).await.is_err() {
            return;
        }
        match (way.as_str(), length) {
            ("hangs-up", _) => return,
            ("resets", _) => return stream.set_zero_linger().unwrap(),
            ("reads-on", Some(length)) => {
                let mut rest = vec![0; length - read];
                if stream.read_exact(&mut rest).await.is_err() {
                    return;
                }
            }
            // Of a body in chunks it would have to be known where it ends.
            _ => std::future::pending().await,
        }
    }
}
