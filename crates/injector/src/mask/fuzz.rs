//! What must hold of every stream.

use sealock_core::SecretBytes;

use super::{MASK, Masker, Patterns};

/// The entry for fuzzing: `n` values, each behind its length, then the size of the pieces, then the text. Checks that
/// the pieces do not matter, that what is masked is exactly what a plain search finds, and that no more is held back
/// than the longest pattern.
pub fn fuzz(data: &[u8]) {
    let (count, mut rest) = data.split_first().unwrap_or((&0, &[]));
    let mut values = Vec::new();
    for _ in 0..count % 5 {
        let (length, after) = rest.split_first().unwrap_or((&0, &[]));
        let length = usize::from(*length).min(after.len());
        let (value, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        values.push(SecretBytes::new(value.to_vec()));
        rest = after;
    }
    let (size, text) = rest.split_first().unwrap_or((&0, &[]));
    check(&values, text, usize::from(*size));
}

pub(super) fn check(values: &[SecretBytes], text: &[u8], size: usize) {
    let Ok(mut masker) = Masker::new(values) else { return };
    let Ok(Patterns { patterns, .. }) = Patterns::of(values) else { return };
    let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
    let mut whole = Vec::new();
    masker.push(text, &mut whole);
    assert!(masker.held_back() <= longest, "more held back than could be a beginning");
    masker.finish(&mut whole);
    assert_eq!(masker.held_back(), 0, "something held back after the end");
    let mut pieces = Vec::new();
    let mut masker = masker.another();
    for piece in text.chunks(size.max(1)) {
        masker.push(piece, &mut pieces);
        masker.push(&[], &mut pieces);
    }
    masker.finish(&mut pieces);
    assert!(whole == pieces, "the pieces mattered");
    let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_slice()).collect();
    assert!(whole == plainly(&patterns, text), "something else was masked");
}

/// The same by looking for each pattern at each place.
fn plainly(patterns: &[&[u8]], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut masked_to = 0;
    for (at, byte) in text.iter().enumerate() {
        let rest = text.get(at..).unwrap_or_default();
        let here = patterns.iter().filter(|pattern| rest.starts_with(pattern));
        if let Some(length) = here.map(|pattern| pattern.len()).max() {
            if at >= masked_to {
                out.extend(MASK);
            }
            masked_to = masked_to.max(at + length);
        }
        if at >= masked_to {
            out.push(*byte);
        }
    }
    out
}
