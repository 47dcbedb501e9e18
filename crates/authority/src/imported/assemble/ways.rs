//! The search for a chain: breadth first, so the shortest that holds is found first.

use std::collections::{HashMap, VecDeque};

use super::{DEEPEST, Foreign, MOST_WAYS};
use crate::imported::error::ImportError;

/// How far a way came that led nowhere; of several the furthest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// The next certificate is not there.
    ToAGap,
    /// All that could come next was there already.
    Around,
    /// Further than chains go.
    TooFar,
    /// The next certificate is there, and has not signed it.
    ToAForgery,
    /// To one whose signature says nothing.
    ToAWeakOne,
    /// To a root that is not known.
    ToARoot,
    /// To a known root, and something on the way does not hold.
    Home,
}

/// Who may have signed whom, found out once for each pair.
struct Signatures<'a> {
    all: &'a [&'a Foreign],
    known: HashMap<(usize, usize), bool>,
}

impl Signatures<'_> {
    fn holds(&mut self, signed: usize, by: usize) -> bool {
        let all = self.all;
        *self.known.entry((signed, by)).or_insert_with(|| {
            let pair = all.get(signed).zip(all.get(by));
            pair.is_some_and(|(signed, issuer)| signed.is_signed_by(issuer))
        })
    }
}

/// Chains from `leaf` through `others` to `anchors`, for which `holds` says so: the shortest to each of them, of at most so
/// many.
pub(super) fn homes<'a>(
    leaf: &'a Foreign,
    others: &[&'a Foreign],
    anchors: &'a [Foreign],
    holds: &mut dyn FnMut(&[&'a Foreign]) -> Result<(), ImportError>,
    most: usize,
) -> Result<Vec<Vec<&'a Foreign>>, ImportError> {
    let all: Vec<&'a Foreign> = std::iter::once(leaf).chain(others.iter().copied()).collect();
    let mut signatures = Signatures { all: &all, known: HashMap::new() };
    let mut worst: Option<(Came, ImportError)> = None;
    let mut blame = |came: Came, error: ImportError| {
        if worst.as_ref().is_none_or(|(before, _)| came > *before) {
            worst = Some((came, error));
        }
    };
    let mut found: Vec<Vec<&'a Foreign>> = Vec::new();
    let mut ways = VecDeque::from([vec![0_usize]]);
    let mut tried = 0_usize;
    while let Some(way) = ways.pop_front() {
        tried += 1;
        if tried > MOST_WAYS {
            return if found.is_empty() { Err(ImportError::TooManyWays) } else { Ok(found) };
        }
        let Some(last) = way.last().copied() else { continue };
        let Some(top) = all.get(last).copied() else { continue };
        let anchor = anchors.iter().find(|anchor| way.len() > 1 && top.is_same_authority(anchor));
        if let Some(anchor) = anchor {
            if !ends_at(&found, anchor) {
                let below =
                    way.iter().filter(|at| **at != last).filter_map(|at| all.get(*at).copied());
                // What was added is what counts, not what somebody sends under the same name with the same key.
                let chain: Vec<&'a Foreign> = below.chain([anchor]).collect();
                match holds(&chain) {
                    Ok(()) => found.push(chain),
                    Err(error) => blame(Came::Home, error),
                }
                if found.len() >= most {
                    return Ok(found);
                }
            }
            // A root that is certified by another one may lead to that, too, for whoever looks for more than one.
            if most == 1 {
                continue;
            }
        }
        match next(&way, &mut signatures) {
            Ok(_) if way.len() >= DEEPEST => blame(Came::TooFar, ImportError::TooDeep(DEEPEST)),
            Ok(issuers) => ways.extend(issuers.into_iter().map(|issuer| {
                let mut longer = way.clone();
                longer.push(issuer);
                longer
            })),
            Err((came, error)) => blame(came, error),
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(worst.map_or(ImportError::Empty, |(_, error)| error))
}

fn ends_at(found: &[Vec<&Foreign>], anchor: &Foreign) -> bool {
    found.iter().filter_map(|chain| chain.last()).any(|root| root.der == anchor.der)
}

/// Who may come next on a way, or why nobody.
fn next(way: &[usize], signatures: &mut Signatures<'_>) -> Result<Vec<usize>, (Came, ImportError)> {
    let all = signatures.all;
    let last = way.last().copied().unwrap_or_default();
    let Some(top) = all.get(last).copied() else { return Err((Came::ToAGap, ImportError::Empty)) };
    let subject = top.subject_text.clone();
    if let Some(why) = top.weak_signature() {
        return Err(if top.may_be_issued_by(top) {
            let fingerprint = top.fingerprint();
            (Came::ToARoot, ImportError::UnknownRoot { subject, fingerprint })
        } else {
            (Came::ToAWeakOne, ImportError::Weak { subject, why })
        });
    }
    let named: Vec<usize> = (0..all.len())
        .filter(|at| all.get(*at).is_some_and(|other| top.may_be_issued_by(other)))
        .collect();
    let signers: Vec<usize> =
        named.iter().copied().filter(|at| signatures.holds(last, *at)).collect();
    let fresh: Vec<usize> = signers.iter().copied().filter(|at| !way.contains(at)).collect();
    if !fresh.is_empty() {
        return Ok(fresh);
    }
    let issuer = top.issuer_text.clone();
    Err(if top.is_self_issued() && signers.contains(&last) {
        let fingerprint = top.fingerprint();
        (Came::ToARoot, ImportError::UnknownRoot { subject, fingerprint })
    } else if !signers.is_empty() {
        (Came::Around, ImportError::Loop { subject })
    } else if !named.is_empty() {
        (Came::ToAForgery, ImportError::Signature { subject, issuer })
    } else if let Some(twin) = all.iter().find(|other| other.is_ca && other.subject == top.issuer) {
        // As far as if nobody of that name were there: the right one may still come.
        let what = if twin.is_self_issued() { "root" } else { "CA" };
        (Came::ToAGap, ImportError::OtherIssuerKey { subject, issuer, what })
    } else {
        let url = top.issuer_url.clone();
        (Came::ToAGap, ImportError::Missing { issuer, subject, url })
    })
}
