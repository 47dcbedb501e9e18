//! Ends of connections that the client gets to see.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// For the client to take the last answer and hang up.
const LINGER: Duration = Duration::from_secs(2);
/// What it may still send meanwhile. It is thrown away.
const DRAINED: u64 = 256 * 1024;

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

/// A last answer, and then [`orderly`]. `status` is code and reason, `message` goes into JSON as it is.
pub(super) async fn with_answer<I>(mut io: I, status: &str, message: &str)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let answer = answer(status, message);
    let written = timeout(LINGER, async {
        io.write_all(answer.as_bytes()).await?;
        io.flush().await
    });
    if matches!(written.await, Ok(io::Result::Ok(()))) {
        orderly(io).await;
    }
}

/// Docker's clients print the message.
fn answer(status: &str, message: &str) -> String {
    debug_assert!(!message.contains(['"', '\\']), "it would need escapes");
    let body = format!("{{\"message\":\"{message}\"}}\n");
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}
