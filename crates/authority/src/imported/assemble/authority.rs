//! From a pile of certificates to an issuing CA of ours under a known root (RFC 5280 §4.2.1.9, §6.1).
//!
//! As with a leaf, the shortest chain that holds is taken, each thing that it must be has its own error, and the
//! verifier of rustls has the last word: it is shown a probe, a leaf below the CA that is never handed out. While the
//! company replaces its root, more than one known root may be reached; what leads to the others is kept as well.

use std::collections::HashMap;

use sealock_core::{Timestamp, TrustDomain};

use super::check::{self, Constraints};
use super::{DEEPEST, Foreign, ways};
use crate::imported::error::ImportError;
use crate::imported::own::is_own_name;
use crate::order::Usages;

/// The most known roots that are looked for beside the first.
const MOST_ROOTS: usize = 8;

/// What a CA's chain permits below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permitted {
    pub(crate) usages: Usages,
    pub(crate) ocsp: bool,
}

impl Permitted {
    const ALL: Self =
        Self { usages: Usages { server: true, client: true, code: true, email: true }, ocsp: true };

    /// What is left of it below a CA.
    fn below(self, ca: &Foreign) -> Self {
        match ca.purposes {
            Some(it) => Self { usages: self.usages.and(it.usages), ocsp: self.ocsp && it.ocsp },
            None => self,
        }
    }
}

/// An issuing CA and its chain.
#[derive(Debug, Clone)]
pub(crate) struct AssembledAuthority {
    /// The CA's certificate, for the key that was asked for.
    pub(crate) authority: Foreign,
    /// Between it and the root, nearest first.
    pub(crate) between: Vec<Foreign>,
    /// The known root at which the chain ends.
    pub(crate) root: Foreign,
    /// What else leads from the chain to other known roots.
    pub(crate) bridges: Vec<Foreign>,
    /// What all of the chain permits.
    pub(crate) purposes: Permitted,
}

impl AssembledAuthority {
    /// The CA, those between, the root.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Foreign> {
        std::iter::once(&self.authority).chain(&self.between).chain([&self.root])
    }

    /// Their subjects.
    pub(crate) fn subjects(&self) -> Vec<String> {
        self.chain().map(|one| one.subject_text.clone()).collect()
    }
}

/// Finds the CA certificate for `key` (DER of `SubjectPublicKeyInfo`) in `pile`, and the chain from it to one of
/// `anchors` (DER, newest first). `probe` makes a leaf below a CA certificate for such usages.
///
/// # Errors
/// What is wrong with the chain that came furthest.
pub(crate) fn assemble_authority(
    pile: &[Vec<u8>],
    anchors: &[Vec<u8>],
    key: &[u8],
    trust_domain: &TrustDomain,
    probe: &impl Fn(&[u8], Usages) -> Option<Vec<u8>>,
    now: Timestamp,
) -> Result<AssembledAuthority, ImportError> {
    let pile = super::read(pile)?;
    let mut anchors: Vec<Foreign> =
        anchors.iter().filter_map(|der| Foreign::read(der).ok()).collect();
    // While a root is replaced the new one is what the chain should end at.
    anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.not_before));
    let mut ours: Vec<&Foreign> = pile.iter().filter(|one| one.spki == key).collect();
    if ours.is_empty() {
        let found = pile.iter().take(5).map(|one| one.subject_text.clone()).collect();
        return Err(ImportError::OtherKey { found });
    }
    ours.sort_by_key(|one| std::cmp::Reverse(one.not_before));
    let mut first = None;
    for authority in ours {
        let others: Vec<&Foreign> =
            pile.iter().filter(|one| one.der != authority.der).chain(&anchors).collect();
        match one(authority, &others, &anchors, trust_domain, probe, now) {
            Ok(found) => return Ok(found),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(ImportError::Empty))
}

