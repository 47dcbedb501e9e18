//! What is fuzzed: names, URLs and the answers of a directory.

use crate::dn::{Dn, DnTemplate};
use crate::location::Location;
use crate::plan::{Plan, Standing};
use crate::wire::{self, Answer};

/// One input: the first byte says as what the rest is read.
///
/// # Panics
/// When an invariant does not hold: that is the finding.
pub fn fuzz(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = std::str::from_utf8(rest);
    match (kind % 4, text) {
        (0, Ok(text)) => name(text),
        (1, Ok(text)) => template(text),
        (2, Ok(text)) => location(text),
        _ => answer(rest),
    }
}

fn name(text: &str) {
    if let Ok(dn) = text.parse::<Dn>() {
        // One spelling, that is read as the same name.
        assert_eq!(dn.to_string().parse(), Ok(dn));
    }
}

/// The first line is the template, the rest a certificate's name.
fn template(text: &str) {
    let (template, name) = text.split_once('\n').unwrap_or((text, "a,b+c=d"));
    let Ok(template) = template.parse::<DnTemplate>() else { return };
    let (Ok(filled), Ok(usual)) = (template.fill(name), template.fill("a")) else { return };
    let separators = |dn: &Dn| {
        let again: Result<Dn, _> = dn.to_string().parse();
        assert_eq!(again.as_ref(), Ok(dn));
        again.map(|dn| dn.parts()).unwrap_or_default()
    };
    // Whatever the name, the shape is the template's.
    assert_eq!(separators(&filled), separators(&usual));
}

fn location(text: &str) {
    if let Ok(location) = text.parse::<Location>() {
        assert_eq!(location.to_string().parse(), Ok(location));
    }
}

fn answer(bytes: &[u8]) {
    if let Ok(Answer::Entry(values)) = wire::answer(bytes, 1) {
        let there: Vec<_> = values.into_iter().map(|value| (value, Standing::Foreign)).collect();
        assert!(Plan::of(&there, None).is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The seeds, each cut at every byte and with every byte changed.
    #[test]
    fn the_seeds_and_their_neighbours_hold() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/directory_ldap");
        let mut seeds = 0;
        for seed in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            seeds += 1;
            for place in 0..bytes.len() {
                fuzz(&bytes[..place]);
                for byte in 0..=u8::MAX {
                    let mut changed = bytes.clone();
                    changed[place] = byte;
                    fuzz(&changed);
                }
            }
            fuzz(&bytes);
        }
        assert!(seeds >= 10);
    }
}
