//! Piles that are made to cost time, and what is remembered.

use sealock_core::Timestamp;

use crate::imported::testing::{self, Authority, authority_parameters, key, permitted, same};
use crate::imported::{AssembledAuthority, ImportError, assemble_authority, spki_of};
use crate::key::{AuthorityKey, KeyType, NewKey};
use crate::order::Usages;
use crate::state::State;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Our CA below `above`; its key is rcgen's, so no probe can be made by `super::import`'s: here the test makes it.
fn assemble(
    ours: &Authority,
    pile: &[&[u8]],
    anchors: &[&Authority],
) -> Result<AssembledAuthority, ImportError> {
    let probe = |der: &[u8], _: Usages| {
        assert_eq!(der, ours.der, "a probe for somebody else's certificate");
        let mut parameters = testing::leaf_parameters();
        parameters.subject_alt_names = Vec::new();
        Some(ours.sign(&parameters, &key()))
    };
    let spki = spki_of(&ours.der).unwrap();
    let pile: Vec<Vec<u8>> = pile.iter().map(|der| der.to_vec()).collect();
    let anchors: Vec<Vec<u8>> = anchors.iter().map(|anchor| anchor.der.clone()).collect();
    let trust_domain = "corp.example".parse().unwrap();
    assemble_authority(&pile, &anchors, &spki, &trust_domain, &probe, NOW)
}

#[test]
fn a_pile_whose_cas_all_certify_each_other_ends_the_search() {
    let shared = key();
    let root = testing::root_of(authority_parameters("Maze"), same(&shared));
    let maze: Vec<Authority> =
        (0..60).map(|_| root.certify(authority_parameters("Maze"), same(&shared))).collect();
    let ours = root.below("Issuing");
    let mut pile: Vec<&[u8]> = maze.iter().map(|one| one.der.as_slice()).collect();
    pile.push(&ours.der);
    let unknown = testing::root("Elsewhere");
    let error = assemble(&ours, &pile, &[&unknown]).unwrap_err();
    assert_eq!(error, ImportError::TooManyWays);
    // What leads home at once is found before.
    let found = assemble(&ours, &pile, &[&root]).unwrap();
    assert_eq!((found.between.len(), found.bridges.len()), (0, 0));
}

#[test]
fn both_roots_of_a_roll_over_are_reached_and_the_newer_one_is_chosen() {
    let old = testing::root("Old");
    let mut parameters = authority_parameters("New");
    parameters.not_before = rcgen::date_time_ymd(2025, 1, 1);
    let new = testing::root_of(parameters, key());
    let bridge = old.certify(authority_parameters("New"), same(&new.key));
    let ours = new.below("Issuing");
    let pile = [ours.der.as_slice(), &bridge.der];
    let found = assemble(&ours, &pile, &[&old, &new]).unwrap();
    assert_eq!(found.root.der, new.der);
    assert!(found.between.is_empty());
    assert_eq!(
        found.bridges.iter().map(|it| it.der.clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&bridge.der)
    );
    let found = assemble(&ours, &pile, &[&old]).unwrap();
    assert_eq!((found.root.der, found.between.len()), (old.der, 1));
    assert!(found.bridges.is_empty());
}

#[test]
fn names_of_the_ca_itself_count_against_the_constraints_above_it() {
    let root = testing::root("Root");
    let mut parameters = authority_parameters("Policy");
    parameters.name_constraints = Some(permitted(&["corp.example"]));
    let policy = root.below_with(parameters);
    let mut parameters = authority_parameters("Issuing");
    parameters.subject_alt_names = vec![rcgen::SanType::DnsName("ca.other".try_into().unwrap())];
    let ours = policy.below_with(parameters);
    let error = assemble(&ours, &[&ours.der, &policy.der], &[&root]).unwrap_err();
    assert!(matches!(error, ImportError::Constrained { .. }), "{error}");
    let ours = policy.below("Issuing");
    assert!(assemble(&ours, &[&ours.der, &policy.der], &[&root]).is_ok());
}

#[test]
fn a_ca_that_is_called_as_ours_are_is_refused() {
    let root = testing::root("Root");
    let mut parameters = authority_parameters("x");
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "corp.example");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "Sealock Issuing CA 9");
    let ours = root.below_with(parameters);
    let error = assemble(&ours, &[&ours.der], &[&root]).unwrap_err();
    assert!(matches!(error, ImportError::OwnName { .. }), "{error}");
}

#[test]
fn a_csr_for_a_ca_asks_for_a_ca() {
    for key_type in KeyType::ALL {
        let made = NewKey::generate(key_type).unwrap();
        let key = AuthorityKey::from_pkcs8(&made.pkcs8).unwrap();
        let subject: crate::imported::Subject = "CN=Issuing,DC=corp,DC=example".parse().unwrap();
        let csr = crate::imported::authority_csr(&subject.to_der(), key_type, &key).unwrap();
        let read = crate::parse_csr(&csr).unwrap();
        assert_eq!(read.public_key, made.public);
        // basicConstraints: critical, CA, path length 0.
        let basic = [6, 3, 0x55, 0x1d, 19, 1, 1, 0xff, 4, 8, 0x30, 6, 1, 1, 0xff, 2, 1, 0];
        assert!(csr.windows(basic.len()).any(|part| part == basic), "{key_type}");
        let usage = [6, 3, 0x55, 0x1d, 15, 1, 1, 0xff, 4, 4, 3, 2, 1, 6];
        assert!(csr.windows(usage.len()).any(|part| part == usage), "{key_type}");
    }
}

#[test]
fn an_authority_from_before_there_were_such_issuers_is_read() {
    let text = r#"{"format":1,"trust_domain":"corp.example","created":0,"key_type":"p256",
        "root":"00112233aabbccdd","intermediate":"00112233aabbccde","issuers":[],
        "signer":{"id":"00112233aabbccdf","der":""}}"#;
    let created = serde_json::to_string(&Timestamp::from_secs(0)).unwrap();
    let text = text.replace(r#""created":0"#, &format!(r#""created":{created}"#));
    let state: State = serde_json::from_str(&text).unwrap();
    assert!(state.lines.is_empty());
    assert!(!serde_json::to_string(&state).unwrap().contains("lines"));
}
