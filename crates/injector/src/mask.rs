//! Masks secret values in what a child prints.
//!
//! A [`Masker`] sees one stream in pieces of any size and hands it on with [`MASK`] in the place of each value. What
//! comes out does not depend on where the pieces were cut.
//!
//! # What is found
//!
//! - each value of at least [`SHORTEST`] bytes, also without the line end after it, and with CRLF for LF;
//! - each line of at least [`SHORTEST_LINE`] bytes of a value that has several;
//! - of a value of at least [`SHORTEST_ENCODED`] bytes also its encoded forms (`forms`): base64 in both alphabets
//!   wherever it begins in a longer text, percent-encoding, and the escapes of JSON, Go and shells.
//!
//! Shorter values are not looked for: a value of one letter would blank every page. [`Masker::gaps`] says how many
//! there were.
//!
//! Every byte that belongs to an occurrence is masked, also where two overlap; such two become one mask.
//!
//! # What is held back
//!
//! Bytes that may be the beginning of a value, and those only: all else is handed on at once, so that prompts appear
//! when they are printed. There is no way to force out what is held back, because that would be how a value leaks in
//! two halves; it comes out as soon as the next byte decides, or at the end.
//!
//! # What it cannot do
//!
//! A program that means to print a value can: reversed, encrypted, a letter a line. This keeps accidents out of logs.
//! The tables of the search hold the values in a spread-out form and are not wiped.
//!
//! **What an attacker controls:** the values, whoever may write a secret; the text, the child. The size of all
//! patterns has a limit, and the time is linear in the text.

mod forms;
mod fuzz;
mod pending;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use sealock_core::SecretBytes;
use thiserror::Error;
use zeroize::Zeroizing;

pub use fuzz::fuzz;
use pending::Pending;

/// What stands in the place of a value. It says nothing about the length.
pub const MASK: &[u8] = b"********";

/// The fewest bytes of a value that is masked.
pub const SHORTEST: usize = 3;
/// The fewest bytes of a value whose encoded forms are masked, and of such a form.
pub const SHORTEST_ENCODED: usize = 4;
/// The fewest bytes of a line of a value that is masked on its own.
pub const SHORTEST_LINE: usize = 8;
/// The most bytes of a value whose encoded forms are masked: each has some ten times as many.
pub const LONGEST_ENCODED: usize = 64 << 10;

/// Bytes of all patterns; the tables have some forty times as many.
const MOST_BYTES: usize = 2 << 20;
/// How much is looked at before it is handed on.
const PIECE: usize = 64 << 10;

/// Why these values cannot be masked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MaskError {
    /// They are too large.
    #[error("the values and their lines have {bytes} bytes, and at most {limit} can be masked")]
    TooLarge {
        /// How many they have.
        bytes: usize,
        /// How many they may have.
        limit: usize,
    },
    /// The search cannot be set up.
    #[error("cannot set up the search for {patterns} patterns")]
    Tables {
        /// How many there are.
        patterns: usize,
    },
}

impl MaskError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } => Some("large values are better delivered as files than masked"),
            Self::Tables { .. } => None,
        }
    }
}

/// What is not masked, so that a person can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gaps {
    /// Values, not empty, that are too short to be masked at all.
    pub too_short: usize,
    /// Values that are masked as they are, but not in all encoded forms: too short, too long, or too many.
    pub plain_only: usize,
}

/// One stream. Another with the same values is [`Masker::another`].
pub struct Masker {
    tables: Arc<Tables>,
    state: StateID,
    pending: Pending,
}

/// What all streams of a child share.
struct Tables {
    search: NFA,
    start: StateID,
    /// How many of the last bytes may be the beginning of a value, by state.
    depths: Vec<u32>,
    /// How many of the last bytes are an occurrence, by state.
    matches: HashMap<StateID, usize>,
    /// Whether a pattern begins with this byte.
    begins: Vec<bool>,
    gaps: Gaps,
}

impl Masker {
    /// Looks for these values.
    ///
    /// # Errors
    /// When they are too large together.
    pub fn new(values: &[SecretBytes]) -> Result<Self, MaskError> {
        let Patterns { patterns, gaps } = Patterns::of(values)?;
        let failed = || MaskError::Tables { patterns: patterns.len() };
        let tables = Tables::new(&patterns, gaps).ok_or_else(failed)?;
        let state = tables.start;
        Ok(Self { tables: Arc::new(tables), state, pending: Pending::default() })
    }

