//! Messages between sender and receiver, offers and tickets: what is read has one written form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_transfer::offer::Offer;
use sealock_transfer::ticket::Ticket;
use sealock_transfer::wire::{self, Refusal};

fuzz_target!(|bytes: &[u8]| {
    let (mut stream, mut body) = (bytes, Vec::new());
    while let Ok(kind) = wire::read(&mut stream, &mut body) {
        assert!(wire::message(kind, &body).is_ok_and(|message| bytes.len() >= message.len()));
    }
    if let Ok(offer) = Offer::decode(bytes) {
        assert_eq!(&offer.encode()[..], bytes);
    }
    if let Ok(refusal) = Refusal::decode(bytes) {
        assert!(!refusal.text.contains(char::is_control));
        assert_eq!(Refusal::decode(&refusal.encode()), Ok(refusal));
    }
    if let Ok(ticket) =
        std::str::from_utf8(bytes).map_err(drop).and_then(|text| Ticket::parse(text).map_err(drop))
    {
        let written = ticket.to_text();
        assert!(Ticket::parse(&written).is_ok_and(|again| *again.to_text() == *written));
    }
});
