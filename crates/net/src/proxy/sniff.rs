//! What a TCP connection begins with, before anything is made of it.

use std::io;
use std::time::Duration;

use hyper::http::StatusCode;
use rustix::net::sockopt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::close;
use super::refused::in_dockers_words;

/// The first byte of a TLS handshake record.
const HANDSHAKE: u8 = 0x16;

/// Silence before the kernel asks a peer whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// Between one question and the next.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Questions without an answer until the connection is over.
const ASK_TIMES: u32 = 3;

/// Has the kernel notice within about a minute that the peer is gone without a word. Nothing else would:
/// streams and tunnels may be quiet for hours.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, ASK_TIMES)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

/// Gives the connection back, unread, if it begins as TLS does. Anything else is answered with a fixed 400
/// that says `message` (without quotes and backslashes), and closed: nothing of it is parsed.
pub async fn sniff(mut stream: TcpStream, deadline: Duration, message: &str) -> Option<TcpStream> {
    if let Err(error) = keep_alive(&stream) {
        tracing::debug!(%error, "no keepalive");
    }
    let mut first = [0; 1];
    match timeout(deadline, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first == [HANDSHAKE] => Some(stream),
        Ok(Ok(1)) => {
            close::with_answer(stream, in_dockers_words(StatusCode::BAD_REQUEST, message)).await;
            None
        }
        // Silent, gone, or broken.
        _ => {
            let _ = stream.shutdown().await;
            None
        }
    }
}
