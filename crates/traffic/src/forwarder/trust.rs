//! Whom we trust, and who we are, on connections over TLS.
//!
//! Tokens are bound to the certificate that is shown with them. So what is replaced is both at once: a certificate stays
//! for as long as somebody holds a token that is bound to it (see [`super::tokens`]).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::{Timestamp, TrustDomain};

use crate::broker::RevokedCas;

/// The roots that Gatekeepers' certificates must be under, and our own certificate where we have one.
#[derive(Default)]
pub struct Trust {
    /// The roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// Our chain (leaf first) and the leaf's key.
    pub own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// When our certificate ends, where that is known.
    pub ends: Option<Timestamp>,
    /// The CAs that are revoked: nobody is spoken to whose certificate is below one. One for all of a domain, whichever
    /// certificate of ours they go with.
    pub revoked: Arc<Revoked>,
}

/// The CAs of a domain that are known to be revoked now.
#[derive(Debug, Default)]
pub struct Revoked(ArcSwap<RevokedCas>);

impl Revoked {
    /// All that were told of.
    pub fn now(&self) -> Arc<RevokedCas> {
        self.0.load_full()
    }
}

impl Trust {
    /// What tokens are bound to: the SHA-256 of our certificate (RFC 8705 §3.1), if we have one.
    pub fn thumbprint(&self) -> Option<[u8; 32]> {
        self.leaf().and_then(|leaf| digest(&SHA256, leaf).as_ref().try_into().ok())
    }

    pub(super) fn identity(
        &self,
    ) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        self.own.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()))
    }

    /// Whether a token that goes with this one goes with `next` too: it is bound to nothing, or to the same certificate.
    pub(super) fn goes_on_as(&self, next: &Self) -> bool {
        self.leaf().is_none() || self.leaf() == next.leaf()
    }

    /// Whether our certificate is worth nothing any more.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain().first()
    }

    fn chain(&self) -> &[CertificateDer<'static>] {
        self.own.as_ref().map(|(chain, _)| chain.as_slice()).unwrap_or_default()
    }

    /// This, with what is known of another one's CAs, from now on as well.
    fn knowing(&self, other: &Self) -> Self {
        let revoked = Arc::clone(&other.revoked);
        Self { roots: self.roots.clone(), own: self.identity(), ends: self.ends, revoked }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.roots == other.roots && self.chain() == other.chain() && self.ends == other.ends
    }
}

/// The same for each trust domain, where there are several.
#[derive(Debug, Default)]
pub struct Trusts {
    /// Of the domains that are not among `domains`.
    others: Arc<Trust>,
    domains: Vec<(TrustDomain, Arc<Trust>)>,
}

impl Trusts {
    /// One for each of these, and none for others.
    pub fn new(domains: Vec<(TrustDomain, Trust)>) -> Self {
        let domains = domains.into_iter().map(|(domain, trust)| (domain, Arc::new(trust)));
        Self { others: Arc::default(), domains: domains.collect() }
    }

    /// For services of this domain.
    pub(super) fn of(&self, domain: &TrustDomain) -> &Arc<Trust> {
        let found = self.domains.iter().find(|(known, _)| known == domain);
        found.map_or(&self.others, |(_, trust)| trust)
    }

    /// These, and where nothing has changed those of before, whose connections stay. What was revoked stays so.
    pub(super) fn after(mut self, before: &Self) -> Self {
        let of_domains = self.domains.iter_mut().map(|(domain, next)| (before.of(domain), next));
        for (last, next) in of_domains.chain([(&before.others, &mut self.others)]) {
            *next = match last.is_same(next) {
                true => Arc::clone(last),
                false => Arc::new(next.knowing(last)),
            };
        }
        self
    }
}

impl Trusts {
    /// Adds CAs of a domain that are revoked, and says whether that is news. By one at a time.
    pub(super) fn revoke(&self, domain: &TrustDomain, cas: &RevokedCas, now: u64) -> bool {
        let Revoked(known) = &*self.of(domain).revoked;
        let before = known.load_full();
        let mut all = RevokedCas::clone(&before);
        all.merge(cas, now);
        let is_news = !before.has_all(&all);
        known.store(Arc::new(all));
        is_news
    }
}

