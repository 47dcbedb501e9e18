//! A session with a hostile other side, which does not have the secret: no hello, answer, frame or
//! receipt of its making is accepted. (A hello that was made with the secret must not be a seed.)
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use sealock_transfer::identify::{Evidence, Known};
use sealock_transfer::offer::Offer;
use sealock_transfer::session::{Introduction, Terms, answer, greet};
use sealock_transfer::stream::OpeningReader;

/// An offer as a sender writes it; a seed of `transfer_messages`.
const OFFER: &[u8] = include_bytes!("../corpus/transfer_messages/offer");

fuzz_target!(|hostile: &[u8]| {
    let offer = Offer::decode(OFFER).expect("the seed is an offer");
    let terms = Terms::of_sender(&offer);
    assert!(answer(&terms, hostile).is_err(), "a forged hello was accepted");

    let introduction = Introduction {
        container: Some(Known::Id(offer.bound.container)),
        evidence: Evidence::default(),
        started: None,
    };
    let (hello, greeted) = greet(terms.clone(), &introduction).expect("keys");
    let (_, other) = greet(terms.clone(), &introduction).expect("keys");
    assert!(other.complete(hostile).is_err(), "a forged encapsulation was accepted");

    let (encapsulation, sending) = answer(&terms, &hello).expect("an honest hello");
    let receiving = greeted.complete(&encapsulation).expect("an honest answer");
    let mut plain = Vec::new();
    let read = OpeningReader::new(receiving.opener, hostile).read_to_end(&mut plain);
    assert!(read.is_err() && plain.is_empty(), "a forged frame was accepted");
    assert!(sending.receipt.verify(hostile).is_err(), "a forged receipt was accepted");
});