    /// A masker of the same values for another stream.
    #[must_use]
    pub fn another(&self) -> Self {
        let tables = Arc::clone(&self.tables);
        Self { state: tables.start, tables, pending: Pending::default() }
    }

    /// What is not masked.
    pub fn gaps(&self) -> Gaps {
        self.tables.gaps
    }

    /// How many bytes are held back, because they may be the beginning of a value.
    pub fn held_back(&self) -> usize {
        self.pending.held_back()
    }

    /// Takes the next piece of the stream, and appends to `out` what can be handed on.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        for piece in chunk.chunks(PIECE) {
            self.push_piece(piece, out);
        }
    }

    /// The stream has ended: appends what was held back. What is pushed afterwards is another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.pending.decide(0, out);
        self.state = self.tables.start;
    }

    fn push_piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let tables = &*self.tables;
        let mut rest = piece;
        while !rest.is_empty() {
            if self.state == tables.start {
                // Nothing is undecided here, and most text is not even the first byte of a value.
                self.pending.decide(0, out);
                let plain = rest.iter().take_while(|byte| !tables.may_begin(**byte)).count();
                let (before, after) = rest.split_at(plain);
                out.extend_from_slice(before);
                rest = after;
            }
            let Some((byte, after)) = rest.split_first() else { break };
            rest = after;
            self.state = tables.search.next_state(Anchored::No, self.state, *byte);
            self.pending.push(*byte);
            if tables.search.is_match(self.state)
                && let Some(length) = tables.matches.get(&self.state)
            {
                self.pending.found(*length);
            }
        }
        self.pending.decide(tables.depth(self.state), out);
    }
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Masker").field("gaps", &self.gaps()).finish_non_exhaustive()
    }
}

impl Tables {
    fn new(patterns: &[Zeroizing<Vec<u8>>], gaps: Gaps) -> Option<Self> {
        let search = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(patterns.iter().map(|pattern| pattern.as_slice()))
            .ok()?;
        let start = search.start_state(Anchored::No).ok()?;
        let mut depths = Vec::new();
        let mut matches = HashMap::new();
        let mut begins = vec![false; 256];
        for pattern in patterns {
            let mut state = start;
            // Along its own bytes a pattern meets every state of the search that it is in, and each stands for the
            // bytes up to there.
            for (depth, byte) in (1_u32..).zip(pattern.iter()) {
                state = search.next_state(Anchored::No, state, *byte);
                let index = state.as_usize();
                if index >= depths.len() {
                    depths.resize(index + 1, 0);
                }
                *depths.get_mut(index)? = depth;
                if search.is_match(state) && !matches.contains_key(&state) {
                    let lengths = (0..search.match_len(state))
                        .map(|place| search.pattern_len(search.match_pattern(state, place)));
                    matches.insert(state, lengths.max()?);
                }
            }
            let first = pattern.first()?;
            *begins.get_mut(usize::from(*first))? = true;
        }
        Some(Self { search, start, depths, matches, begins, gaps })
    }

    fn may_begin(&self, byte: u8) -> bool {
        self.begins.get(usize::from(byte)).copied().unwrap_or(true)
    }

    fn depth(&self, state: StateID) -> usize {
        self.depths.get(state.as_usize()).map_or(0, |depth| *depth as usize)
    }
}

/// All that is looked for, each once, and what is not.
struct Patterns {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    gaps: Gaps,
}

impl Patterns {
    fn of(values: &[SecretBytes]) -> Result<Self, MaskError> {
        let mut gaps = Gaps::default();
        let mut patterns = forms::Forms::default();
        for value in values {
            match value.len() {
                0 => {}
                1..SHORTEST => gaps.too_short += 1,
                _ => forms::plain(value.expose(), &mut patterns),
            }
        }
        let bytes = patterns.bytes();
        if bytes > MOST_BYTES {
            return Err(MaskError::TooLarge { bytes, limit: MOST_BYTES });
        }
        for value in values.iter().filter(|value| value.len() >= SHORTEST) {
            let fits = (SHORTEST_ENCODED..=LONGEST_ENCODED).contains(&value.len());
            let encoded = fits.then(|| forms::encoded(value.expose()));
            match encoded.filter(|one| patterns.bytes() + one.bytes() <= MOST_BYTES) {
                Some(encoded) => patterns.append(encoded),
                None => gaps.plain_only += 1,
            }
        }
        Ok(Self { patterns: patterns.into_patterns(), gaps })
    }
}