impl From<Trust> for Trusts {
    fn from(others: Trust) -> Self {
        Self { others: Arc::new(others), domains: Vec::new() }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Trust");
        shown.field("roots", &self.roots.len()).field("own", &self.own.is_some());
        shown.field("ends", &self.ends).finish()
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn trust(leaf: Option<u8>, root: u8) -> Trust {
        let der = |byte: u8| CertificateDer::from(vec![byte]);
        let key = || PrivatePkcs8KeyDer::from(vec![0]).into();
        let own = leaf.map(|leaf| (vec![der(leaf)], key()));
        Trust { roots: vec![der(root)], own, ..Trust::default() }
    }

    #[test]
    fn a_token_goes_on_with_the_certificate_that_it_is_bound_to_and_with_any_if_with_none() {
        assert!(trust(Some(1), 1).goes_on_as(&trust(Some(1), 2)));
        assert!(trust(None, 1).goes_on_as(&trust(Some(1), 1)));
        assert!(!trust(Some(1), 1).goes_on_as(&trust(Some(2), 1)));
        assert!(!trust(Some(1), 1).goes_on_as(&trust(None, 1)));
    }

    #[test]
    fn what_has_not_changed_stays_what_it_was() {
        let domain = |text: &str| text.parse::<TrustDomain>().unwrap();
        let both = |of_b: u8| {
            Trusts::new(vec![(domain("a"), trust(Some(1), 1)), (domain("b"), trust(Some(of_b), 1))])
        };
        let before = both(1);
        let after = both(2).after(&before);
        let is_same = |of: &str| Arc::ptr_eq(before.of(&domain(of)), after.of(&domain(of)));
        assert!(is_same("a") && is_same("other") && !is_same("b"));
        assert_eq!(trust(None, 1).thumbprint(), None);
        assert_ne!(trust(Some(1), 1).thumbprint(), trust(Some(2), 1).thumbprint());
    }

    #[test]
    fn what_was_revoked_stays_so_with_another_certificate_and_means_its_own_domain_only() {
        let domain = |text: &str| text.parse::<TrustDomain>().unwrap();
        let both =
            || Trusts::new(vec![(domain("a"), trust(Some(1), 1)), (domain("b"), trust(None, 1))]);
        let cas = RevokedCas::new([(vec![7], 100)]).unwrap();
        let trusts = both();
        let held = Arc::clone(trusts.of(&domain("a")));
        assert!(trusts.revoke(&domain("a"), &cas, 50));
        assert!(trusts.of(&domain("a")).revoked.now().has_all(&cas));
        assert!(trusts.of(&domain("b")).revoked.now().is_empty());
        assert!(!trusts.revoke(&domain("a"), &cas, 50), "it is known");
        assert!(!trusts.revoke(&domain("a"), &RevokedCas::default(), 50));
        // Our certificate is another one, and its files say nothing of CAs.
        let renewed = vec![(domain("a"), trust(Some(2), 1)), (domain("b"), trust(None, 1))];
        let renewed = Trusts::new(renewed).after(&trusts);
        assert!(renewed.of(&domain("a")).revoked.now().has_all(&cas));
        assert!(renewed.of(&domain("b")).revoked.now().is_empty());
        // A token that goes with the old one knows what is told later.
        let more = RevokedCas::new([(vec![8], 100)]).unwrap();
        assert!(renewed.revoke(&domain("a"), &more, 50));
        assert!(held.revoked.now().has_all(&more));
    }

    #[test]
    fn a_certificate_has_ended_at_its_end_where_that_is_known() {
        let at = Timestamp::from_secs;
        let trust = Trust { ends: Some(at(10)), ..trust(Some(1), 1) };
        assert!(!trust.has_ended(at(9)) && trust.has_ended(at(10)));
        assert!(!Trust::default().has_ended(at(10)));
    }
}
