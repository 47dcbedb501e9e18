//! The sender's side of a sealed transfer, on any pair of streams: what `exec`, `url` and offers have
//! in common.
//!
//! Three things go on at once: a thread reads, hashes and seals (frame by frame, with a few frames of
//! room), this task writes the frames out, and it listens for what the receiver says: that it does not go
//! on, or its receipt. Dropping the future ends all three: the thread finds its channel
//! closed, and the receiver the end of its input.
//!
//! **What an attacker controls:** every byte that the streams bring. They are read as
//! [`wire`](sealock_transfer::wire) messages, each with its limit, and believed only when the session's
//! keys say so; a refusal is text for a person and nothing else. Each step has a deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sealock_transfer::CodecError;
use sealock_transfer::archive::{self, Summary, WriteError};
use sealock_transfer::frame::Sealer;
use sealock_transfer::receipt::{Receipt, ReceiptError};
use sealock_transfer::session::{SessionError, Terms, answer};
use sealock_transfer::stream::SealingWriter;
use sealock_transfer::wire::{self, HEAD, Kind, Refusal, WireError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::sources::Load;

/// How long the receiver may take to say hello: it has to be started first.
const HELLO: Duration = Duration::from_secs(30);
/// How long a frame may take to be taken.
const FRAME: Duration = Duration::from_secs(60);
/// How long the receiver may take from the last frame to its receipt: it brings all to the disk first.
const RECEIPT: Duration = Duration::from_secs(600);
/// How many frames wait between the thread that seals and the task that writes.
const FRAMES: usize = 4;

/// Why a sealed transfer has not come to its receipt. The old content stands, or (when only the receipt
/// is missing) the new one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The receiver says why it does not go on.
    #[error("the receiver refuses: {}", .0.text)]
    Refused(Box<Refusal>),
    /// The two do not agree on a session.
    #[error("no session with the receiver comes about")]
    Session(#[from] SessionError),
    /// The streams fail, or bring no messages.
    #[error("the stream to the receiver fails")]
    Stream(#[source] WireError),
    /// A message cannot be read.
    #[error("a message of the receiver cannot be read")]
    Message(#[source] CodecError),
    /// Nothing goes on.
    #[error("the receiver does not {step} within {} s", deadline.as_secs())]
    Stalled {
        /// What it should have done.
        step: &'static str,
        /// In which time.
        deadline: Duration,
    },
    /// What is to be sent cannot be read.
    #[error("what is to be sent cannot be read")]
    Source(#[from] WriteError),
    /// The receipt is not authentic or not readable.
    #[error("the receipt is refused")]
    Receipt(#[from] ReceiptError),
    /// The receipt is authentic, and for something else than was sent.
    #[error("the receipt is for something else than was sent")]
    OtherReceipt,
    /// The system has no randomness, or no thread.
    #[error("cannot {operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl SealedError {
    /// What a person may do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.hint.as_deref(),
            Self::Source(WriteError::SourceChanged { .. }) => {
                Some("send again when nothing writes to it")
            }
            Self::Session(SessionError::WrongContainer { .. }) => {
                Some("the container was exchanged while the transfer began; send again")
            }
            _ => None,
        }
    }

    /// Whether the stream ended without a word, as it does when the other side is gone.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Stream(WireError::Ended | WireError::Stream(_)))
    }
}

/// The first step: the receiver says hello, and the answer to it is made (not yet sent).
pub(crate) struct Met {
    answer: Vec<u8>,
    sending: sealock_transfer::session::Sending,
}

/// Reads the receiver's hello and checks it.
pub(crate) async fn meet(
    terms: &Terms,
    input: &mut (impl AsyncRead + Unpin),
) -> Result<Met, SealedError> {
    let hello = timeout(HELLO, expect(input, Kind::Hello, "a hello"))
        .await
        .map_err(|_| SealedError::Stalled { step: "answer", deadline: HELLO })??;
    let (answer, sending) = answer(terms, &hello)?;
    Ok(Met { answer, sending })
}

/// The rest: answers, sends the load, and gives the receipt that was checked. `arrived` hears how many
/// bytes of content have been written out.
pub(crate) async fn deliver<R, W>(
    met: Met,
    terms: &Terms,
    load: &Arc<Load>,
    (input, output): (&mut R, &mut W),
    arrived: &(dyn Fn(u64) + Send + Sync),
) -> Result<Receipt, SealedError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let message = wire::message(Kind::Encapsulation, &met.answer).map_err(SealedError::Stream)?;
    write(output, &message).await?;
    let (summary, receipt) = {
        let verdict = expect(input, Kind::Receipt, "a receipt");
        tokio::pin!(verdict);
        let frames = send_frames(met.sending.sealer, load, output, arrived);
        tokio::pin!(frames);
        tokio::select! {
            // The receiver may have read the last frame, and answered, before this side has noticed
            // that it was written. A receipt from before that is for something else, and shows it.
            early = &mut verdict => {
                let receipt = early?;
                (frames.await?, receipt)
            }
            summary = &mut frames => match summary {
                // The stream broke because the receiver has left; it may have said why.
                Err(error) if error.is_loss() => return Err(last_words(verdict, error).await),
                summary => (summary?, in_time(verdict).await?),
            },
        }
    };
    let receipt = met.sending.receipt.verify(&receipt)?;
    let landed = &receipt.landed;
    let same = receipt.transfer == terms.transfer()
        && receipt.container == terms.container()
        && landed.sha256 == summary.sha256
        && (landed.bytes, landed.files) == (summary.bytes, summary.files);
    if same { Ok(receipt) } else { Err(SealedError::OtherReceipt) }
}

async fn in_time(
    verdict: impl Future<Output = Result<Vec<u8>, SealedError>>,
) -> Result<Vec<u8>, SealedError> {
    timeout(RECEIPT, verdict)
        .await
        .map_err(|_| SealedError::Stalled { step: "send its receipt", deadline: RECEIPT })?
}

/// Waits a moment for what the receiver has said before it left.
async fn last_words(
    verdict: impl Future<Output = Result<Vec<u8>, SealedError>>,
    error: SealedError,
) -> SealedError {
    match timeout(Duration::from_secs(2), verdict).await {
        Ok(Err(said @ SealedError::Refused(_))) => said,
        _ => error,
    }
}

async fn send_frames(
    sealer: Sealer,
    load: &Arc<Load>,
    output: &mut (impl AsyncWrite + Unpin),
    arrived: &(dyn Fn(u64) + Send + Sync),
) -> Result<Summary, SealedError> {
    let (full, mut frames) = mpsc::channel::<Vec<u8>>(FRAMES);
    let (give_back, mut empty) = mpsc::channel::<Vec<u8>>(FRAMES);
    let load = Arc::clone(load);
    let sealing = tokio::task::spawn_blocking(move || {
        let mut writer = SealingWriter::new(sealer, |frame| {
            full.blocking_send(frame).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(empty.try_recv().unwrap_or_default())
        });
        let summary = archive::write(load.tree(), &mut writer, &mut |_| {})?;
        writer.finish(&summary).map_err(WriteError::Output)?;
        Ok::<_, WriteError>(summary)
    });
    let mut written = 0_u64;
    while let Some(frame) = frames.recv().await {
        write(output, &frame).await?;
        written += frame.len() as u64;
        arrived(written);
        // When there is no room the buffer is simply dropped.
        let _ = give_back.try_send(frame);
    }
    let summary = sealing.await.map_err(|error| SealedError::System {
        operation: "seal the content",
        source: io::Error::other(error),
    })??;
    flush(output).await?;
    Ok(summary)
}

/// Writes, within the time that a frame may take.
pub(crate) async fn write(
    output: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
) -> Result<(), SealedError> {
    timed("take what is sent", output.write_all(message)).await?;
    flush(output).await
}

async fn flush(output: &mut (impl AsyncWrite + Unpin)) -> Result<(), SealedError> {
    timed("take what is sent", output.flush()).await
}

async fn timed(
    step: &'static str,
    work: impl Future<Output = io::Result<()>>,
) -> Result<(), SealedError> {
    match timeout(FRAME, work).await {
        Ok(outcome) => outcome.map_err(|error| SealedError::Stream(WireError::Stream(error))),
        Err(_) => Err(SealedError::Stalled { step, deadline: FRAME }),
    }
}

/// Reads one message; a refusal is an error.
async fn expect(
    input: &mut (impl AsyncRead + Unpin),
    wanted: Kind,
    expected: &'static str,
) -> Result<Vec<u8>, SealedError> {
    let mut head = [0; HEAD];
    fill(input, &mut head).await?;
    let (found, length) = wire::parse_head(head).map_err(SealedError::Stream)?;
    let mut body = vec![0; length];
    fill(input, &mut body).await?;
    match found {
        found if found == wanted => Ok(body),
        Kind::Refusal => {
            let refusal = Refusal::decode(&body).map_err(SealedError::Message)?;
            Err(SealedError::Refused(Box::new(refusal)))
        }
        found => Err(SealedError::Stream(WireError::Unexpected { found, expected })),
    }
}

async fn fill(input: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> Result<(), SealedError> {
    match input.read_exact(buffer).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(SealedError::Stream(WireError::Ended))
        }
        Err(error) => Err(SealedError::Stream(WireError::Stream(error))),
    }
}

/// What a receiver says that has nothing to say on this stream unless it does not go on.
pub(crate) async fn refusal(input: &mut (impl AsyncRead + Unpin)) -> SealedError {
    match expect(input, Kind::Receipt, "nothing").await {
        Ok(_) => SealedError::OtherReceipt,
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests;
