//! What a value looks like when it has been written by something else.

mod escapes;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, Encoding};
use zeroize::Zeroizing;

use super::{SHORTEST, SHORTEST_ENCODED, SHORTEST_LINE};
use crate::buffer::Buffer;

/// A line of base64 that is masked on its own has at least this many characters.
const SHORTEST_BASE64_LINE: usize = 16;

/// Patterns, and how many bytes they have together.
#[derive(Default)]
pub(super) struct Forms {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    bytes: usize,
}

impl Forms {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each once, in order.
    pub(super) fn into_patterns(mut self) -> Vec<Zeroizing<Vec<u8>>> {
        self.patterns.sort_by(|one, other| one.as_slice().cmp(other));
        self.patterns.dedup();
        self.patterns
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.bytes += other.bytes;
        self.patterns.append(&mut other.patterns);
    }

    fn add(&mut self, form: &[u8], shortest: usize) {
        if form.len() >= shortest {
            self.bytes += form.len();
            self.patterns.push(Zeroizing::new(form.to_vec()));
        }
    }

    /// Most escapes change nothing of most values, so most forms are there already.
    fn add_new(&mut self, form: &[u8], shortest: usize) {
        if !self.patterns.iter().any(|other| other.as_slice() == form) {
            self.add(form, shortest);
        }
    }

    fn add_encoded(&mut self, write: impl FnOnce(&mut Buffer)) {
        let mut form = Buffer::default();
        write(&mut form);
        self.add_new(form.as_slice(), SHORTEST_ENCODED);
    }
}

/// The value itself, and its lines.
pub(super) fn plain(value: &[u8], forms: &mut Forms) {
    forms.add(value, SHORTEST);
    let line = without_line_end(value);
    if line.len() < value.len() {
        forms.add(line, SHORTEST);
    }
    if line.contains(&b'\n') {
        forms.add(&with_carriage_returns(line), SHORTEST);
        for line in line.split(|byte| *byte == b'\n') {
            forms.add(line.strip_suffix(b"\r").unwrap_or(line), SHORTEST_LINE);
        }
    }
}

/// Every encoded form.
pub(super) fn encoded(value: &[u8]) -> Forms {
    let mut forms = Forms::default();
    forms.add(value, SHORTEST);
    let line = without_line_end(value);
    for value in [value, line].into_iter().take(if line.len() < value.len() { 2 } else { 1 }) {
        for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
            base64(value, &encoding, &mut forms);
        }
        base64_lines(value, &mut forms);
        escapes::percent(value, &mut forms);
        escapes::json(value, &mut forms);
        escapes::quoted(value, &mut forms);
        escapes::shell(value, &mut forms);
    }
    forms
}

fn without_line_end(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

/// As a terminal shows it.
fn with_carriage_returns(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    let mut before = 0;
    for byte in value {
        if *byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(*byte);
        before = *byte;
    }
    out
}

/// At each of the three places where a value can begin within a group of three bytes: the characters that it alone
/// determines, and for where the text ends with it also the last one, with and without padding.
fn base64(value: &[u8], encoding: &Encoding, forms: &mut Forms) {
    for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = Zeroizing::new(vec![0; before]);
        bytes.reserve_exact(value.len());
        bytes.extend(value);
        let text = Zeroizing::new(encoding.encode(&bytes).into_bytes());
        let whole = bytes.len() * 8 / 6;
        forms.add_new(text.get(shared..whole).unwrap_or_default(), SHORTEST_ENCODED);
        let last = text.get(shared..).unwrap_or_default();
        forms.add_new(last, SHORTEST_ENCODED);
        let padding = text.len().next_multiple_of(4) - text.len();
        forms.add_encoded(|out| {
            out.extend(last);
            out.fill(b'=', padding);
        });
    }
}

/// Broken into lines as `base64` and `openssl` do.
fn base64_lines(value: &[u8], forms: &mut Forms) {
    let text = Zeroizing::new(BASE64.encode(value).into_bytes());
    for width in [64, 76] {
        if text.len() > width {
            for line in text.chunks(width) {
                forms.add_new(line, SHORTEST_BASE64_LINE);
            }
        }
    }
}
