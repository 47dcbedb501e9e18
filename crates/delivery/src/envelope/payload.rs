//! The payload of an age file: chunks of 64 KiB, each sealed with ChaCha20-Poly1305 under a nonce of
//! its number and of whether it is the last (the STREAM construction).
//!
//! A [`Batch`] is some consecutive chunks in one buffer, in slots of the sealed size, so that both
//! directions work in place.

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroize;

use super::error::PayloadFault;

/// Plain bytes of a chunk.
pub(super) const CHUNK: usize = 64 * 1024;
/// Bytes of its tag.
const TAG: usize = 16;
/// Sealed bytes of a chunk.
const SLOT: usize = CHUNK + TAG;
/// Chunks that are read, worked on and written together. Larger is not faster, as a batch should
/// stay in a core's cache between the three.
pub(super) const BATCH: usize = 16;
/// Bytes of the nonce between header and payload.
pub(super) const SALT: usize = 16;

/// The key of one file's payload.
pub(super) struct PayloadKey(LessSafeKey);

impl PayloadKey {
    /// HKDF-SHA-256 of the file key, salted with the nonce that stands before the payload.
    pub(super) fn derive(file_key: &[u8; 16], salt: &[u8; SALT]) -> Result<Self, Unspecified> {
        let key = Salt::new(HKDF_SHA256, salt).extract(file_key);
        Ok(Self(LessSafeKey::new(UnboundKey::from(key.expand(&[b"payload"], &CHACHA20_POLY1305)?))))
    }

    /// Chunks with flags as a forger would choose them.
    #[cfg(test)]
    pub(super) fn seal_for_tests(&self, chunks: &[(&[u8], bool)]) -> Vec<u8> {
        let mut sealed = Vec::new();
        for ((plain, last), chunk) in chunks.iter().zip(0..) {
            let mut slot = plain.to_vec();
            slot.resize(plain.len() + TAG, 0);
            self.seal(chunk, *last, &mut slot, plain.len()).unwrap();
            sealed.extend(slot);
        }
        sealed
    }