fn one<'a>(
    authority: &'a Foreign,
    others: &[&'a Foreign],
    anchors: &'a [Foreign],
    trust_domain: &TrustDomain,
    probe: &impl Fn(&[u8], Usages) -> Option<Vec<u8>>,
    now: Timestamp,
) -> Result<AssembledAuthority, ImportError> {
    itself(authority, trust_domain, now)?;
    let mut constraints = Constraints::default();
    let mut shown: HashMap<Usages, Option<Foreign>> = HashMap::new();
    let mut holds = |chain: &[&'a Foreign]| -> Result<(), ImportError> {
        // With a leaf below it the chain has one more.
        if chain.len() >= DEEPEST {
            return Err(ImportError::TooDeep(DEEPEST));
        }
        above(chain, &mut constraints, trust_domain, now)?;
        let permitted = permitted(chain)?.usages;
        let (probed, usages) = probed(permitted);
        let refused = || ImportError::Verifier {
            subject: authority.subject_text.clone(),
            why: "no certificate can be made below it".to_owned(),
        };
        let leaf = shown
            .entry(probed)
            .or_insert_with(|| Foreign::read(&probe(&authority.der, probed)?).ok());
        let leaf = leaf.as_ref().ok_or_else(refused)?;
        let whole: Vec<&Foreign> = std::iter::once(leaf).chain(chain.iter().copied()).collect();
        check::verifier(&whole, usages, now)
    };
    let found = ways::homes(authority, others, anchors, &mut holds, MOST_ROOTS)?;
    let newest = found.iter().enumerate().max_by_key(|(at, chain)| {
        (chain.last().map(|root| root.not_before), std::cmp::Reverse(*at))
    });
    let chosen = newest.map(|(_, chain)| chain.clone()).ok_or(ImportError::Empty)?;
    let [_, between @ .., root] = chosen.as_slice() else { return Err(ImportError::Empty) };
    let mut bridges: Vec<Foreign> = Vec::new();
    for more in found.iter().flat_map(|chain| chain.iter().rev().skip(1).rev()) {
        let is_there = chosen.iter().any(|one| one.der == more.der)
            || bridges.iter().any(|one| one.der == more.der);
        if !is_there {
            bridges.push(Foreign::clone(more));
        }
    }
    Ok(AssembledAuthority {
        purposes: permitted(&chosen)?,
        authority: authority.clone(),
        between: between.iter().copied().cloned().collect(),
        root: Foreign::clone(root),
        bridges,
    })
}

/// The CA's certificate by itself.
fn itself(one: &Foreign, trust_domain: &TrustDomain, now: Timestamp) -> Result<(), ImportError> {
    let subject = || one.subject_text.clone();
    if !one.is_ca {
        return Err(ImportError::AuthorityWanted { subject: subject() });
    }
    if one.has_empty_subject() {
        return Err(ImportError::NoSubject);
    }
    if is_own_name(&one.subject, trust_domain) {
        return Err(ImportError::OwnName { subject: subject() });
    }
    if one.signs_certificates != Some(true) {
        return Err(ImportError::NoCertSign { subject: subject() });
    }
    if one.signs_lists != Some(true) {
        return Err(ImportError::NoListSign { subject: subject() });
    }
    check::in_time(one, now)?;
    critical(one)?;
    one.constraints
        .as_ref()
        .map(|_| ())
        .map_err(|what| ImportError::Constraints { subject: subject(), what: what.clone() })?;
    match one.weak_key().or_else(|| one.weak_signature()) {
        Some(why) => Err(ImportError::Weak { subject: subject(), why }),
        None => Ok(()),
    }
}

/// What a verifier that does not know it would refuse the whole chain for (RFC 5280 §4.2).
fn critical(one: &Foreign) -> Result<(), ImportError> {
    match &one.unknown_critical {
        Some(oid) => {
            Err(ImportError::Critical { subject: one.subject_text.clone(), extension: oid.clone() })
        }
        None => Ok(()),
    }
}

/// Everything above the CA: `chain` begins with it and ends with a known root.
fn above<'a>(
    chain: &[&'a Foreign],
    constraints: &mut Constraints<'a>,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<(), ImportError> {
    let [authority, above @ ..] = chain else { return Err(ImportError::Empty) };
    // The CA itself counts towards the path length of those above it.
    let mut below = usize::from(!authority.is_self_issued());
    for (index, one) in above.iter().enumerate() {
        let is_root = index + 1 == above.len();
        check::issuer(one, is_root, below, now)?;
        if is_own_name(&one.subject, trust_domain) {
            return Err(ImportError::OwnName { subject: one.subject_text.clone() });
        }
        if !is_root {
            critical(one)?;
        }
        constraints.permit(one, chain.get(..=index).unwrap_or_default())?;
        below += usize::from(!one.is_self_issued());
    }
    Ok(())
}

/// What every CA of the chain permits; a root's own word on purposes counts for nobody.
fn permitted(chain: &[&Foreign]) -> Result<Permitted, ImportError> {
    let [below_root @ .., _] = chain else { return Err(ImportError::Empty) };
    below_root.iter().try_fold(Permitted::ALL, |all, one| {
        let left = all.below(one);
        match left.usages == Usages::NONE {
            true => Err(ImportError::NoPurpose { subject: one.subject_text.clone() }),
            false => Ok(left),
        }
    })
}

/// The same of CAs (DER) that were taken before, that root not among them; nothing below what cannot be read.
pub(crate) fn permitted_below<'a>(chain: impl IntoIterator<Item = &'a [u8]>) -> Usages {
    let left = chain
        .into_iter()
        .try_fold(Permitted::ALL, |all, der| Foreign::read(der).map(|one| all.below(&one)));
    left.map_or(Usages::NONE, |left| left.usages)
}

/// What a probe is for, and what of that it is shown for: TLS, and for code or e-mail where the chain permits nothing of TLS.
fn probed(permitted: Usages) -> (Usages, Usages) {
    let tls = permitted.and(Usages::BOTH);
    let only = if permitted.email { Usages::EMAIL } else { Usages::CODE };
    if tls == Usages::NONE { (only, only) } else { (Usages::BOTH, tls) }
}
