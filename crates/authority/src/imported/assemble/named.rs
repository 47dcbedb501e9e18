//! Constraints on names of a directory, and the CAs between (RFC 5280 §6.1.3).

use rcgen::{DistinguishedName, DnType, GeneralSubtree, NameConstraints};
use sealock_core::Timestamp;

use super::*;
use crate::imported::testing::{
    Authority, authority_parameters, key, leaf_parameters, root, root_of,
};

/// 2027-01-01.
const NOW: Timestamp = Timestamp::from_secs(1_798_761_600);

fn called(organization: &str, name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organization);
    subject.push(DnType::CommonName, name);
    subject
}

/// A CA of the company below which names have to begin with `O=Corp`.
fn policy(root: &Authority, organization: &str) -> Authority {
    let mut base = DistinguishedName::new();
    base.push(DnType::OrganizationName, "Corp");
    let mut parameters = authority_parameters("x");
    parameters.distinguished_name = called(organization, "Policy");
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DirectoryName(base)],
        excluded_subtrees: Vec::new(),
    });
    root.below_with(parameters)
}

/// The leaf is called `O=Corp, CN=www.corp.example`.
fn tried(above: &Authority, chain: &[&Authority], root: &Authority) -> Result<(), ImportError> {
    let key = key();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let expected =
        Expected { key: &spki, names: None, also: &[], any_names: true, usages: Usages::BOTH };
    let mut pile = vec![above.sign(&leaf_parameters(), &key)];
    pile.extend(chain.iter().map(|one| one.der.clone()));
    assemble(&pile, std::slice::from_ref(&root.der), &expected, NOW).map(|_| ())
}

#[test]
fn cas_between_are_held_to_constraints_on_their_names() {
    let root = root("Root");
    let policy_ca = policy(&root, "Corp");
    assert_eq!(tried(&policy_ca, &[&policy_ca], &root), Ok(()));
    let between = policy_ca.below("Between");
    assert_eq!(tried(&between, &[&policy_ca, &between], &root), Ok(()));
    let mut parameters = authority_parameters("x");
    parameters.distinguished_name = called("Elsewhere", "Between");
    let outside = policy_ca.below_with(parameters);
    let error = tried(&outside, &[&policy_ca, &outside], &root).unwrap_err();
    assert!(
        matches!(&error, ImportError::Constrained { name, .. } if name.contains("Elsewhere")),
        "{error}"
    );
    // One that its own predecessor has signed is the same CA.
    let policy_ca = policy(&root, "Elsewhere");
    let mut parameters = authority_parameters("x");
    parameters.distinguished_name = called("Elsewhere", "Policy");
    let next = policy_ca.below_with(parameters);
    let [leaf, next, above] =
        [next.sign(&leaf_parameters(), &key()), next.der, policy_ca.der.clone()]
            .map(|der| Foreign::read(&der).unwrap());
    let mut constraints = check::Constraints::default();
    assert_eq!(constraints.permit(&above, &[&leaf, &next]), Ok(()));
    assert!(constraints.permit(&above, &[&next]).is_err(), "where the chain begins with it");
    // That the verifier of rustls knows no such constraints lets nothing else pass.
    let stranger = root_of(authority_parameters("Root"), key());
    let forged = policy(&stranger, "Corp");
    assert!(tried(&forged, &[&forged], &root).is_err());
    let forged = Authority { der: policy_ca.der.clone(), ..policy(&root, "Corp") };
    assert!(tried(&forged, &[&forged], &root).is_err());
}
