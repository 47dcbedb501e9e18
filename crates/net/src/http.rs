//! HTTP/1.1 on an accepted connection, within limits.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use hyper::body::Body;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutStream;

use crate::{Limits, Shutdown};

/// The body of a request as it arrives: unread, and as long as the peer likes. Bound it before reading.
pub type Incoming = hyper::body::Incoming;

/// Serves requests until the peer closes, is too slow to send or to take what it is sent, or the shutdown signal comes; then the request that
/// is under way is still answered.
pub async fn serve_http<I, F, A, B>(connection: I, limits: Limits, shutdown: Shutdown, answer: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .half_close(false);
    // An answer that nobody takes would be held in memory for as long as the peer likes.
    let mut bounded = TimeoutStream::new(connection);
    bounded.set_write_timeout(Some(limits.write));
    let io = TokioIo::new(Box::pin(bounded));
    let mut connection = pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    async fn exchange(limits: Limits, sent: &[u8]) -> String {
        let (mut client, server) = duplex(1 << 20);
        let answer = |_: Request<Incoming>| async { Response::new(Full::new(Bytes::from("hi"))) };
        let serving = serve_http(server, limits, Shutdown::default(), answer);
        let talking = async {
            // The server may hang up before it has read all.
            let _ = client.write_all(sent).await;
            let mut text = Vec::new();
            let _ = client.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        };
        tokio::join!(serving, talking).1
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_an_answer_is_left() {
        // Room for a part of the answer.
        let (mut client, server) = duplex(1024);
        let limits = Limits { write: Duration::from_secs(5), ..Limits::default() };
        let answer = |_: Request<Incoming>| async {
            Response::new(Full::new(Bytes::from(vec![b'x'; 1 << 20])))
        };
        let serving = serve_http(server, limits, Shutdown::default(), answer);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), serving).await;
        assert!(ended.is_ok(), "the connection is held for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_oversized_heads_are_ended() {
        let limits = Limits { head: Duration::from_secs(1), ..Limits::default() };
        let ok = exchange(limits, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(ok.starts_with("HTTP/1.1 200 OK"), "{ok}");
        let slow = exchange(limits, b"GET / HTTP/1.1\r\nhost: a").await;
        assert!(!slow.contains("200 OK"), "{slow}");
        let mut large = b"GET / HTTP/1.1\r\n".to_vec();
        large.extend_from_slice(format!("x: {}\r\n\r\n", "a".repeat(64 * 1024)).as_bytes());
        let large = exchange(limits, &large).await;
        assert!(large.starts_with("HTTP/1.1 431"), "{large}");
        let mut many = b"GET / HTTP/1.1\r\n".to_vec();
        many.extend((0..100).flat_map(|n| format!("x{n}: 1\r\n").into_bytes()));
        many.extend_from_slice(b"\r\n");
        let many = exchange(limits, &many).await;
        assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    }
}
