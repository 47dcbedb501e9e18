//! Certificates from parameters: root, intermediate, audit signer and leaf, after RFC 5280.
//!
//! Pure: no store, no clock. What goes in was linted and checked against the issuer's constraints; what
//! comes out is DER. Every certificate has AKI (the root has none to name) and SKI; the CA bit is only in
//! CA certificates; the SAN is critical when the subject is empty (rcgen does that).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, InvalidAsn1String, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PublicKeyData as _, SanType, SerialNumber,
};
use sealock_core::{SubjectName, Timestamp, TrustDomain};

use crate::asn1;
use crate::constraints::{DirectoryName, NameConstraints};
use crate::csr;
use crate::der::NULL;
use crate::device::{InDevice, KeyAt, KeyDevice};
use crate::error::AuthorityError;
use crate::issuers::CaSigner;
use crate::key::{AuthorityKey, KeyType, PublicKey};
use crate::lint::{self, Intended, Purpose};
use crate::order::Usages;
use crate::publication::Urls;
use crate::serial::Serial;
use crate::state::IssuerRecord;

/// `id-kp-documentSigning` (RFC 9336): the audit signer's only purpose.
const DOCUMENT_SIGNING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 36];
const NAME_CONSTRAINTS: [u64; 4] = [2, 5, 29, 30];
/// `id-pkix-ocsp-nocheck` (RFC 6960 §4.2.2.2.1).
const OCSP_NO_CHECK: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
/// The common name of OCSP responders.
const RESPONDER: &str = "Sealock OCSP Responder";
/// `id-pe-authorityInfoAccess` (RFC 5280 §4.2.2.1).
const AUTHORITY_INFO_ACCESS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];

/// From when to when; both ends belong to it, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// What a leaf is made from.
#[derive(Debug)]
pub(crate) struct LeafPlan<'a> {
    pub(crate) serial: Serial,
    pub(crate) validity: Validity,
    pub(crate) common_name: Option<&'a str>,
    pub(crate) names: &'a [SubjectName],
    pub(crate) usages: Usages,
    pub(crate) public: &'a PublicKey,
    pub(crate) urls: &'a Urls,
}

/// The kinds of certificate that the authority has for itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OwnKind<'a> {
    /// Path length 1: intermediates, and nothing below those but leaves.
    Root,
    /// Path length 0.
    Intermediate { number: u16, constraints: &'a NameConstraints },
    /// Signs the checkpoints of the audit chain.
    Signer,
    /// Answers OCSP for one issuer, which has signed it (RFC 6960 §4.2.2.2).
    Responder,
}

/// What one of the authority's own certificates is made from.
#[derive(Debug)]
pub(crate) struct OwnPlan<'a> {
    pub(crate) kind: OwnKind<'a>,
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) serial: Serial,
    pub(crate) validity: Validity,
    pub(crate) urls: &'a Urls,
}

/// A leaf, signed.
#[cfg(test)]
pub(crate) fn leaf(
    plan: &LeafPlan<'_>,
    issuer: &Issuer<'_, AuthorityKey>,
) -> Result<Vec<u8>, rcgen::Error> {
    let parameters = leaf_parameters(plan)?;
    let intended = plan.intended(Purpose::Leaf(plan.usages));
    let signed = lint::meant(intended, || parameters.signed_by(plan.public, issuer))?;
    Ok(signed.der().to_vec())
}

/// The same below any CA.
pub(crate) fn leaf_below(
    plan: &LeafPlan<'_>,
    issuer: &CaSigner,
) -> Result<Vec<u8>, AuthorityError> {
    below(plan, issuer, Purpose::Leaf(plan.usages))
}

/// What a chain is shown to a verifier with, and is handed out to nobody.
pub(crate) fn probe_below(
    plan: &LeafPlan<'_>,
    issuer: &CaSigner,
) -> Result<Vec<u8>, AuthorityError> {
    below(plan, issuer, Purpose::Probe(plan.usages))
}

fn below(
    plan: &LeafPlan<'_>,
    issuer: &CaSigner,
    purpose: Purpose,
) -> Result<Vec<u8>, AuthorityError> {
    let what = "the certificate";
    let parameters = leaf_parameters(plan).map_err(|source| AuthorityError::build(what, source))?;
    issuer.certify(what, &parameters, plan.public, plan.intended(purpose))
}

impl LeafPlan<'_> {
    fn intended(&self, purpose: Purpose) -> Intended {
        let names = self.names.to_vec();
        Intended { purpose, serial: self.serial, validity: self.validity, names }
    }
}