    /// Seals `plain` bytes at the beginning of the slot; the tag comes after them.
    fn seal(
        &self,
        chunk: u64,
        last: bool,
        slot: &mut [u8],
        plain: usize,
    ) -> Result<(), Unspecified> {
        let (text, rest) = slot.split_at_mut_checked(plain).ok_or(Unspecified)?;
        let place = rest.get_mut(..TAG).ok_or(Unspecified)?;
        let tag = self.0.seal_in_place_separate_tag(nonce(chunk, last), Aad::empty(), text)?;
        place.copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens a sealed chunk. What is in `plain` after a failure is zeros.
    fn open(
        &self,
        chunk: u64,
        last: bool,
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), Unspecified> {
        let length = sealed.len().checked_sub(TAG).ok_or(Unspecified)?;
        let (text, tag) = sealed.split_at_checked(length).ok_or(Unspecified)?;
        self.0.open_separate_gather(nonce(chunk, last), Aad::empty(), text, tag, plain)
    }
}

/// Eleven bytes of counter, big-endian; one of flag.
fn nonce(chunk: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    if let Some(counter) = bytes.get_mut(3..11) {
        counter.copy_from_slice(&chunk.to_be_bytes());
    }
    if let Some(flag) = bytes.last_mut() {
        *flag = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

/// Consecutive chunks. What was used of it is wiped when it is dropped.
pub(super) struct Batch {
    slots: Vec<u8>,
    /// How much of the *input* is in it.
    filled: usize,
    /// How many slots have ever been used.
    used: usize,
    /// What was opened; empty when sealing, which works in place.
    opened: Vec<u8>,
}

impl Batch {
    fn with_room_for(opened: usize) -> Self {
        Self { slots: vec![0; BATCH * SLOT], filled: 0, used: 0, opened: vec![0; opened] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Fills slot after slot with up to `each` bytes; less only at the end of the input.
    fn fill(&mut self, input: &mut impl Read, each: usize) -> io::Result<()> {
        self.filled = 0;
        for slot in self.slots.chunks_exact_mut(SLOT) {
            let wanted = slot.get_mut(..each).unwrap_or_default();
            let got = read_full(input, wanted)?;
            self.filled += got;
            if got < each {
                break;
            }
        }
        self.used = self.used.max(self.chunks(each));
        Ok(())
    }

    /// How many chunks there are. Empty input is one empty chunk.
    fn chunks(&self, each: usize) -> usize {
        self.filled.div_ceil(each).max(1)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let (sealed, plain) = (self.used * SLOT, self.used * CHUNK);
        self.slots.get_mut(..sealed).unwrap_or_default().zeroize();
        self.opened.get_mut(..plain).unwrap_or_default().zeroize();
    }
}

/// As `read_exact`, but the end of the input is no error.
fn read_full(input: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match input.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                total += count;
                buffer = buffer.get_mut(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// What the pipeline does with batches.
pub(super) trait Direction: Sync {
    /// Bytes of input in a full chunk.
    const EACH: usize;

    /// Room for one batch.
    fn batch(&self) -> Batch;

    /// Reads the next batch; a batch that is not full is the last.
    fn read(&self, input: &mut impl Read, batch: &mut Batch) -> io::Result<()> {
        batch.fill(input, Self::EACH)
    }

    /// Whether the input ended in this batch.
    fn is_short(&self, batch: &Batch) -> bool {
        batch.filled < BATCH * Self::EACH
    }

    /// Seals or opens it. `first` is the number of its first chunk; the batch is the end of the input
    /// when `ends`.
    fn work(&self, batch: &mut Batch, first: u64, ends: bool) -> Result<(), PayloadFault>;

    /// Writes what came of it. Returns how many plain bytes it has.
    fn write(&self, batch: &Batch, output: &mut impl Write) -> io::Result<u64>;
}

/// Plain to sealed.
pub(super) struct Sealing {
    pub(super) key: PayloadKey,
}

impl Direction for Sealing {
    const EACH: usize = CHUNK;

    fn batch(&self) -> Batch {
        Batch::with_room_for(0)
    }

    fn work(&self, batch: &mut Batch, first: u64, ends: bool) -> Result<(), PayloadFault> {
        let count = batch.chunks(CHUNK);
        let mut left = batch.filled;
        for (index, slot) in batch.slots.chunks_exact_mut(SLOT).take(count).enumerate() {
            let (chunk, plain) = (first + index as u64, left.min(CHUNK));
            left -= plain;
            let last = ends && index + 1 == count;
            let sealed = self.key.seal(chunk, last, slot, plain);
            sealed.map_err(|Unspecified| PayloadFault::Forged(chunk))?;
        }
        Ok(())
    }

    fn write(&self, batch: &Batch, output: &mut impl Write) -> io::Result<u64> {
        // Full slots lie next to each other, so this is one piece.
        let length = batch.filled + batch.chunks(CHUNK) * TAG;
        output.write_all(batch.slots.get(..length).unwrap_or_default())?;
        Ok(batch.filled as u64)
    }
}

/// Sealed to plain.
pub(super) struct Opening {
    pub(super) key: PayloadKey,
}

impl Direction for Opening {
    const EACH: usize = SLOT;

    fn batch(&self) -> Batch {
        Batch::with_room_for(BATCH * CHUNK)
    }

    fn work(&self, batch: &mut Batch, first: u64, ends: bool) -> Result<(), PayloadFault> {
        let count = batch.chunks(SLOT);
        let sealed = batch.slots.get(..batch.filled).unwrap_or_default();
        if sealed.is_empty() {
            return Err(PayloadFault::Truncated);
        }
        let mut room = batch.opened.as_mut_slice();
        for (index, sealed) in sealed.chunks(SLOT).enumerate() {
            let length = sealed.len().saturating_sub(TAG);
            let Some((plain, rest)) = room.split_at_mut_checked(length) else { break };
            room = rest;
            let last = ends && index + 1 == count;
            self.open(first + index as u64, last, sealed, plain)?;
        }
        Ok(())
    }

    fn write(&self, batch: &Batch, output: &mut impl Write) -> io::Result<u64> {
        let length = batch.filled.saturating_sub(batch.chunks(SLOT) * TAG);
        output.write_all(batch.opened.get(..length).unwrap_or_default())?;
        Ok(length as u64)
    }
}

impl Opening {
    /// Opens one chunk, or says what is wrong with it.
    fn open(
        &self,
        chunk: u64,
        last: bool,
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), PayloadFault> {
        match self.key.open(chunk, last, sealed, plain) {
            // An empty last chunk has a place only in a file of nothing.
            Ok(()) if plain.is_empty() && chunk > 0 => Err(PayloadFault::Forged(chunk)),
            Ok(()) => Ok(()),
            Err(Unspecified) if last => Err(PayloadFault::Truncated),
            Err(Unspecified) if self.key.open(chunk, true, sealed, plain).is_ok() => {
                plain.fill(0);
                Err(PayloadFault::TrailingData)
            }
            Err(Unspecified) => Err(PayloadFault::Forged(chunk)),
        }
    }
}
