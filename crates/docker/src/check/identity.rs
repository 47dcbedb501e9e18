//! With which certificates is tried: those that are given, and a stranger's, made on the spot.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::{SecretBytes, SubjectName};
use thiserror::Error;

use super::{CheckError, Probes};
use crate::daemon::certificate::{Facts, certificates};

/// Why a given certificate is not one.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// No certificate in PEM.
    #[error("there is no certificate in PEM")]
    Certificate,
    /// No private key in PEM.
    #[error("there is no private key in PEM")]
    Key,
}

/// A client's certificate with its key.
#[derive(Debug)]
pub struct ClientIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// From what stands in `cert.pem` and `key.pem`.
    pub fn from_pem(certificate: &[u8], key: &SecretBytes) -> Result<Self, IdentityError> {
        Ok(Self {
            chain: certificates(certificate).ok_or(IdentityError::Certificate)?,
            key: PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| IdentityError::Key)?,
        })
    }
}

/// A client's certificate with the names of the valid one, where there is one, and of an authority that is
/// called as the right one is, and is not it. A server that goes by names alone lets it in.
pub(super) fn stranger(probes: &Probes) -> Result<ClientIdentity, CheckError> {
    let facts = probes.valid.as_ref().and_then(|valid| Facts::read(valid.chain.first()?));
    let key = || KeyPair::generate().map_err(CheckError::Stranger);
    let issuer = issuer(probes, facts.as_ref(), key()?).map_err(CheckError::Stranger)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "stranger");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for name in facts.iter().flat_map(|facts| &facts.names) {
        params.subject_alt_names.extend(alternative(name));
    }
    let own = key()?;
    let certificate = params.signed_by(&own, &issuer).map_err(CheckError::Stranger)?;
    let key = PrivateKeyDer::try_from(own.serialize_der());
    Ok(ClientIdentity {
        chain: vec![certificate.der().clone()],
        key: key.map_err(|_| CheckError::Stranger(rcgen::Error::CouldNotParseKeyPair))?,
    })
}

fn issuer(
    probes: &Probes,
    facts: Option<&Facts>,
    key: KeyPair,
) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
    let above = probes.valid.iter().flat_map(|valid| valid.chain.iter().skip(1));
    let imitated =
        above.chain(&probes.ca).find(|certificate| match (facts, Facts::read(certificate)) {
            (Some(facts), Some(authority)) => authority.subject_der == facts.issuer_der,
            (None, Some(_)) => true,
            (_, None) => false,
        });
    if let Some(imitated) = imitated {
        return Issuer::from_ca_cert_der(imitated, key);
    }
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "stranger's authority");
    Ok(Issuer::new(params, key))
}

fn alternative(name: &SubjectName) -> Option<SanType> {
    match name {
        SubjectName::Dns(name) => name.as_str().try_into().ok().map(SanType::DnsName),
        SubjectName::Ip(address) => Some(SanType::IpAddress(*address)),
        SubjectName::Uri(text) => text.as_str().try_into().ok().map(SanType::URI),
        SubjectName::Email(text) => text.as_str().try_into().ok().map(SanType::Rfc822Name),
    }
}
