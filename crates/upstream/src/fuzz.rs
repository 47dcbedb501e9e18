//! The entry for fuzzing: all that a server sends and that is read without I/O.

use std::time::{Duration, SystemTime};

use crate::{Place, RetryAfter, acme, est, said};

/// The first byte says what the rest is. What is read must keep what is promised of it.
///
/// # Panics
///
/// When a promise of this crate is broken.
pub fn fuzz(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 5 {
        0 => {
            let (content_type, body) =
                rest.iter().position(|byte| *byte == b'\n').map_or((None, rest), |at| {
                    (rest.get(..at), rest.get(at + 1..).unwrap_or_default())
                });
            let content_type = content_type.and_then(|bytes| std::str::from_utf8(bytes).ok());
            if let Ok(der) = est::read(content_type, body) {
                assert!(!der.is_empty() && der.len() <= body.len());
            }
        }
        1 => drop(acme::Directory::read(rest)),
        2 => {
            let problem = acme::Problem::read(rest);
            assert!(problem.detail.chars().all(|c| !c.is_control()));
            assert!(problem.kind.len() <= 64);
        }
        3 => {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            if let Some(after) = RetryAfter::read(rest, now) {
                let hour = Duration::from_secs(3600);
                assert!(after.within(Duration::from_secs(1), hour) <= hour);
            }
        }
        _ => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            assert!(said(text).chars().all(|c| !c.is_control()));
            assert!(!acme::is_token(text) || !text.contains(['/', '.', ' ', '%', '\\']));
            if let Ok(place) = text.parse::<Place>() {
                let again: Result<Place, _> = place.to_string().parse();
                assert_eq!(again.as_ref(), Ok(&place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_input_of_the_corpus_breaks_a_promise() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/upstream_answers");
        let mut seen = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            fuzz(&std::fs::read(entry.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen > 5);
    }
}
