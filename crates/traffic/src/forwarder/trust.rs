//! Whom we trust, and who we are, on connections over TLS.

use std::fmt;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::TrustDomain;

/// The roots that Gatekeepers' certificates must be under, and our own certificate where we have one.
#[derive(Default)]
pub struct Trust {
    /// The roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// Our chain (leaf first) and the leaf's key.
    pub own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Trust {
    pub(super) fn identity(
        &self,
    ) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        self.own.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()))
    }
}

/// The same for each trust domain, where there are several.
#[derive(Debug, Default)]
pub struct Trusts {
    /// Of the domains that are not among `domains`.
    others: Trust,
    domains: Vec<(TrustDomain, Trust)>,
}

impl Trusts {
    /// One for each of these, and none for others.
    pub fn new(domains: Vec<(TrustDomain, Trust)>) -> Self {
        Self { others: Trust::default(), domains }
    }

    /// For services of this domain.
    pub(super) fn of(&self, domain: &TrustDomain) -> &Trust {
        let found = self.domains.iter().find(|(known, _)| known == domain);
        found.map_or(&self.others, |(_, trust)| trust)
    }
}

impl From<Trust> for Trusts {
    fn from(others: Trust) -> Self {
        Self { others, domains: Vec::new() }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Trust");
        shown.field("roots", &self.roots.len()).field("own", &self.own.is_some()).finish()
    }
}
