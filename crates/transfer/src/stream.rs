//! An archive through frames: a writer that seals, a reader that opens.

use std::io::{self, Read, Write};

use crate::archive::Fill;
use crate::frame::{FRAME, Opener, Sealer, TAG, Trailer};
use crate::wire::{self, HEAD, Kind, WireError};

/// Seals what is written into it and passes it on, a whole message at a time.
///
/// `emit` takes a buffer with a message and gives back one to be filled next (the same or another), so
/// that a sender can pass buffers between threads without allocating.
pub struct SealingWriter<E> {
    sealer: Sealer,
    emit: E,
    /// Room for the head, the content so far, room for more and for the tag.
    buffer: Vec<u8>,
    filled: usize,
}

impl<E: FnMut(Vec<u8>) -> io::Result<Vec<u8>>> SealingWriter<E> {
    /// With no frame begun.
    pub fn new(sealer: Sealer, emit: E) -> Self {
        Self { sealer, emit, buffer: Vec::new(), filled: 0 }
    }

    /// Seals what is left, then the trailer.
    pub fn finish(mut self, trailer: &Trailer) -> io::Result<()> {
        self.seal()?;
        let last = self.sealer.seal_trailer(trailer).map_err(io::Error::other)?;
        let message = wire::message(Kind::LastFrame, &last).map_err(io::Error::other)?;
        (self.emit)(message).map(drop)
    }

    fn prepare(&mut self) {
        if self.buffer.len() != HEAD + FRAME + TAG {
            self.buffer.resize(HEAD + FRAME + TAG, 0);
        }
    }

    fn seal(&mut self) -> io::Result<()> {
        if self.filled == 0 {
            return Ok(());
        }
        let end = HEAD + self.filled;
        let head = wire::head(Kind::Frame, self.filled + TAG).map_err(io::Error::other)?;
        let content = self.buffer.get_mut(HEAD..end).unwrap_or_default();
        let tag = self.sealer.seal(content).map_err(io::Error::other)?;
        self.buffer.truncate(end);
        self.buffer.extend_from_slice(&tag);
        if let Some(place) = self.buffer.get_mut(..HEAD) {
            place.copy_from_slice(&head);
        }
        self.filled = 0;
        self.buffer = (self.emit)(std::mem::take(&mut self.buffer))?;
        Ok(())
    }
}

impl<E: FnMut(Vec<u8>) -> io::Result<Vec<u8>>> Fill for SealingWriter<E> {
    fn spare(&mut self) -> io::Result<&mut [u8]> {
        self.prepare();
        Ok(self.buffer.get_mut(HEAD + self.filled..HEAD + FRAME).unwrap_or_default())
    }

    fn advance(&mut self, count: usize) -> io::Result<()> {
        self.filled = (self.filled + count).min(FRAME);
        if self.filled == FRAME { self.seal() } else { Ok(()) }
    }
}

impl<E: FnMut(Vec<u8>) -> io::Result<Vec<u8>>> Write for SealingWriter<E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let spare = self.spare()?;
        let count = bytes.len().min(spare.len());
        if let (Some(place), Some(bytes)) = (spare.get_mut(..count), bytes.get(..count)) {
            place.copy_from_slice(bytes);
        }
        self.advance(count)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens frames and gives the archive in them; at the end there is the trailer.
pub struct OpeningReader<R> {
    opener: Opener,
    input: R,
    frame: Vec<u8>,
    /// What of the frame's content was not read yet.
    left: std::ops::Range<usize>,
    trailer: Option<Trailer>,
}

impl<R: Read> OpeningReader<R> {
    /// With no frame read.
    pub fn new(opener: Opener, input: R) -> Self {
        Self { opener, input, frame: Vec::new(), left: 0..0, trailer: None }
    }

    /// What the last frame said, once the end was reached.
    pub fn trailer(&self) -> Option<Trailer> {
        self.trailer
    }

    /// Gives the stream back: what comes after the last frame is not touched.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn next_frame(&mut self) -> io::Result<()> {
        let kind = wire::read(&mut self.input, &mut self.frame).map_err(stream_error)?;
        match kind {
            Kind::Frame => {
                let content = self.opener.open(&mut self.frame).map_err(invalid)?;
                self.left = 0..content.len();
                Ok(())
            }
            Kind::LastFrame => {
                self.left = 0..0;
                self.trailer = Some(self.opener.open_trailer(&mut self.frame).map_err(invalid)?);
                Ok(())
            }
            found => Err(invalid(WireError::Unexpected { found, expected: "a frame" })),
        }
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn stream_error(error: WireError) -> io::Error {
    match error {
        WireError::Stream(error) => error,
        WireError::Ended => io::ErrorKind::UnexpectedEof.into(),
        other => invalid(other),
    }
}

impl<R: Read> Read for OpeningReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() && self.trailer.is_none() {
            self.next_frame()?;
        }
        let content = self.frame.get(self.left.clone()).unwrap_or_default();
        let count = content.len().min(buffer.len());
        if let (Some(place), Some(content)) = (buffer.get_mut(..count), content.get(..count)) {
            place.copy_from_slice(content);
        }
        self.left.start += count;
        Ok(count)
    }
}
