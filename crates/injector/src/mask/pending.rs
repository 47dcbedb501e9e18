//! The end of a stream that is not decided yet.

use std::collections::VecDeque;
use std::ops::Range;

use super::MASK;
use crate::buffer::Buffer;

/// Decided bytes are taken out of the buffer when there are at least this many.
const TIDY: usize = 4096;

/// Bytes, and which of them are known to belong to a value.
#[derive(Default)]
pub(super) struct Pending {
    buffer: Buffer,
    /// How many bytes of the buffer have been handed on or masked.
    decided: usize,
    /// Places in the buffer, in order, none overlapping another.
    found: VecDeque<Range<usize>>,
    /// Whether the mask of the first of them has been written; the rest of it is only passed over.
    masked: bool,
}

impl Pending {
    pub(super) fn push(&mut self, byte: u8) {
        self.buffer.push(byte);
    }

    pub(super) fn held_back(&self) -> usize {
        self.buffer.len() - self.decided
    }

    /// The last `length` bytes are a value.
    pub(super) fn found(&mut self, length: usize) {
        let end = self.buffer.len();
        let mut start = end.saturating_sub(length);
        while let Some(before) = self.found.back().filter(|before| before.end > start) {
            start = start.min(before.start);
            self.found.pop_back();
        }
        self.found.push_back(start..end);
    }

    /// Hands on all but the last `undecided` bytes. The mask of a value is written as soon as the value is complete:
    /// whatever overlaps it becomes a part of it.
    pub(super) fn decide(&mut self, undecided: usize, out: &mut Vec<u8>) {
        let limit = self.buffer.len().saturating_sub(undecided);
        while self.decided < limit {
            let next = self.found.front().cloned().unwrap_or(limit..limit);
            let to = if self.begin_mask(out) {
                next.end.min(limit)
            } else {
                let to = next.start.min(limit);
                out.extend(self.buffer.as_slice().get(self.decided..to).unwrap_or_default());
                to
            };
            self.decided = to;
            if self.masked && to == next.end {
                self.found.pop_front();
                self.masked = false;
            }
        }
        self.begin_mask(out);
        self.tidy();
    }

    /// Whether the first undecided byte belongs to a value, whose mask is then written if it has not been.
    fn begin_mask(&mut self, out: &mut Vec<u8>) -> bool {
        let here = self.found.front().is_some_and(|place| place.start <= self.decided);
        if here && !self.masked {
            out.extend_from_slice(MASK);
            self.masked = true;
        }
        here
    }

    fn tidy(&mut self) {
        let all = self.decided == self.buffer.len();
        if all || self.decided >= TIDY && self.decided >= self.held_back() {
            self.buffer.drop_front(self.decided);
            for place in &mut self.found {
                // One whose mask has been written may begin before what is left.
                place.start = place.start.saturating_sub(self.decided);
                place.end -= self.decided;
            }
            self.decided = 0;
        }
    }
}
