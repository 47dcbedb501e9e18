//! Responses (RFC 6960 §4.2.1). Pure: no store, no clock.

use sealock_core::Timestamp;
use x509_cert::certificate::Certificate;
use x509_cert::der::Encode;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::Extension;
use x509_ocsp::ext::Nonce;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId,
    ResponseData, RevokedInfo, SingleResponse, Version,
};

use crate::asn1;
use crate::crl;
use crate::error::AuthorityError;
use crate::inventory::Reason;
use crate::key::AuthorityKey;

/// What is said of one certificate.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) id: CertId,
    /// When and why it was revoked, if it was.
    pub(super) revoked: Option<(Timestamp, Reason)>,
}

/// From when until when an answer is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) key: &'a AuthorityKey,
    pub(super) certificate: &'a Certificate,
    /// SHA-1 of its public key.
    pub(super) key_hash: &'a OctetString,
}

/// A successful response, signed.
pub(super) fn build(
    said: Vec<Said>,
    good: Good,
    nonce: Option<&[u8]>,
    signer: Signer<'_>,
) -> Result<Vec<u8>, AuthorityError> {
    let time = |moment| asn1::generalized(moment).map(OcspGeneralizedTime);
    let this_update = time(good.this_update)?;
    let next_update = time(good.next_update)?;
    let single = |said: Said| {
        Ok(SingleResponse {
            cert_id: said.id,
            cert_status: status(said.revoked)?,
            this_update,
            next_update: Some(next_update),
            single_extensions: None,
        })
    };
    let data = ResponseData {
        version: Version::V1,
        responder_id: ResponderId::ByKey(signer.key_hash.clone()),
        produced_at: this_update,
        responses: said.into_iter().map(single).collect::<Result<_, AuthorityError>>()?,
        response_extensions: nonce
            .map(|nonce| self::nonce(nonce).map(|it| vec![it]))
            .transpose()?,
    };
    let basic = BasicOcspResponse {
        signature: asn1::sign(&data, signer.key)?,
        signature_algorithm: asn1::signature_algorithm(signer.key.kind()),
        tbs_response_data: data,
        certs: Some(vec![signer.certificate.clone()]),
    };
    let response = OcspResponse::successful(basic).map_err(asn1::encode)?;
    response.to_der().map_err(asn1::encode)
}

fn status(revoked: Option<(Timestamp, Reason)>) -> Result<CertStatus, AuthorityError> {
    let Some((at, reason)) = revoked else { return Ok(CertStatus::good()) };
    Ok(CertStatus::Revoked(RevokedInfo {
        revocation_time: OcspGeneralizedTime(asn1::generalized(at)?),
        revocation_reason: crl::reason(reason),
    }))
}

/// The same as in the request, byte for byte.
fn nonce(content: &[u8]) -> Result<Extension, AuthorityError> {
    let extn_value = OctetString::new(content).map_err(asn1::encode)?;
    Ok(Extension { extn_id: Nonce::OID, critical: false, extn_value })
}
