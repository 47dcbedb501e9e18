//! Whom we trust, and who we are, on connections over TLS.

use std::fmt;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

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

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Trust");
        shown.field("roots", &self.roots.len()).field("own", &self.own.is_some()).finish()
    }
}
