//! From a pile of certificates in any order to the chain that is served: leaf, intermediates, a known root.
//!
//! Pure: no clock, no store, no network. The leaf is the certificate for the key; from there on issuers are found by
//! name, key identifier and signature. Of several chains the shortest that holds is taken. Everything a chain must be
//! is checked here, each with its own error, and at last the whole is shown to the verifier that TLS clients of the
//! Rust world use, which may still find something.
//!
//! The work is bounded: at most [`MOST_CERTIFICATES`] certificates, [`DEEPEST`] of them in a chain, and
//! [`MOST_WAYS`] beginnings of chains tried.

mod authority;
mod check;
mod foreign;
mod related;
mod ways;

#[cfg(test)]
mod named;
#[cfg(test)]
mod purposes;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use sealock_core::{SubjectName, Timestamp};

pub(crate) use authority::{AssembledAuthority, assemble_authority, permitted_below};
pub(crate) use foreign::Foreign;
pub(crate) use related::Heap;

use super::error::ImportError;
use crate::order::Usages;
use crate::query::fingerprint;

/// The most certificates that are looked at, duplicates among them.
pub const MOST_CERTIFICATES: usize = 64;
/// The longest chain, leaf and root included.
const DEEPEST: usize = 8;
/// The most beginnings of chains that are tried.
const MOST_WAYS: usize = 4096;

/// What the leaf must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The DER of the `SubjectPublicKeyInfo` that it is for.
    pub key: &'a [u8],
    /// The names that were asked for; `None` where nothing was asked for.
    pub names: Option<&'a [SubjectName]>,
    /// Names that it may have besides.
    pub also: &'a [SubjectName],
    /// Whether it may have any names besides.
    pub any_names: bool,
    /// What it is to be used for.
    pub usages: Usages,
}

/// A chain that holds.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The leaf.
    pub leaf: Foreign,
    /// Between leaf and root, nearest to the leaf first.
    pub intermediates: Vec<Foreign>,
    /// The known root at which it ends.
    pub root: Foreign,
}

/// Finds the leaf for the key in `pile`, and the chain from it to one of `anchors` (DER).
///
/// # Errors
/// What is wrong with the chain that came furthest.
pub fn assemble(
    pile: &[Vec<u8>],
    anchors: &[Vec<u8>],
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Assembled, ImportError> {
    let pile = read(pile)?;
    // Those were read when they were added.
    let anchors: Vec<Foreign> = anchors.iter().filter_map(|der| Foreign::read(der).ok()).collect();
    let mut leaves: Vec<&Foreign> = pile.iter().filter(|one| one.spki == expected.key).collect();
    if leaves.is_empty() {
        let found = pile.iter().take(5).map(|one| one.subject_text.clone()).collect();
        return Err(ImportError::OtherKey { found });
    }
    // A folder may hold last year's certificate for the same key, too, and one that was signed for a few days only.
    leaves.sort_by_key(|leaf| {
        let is_early = now < leaf.not_before;
        (is_early, Reverse(leaf.not_after), Reverse(leaf.not_before))
    });
    let mut first = None;
    for leaf in leaves {
        let others: Vec<&Foreign> =
            pile.iter().filter(|one| one.der != leaf.der).chain(&anchors).collect();
        let tried = check::leaf(leaf, expected, now)
            .and_then(|()| shortest(leaf, &others, &anchors, expected, now));
        match tried {
            Ok(assembled) => return Ok(assembled),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(ImportError::Empty))
}

/// The shortest chain from `leaf` through `others` to one of `anchors` that holds.
fn shortest<'a>(
    leaf: &'a Foreign,
    others: &[&'a Foreign],
    anchors: &'a [Foreign],
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Assembled, ImportError> {
    let mut constraints = check::Constraints::default();
    let mut holds = |chain: &[&'a Foreign]| check::chain(chain, &mut constraints, expected, now);
    let found = ways::homes(leaf, others, anchors, &mut holds, 1)?;
    let chain = found.first().map(Vec::as_slice).unwrap_or_default();
    let [leaf, intermediates @ .., root] = chain else { return Err(ImportError::Empty) };
    Ok(Assembled {
        leaf: Foreign::clone(leaf),
        intermediates: intermediates.iter().copied().cloned().collect(),
        root: Foreign::clone(root),
    })
}

/// Every certificate once.
fn read(pile: &[Vec<u8>]) -> Result<Vec<Foreign>, ImportError> {
    if pile.is_empty() {
        return Err(ImportError::Empty);
    }
    if pile.len() > MOST_CERTIFICATES {
        return Err(ImportError::TooMany(pile.len()));
    }
    let mut all: Vec<Foreign> = Vec::new();
    for (index, der) in pile.iter().enumerate() {
        let one =
            Foreign::read(der).map_err(|why| ImportError::Unreadable { number: index + 1, why })?;
        if !all.iter().any(|known| known.der == one.der) {
            all.push(one);
        }
    }
    Ok(all)
}

impl Assembled {
    /// The leaf's serial number, in hex.
    pub fn serial(&self) -> &str {
        &self.leaf.serial
    }

    /// The SHA-256 of the leaf's DER, in hex.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.leaf.der)
    }

    /// Leaf, intermediates and root as DER, in this order.
    pub fn ders(&self) -> Vec<&[u8]> {
        let between = self.intermediates.iter().map(|one| one.der.as_slice());
        std::iter::once(self.leaf.der.as_slice())
            .chain(between)
            .chain([self.root.der.as_slice()])
            .collect()
    }
}