fn leaf_parameters(plan: &LeafPlan<'_>) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = basics(plan.serial, plan.validity, &plan.public.identifier(), plan.urls)?;
    if let Some(name) = plan.common_name {
        parameters.distinguished_name.push(DnType::CommonName, name);
    }
    parameters.subject_alt_names =
        plan.names.iter().map(alternative_name).collect::<Result<_, _>>()?;
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // TLS 1.2 with RSA key exchange, and e-mail; a curve cannot do it, so its certificates must not say so.
    if (plan.usages.server || plan.usages.email) && plan.public.enciphers() {
        parameters.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    // E-mail that is sent to the holder of a key on a curve (RFC 8551 §2.3); Ed25519 only signs.
    if plan.usages.email && plan.public.agrees() {
        parameters.key_usages.push(KeyUsagePurpose::KeyAgreement);
    }
    let purposes = [
        (plan.usages.server, ExtendedKeyUsagePurpose::ServerAuth),
        (plan.usages.client, ExtendedKeyUsagePurpose::ClientAuth),
        (plan.usages.code, ExtendedKeyUsagePurpose::CodeSigning),
        (plan.usages.email, ExtendedKeyUsagePurpose::EmailProtection),
    ];
    let purposes = purposes.into_iter().filter(|(is, _)| *is).map(|(_, purpose)| purpose);
    parameters.extended_key_usages = purposes.collect();
    Ok(parameters)
}

/// A self-signed root.
pub(crate) fn root(plan: &OwnPlan<'_>, key: &AuthorityKey) -> Result<Vec<u8>, rcgen::Error> {
    let mut parameters = own_parameters(plan, &key.identifier())?;
    parameters.use_authority_key_identifier_extension = false;
    Ok(lint::meant(intended(plan), || parameters.self_signed(key))?.der().to_vec())
}

/// An intermediate, an audit signer, or a new root certified by an old one.
pub(crate) fn own(
    plan: &OwnPlan<'_>,
    key: &AuthorityKey,
    issuer: &Issuer<'_, AuthorityKey>,
) -> Result<Vec<u8>, rcgen::Error> {
    let parameters = own_parameters(plan, &key.identifier())?;
    Ok(lint::meant(intended(plan), || parameters.signed_by(key, issuer))?.der().to_vec())
}

fn intended(plan: &OwnPlan<'_>) -> Intended {
    let purpose = match plan.kind {
        OwnKind::Root | OwnKind::Intermediate { .. } => Purpose::Authority,
        OwnKind::Signer => Purpose::Signer,
        OwnKind::Responder => Purpose::Responder,
    };
    Intended { purpose, serial: plan.serial, validity: plan.validity, names: Vec::new() }
}

/// What an OCSP responder has, below any CA.
pub(crate) fn responder_below(
    plan: &OwnPlan<'_>,
    key: &AuthorityKey,
    issuer: &CaSigner,
) -> Result<Vec<u8>, AuthorityError> {
    let what = "the OCSP responder's certificate";
    let parameters = own_parameters(plan, &key.identifier())
        .map_err(|source| AuthorityError::build(what, source))?;
    issuer.certify(what, &parameters, key, intended(plan))
}

fn own_parameters(
    plan: &OwnPlan<'_>,
    identifier: &[u8; 20],
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = basics(plan.serial, plan.validity, identifier, plan.urls)?;
    parameters.distinguished_name.push(DnType::OrganizationName, organization(plan.trust_domain));
    let authority = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    match plan.kind {
        OwnKind::Root => {
            // The same for every root of a trust domain: a new root that an old one certifies is then
            // self-issued and does not count towards the path length (RFC 4210 §4.4, RFC 5280 §4.2.1.9).
            parameters.distinguished_name.push(DnType::CommonName, "Sealock Root CA");
            parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
            parameters.key_usages = authority;
        }
        OwnKind::Intermediate { number, constraints } => {
            let name = format!("Sealock Issuing CA {number}");
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            parameters.key_usages = authority;
            if !constraints.is_empty() {
                let value = constraints.to_der();
                let mut extension = CustomExtension::from_oid_content(&NAME_CONSTRAINTS, value);
                extension.set_criticality(true);
                parameters.custom_extensions.push(extension);
            }
        }
        OwnKind::Signer => {
            parameters.distinguished_name.push(DnType::CommonName, "Sealock Audit Signer");
            parameters.is_ca = IsCa::ExplicitNoCa;
            parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            let purpose = ExtendedKeyUsagePurpose::Other(DOCUMENT_SIGNING.to_vec());
            parameters.extended_key_usages = vec![purpose];
        }
        OwnKind::Responder => {
            parameters.distinguished_name.push(DnType::CommonName, RESPONDER);
            parameters.is_ca = IsCa::ExplicitNoCa;
            parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            // Nobody asks whether the one who answers is revoked; it lives for weeks (RFC 6960 §4.2.2.2.1).
            let no_check = CustomExtension::from_oid_content(&OCSP_NO_CHECK, NULL.to_vec());
            parameters.custom_extensions.push(no_check);
        }
    }
    Ok(parameters)
}

/// `ub-organization-name` is 64; a trust domain may be longer, and its identities still say it whole.
fn organization(trust_domain: &TrustDomain) -> String {
    trust_domain.as_str().chars().take(64).collect()
}

/// The subject of an OCSP responder of ours.
pub(crate) fn responder_subject(trust_domain: &TrustDomain) -> Option<DirectoryName> {
    DirectoryName::organization(&organization(trust_domain), RESPONDER)
}

fn basics(
    serial: Serial,
    validity: Validity,
    identifier: &[u8; 20],
    urls: &Urls,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.not_before = validity.not_before.to_offset();
    parameters.not_after = validity.not_after.to_offset();
    parameters.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    parameters.distinguished_name = DistinguishedName::new();
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_identifier_method = KeyIdMethod::PreSpecified(identifier.to_vec());
    parameters.crl_distribution_points =
        urls.crl.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] }).collect();
    if urls.ocsp.is_some() || urls.issuer.is_some() {
        let content = asn1::information_access(urls.ocsp.as_deref(), urls.issuer.as_deref())
            .map_err(|_| {
                // The one that is at fault is named: it came from the settings.
                let bad = |url: &&str| !url.is_ascii();
                let urls = [urls.ocsp.as_deref(), urls.issuer.as_deref()];
                let bad = urls.into_iter().flatten().find(bad).unwrap_or("an access URL");
                rcgen::Error::InvalidAsn1String(InvalidAsn1String::Ia5String(bad.to_owned()))
            })?;
        let extension = CustomExtension::from_oid_content(&AUTHORITY_INFO_ACCESS, content);
        parameters.custom_extensions.push(extension);
    }
    Ok(parameters)
}

