//! Signing below a CA certificate, whoever has made that.
//!
//! For a certificate of our own rcgen does it all. One of somebody else may have any name (attributes twice, old
//! encodings) and any key identifier, and both must stand in what is signed below it byte for byte (RFC 5280 §4.1.2.4,
//! §4.2.1.1), which rcgen's names cannot. So rcgen writes a draft without a signature; name and identifier are put in
//! from the CA's certificate, and what came of it is linted and signed as anything else.

use rcgen::{
    CertificateParams, Issuer, KeyIdMethod, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use x509_cert::certificate::Certificate;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::name::Name;

use crate::asn1;
use crate::certificate;
use crate::error::AuthorityError;
use crate::key::AuthorityKey;
use crate::lint::{self, Intended};
use crate::state::IssuerRecord;

/// A CA, ready to sign certificates.
pub(crate) enum CaSigner {
    /// Its certificate was made here.
    Ours(Box<Issuer<'static, AuthorityKey>>),
    /// Somebody else has made it.
    Foreign(Box<Foreign>),
}

/// A CA whose certificate somebody else has made.
pub(crate) struct Foreign {
    key: AuthorityKey,
    subject: Name,
    identifier: Vec<u8>,
}

/// Stands for the key while a draft is written.
struct Draft<'a>(&'a AuthorityKey);

impl PublicKeyData for Draft<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Draft<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

impl CaSigner {
    /// The CA of this record, whose key this is.
    pub(crate) fn new(record: &IssuerRecord, key: AuthorityKey) -> Result<Self, AuthorityError> {
        if record.under.is_some() {
            return Self::foreign(&record.der.0, key);
        }
        certificate::issuer(&record.der.0, key)
            .map(|issuer| Self::Ours(Box::new(issuer)))
            .map_err(|source| AuthorityError::Build { what: "the issuer", source })
    }

    /// The CA of a certificate (DER) that somebody else has made.
    pub(crate) fn foreign(der: &[u8], key: AuthorityKey) -> Result<Self, AuthorityError> {
        let certificate = Certificate::from_der(der).map_err(asn1::encode)?;
        let identifier = key_identifier(&certificate)?.unwrap_or_else(|| key.identifier().to_vec());
        let subject = certificate.tbs_certificate.subject;
        Ok(Self::Foreign(Box::new(Foreign { key, subject, identifier })))
    }

    /// A certificate from these parameters for this key, signed; it must be what is intended.
    pub(crate) fn certify(
        &self,
        what: &'static str,
        parameters: &CertificateParams,
        public: &impl PublicKeyData,
        intended: Intended,
    ) -> Result<Vec<u8>, AuthorityError> {
        match self {
            Self::Ours(issuer) => lint::meant(intended, || parameters.signed_by(public, issuer))
                .map(|signed| signed.der().to_vec())
                .map_err(|source| AuthorityError::build(what, source)),
            Self::Foreign(issuer) => issuer.certify(what, parameters, public, &intended),
        }
    }
}

impl Foreign {
    fn certify(
        &self,
        what: &'static str,
        parameters: &CertificateParams,
        public: &impl PublicKeyData,
        intended: &Intended,
    ) -> Result<Vec<u8>, AuthorityError> {
        let failed = |source| AuthorityError::build(what, source);
        let mut above = CertificateParams::new(Vec::new()).map_err(failed)?;
        above.key_identifier_method = KeyIdMethod::PreSpecified(self.identifier.clone());
        above.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let draft =
            parameters.signed_by(public, &Issuer::new(above, Draft(&self.key))).map_err(failed)?;
        let mut certificate = Certificate::from_der(draft.der()).map_err(asn1::encode)?;
        certificate.tbs_certificate.issuer = self.subject.clone();
        let tbs = certificate.tbs_certificate.to_der().map_err(asn1::encode)?;
        lint::before_signing_below(&tbs, &self.key.identifier(), &self.identifier, Some(intended))
            .map_err(|source| AuthorityError::Lint { what, source })?;
        certificate.signature = asn1::sign(&certificate.tbs_certificate, &self.key)?;
        certificate.to_der().map_err(asn1::encode)
    }
}

/// The identifier of its key, where the certificate has one.
pub(crate) fn key_identifier(certificate: &Certificate) -> Result<Option<Vec<u8>>, AuthorityError> {
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    let mut found = extensions.filter(|one| one.extn_id == SubjectKeyIdentifier::OID);
    found
        .next()
        .map(|one| SubjectKeyIdentifier::from_der(one.extn_value.as_bytes()))
        .transpose()
        .map(|found| found.map(|found| found.0.as_bytes().to_vec()))
        .map_err(asn1::encode)
}

impl std::fmt::Debug for CaSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Ours(_) => "Ours",
            Self::Foreign(_) => "Foreign",
        };
        formatter.debug_tuple("CaSigner").field(&kind).finish()
    }
}
