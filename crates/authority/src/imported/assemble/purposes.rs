//! Leaves for e-mail and code, and what the CAs above them let them be for (RFC 5280 §4.2.1.12).

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, EmailProtection, ServerAuth};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, NameConstraints, SanType};
use sealock_core::Timestamp;

use super::*;
use crate::imported::testing::{Authority, authority_parameters, key, leaf_parameters, root};

/// 2027-01-01.
const NOW: Timestamp = Timestamp::from_secs(1_798_761_600);

fn leaf(address: &str, purposes: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
    let mut parameters = leaf_parameters();
    parameters.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    parameters.extended_key_usages = purposes.to_vec();
    parameters
}

/// A CA with these purposes below the root, and with these addresses, where they are not to be all.
fn below(root: &Authority, purposes: &[ExtendedKeyUsagePurpose], only: Option<&str>) -> Authority {
    let mut parameters = authority_parameters("Issuing");
    parameters.extended_key_usages = purposes.to_vec();
    parameters.name_constraints = only.map(|addresses| NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::Rfc822Name(addresses.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    root.below_with(parameters)
}

/// Asked for by nobody where the usages are none.
fn tried(
    (root, issuing): (&Authority, &Authority),
    leaf: &CertificateParams,
    usages: Usages,
) -> Result<(), ImportError> {
    let key = key();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let expected = Expected { key: &spki, names: None, also: &[], any_names: true, usages };
    let pile = [issuing.sign(leaf, &key), issuing.der.clone()];
    assemble(&pile, std::slice::from_ref(&root.der), &expected, NOW).map(|_| ())
}

/// Which usage is refused, and whose certificate refuses it.
fn refused(taken: Result<(), ImportError>) -> (&'static str, bool) {
    match taken.unwrap_err() {
        ImportError::Usage { subject, usage } => (usage, subject.contains("Issuing")),
        other => panic!("{other}"),
    }
}

#[test]
fn a_leaf_is_for_what_was_asked_for_or_is_not_taken() {
    let root = root("Root");
    let issuing = below(&root, &[], None);
    let chain = (&root, &issuing);
    let of = |purposes: &[ExtendedKeyUsagePurpose]| leaf("jo@corp.example", purposes);
    let card = Usages { client: true, ..Usages::EMAIL };
    assert_eq!(tried(chain, &of(&[EmailProtection]), Usages::EMAIL), Ok(()));
    assert_eq!(tried(chain, &of(&[EmailProtection, ClientAuth]), Usages::EMAIL), Ok(()));
    assert_eq!(tried(chain, &of(&[EmailProtection, ClientAuth]), card), Ok(()));
    assert_eq!(tried(chain, &of(&[CodeSigning]), Usages::CODE), Ok(()));
    assert_eq!(tried(chain, &of(&[]), Usages::EMAIL), Ok(()), "what says nothing is for e-mail");
    for (purposes, wanted, lacking) in [
        (&[ServerAuth, ClientAuth][..], Usages::EMAIL, "email"),
        (&[EmailProtection], card, "client"),
        (&[ClientAuth], card, "email"),
        (&[EmailProtection], Usages::CODE, "code"),
        (&[], Usages::CODE, "code"),
        (&[EmailProtection], Usages::SERVER, "server"),
        (&[CodeSigning], Usages::CLIENT, "client"),
        (&[ExtendedKeyUsagePurpose::Any], Usages::EMAIL, "email"),
    ] {
        assert_eq!(refused(tried(chain, &of(purposes), wanted)), (lacking, false), "{purposes:?}");
    }
}

#[test]
fn the_cas_above_bound_what_a_leaf_is_for() {
    let root = root("Root");
    let mail = leaf("jo@corp.example", &[EmailProtection]);
    let code = leaf("jo@corp.example", &[CodeSigning]);
    let servers = below(&root, &[ServerAuth, ClientAuth], None);
    assert_eq!(refused(tried((&root, &servers), &mail, Usages::EMAIL)), ("email", true));
    assert_eq!(refused(tried((&root, &servers), &code, Usages::CODE)), ("code", true));
    let mailing = below(&root, &[EmailProtection], None);
    assert_eq!(tried((&root, &mailing), &mail, Usages::EMAIL), Ok(()));
    assert_eq!(refused(tried((&root, &mailing), &code, Usages::CODE)), ("code", true));
    // What nobody asked for here is held against what it says itself.
    assert_eq!(tried((&root, &mailing), &mail, Usages::NONE), Ok(()));
    let error = tried((&root, &servers), &mail, Usages::NONE).unwrap_err();
    assert!(matches!(error, ImportError::Verifier { .. }), "{error}");
}

#[test]
fn addresses_are_held_to_the_constraints_above_them_and_nothing_else_passes_by_that() {
    let root = root("Root");
    let issuing = below(&root, &[], Some("corp.example"));
    let chain = (&root, &issuing);
    let mail = |address: &str| leaf(address, &[EmailProtection]);
    assert_eq!(tried(chain, &mail("jo@corp.example"), Usages::EMAIL), Ok(()));
    for outside in ["jo@evil.example", "jo@mail.corp.example"] {
        let error = tried(chain, &mail(outside), Usages::EMAIL).unwrap_err();
        assert!(matches!(error, ImportError::Constrained { .. }), "{outside}: {error}");
    }
    // Programs with rustls would refuse it as a client's, and so it is none.
    let client = leaf("jo@corp.example", &[ClientAuth]);
    let error = tried(chain, &client, Usages::CLIENT).unwrap_err();
    assert!(matches!(error, ImportError::Verifier { .. }), "{error}");
    // A CA of that name and with that constraint, that the root has not signed.
    let stranger = crate::imported::testing::root("Root");
    let forged = below(&stranger, &[], Some("corp.example"));
    assert!(tried((&root, &forged), &mail("jo@corp.example"), Usages::EMAIL).is_err());
    let forged = Authority { der: issuing.der.clone(), ..below(&root, &[], None) };
    assert!(tried((&root, &forged), &mail("jo@corp.example"), Usages::EMAIL).is_err());
}
