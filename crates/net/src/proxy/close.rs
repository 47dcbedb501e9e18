//! Ends of connections that the client gets to see.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// For the client to take the last answer and hang up.
const LINGER: Duration = Duration::from_secs(2);
/// What it may still send meanwhile. It is thrown away. More than the sockets of both sides hold: a client in the middle
/// of an upload has sent all that before it can have seen the answer.
const DRAINED: u64 = 16 << 20;

/// Ends our side, and reads the rest of the client's for a little while: the kernel answers bytes that
/// nobody read with a reset, and a reset takes our last answer away from a client that has not read it.
pub(super) async fn orderly<I: AsyncRead + AsyncWrite + Unpin>(mut io: I) {
    let closing = async {
        io.shutdown().await?;
        tokio::io::copy(&mut (&mut io).take(DRAINED), &mut tokio::io::sink()).await
    };
    // Whatever goes wrong here: the client was given its chance.
    let _ = timeout(LINGER, closing).await;
}

/// A last answer, and then [`orderly`].
pub(super) async fn with_answer<I>(mut io: I, answer: Response<Bytes>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = written(&answer);
    let sending = timeout(LINGER, async {
        io.write_all(&bytes).await?;
        io.flush().await
    });
    if matches!(sending.await, Ok(io::Result::Ok(()))) {
        orderly(io).await;
    }
}

fn written(answer: &Response<Bytes>) -> Vec<u8> {
    let (status, body) = (answer.status(), answer.body());
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let end = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
