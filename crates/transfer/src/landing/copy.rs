//! Bytes from a source into an open file, hashed on the way.
//!
//! Large files are written by a second thread while the first reads and hashes: the two then take about
//! as long. The bytes are read once, so the digest is that of what was written, even
//! when the source changes at that moment; that is why this is not `copy_file_range`.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::LandingError;
use crate::member::MemberPath;

/// A file up to this size is read, hashed and written on one thread.
const SMALL: u64 = 2 * 1024 * 1024;
/// How much is read at once.
const PIECE: usize = 512 * 1024;
/// How many pieces wait for the writing thread.
const PIECES: usize = 6;

/// How far a landing is, and whether it should go on; shared with whoever watches it.
#[derive(Debug, Default)]
pub struct Watch {
    written: AtomicU64,
    stopped: AtomicBool,
}

impl Watch {
    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Makes the landing fail with [`LandingError::Stopped`] at the next piece.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn check(&self, destination: &str) -> Result<(), LandingError> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(LandingError::Stopped { path: destination.to_owned() });
        }
        Ok(())
    }
}

/// One file to copy.
pub(crate) struct Job<'a> {
    pub(crate) member: &'a MemberPath,
    pub(crate) size: u64,
    pub(crate) source: &'a mut dyn Read,
    pub(crate) target: BorrowedFd<'a>,
    /// The path of the target, for errors.
    pub(crate) path: &'a str,
}

/// Copies files, with its buffers kept from one to the next.
#[derive(Debug)]
pub(crate) struct Copier {
    watch: Arc<Watch>,
    /// Wiped at the end: small files are where keys and secrets are.
    buffer: Zeroizing<Vec<u8>>,
}

impl Copier {
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Self { watch, buffer: Zeroizing::default() }
    }

    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Copies exactly `job.size` bytes and gives their SHA-256.
    pub(crate) fn copy(&mut self, job: Job<'_>) -> Result<[u8; 32], LandingError> {
        if job.size > SMALL { self.copy_large(job) } else { self.copy_small(job) }
    }

    fn copy_small(&mut self, mut job: Job<'_>) -> Result<[u8; 32], LandingError> {
        if self.buffer.is_empty() {
            self.buffer.resize(PIECE, 0);
        }
        let mut context = Context::new(&SHA256);
        let mut left = job.size;
        while left > 0 {
            self.watch.check(job.path)?;
            let read = fill(&mut job, &mut self.buffer, left)?;
            let piece = self.buffer.get(..read).unwrap_or_default();
            context.update(piece);
            write_all(job.target, piece)
                .map_err(|error| LandingError::at("write", job.path, error))?;
            self.watch.written.fetch_add(read as u64, Ordering::Relaxed);
            left -= read as u64;
        }
        Ok(bytes_of(context))
    }

    fn copy_large(&mut self, mut job: Job<'_>) -> Result<[u8; 32], LandingError> {
        let (to_write, pieces) = sync_channel(PIECES);
        let (give_back, buffers) = sync_channel(PIECES);
        let (target, watch) = (job.target, Arc::clone(&self.watch));
        std::thread::scope(|scope| {
            let writer = std::thread::Builder::new()
                .name("sealock-write".to_owned())
                .spawn_scoped(scope, move || write(target, &watch, &pieces, &give_back));
            let Ok(writer) = writer else {
                return self.copy_small(job);
            };
            let fed = self.feed(&mut job, &to_write, &buffers);
            drop(to_write);
            match writer.join() {
                Ok(Ok(())) => fed,
                // That the writer has gone is also how feeding it failed.
                Ok(Err(error)) => Err(LandingError::at("write", job.path, error)),
                Err(_) => Err(LandingError::Stopped { path: job.path.to_owned() }),
            }
        })
    }

    fn feed(
        &self,
        job: &mut Job<'_>,
        to_write: &SyncSender<Piece>,
        buffers: &Receiver<Piece>,
    ) -> Result<[u8; 32], LandingError> {
        let mut context = Context::new(&SHA256);
        let mut made = 0;
        let mut left = job.size;
        while left > 0 {
            self.watch.check(job.path)?;
            let mut buffer = if made < PIECES {
                made += 1;
                vec![0; PIECE]
            } else {
                // Our own share of a piece is dropped before the next one is asked for.
                let back = buffers.recv().ok().map(|piece| Arc::try_unwrap(piece.bytes));
                back.and_then(Result::ok).unwrap_or_else(|| vec![0; PIECE])
            };
            let length = fill(job, &mut buffer, left)?;
            let bytes = Arc::new(buffer);
            if to_write.send(Piece { bytes: Arc::clone(&bytes), length }).is_err() {
                break;
            }
            context.update(bytes.get(..length).unwrap_or_default());
            left -= length as u64;
        }
        Ok(bytes_of(context))
    }
}

struct Piece {
    bytes: Arc<Vec<u8>>,
    length: usize,
}

/// Writes pieces until there are no more.
fn write(
    target: BorrowedFd<'_>,
    watch: &Watch,
    pieces: &Receiver<Piece>,
    give_back: &SyncSender<Piece>,
) -> Result<(), Errno> {
    while let Ok(piece) = pieces.recv() {
        write_all(target, piece.bytes.get(..piece.length).unwrap_or_default())?;
        watch.written.fetch_add(piece.length as u64, Ordering::Relaxed);
        // Full or closed: then the piece is simply dropped.
        let _ = give_back.try_send(piece);
    }
    Ok(())
}

fn bytes_of(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Fills as much of the buffer as there is still to come, so that few and large pieces are written.
fn fill(job: &mut Job<'_>, buffer: &mut [u8], left: u64) -> Result<usize, LandingError> {
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..wanted).filter(|room| !room.is_empty()) {
        match job.source.read(room) {
            Ok(0) => return Err(LandingError::SourceChanged(job.member.clone())),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(LandingError::Source { member: job.member.clone(), source });
            }
        }
    }
    Ok(filled)
}

fn write_all(target: BorrowedFd<'_>, mut piece: &[u8]) -> Result<(), Errno> {
    while !piece.is_empty() {
        match rustix::io::write(target, piece) {
            Ok(written) => piece = piece.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
