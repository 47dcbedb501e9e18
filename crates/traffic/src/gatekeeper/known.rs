//! What a Gatekeeper decides by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sealock_core::Identity;
use sealock_core::policy::PolicySet;

use crate::broker::{Revocation, Revoked, RevokedCas};
use crate::token::{Claims, KeySet};

/// What a Gatekeeper decides by.
#[derive(Debug, Clone)]
pub struct Known {
    /// `iss` of the broker's tokens.
    pub issuer: String,
    /// The broker's public keys. Without any, everything is answered by 503.
    pub keys: Arc<KeySet>,
    /// The policy, with its number and the mode of the plane.
    pub policy: Arc<PolicySet>,
    /// Who is in which groups.
    pub groups: Arc<Groups>,
    /// Which tokens are no longer good. A whole that replaces another one takes none back: it may be older than a change
    /// that came by another way.
    pub revocations: Arc<Revocations>,
    /// Which CAs are revoked: what is below one is a certificate of nobody. A whole takes none back either.
    pub cas: Arc<RevokedCas>,
}

/// Who is in which groups: callers, and the service itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(HashMap<Identity, Vec<String>>);

impl Groups {
    /// The groups of an identity.
    pub fn of(&self, identity: &Identity) -> &[String] {
        self.0.get(identity).map(Vec::as_slice).unwrap_or_default()
    }
}

impl FromIterator<(Identity, Vec<String>)> for Groups {
    fn from_iter<I: IntoIterator<Item = (Identity, Vec<String>)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// Revocations, by what they are about: a request must not look through a list.
///
/// The same one again, and several in another order, come to the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// The highest number.
    last: u64,
    /// Of all that follow: tokens issued until that second are no longer good.
    tokens: HashMap<String, u64>,
    identities: HashMap<Identity, u64>,
    clients: HashMap<String, u64>,
    /// By the SHA-256 of the certificate. Tokens that are bound to it are not good, whenever they were issued; until when
    /// they were, here as well, for it to be forgotten in time.
    certificates: HashMap<[u8; 32], u64>,
    before: Option<u64>,
}

impl Revocations {
    /// The highest number that was added: what comes after it is news.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Adds one.
    pub fn add(&mut self, revocation: &Revocation) {
        self.last = self.last.max(revocation.number);
        let until = revocation.issued_until;
        match &revocation.revoked {
            Revoked::Token(id) => later(self.tokens.entry(id.clone()), until),
            Revoked::Identity(identity) => later(self.identities.entry(identity.clone()), until),
            Revoked::Client(name) => {
                later(self.clients.entry(name.as_str().to_owned()), until);
            }
            Revoked::Certificate(hash) => {
                later(self.certificates.entry(*hash.as_bytes()), until);
            }
            Revoked::Before => self.before = self.before.max(Some(until)),
        }
    }

    /// Adds all of another list.
    pub fn merge(&mut self, other: &Self) {
        self.last = self.last.max(other.last);
        for (id, until) in &other.tokens {
            later(self.tokens.entry(id.clone()), *until);
        }
        for (identity, until) in &other.identities {
            later(self.identities.entry(identity.clone()), *until);
        }
        for (client, until) in &other.clients {
            later(self.clients.entry(client.clone()), *until);
        }
        for (certificate, until) in &other.certificates {
            later(self.certificates.entry(*certificate), *until);
        }
        self.before = self.before.max(other.before);
    }

    /// Forgets those that no living token can be about.
    pub fn forget(&mut self, now: u64) {
        let matters = |until: u64| {
            let revoked = Revoked::Before;
            !Revocation { number: 0, issued_until: until, revoked }.is_over(now)
        };
        self.tokens.retain(|_, until| matters(*until));
        self.identities.retain(|_, until| matters(*until));
        self.clients.retain(|_, until| matters(*until));
        self.certificates.retain(|_, until| matters(*until));
        self.before = self.before.filter(|until| matters(*until));
    }

    /// Whether a token is no longer good.
    pub fn cover(&self, claims: &Claims) -> bool {
        let is_until = |until: Option<&u64>| until.is_some_and(|until| claims.issued_at <= *until);
        let client = claims.client.as_ref();
        is_until(self.before.as_ref())
            || is_until(self.tokens.get(&claims.id))
            || is_until(self.identities.get(&claims.subject))
            || is_until(client.and_then(|client| self.clients.get(client)))
            || claims.binding.is_some_and(|bound| self.certificates.contains_key(&bound))
    }
}

impl<'a> FromIterator<&'a Revocation> for Revocations {
    fn from_iter<I: IntoIterator<Item = &'a Revocation>>(all: I) -> Self {
        let mut revocations = Self::default();
        for revocation in all {
            revocations.add(revocation);
        }
        revocations
    }
}

fn later<K>(entry: Entry<'_, K, u64>, until: u64) {
    let kept = entry.or_default();
    *kept = until.max(*kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::EntryHash;

    fn claims(number: u64) -> Claims {
        let who = number % 3;
        Claims {
            issuer: "https://broker.test".to_owned(),
            subject: format!("spiffe://t.sealock/service/s{who}").parse().unwrap(),
            audience: "spiffe://t.sealock/service/orders".to_owned(),
            issued_at: 100 + number % 7,
            not_before: 100,
            expires_at: 400,
            id: format!("t{}", number % 5),
            client: number.is_multiple_of(2).then(|| format!("c{}", number % 4)),
            binding: number.is_multiple_of(3).then(|| bound(number)),
        }
    }

    fn bound(number: u64) -> [u8; 32] {
        *EntryHash::of_bytes(&[(number % 4) as u8]).as_bytes()
    }

    fn revocation(number: u64, seed: u64) -> Revocation {
        let revoked = match seed % 15 {
            0..5 => Revoked::Token(format!("t{}", seed % 5)),
            5..8 => Revoked::Identity(claims(seed).subject),
            8..12 => Revoked::Client(format!("c{}", seed % 4).parse().unwrap()),
            12..14 => Revoked::Certificate(EntryHash::of_bytes(&[(seed % 4) as u8])),
            _ => Revoked::Before,
        };
        Revocation { number, issued_until: 98 + seed % 9, revoked }
    }

    /// The list as the broker has it is the model.
    #[test]
    fn the_index_says_what_the_list_says_however_it_came() {
        let mut seed = 0x5ea1_0c4b_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        for _ in 0..500 {
            let list: Vec<Revocation> =
                (1..=next() % 8).map(|number| revocation(number, next())).collect();
            let mut index: Revocations = list.iter().collect();
            // Repeated, and in another order.
            let shuffled: Revocations = list.iter().rev().chain(&list).collect();
            assert_eq!(index, shuffled);
            let (one, two) = list.split_at(list.len() / 2);
            let mut merged: Revocations = two.iter().collect();
            merged.merge(&one.iter().collect());
            assert_eq!(index, merged);
            assert_eq!(index.last(), list.len() as u64);
            for number in 0..210 {
                let claims = claims(number);
                let listed = list.iter().any(|revocation| revocation.covers(&claims));
                assert_eq!(index.cover(&claims), listed, "{claims:?} by {list:?}");
            }
            index.forget(460);
            let none = Revocations { last: list.len() as u64, ..Revocations::default() };
            assert_eq!(index == none, list.iter().all(|revocation| revocation.is_over(460)));
            index.forget(1000);
            assert_eq!(index, none);
        }
    }
}
