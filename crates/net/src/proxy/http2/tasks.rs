//! The streams of one connection at work.
//!
//! hyper gives away what has to be done for a stream; here it is polled in the task of the connection. hyper
//! calls the service for a request and gives its work away at once after that, so what the service has noted of
//! the stream belongs to the work that comes next.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Limits;
use crate::proxy::Cut;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Streams that may be reset before anybody has looked at them, at once; and those whose client leaves before
/// their answer has ended, at once, with [`FORGIVEN`] more each second and one more for each that was answered: many
/// callers may share a connection, and to leave now and then is nobody's fault.
pub(super) const RESETS: usize = 100;
/// Faults of a client for which a stream of its was reset, in a connection's life.
pub(super) const FAULTS: usize = 256;
const FORGIVEN: f64 = 20.0;
/// So much of an answer may wait for the client's window, and one more piece in `h2`.
const PIECE: usize = 16 * 1024;
/// No piece waits.
const TAKEN: u64 = u64::MAX;

/// One stream, as the handler, its answer and the connection see it.
pub(super) struct Stream {
    cut: Cut,
    /// Ends it as a cut does, without its being one.
    stop: Notify,
    begun: Instant,
    /// Since when the client does not take a piece of its answer, in milliseconds after `begun`.
    waits: AtomicU64,
    /// An [`End`].
    end: AtomicU8,
}

impl Stream {
    fn new() -> Self {
        Self {
            cut: Cut::default(),
            stop: Notify::new(),
            begun: Instant::now(),
            waits: AtomicU64::new(TAKEN),
            end: AtomicU8::new(End::Abandoned as u8),
        }
    }

    pub(super) const fn cut(&self) -> &Cut {
        &self.cut
    }

    /// It was answered to the end.
    fn answered(&self) {
        self.end.store(End::Answered as u8, Ordering::Relaxed);
    }

    /// It was not, and that counts neither for nor against the client.
    fn spare(&self) {
        self.end.store(End::Spared as u8, Ordering::Relaxed);
    }

    fn end(&self) -> End {
        match self.end.load(Ordering::Relaxed) {
            end if end == End::Answered as u8 => End::Answered,
            end if end == End::Spared as u8 => End::Spared,
            _ => End::Abandoned,
        }
    }

    /// A piece of the answer was handed out, and is not taken before the next one is asked for.
    fn hands_out(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun).as_millis();
        self.waits.store(u64::try_from(passed).unwrap_or(TAKEN - 1), Ordering::Relaxed);
    }

    fn is_taken(&self) {
        self.waits.store(TAKEN, Ordering::Relaxed);
    }

    /// How long a piece was not taken.
    fn waiting(&self, now: Instant) -> Duration {
        match self.waits.load(Ordering::Relaxed) {
            TAKEN => Duration::ZERO,
            since => now.saturating_duration_since(self.begun + Duration::from_millis(since)),
        }
    }
}

/// How a stream came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client left.
    Abandoned,
    /// Answered by the handler.
    Answered,
    /// Refused by ourselves, cut, or stopped.
    Spared,
}

/// A stream's work and what is known of it.
struct Running<'a> {
    stream: Arc<Stream>,
    work: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl Future for Running<'_> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        ready!(self.work.as_mut().poll(cx));
        Poll::Ready(self.stream.end())
    }
}

/// Does it until the cut. Dropping hyper's part of a stream resets it, and nothing but it.
async fn until_cut(work: impl Future<Output = ()>, stream: Arc<Stream>) {
    tokio::select! {
        biased;
        () = stream.cut.given() => stream.spare(),
        () = stream.stop.notified() => stream.spare(),
        () = work => {}
    }
}

/// What was given away and is not polled yet.
#[derive(Default)]
struct Queue<'a> {
    next: Mutex<Option<Arc<Stream>>>,
    work: Mutex<Vec<Running<'a>>>,
}

/// Where the service notes the stream of the request that it was called for.
pub(super) struct Place<'a>(Arc<Queue<'a>>);

impl Place<'_> {
    pub(super) fn begin(&self) -> Arc<Stream> {
        let stream = Arc::new(Stream::new());
        *self.0.next.lock() = Some(Arc::clone(&stream));
        stream
    }
}

/// Where hyper puts work. It holds nothing: work holds it, and would hold itself.
#[derive(Clone)]
pub(super) struct Spawner<'a>(Weak<Queue<'a>>);

impl<'a, W: Future<Output = ()> + Send + 'a> Executor<W> for Spawner<'a> {
    fn execute(&self, work: W) {
        let Some(queue) = self.0.upgrade() else { return };
        let stream = queue.next.lock().take().unwrap_or_else(|| Arc::new(Stream::new()));
        let work = Box::pin(until_cut(work, Arc::clone(&stream)));
        queue.work.lock().push(Running { stream, work });
    }
}

