//! The signer of the audit chain's checkpoints.

use std::fmt;

use sealock_store::journal::CheckpointSigner;

use crate::key::AuthorityKey;
use crate::pem;

/// Signs checkpoints with a key of its own, whose certificate is issued by the root.
#[derive(Debug)]
pub struct AuditSigner {
    key: AuthorityKey,
    certificate_pem: String,
}

impl AuditSigner {
    pub(crate) fn new(key: AuthorityKey, certificate: &[u8]) -> Self {
        Self { key, certificate_pem: pem::encode("CERTIFICATE", certificate) }
    }
}

impl CheckpointSigner for AuditSigner {
    /// ECDSA with SHA-256, in ASN.1 form, as `openssl dgst -sha256 -verify` reads it.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.key.signature(message).map_err(|error| error.to_string())
    }

    fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }
}

impl fmt::Display for AuditSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the authority's audit signer")
    }
}
