//! A corporate CA for the tests: certificates with whatever is wrong with them.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

pub(crate) struct Authority {
    pub(crate) parameters: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) der: Vec<u8>,
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A CA's certificate, valid from 2020 to 2040, before `change`.
pub(crate) fn authority_parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = subject(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2040, 1, 1);
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Corp");
    subject.push(DnType::CommonName, name);
    subject
}

/// A leaf for `www.corp.example`, valid from 2026 to 2028, for both usages.
pub(crate) fn leaf_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::new(vec!["www.corp.example".to_owned()]).unwrap();
    parameters.distinguished_name = subject("www.corp.example");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.not_before = date_time_ymd(2026, 1, 1);
    parameters.not_after = date_time_ymd(2028, 1, 1);
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

pub(crate) fn root(name: &str) -> Authority {
    root_of(authority_parameters(name), key())
}

pub(crate) fn root_of(parameters: CertificateParams, key: KeyPair) -> Authority {
    let der = parameters.self_signed(&key).unwrap().der().to_vec();
    Authority { parameters, key, der }
}

impl Authority {
    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.parameters, &self.key)
    }

    /// A CA below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        self.below_with(authority_parameters(name))
    }

    pub(crate) fn below_with(&self, parameters: CertificateParams) -> Self {
        self.certify(parameters, key())
    }

    /// A CA with this key below this one.
    pub(crate) fn certify(&self, parameters: CertificateParams, key: KeyPair) -> Self {
        let der = parameters.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Self { parameters, key, der }
    }

    pub(crate) fn sign(&self, parameters: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        parameters.signed_by(key, &self.issuer()).unwrap().der().to_vec()
    }
}

/// A second key pair that is the same key.
pub(crate) fn same(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialize_der()).unwrap()
}

pub(crate) fn permitted(names: &[&str]) -> NameConstraints {
    let subtrees = names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned()));
    NameConstraints { permitted_subtrees: subtrees.collect(), excluded_subtrees: Vec::new() }
}

/// Authority information access with this issuer's URL.
pub(crate) fn issuer_url(url: &str) -> CustomExtension {
    use crate::der::{OBJECT_IDENTIFIER, SEQUENCE, element};
    let method = element(OBJECT_IDENTIFIER, &[0x2b, 6, 1, 5, 5, 7, 0x30, 2]);
    let one = element(SEQUENCE, &[method, element(0x86, url.as_bytes())].concat());
    let value = element(SEQUENCE, &one);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], value)
}
