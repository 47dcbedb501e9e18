//! Checking the signatures of the audit chain's checkpoints, those of former signers too.
//!
//! A signer's certificate is good when one of the authority's roots, present or past, has signed it and it
//! is no CA. Its life does not matter: the signature was made when the checkpoint was, and the chain says
//! when that was.

use aws_lc_rs::signature::UnparsedPublicKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::authority::Authority;
use crate::csr::{public_key, verification, whole_bytes};
use crate::key::PublicKeyKind;
use crate::pem;
use crate::state::IssuerKind;

impl Authority {
    /// Whether a checkpoint's signature is by a signer whom this authority made; the error says why not.
    pub fn check_checkpoint(
        &self,
        certificate_pem: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let (_, der) = pem::decode_one(certificate_pem.as_bytes(), &["CERTIFICATE"])
            .ok_or("its signer's certificate cannot be read")?;
        let certificate = certificate(&der)?;
        if certificate.is_ca() {
            return Err("its signer is a CA".to_owned());
        }
        let loaded = self.loaded.load();
        let mut roots =
            loaded.state.issuers.iter().filter(|issuer| issuer.kind == IssuerKind::Root);
        if !roots.any(|root| is_signed_by(&certificate, &root.der.0)) {
            return Err("its signer's certificate is not this authority's".to_owned());
        }
        let info = certificate.public_key();
        let key = public_key(info).map_err(|error| error.to_string())?;
        let algorithm: &'static dyn aws_lc_rs::signature::VerificationAlgorithm = match key.kind() {
            PublicKeyKind::P256 => &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
            _ => return Err("its signer has a key of another kind".to_owned()),
        };
        let bytes =
            whole_bytes(&info.subject_public_key).ok_or("its signer's key cannot be read")?;
        UnparsedPublicKey::new(algorithm, bytes)
            .verify(message, signature)
            .map_err(|_| "the signature is not over this checkpoint".to_owned())
    }
}

fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("a certificate cannot be read".to_owned()),
    }
}

fn is_signed_by(certificate: &X509Certificate<'_>, root: &[u8]) -> bool {
    let checked = || -> Option<()> {
        let (_, root) = X509Certificate::from_der(root).ok()?;
        let info = root.public_key();
        let key = public_key(info).ok()?;
        let algorithm = verification(key.kind(), &certificate.signature_algorithm).ok()?;
        let bytes = whole_bytes(&info.subject_public_key)?;
        let signature = whole_bytes(&certificate.signature_value)?;
        let signed = certificate.tbs_certificate.as_ref();
        UnparsedPublicKey::new(algorithm, bytes).verify(signed, signature).ok()
    };
    checked().is_some()
}
