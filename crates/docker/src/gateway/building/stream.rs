//! A context on its way: read on a thread of its own, because archives are read and written there by blocking calls.

use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use futures_util::stream::poll_fn;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use sealock_net::Incoming;
use sealock_net::proxy::RequestBody;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::room::Place;
use crate::context::{ContextError, DockerfilePath, copy_or_rewrite, rewrite};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of one piece.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the engine.
const WAITING: usize = 4;
/// For which a client may send nothing of its context.
const SILENCE: Duration = Duration::from_secs(300);

/// The Dockerfile that is held back, and the answer that is waited for. When this goes, so does the context.
pub(super) struct Held {
    dockerfile: oneshot::Receiver<Vec<u8>>,
    answer: Option<oneshot::Sender<Vec<u8>>>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Held {
    /// When the context has come so far; `None` where it never does.
    pub(super) async fn dockerfile(&mut self) -> Option<Vec<u8>> {
        (&mut self.dockerfile).await.ok()
    }

    /// What is built from in its place.
    pub(super) fn answer(&mut self, written: Vec<u8>) {
        if let Some(answer) = self.answer.take() {
            // The client may be gone.
            let _ = answer.send(written);
        }
    }

    /// What is wrong with the context.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().take()
    }
}

/// Begins to read. What cannot be read is passed on as it is where nothing is refused.
pub(super) fn read(
    context: Incoming,
    path: DockerfilePath,
    is_lenient: bool,
    room: Place,
) -> (Held, RequestBody) {
    let (pieces, mut arriving) = mpsc::channel(WAITING);
    let (found, dockerfile) = oneshot::channel();
    let (answer, answered) = oneshot::channel::<Vec<u8>>();
    let fault = Arc::new(Mutex::new(None));
    let said = Arc::clone(&fault);
    let reader = Reader { body: context, left: Bytes::new(), runtime: Handle::current() };
    tokio::task::spawn_blocking(move || {
        let _room = room;
        let out = BufWriter::with_capacity(PIECE, Writer(pieces.clone()));
        let replace = |content| {
            found.send(content).ok()?;
            answered.blocking_recv().ok()
        };
        let done = match is_lenient {
            true => copy_or_rewrite(reader, out, &path, replace),
            false => rewrite(reader, out, &path, replace),
        };
        if let Err(error) = done {
            tracing::debug!(error = &error as &dyn std::error::Error, "a context is not passed on");
            if !matches!(error, ContextError::Write(_) | ContextError::Stopped) {
                *said.lock() = Some(error.to_string());
            }
            // Ends the body without its end, so that the engine never takes it for whole.
            let _ = pieces.blocking_send(Err(error.into()));
        }
    });
    let held = Held { dockerfile, answer: Some(answer), fault };
    let pieces = poll_fn(move |cx| arriving.poll_recv(cx)).map_ok(Frame::data);
    (held, RequestBody::new(StreamBody::new(pieces)))
}

/// The client's side.
struct Reader {
    body: Incoming,
    left: Bytes,
    runtime: Handle,
}

impl Read for Reader {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            // The connection has its own deadlines; the thread must not depend on them.
            let frame = self.runtime.block_on(async { timeout(SILENCE, self.body.frame()).await });
            match frame {
                Ok(Some(Ok(frame))) => self.left = frame.into_data().unwrap_or_default(),
                Ok(Some(Err(error))) => return Err(io::Error::other(error)),
                Ok(None) => return Ok(0),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let length = self.left.len().min(space.len());
        self.left.copy_to_slice(space.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

/// The engine's side.
struct Writer(mpsc::Sender<Result<Bytes, BoxError>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
