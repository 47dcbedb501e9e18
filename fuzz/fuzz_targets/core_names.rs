//! Names and identities: what is accepted has one written form, and that form is accepted again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_core::span::{format_span, parse_span};
use sealock_core::{DnsName, Identity, SubjectName, TrustDomain};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<DnsName>() {
        assert_eq!(name.as_str().parse::<DnsName>().as_ref(), Ok(&name));
    }
    if let Ok(identity) = text.parse::<Identity>() {
        assert_eq!(identity.to_string().parse::<Identity>().as_ref(), Ok(&identity));
    }
    if let Ok(domain) = text.parse::<TrustDomain>() {
        assert_eq!(domain.as_str().parse::<TrustDomain>().as_ref(), Ok(&domain));
    }
    if let Ok(span) = parse_span(text) {
        // Written for people, rounded down to two units.
        assert!(parse_span(&format_span(span)).is_ok_and(|written| written <= span));
    }
    for parse in [SubjectName::dns, SubjectName::ip, SubjectName::uri, SubjectName::email] {
        if let Ok(name) = parse(text) {
            assert!(!name.to_string().contains(char::is_control));
        }
    }
});
