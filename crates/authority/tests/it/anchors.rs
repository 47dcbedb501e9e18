//! Roots of others that would pass for ours.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    SubjectPublicKeyInfo,
};
use sealock_authority::Rotate;
use sealock_authority::imported::AnchorError;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::common::{Scratch, actor, order};

fn root(organization: &str, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(parameters(organization, name), KeyPair::generate().unwrap())
        .unwrap()
}

fn parameters(organization: &str, name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::OrganizationName, organization);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

#[test]
fn a_root_of_others_has_neither_a_name_nor_a_key_of_ours() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    let add = |der: &[u8]| authority.add_anchor(der, None, true, &actor());
    // As its root is called, as what it signs leaves with is and was, and as that will be some day.
    for name in [
        "Sealock Root CA",
        "Sealock Issuing CA 1",
        "Sealock Issuing CA 2",
        "Sealock Issuing CA 99",
        "SEALOCK  issuing ca 2",
    ] {
        let error = add(root("corp.example", name).der()).unwrap_err();
        assert!(matches!(error, AnchorError::Own(_)), "{name}: {error}");
    }
    let corporate = root("Corp", "Root");
    let issued = scratch.issue(&order(&["web"])).unwrap();
    for (number, own) in authority.trust_bundle().iter().chain(&issued.chain()[1..]).enumerate() {
        let error = add(own).unwrap_err();
        assert!(matches!(error, AnchorError::Own(_)), "{error}");
        // Our key under a name of theirs.
        let (_, read) = X509Certificate::from_der(own).unwrap();
        let key = SubjectPublicKeyInfo::from_der(read.public_key().raw).unwrap();
        let theirs = parameters("Corp", &number.to_string()).signed_by(&key, &corporate).unwrap();
        let error = add(theirs.der()).unwrap_err();
        assert!(matches!(error, AnchorError::Own(_)), "{error}");
    }
    assert_eq!(authority.anchors(), []);
    add(corporate.der()).unwrap();
    assert_eq!(authority.anchors().len(), 1);
}
