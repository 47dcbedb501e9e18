//! What a certificate says, read from its DER.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_core::{SubjectName, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// As RFC 4514 writes it, or near it.
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Raw names, to compare.
    pub(crate) subject_der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) names: Vec<SubjectName>,
    /// Subject alternative names that [`SubjectName`] does not take.
    pub(crate) other_names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Facts {
    /// `None` for what is not a certificate.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut facts = Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            subject_der: certificate.subject().as_raw().to_vec(),
            issuer_der: certificate.issuer().as_raw().to_vec(),
            names: Vec::new(),
            other_names: Vec::new(),
            not_before: Timestamp::from_secs(certificate.validity().not_before.timestamp()),
            not_after: Timestamp::from_secs(certificate.validity().not_after.timestamp()),
        };
        if let Some(names) = certificate.subject_alternative_name().ok()? {
            for name in &names.value.general_names {
                match subject_name(name) {
                    Some(name) => facts.names.push(name),
                    None => facts.other_names.push(name.to_string()),
                }
            }
        }
        Some(facts)
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whole days until the end, negative after it.
    pub(crate) fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.as_millis().saturating_sub(now.as_millis()).div_euclid(DAY)
    }
}

fn subject_name(name: &GeneralName<'_>) -> Option<SubjectName> {
    match name {
        GeneralName::DNSName(text) => SubjectName::dns(text).ok(),
        GeneralName::RFC822Name(text) => SubjectName::email(text).ok(),
        GeneralName::URI(text) => SubjectName::uri(text).ok(),
        GeneralName::IPAddress(bytes) => address(bytes).map(SubjectName::Ip),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

/// The certificates in a PEM text, in their order; `None` when there are none or one is damaged.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let good = !list.is_empty() && list.iter().all(|der| Facts::read(der).is_some());
    good.then_some(list)
}
