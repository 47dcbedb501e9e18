//! The entry for fuzzing: subjects, and piles of hostile certificates.

use sealock_core::Timestamp;

use super::assemble::{Expected, Foreign, Heap, assemble, assemble_authority};
use super::own::{is_own_root, roots_above};
use super::subject::Subject;
use crate::order::Usages;

/// Any bytes: as a subject, and cut at each `0x30 0x82` as a pile of certificates; checks what must hold.
pub fn fuzz(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(subject) = text.parse::<Subject>()
    {
        assert!(x509_is_name(&subject.to_der()), "a subject that is no name: {text:?}");
    }
    let pile = cut(data);
    let key = pile.iter().find_map(|der| Foreign::read(der).ok()).map(|one| one.spki);
    let expected = Expected {
        key: key.as_deref().unwrap_or_default(),
        names: None,
        also: &[],
        any_names: true,
        usages: Usages::BOTH,
    };
    let anchors: Vec<Vec<u8>> = pile.iter().rev().take(2).cloned().collect();
    let related = Heap::read(&pile, pile.len()).related(expected.key);
    assert!(related.iter().all(|der| pile.contains(der)), "a certificate from nowhere");
    let above = roots_above(&pile, anchors.clone());
    assert!(above.iter().all(|root| anchors.contains(root)), "a root from nowhere");
    if let Ok(trust_domain) = "corp.example".parse() {
        for der in &pile {
            let _ = is_own_root(der, &trust_domain);
        }
    }
    let now = Timestamp::from_secs(1_800_000_000);
    // As an issuing CA of ours; the probe is whatever lies there.
    let probe = |_: &[u8], _| pile.first().cloned();
    if let Ok(trust_domain) = "corp.example".parse()
        && let Ok(found) =
            assemble_authority(&pile, &anchors, expected.key, &trust_domain, &probe, now)
    {
        assert!(found.chain().count() < 8, "a chain that is too long");
        assert!(anchors.contains(&found.root.der), "an unknown root");
        assert!(found.authority.is_ca, "a leaf that is to sign");
    }
    if let Ok(found) = assemble(&pile, &anchors, &expected, now) {
        assert!(found.ders().len() <= 8, "a chain that is too long");
        assert!(anchors.contains(&found.root.der), "an unknown root");
    }
}

fn x509_is_name(der: &[u8]) -> bool {
    use x509_parser::prelude::FromDer;
    matches!(x509_parser::x509::X509Name::from_der(der), Ok(([], _)))
}

fn cut(data: &[u8]) -> Vec<Vec<u8>> {
    let mut pile = Vec::new();
    let mut rest = data;
    while let Some(begin) = rest.windows(2).position(|pair| pair == [0x30, 0x82]) {
        let Some(from) = rest.get(begin..) else { break };
        let length = from.get(2..4).and_then(|two| <[u8; 2]>::try_from(two).ok());
        let end = length.map_or(0, |two| usize::from(u16::from_be_bytes(two))) + 4;
        let one = from.get(..end).unwrap_or(from);
        pile.push(one.to_vec());
        rest = from.get(one.len().max(4)..).unwrap_or_default();
        if pile.len() > 80 {
            break;
        }
    }
    pile
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &[u8] = include_bytes!("../../../../fuzz/corpus/authority_imported/chain");

    #[test]
    fn what_begins_the_corpus_makes_a_chain_and_changed_bytes_break_nothing() {
        let pile = cut(CHAIN);
        assert_eq!(pile.len(), 3);
        let key = Foreign::read(&pile[0]).unwrap().spki;
        let expected =
            Expected { key: &key, names: None, also: &[], any_names: true, usages: Usages::SERVER };
        let now = Timestamp::from_secs(1_800_000_000);
        let found = assemble(&pile, &pile[2..], &expected, now).unwrap();
        assert_eq!(found.ders().len(), 3);
        for place in 0..CHAIN.len() {
            let mut changed = CHAIN.to_vec();
            changed[place] ^= 1 << (place % 8);
            fuzz(&changed);
            fuzz(&CHAIN[..place]);
        }
    }
}
