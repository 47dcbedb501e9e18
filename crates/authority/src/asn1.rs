//! Where our types meet those of `x509-cert`, which writes what rcgen does not: lists with deltas, and OCSP.

use sealock_core::Timestamp;
use x509_cert::der::asn1::{
    BitString, GeneralizedTime, Ia5String, Null, ObjectIdentifier, OctetString, UtcTime,
};
use x509_cert::der::{self, DateTime, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AccessDescription, AuthorityInfoAccessSyntax};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use crate::error::AuthorityError;
use crate::key::{AuthorityKey, KeyType};
use crate::serial::Serial;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");
const RSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// The algorithm that a key of ours signs with.
pub(crate) fn signature_algorithm(kind: KeyType) -> AlgorithmIdentifierOwned {
    let (oid, parameters) = match kind {
        KeyType::P256 => (ECDSA_WITH_SHA256, None),
        KeyType::P384 => (ECDSA_WITH_SHA384, None),
        KeyType::Ed25519 => (ED25519, None),
        // The parameters are NULL and must be there (RFC 4055 §5).
        KeyType::Rsa3072 => (RSA_WITH_SHA256, Some(Null.into())),
    };
    AlgorithmIdentifierOwned { oid, parameters }
}

/// A signature over the DER of `what`.
pub(crate) fn sign(what: &impl Encode, key: &AuthorityKey) -> Result<BitString, AuthorityError> {
    let message = what.to_der().map_err(encode)?;
    let signed = key.signature(&message)?;
    BitString::from_bytes(&signed).map_err(encode)
}

/// Why something could not be written as DER.
pub(crate) fn encode(source: der::Error) -> AuthorityError {
    AuthorityError::Der(source.to_string())
}

fn date_time(moment: Timestamp) -> Result<DateTime, AuthorityError> {
    let seconds = u64::try_from(moment.as_secs()).unwrap_or_default();
    DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)).map_err(encode)
}

/// A time as OCSP has it.
pub(crate) fn generalized(moment: Timestamp) -> Result<GeneralizedTime, AuthorityError> {
    Ok(GeneralizedTime::from_date_time(date_time(moment)?))
}

/// A time as certificates and lists have it: two digits of the year until 2049 (RFC 5280 §5.1.2.4).
pub(crate) fn time(moment: Timestamp) -> Result<Time, AuthorityError> {
    let moment = date_time(moment)?;
    if moment.year() <= UtcTime::MAX_YEAR {
        return Ok(Time::UtcTime(UtcTime::from_date_time(moment).map_err(encode)?));
    }
    Ok(Time::GeneralTime(GeneralizedTime::from_date_time(moment)))
}

/// A serial number.
pub(crate) fn serial(serial: Serial) -> Result<SerialNumber, AuthorityError> {
    SerialNumber::new(serial.as_bytes()).map_err(encode)
}

/// An extension with this content.
pub(crate) fn extension(
    id: ObjectIdentifier,
    critical: bool,
    content: &impl Encode,
) -> Result<Extension, AuthorityError> {
    let content = content.to_der().map_err(encode)?;
    let extn_value = OctetString::new(content).map_err(encode)?;
    Ok(Extension { extn_id: id, critical, extn_value })
}

/// A URL as a general name.
pub(crate) fn url(text: &str) -> Result<GeneralName, AuthorityError> {
    Ia5String::new(text).map(GeneralName::UniformResourceIdentifier).map_err(encode)
}

/// A place where a list can be fetched.
pub(crate) fn distribution_point(text: &str) -> Result<DistributionPoint, AuthorityError> {
    let name = DistributionPointName::FullName(vec![url(text)?]);
    Ok(DistributionPoint { distribution_point: Some(name), reasons: None, crl_issuer: None })
}

/// The content of `authorityInfoAccess` (RFC 5280 §4.2.2.1).
pub(crate) fn information_access(
    ocsp: Option<&str>,
    issuer: Option<&str>,
) -> Result<Vec<u8>, AuthorityError> {
    let description = |method, text: &str| -> Result<AccessDescription, AuthorityError> {
        Ok(AccessDescription { access_method: method, access_location: url(text)? })
    };
    let ocsp = ocsp.map(|text| description(OCSP, text));
    let issuer = issuer.map(|text| description(CA_ISSUERS, text));
    let all: Vec<AccessDescription> = ocsp.into_iter().chain(issuer).collect::<Result<_, _>>()?;
    AuthorityInfoAccessSyntax(all).to_der().map_err(encode)
}
