//! The bytes of a revocation list (RFC 5280 §5), full or delta. Pure: no store, no clock.

use sealock_core::Timestamp;
use x509_cert::Version;
use x509_cert::certificate::Certificate;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::{OctetString, Uint};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::crl::FreshestCrl;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BaseCrlNumber, CrlNumber, CrlReason};

use super::Revoked;
use crate::asn1;
use crate::error::AuthorityError;
use crate::inventory::Reason;
use crate::issuers::key_identifier;
use crate::key::AuthorityKey;

/// What a list says beside its entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading<'a> {
    pub(super) number: u64,
    /// Of a delta: the number of the list that it adds to.
    pub(super) base: Option<u64>,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    /// Of a full list: where its delta can be fetched.
    pub(super) freshest: Option<&'a str>,
}

/// A list, signed by the CA that `certificate` is the certificate of.
pub(super) fn list(
    heading: &Heading<'_>,
    revoked: &[Revoked],
    certificate: &[u8],
    key: &AuthorityKey,
) -> Result<Vec<u8>, AuthorityError> {
    let certificate = Certificate::from_der(certificate).map_err(asn1::encode)?;
    // As the certificate has it, which somebody else may have made.
    let identifier = key_identifier(&certificate)?.unwrap_or_else(|| key.identifier().to_vec());
    let signature = asn1::signature_algorithm(key.kind());
    let listed: Vec<RevokedCert> = revoked.iter().map(entry).collect::<Result<_, _>>()?;
    let tbs_cert_list = TbsCertList {
        version: Version::V2,
        signature: signature.clone(),
        // Byte for byte, or verifiers do not match them.
        issuer: certificate.tbs_certificate.subject,
        this_update: asn1::time(heading.this_update)?,
        next_update: Some(asn1::time(heading.next_update)?),
        // Absent rather than empty (RFC 5280 §5.1.2.6).
        revoked_certificates: (!listed.is_empty()).then_some(listed),
        crl_extensions: Some(extensions(heading, &identifier)?),
    };
    let signed = asn1::sign(&tbs_cert_list, key)?;
    let list = CertificateList { tbs_cert_list, signature_algorithm: signature, signature: signed };
    list.to_der().map_err(asn1::encode)
}

fn extensions(heading: &Heading<'_>, identifier: &[u8]) -> Result<Extensions, AuthorityError> {
    let identifier = OctetString::new(identifier).map_err(asn1::encode)?;
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(identifier),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    let mut extensions = vec![
        asn1::extension(AuthorityKeyIdentifier::OID, false, &authority)?,
        asn1::extension(CrlNumber::OID, false, &CrlNumber(number(heading.number)?))?,
    ];
    if let Some(base) = heading.base {
        let base = BaseCrlNumber(number(base)?);
        extensions.push(asn1::extension(BaseCrlNumber::OID, true, &base)?);
    }
    if let Some(url) = heading.freshest {
        let freshest = FreshestCrl(vec![asn1::distribution_point(url)?]);
        extensions.push(asn1::extension(FreshestCrl::OID, false, &freshest)?);
    }
    Ok(extensions)
}

fn number(number: u64) -> Result<Uint, AuthorityError> {
    Uint::new(&number.to_be_bytes()).map_err(asn1::encode)
}

fn entry((serial, at, reason): &Revoked) -> Result<RevokedCert, AuthorityError> {
    let reason = self::reason(*reason)
        .map(|reason| asn1::extension(CrlReason::OID, false, &reason).map(|one| vec![one]));
    Ok(RevokedCert {
        serial_number: asn1::serial(*serial)?,
        revocation_date: asn1::time(*at)?,
        crl_entry_extensions: reason.transpose()?,
    })
}

/// The reason as it is written: absent rather than 0 (RFC 5280 §5.3.1).
pub(crate) fn reason(reason: Reason) -> Option<CrlReason> {
    match reason {
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(CrlReason::KeyCompromise),
        Reason::CaCompromise => Some(CrlReason::CaCompromise),
        Reason::AffiliationChanged => Some(CrlReason::AffiliationChanged),
        Reason::Superseded => Some(CrlReason::Superseded),
        Reason::CessationOfOperation => Some(CrlReason::CessationOfOperation),
        Reason::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
    }
}