/// All streams of a connection.
pub(super) struct Tasks<'a> {
    queue: Arc<Queue<'a>>,
    running: FuturesUnordered<Running<'a>>,
    /// For how long there may be nothing to do.
    idle: Duration,
    /// For a piece of an answer to be taken.
    write: Duration,
    since: Instant,
    budget: Budget,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            queue: Arc::default(),
            running: FuturesUnordered::new(),
            idle: limits.head,
            write: limits.write,
            since: now,
            budget: Budget::new(now),
        }
    }

    pub(super) fn place(&self) -> Place<'a> {
        Place(Arc::clone(&self.queue))
    }

    pub(super) fn spawner(&self) -> Spawner<'a> {
        Spawner(Arc::downgrade(&self.queue))
    }

    /// Goes on with all that can, and says whether a stream has ended: then there may be room for another.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.running.extend(self.queue.work.lock().drain(..));
        let mut has_ended = false;
        while let Poll::Ready(Some(end)) = Pin::new(&mut self.running).poll_next(cx) {
            has_ended = true;
            if self.running.is_empty() {
                self.since = Instant::now();
            }
            match end {
                End::Abandoned => self.budget.take(Instant::now()),
                End::Answered => self.budget.earn(),
                End::Spared => {}
            }
        }
        has_ended
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether more was begun and left than anybody needs to.
    pub(super) const fn is_too_much(&self) -> bool {
        self.budget.left < 0.0
    }

    /// Stops the streams whose client takes nothing. Gives the time of the next look; now, if the connection was
    /// not used for too long.
    pub(super) fn look(&self, now: Instant) -> Instant {
        if self.running.is_empty() {
            return (self.since + self.idle).max(now);
        }
        for running in &self.running {
            if running.stream.waiting(now) >= self.write {
                tracing::debug!("a stream is reset: its client does not take the answer");
                running.stream.stop.notify_one();
            }
        }
        now + (self.write / 4)
            .clamp(Duration::from_millis(10), self.idle.max(Duration::from_millis(10)))
    }
}

/// So many at once, and more with time and with what was answered.
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self { left: RESETS as f64, at: now }
    }

    fn earn(&mut self) {
        self.left = (self.left + 1.0).min(RESETS as f64);
    }

    fn take(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = passed.mul_add(FORGIVEN, self.left).min(RESETS as f64) - 1.0;
        self.at = now;
    }
}

/// An answer's body on its way to hyper, which asks for the next piece when the last one has left.
pub(super) struct Reply<B> {
    kind: Kind<B>,
    stream: Option<Arc<Stream>>,
    /// What is left of a piece that was too large.
    rest: Bytes,
}

enum Kind<B> {
    Handler(B),
    /// One of ours, and of no harm if it is not taken.
    Ours,
}

impl<B: Body> Reply<B> {
    pub(super) fn new(body: B, stream: Arc<Stream>) -> Self {
        if body.is_end_stream() {
            stream.answered();
        }
        Self { kind: Kind::Handler(body), stream: Some(stream), rest: Bytes::new() }
    }

    pub(super) fn of_ours(text: Bytes, stream: &Stream) -> Self {
        stream.spare();
        Self { kind: Kind::Ours, stream: None, rest: text }
    }
}

impl<B> Reply<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Nothing of it is sent. Whether there was something.
    pub(super) fn leave_out(&mut self) -> bool {
        let is_some = !self.is_end_stream();
        if is_some {
            (self.kind, self.rest) = (Kind::Ours, Bytes::new());
            self.answered();
        }
        is_some
    }
}

impl<B> Reply<B> {
    fn answered(&self) {
        if let Some(stream) = &self.stream {
            stream.answered();
        }
    }

    /// The next piece, of what is left.
    fn piece(&mut self) -> Frame<Bytes> {
        let most = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(most);
        if let Some(stream) = &self.stream {
            stream.hands_out(Instant::now());
        }
        Frame::data(piece)
    }
}

impl<B> Body for Reply<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(stream) = &self.stream {
            stream.is_taken();
        }
        if !self.rest.is_empty() {
            let piece = self.piece();
            if self.is_end_stream() {
                self.answered();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        let Kind::Handler(body) = &mut self.kind else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(body).poll_frame(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(error.into())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    Some(Ok(self.piece()))
                }
                Err(other) => Some(Ok(other)),
            },
        };
        match (&frame, &self.stream) {
            // The server broke off.
            (Some(Err(_)), Some(stream)) => stream.spare(),
            (Some(Ok(frame)), _) if frame.is_data() && !self.is_end_stream() => {}
            _ => self.answered(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.kind {
                Kind::Handler(body) => body.is_end_stream(),
                Kind::Ours => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.rest.len() as u64;
        match &self.kind {
            Kind::Ours => SizeHint::with_exact(ahead),
            Kind::Handler(body) => body
                .size_hint()
                .exact()
                .and_then(|rest| rest.checked_add(ahead))
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether somebody gets through a minute in which so many calls each second are left and answered.
    fn goes_on(left: u32, answered: u32) -> bool {
        let begun = Instant::now();
        let mut budget = Budget::new(begun);
        for second in 0..60 {
            let now = begun + Duration::from_secs(second);
            for call in 0..left.max(answered) {
                if call < left {
                    budget.take(now);
                }
                if budget.left < 0.0 {
                    return false;
                }
                if call < answered {
                    budget.earn();
                }
            }
        }
        true
    }

    #[test]
    fn who_leaves_no_more_often_than_stays_goes_on_and_who_mostly_leaves_does_not() {
        assert!(goes_on(30, 30) && goes_on(90, 90) && goes_on(15, 0));
        assert!(!goes_on(30, 0) && !goes_on(30, 5) && !goes_on(400, 100));
        // What was answered before is not saved up.
        let mut budget = Budget::new(Instant::now());
        (0..1000).for_each(|_| budget.earn());
        (0..=RESETS).for_each(|_| budget.take(budget.at));
        assert!(budget.left < 0.0);
    }
}