fn alternative_name(name: &SubjectName) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        SubjectName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        SubjectName::Ip(address) => SanType::IpAddress(*address),
        SubjectName::Uri(uri) => SanType::URI(uri.as_str().try_into()?),
        SubjectName::Email(address) => SanType::Rfc822Name(address.as_str().try_into()?),
    })
}

/// The issuer that signs with `key` under the CA certificate `der`. Built once per CA, not per leaf.
pub(crate) fn issuer(
    der: &[u8],
    key: AuthorityKey,
) -> Result<Issuer<'static, AuthorityKey>, rcgen::Error> {
    Issuer::from_ca_cert_der(&der.into(), key)
}

/// The key of a CA, which a device has. The public half is the certificate's.
pub(crate) fn key_in_device(
    record: &IssuerRecord,
    at: &KeyAt,
    device: Option<Arc<dyn KeyDevice>>,
) -> Result<AuthorityKey, AuthorityError> {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let corrupt = || AuthorityError::Corrupt { record: format!("{}: its key", record.title()) };
    let (_, certificate) = X509Certificate::from_der(&record.der.0).map_err(|_| corrupt())?;
    key_at(certificate.public_key().raw, record.key_type, at, device).ok_or_else(corrupt)
}

/// A key that a device has, by its public half (DER of `SubjectPublicKeyInfo`).
pub(crate) fn key_at(
    spki: &[u8],
    kind: KeyType,
    at: &KeyAt,
    device: Option<Arc<dyn KeyDevice>>,
) -> Option<AuthorityKey> {
    use x509_parser::prelude::FromDer as _;
    use x509_parser::x509::SubjectPublicKeyInfo;
    let (_, info) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    let public = csr::public_key(&info).ok()?;
    Some(AuthorityKey::in_device(InDevice { device, at: at.clone(), kind, public }))
}

/// SHA-256 of a certificate's public key (`SubjectPublicKeyInfo`), in hex.
pub(crate) fn public_digest(der: &[u8]) -> Option<String> {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.public_key().raw);
    Some(data_encoding::HEXLOWER.encode(digest.as_ref()))
}

/// Whether `key` is the key of the certificate `der`.
pub(crate) fn belongs(der: &[u8], key: &AuthorityKey) -> bool {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_url_that_cannot_be_written_is_named() {
        let validity = Validity {
            not_before: Timestamp::from_secs(1_800_000_000),
            not_after: Timestamp::from_secs(1_800_003_600),
        };
        let urls = |ocsp: &str| Urls {
            ocsp: Some(ocsp.to_owned()),
            issuer: Some("http://pki.corp.example/ca.crt".to_owned()),
            ..Urls::default()
        };
        let serial: Serial = "0a".parse().unwrap();
        let made = |ocsp: &str| basics(serial, validity, &[7; 20], &urls(ocsp));
        assert!(made("http://pki.corp.example/ocsp").is_ok());
        let said = made("http://pki.corp.exämple/ocsp").unwrap_err().to_string();
        assert!(said.contains("http://pki.corp.exämple/ocsp"), "{said}");
    }
}
