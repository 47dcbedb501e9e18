//! The end of an archive, where it is missing.
//!
//! Docker's client leaves out what should follow the last entry's content (the rest of its block, and two empty
//! blocks), and the engine does not mind. So zeros are read there; whoever reads asks afterwards whether what was
//! read as content was there.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

const BLOCK: u64 = 512;

/// How many bytes there were in truth, when the end has come.
#[derive(Debug, Clone, Default)]
pub(super) struct End(Rc<Cell<Option<u64>>>);

impl End {
    /// Whether everything before this position was there.
    pub(super) fn is_behind(&self, position: u64) -> bool {
        self.0.get().is_none_or(|end| position <= end)
    }
}

/// The bytes, and zeros after them.
pub(super) struct Padded<R> {
    inner: R,
    read: u64,
    zeros: u64,
    end: End,
}

impl<R> Padded<R> {
    pub(super) fn new(inner: R) -> (Self, End) {
        let end = End::default();
        (Self { inner, read: 0, zeros: 0, end: end.clone() }, end)
    }
}

impl<R: Read> Read for Padded<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.end.0.get().is_none() && !space.is_empty() {
            let length = self.inner.read(space)?;
            self.read += length as u64;
            if length > 0 {
                return Ok(length);
            }
            self.end.0.set(Some(self.read));
            let open = self.read % BLOCK;
            self.zeros = 2 * BLOCK + if open == 0 { 0 } else { BLOCK - open };
        }
        let length = usize::try_from(self.zeros).unwrap_or(usize::MAX).min(space.len());
        if let Some(space) = space.get_mut(..length) {
            space.fill(0);
        }
        self.zeros -= length as u64;
        Ok(length)
    }
}
