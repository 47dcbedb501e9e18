//! A certificate that was issued, with everything that is written out for it.

use std::sync::Arc;

use sealock_core::{SecretBytes, Timestamp};

use crate::inventory::IssuerId;
use crate::pem;
use crate::serial::Serial;

/// A certificate of the authority's own, shared between everything that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// DER.
    pub der: Arc<[u8]>,
    /// One PEM block.
    pub pem: Arc<str>,
}

impl OwnCertificate {
    pub(crate) fn new(der: &[u8]) -> Self {
        Self { der: der.into(), pem: pem::encode("CERTIFICATE", der).into() }
    }
}

/// A certificate that was issued. It is in the inventory and in the audit log before this exists.
#[derive(Debug)]
pub struct Issued {
    /// Its serial number.
    pub serial: Serial,
    /// What the inventory calls it.
    pub name: String,
    /// Which intermediate signed it.
    pub issuer: IssuerId,
    /// From when it is valid: a little before it was issued, for clocks that are behind.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The certificate itself.
    pub leaf_der: Vec<u8>,
    /// Between leaf and root, nearest to the leaf first.
    pub intermediates: Vec<OwnCertificate>,
    /// The trust bundle: the active root first, then those whose leaves have not all expired.
    pub roots: Vec<OwnCertificate>,
    /// The private key as PKCS#8 in PEM, when the authority made it. There is no other copy.
    pub key_pem: Option<SecretBytes>,
}

impl Issued {
    /// `tls.crt`: the leaf, then the intermediates.
    pub fn tls_crt(&self) -> String {
        let mut text = pem::encode("CERTIFICATE", &self.leaf_der);
        text.extend(self.intermediates.iter().map(|certificate| &*certificate.pem));
        text
    }

    /// `tls.key`: the private key, when the authority made it.
    pub fn tls_key(&self) -> Option<&SecretBytes> {
        self.key_pem.as_ref()
    }

    /// `ca.crt`: the roots to trust.
    pub fn ca_crt(&self) -> String {
        self.roots.iter().map(|certificate| &*certificate.pem).collect()
    }

    /// `bundle.pem`: key (when there is one), leaf, intermediates, the active root. Secret when there is
    /// a key.
    pub fn bundle_pem(&self) -> SecretBytes {
        let key = self.key_pem.as_ref().map_or(&[][..], SecretBytes::expose);
        let chain = self.tls_crt();
        let root = self.roots.first().map_or("", |root| &root.pem);
        // Sized in advance: the key must not be left behind in a buffer that grew.
        let mut text = Vec::with_capacity(key.len() + chain.len() + root.len());
        text.extend_from_slice(key);
        text.extend_from_slice(chain.as_bytes());
        text.extend_from_slice(root.as_bytes());
        SecretBytes::new(text)
    }

    /// The leaf and the intermediates as DER, as a TLS server sends them.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        let above = self.intermediates.iter().map(|certificate| certificate.der.to_vec());
        std::iter::once(self.leaf_der.clone()).chain(above).collect()
    }
}
