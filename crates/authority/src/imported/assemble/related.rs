//! What of a heap of certificates may be in a chain of a leaf: found by names and key identifiers, each read once.

use std::collections::{BTreeSet, HashMap};

use super::{DEEPEST, Foreign};

/// Certificates that could be read, by subject.
pub(crate) struct Heap {
    all: Vec<Foreign>,
    subjects: HashMap<Vec<u8>, Vec<usize>>,
}

impl Heap {
    /// Each once, at most so many; what cannot be read is left out.
    pub(crate) fn read(ders: &[Vec<u8>], most: usize) -> Self {
        let mut seen = BTreeSet::new();
        let once = ders.iter().take(most).filter(|der| seen.insert(der.as_slice()));
        let all: Vec<Foreign> = once.filter_map(|der| Foreign::read(der).ok()).collect();
        let mut subjects: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (at, one) in all.iter().enumerate() {
            subjects.entry(one.subject.clone()).or_default().push(at);
        }
        Self { all, subjects }
    }

    /// Whether one is for this key (DER of `SubjectPublicKeyInfo`).
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        self.all.iter().any(|one| one.spki == key)
    }

    /// The certificates (DER) for this key, and all that may be above them.
    pub(crate) fn related(&self, key: &[u8]) -> Vec<Vec<u8>> {
        let mut found: BTreeSet<usize> = (0..self.all.len())
            .filter(|at| self.all.get(*at).is_some_and(|one| one.spki == key))
            .collect();
        let mut newest = found.clone();
        for _ in 1..DEEPEST {
            let above = newest.iter().filter_map(|at| self.all.get(*at)).flat_map(|one| {
                let named = self.subjects.get(&one.issuer).into_iter().flatten().copied();
                named.filter(|at| self.all.get(*at).is_some_and(|it| one.may_be_issued_by(it)))
            });
            newest = above.filter(|at| !found.contains(at)).collect();
            found.extend(&newest);
        }
        found.iter().filter_map(|at| Some(self.all.get(*at)?.der.clone())).collect()
    }
}
