use sealock_core::Identity;

use super::*;

mod round_trip;

const ISSUER: &str = "https://broker.example";
const AUDIENCE: &str = "spiffe://example.org/service/orders";
const NOW: u64 = 1_700_000_000;

fn subject() -> Identity {
    "spiffe://example.org/service/shop".parse().unwrap()
}

fn claims() -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: subject(),
        audience: AUDIENCE.to_owned(),
        issued_at: NOW,
        not_before: NOW,
        expires_at: NOW + 300,
        id: "token-1".to_owned(),
        client: Some("shop".to_owned()),
        binding: None,
    }
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        audience: AUDIENCE,
        now: NOW,
        skew: SKEW,
        longest: 300,
        certificate: None,
    }
}
