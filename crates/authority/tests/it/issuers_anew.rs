//! The next certificate of an issuing CA is asked for in time, for the same key.

use std::time::Duration;

use sealock_authority::{IssuerStanding, IssuerWishes, KeyHome};
use sealock_core::Clock as _;
use sealock_core::audit::Fact;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::common::{Scratch, actor};
use crate::device::{Mood, World};
use crate::device_issuers::{Signer, corp};

const DAY: Duration = Duration::from_secs(86_400);

fn standing(authority: &sealock_authority::Authority) -> IssuerStanding {
    authority.issuer_standing(&corp()).unwrap()
}

/// The company has signed it for 90 days; what was asked for is another subject.
fn taken(authority: &sealock_authority::Authority, home: Option<KeyHome>) -> Signer {
    let signer = Signer::known_to(authority);
    let subject = Some("CN=Wished for".parse().unwrap());
    let wishes = IssuerWishes { subject, key_type: None, home };
    let asked = authority.request_issuer(&corp(), &wishes, false, &actor()).unwrap();
    let csr = asked.standing.waiting.unwrap().csr;
    authority.import_issuer(&corp(), &[signer.sign_for(&csr, "Issuing", 90)], &actor()).unwrap();
    signer
}

fn made(authority: &sealock_authority::Authority) -> usize {
    let (made, failed) = authority.request_issuers_anew(&actor());
    assert!(failed.is_none(), "{failed:?}");
    made
}

#[test]
fn at_a_third_of_its_life_a_csr_for_the_same_key_is_there_once_and_goes_with_the_import() {
    let scratch = Scratch::new();
    let signer = taken(&scratch.authority, None);
    let clock = scratch.place.clock.clone();
    clock.advance(59 * DAY);
    assert_eq!(made(&scratch.authority), 0);
    clock.advance(2 * DAY);
    assert_eq!(made(&scratch.authority), 1);
    assert_eq!(made(&scratch.authority), 0, "once");
    let asked = standing(&scratch.authority);
    let anew = asked.anew.clone().unwrap();
    assert!(asked.waiting.is_none());
    assert_eq!(anew.id, asked.held.as_ref().unwrap().id, "the same key");
    assert_eq!(anew.since, clock.now());
    let (_, pem) = x509_parser::pem::parse_x509_pem(anew.csr.as_bytes()).unwrap();
    sealock_authority::parse_csr(&pem.contents).unwrap();
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents).unwrap();
    assert_eq!(csr.certification_request_info.subject.to_string(), "CN=Issuing");
    let scratch = scratch.reopen();
    assert_eq!(standing(&scratch.authority), asked, "durable");
    assert_eq!(made(&scratch.authority), 0);
    let told = scratch.journal.tail(0, 100).unwrap();
    let told = told.iter().filter(|it| matches!(&it.event.fact, Fact::IssuerRequested { .. }));
    assert_eq!(told.count(), 2);
    // What was there before is no answer.
    let again = scratch.authority.import_issuer(&corp(), &[der_of(&asked)], &actor()).unwrap();
    assert!(!again.new && again.standing.anew.is_some());
    // The CSR has the subject that the CA has, so that what comes back is taken.
    let next = signer.sign_for(&anew.csr, "Issuing", 300);
    let taken = scratch.authority.import_issuer(&corp(), &[next], &actor()).unwrap();
    assert!(taken.new && taken.standing.anew.is_none(), "{taken:?}");
    assert!(taken.standing.held.unwrap().not_after > asked.held.unwrap().not_after);
    assert_eq!(made(&scratch.authority), 0);
    clock.advance(200 * DAY);
    assert_eq!(made(&scratch.authority), 1, "and again with the next");
}

fn der_of(standing: &IssuerStanding) -> Vec<u8> {
    let chain = &standing.held.as_ref().unwrap().chain;
    x509_parser::pem::parse_x509_pem(chain.as_bytes()).unwrap().1.contents
}

#[test]
fn nothing_is_asked_for_anew_where_a_successor_is_or_nobody_wants_it() {
    let scratch = Scratch::new();
    let signer = taken(&scratch.authority, None);
    scratch.place.clock.advance(61 * DAY);
    scratch.authority.disable_issuer(&corp(), true, &actor()).unwrap();
    assert_eq!(made(&scratch.authority), 0);
    scratch.authority.disable_issuer(&corp(), false, &actor()).unwrap();
    assert_eq!(made(&scratch.authority), 1);
    let nothing = IssuerWishes::default();
    let next = scratch.authority.request_issuer(&corp(), &nothing, false, &actor()).unwrap();
    assert!(next.new && next.standing.anew.is_none(), "one thing at a time");
    assert_eq!(made(&scratch.authority), 0);
    let csr = next.standing.waiting.unwrap().csr;
    let next = signer.sign(&csr, "Next");
    let taken = scratch.authority.import_issuer(&corp(), &[next], &actor()).unwrap();
    assert!(taken.standing.anew.is_none());
    assert_eq!(made(&scratch.authority), 0);
}

#[test]
fn a_key_in_a_device_signs_its_next_csr_there_and_one_that_is_away_is_asked_again() {
    let world = World::new(KeyHome::Store, KeyHome::Store);
    taken(&world.authority, Some(KeyHome::Device));
    world.place.clock.advance(61 * DAY);
    world.device.be(Mood::Away);
    let before = world.events();
    let (made, failed) = world.authority.request_issuers_anew(&actor());
    assert!(made == 0 && failed.unwrap().to_string().contains("HSM"));
    assert_eq!(world.events(), before);
    world.device.be(Mood::Well);
    assert_eq!(self::made(&world.authority), 1);
    assert!(standing(&world.authority).anew.is_some());
}
