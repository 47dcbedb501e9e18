//! Connections on which nothing happens. hyper holds 16 KiB for each, so it is taken away from them after a moment,
//! and comes back with the first byte.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::guard::Left;
use super::serve::{FIRST, Terms};

/// A connection is idle for so long before it rests. Much shorter than people and pools take, much longer than a
/// client that asks one thing after another.
pub(super) const AFTER: Duration = Duration::from_millis(250);
/// Read at once: the beginning of a request, often the whole of it.
const FIRST_READ: usize = 2048;

/// Waits for the next request, no longer than allowed. Says whether something came, which is in `left` then;
/// otherwise the connection is over.
pub(super) async fn until_something_comes<I>(
    left: &mut Left<I>,
    is_untouched: bool,
    terms: &Terms,
) -> bool
where
    I: AsyncRead + Unpin,
{
    let deadline = left.waiting.unwrap_or_else(Instant::now) + terms.limits.head;
    let over = async {
        terms.shutdown.triggered().await;
        // As elsewhere: whoever has not asked anything yet is about to.
        if is_untouched {
            tokio::time::sleep(FIRST).await;
        }
    };
    tokio::select! {
        biased;
        came = poll_fn(|cx| poll_first(cx, left)) => came,
        () = sleep_until(deadline) => false,
        () = over => false,
    }
}

fn poll_first<I: AsyncRead + Unpin>(cx: &mut Context<'_>, left: &mut Left<I>) -> Poll<bool> {
    let mut space = [0; FIRST_READ];
    let mut buffer = ReadBuf::new(&mut space);
    let read = ready!(Pin::new(&mut left.io).poll_read(cx, &mut buffer));
    left.ahead.extend_from_slice(buffer.filled());
    Poll::Ready(read.is_ok() && !buffer.filled().is_empty())
}
