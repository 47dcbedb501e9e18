//! The entry for fuzzing.

use std::sync::OnceLock;

use super::assertion::{AssertionExpected, ClientAssertion};
use super::claims::Claims;
use super::error::TokenError;
use super::header::{Algorithm, Profile};
use super::issue::{issue, seal};
use super::jwks::{KeySet, MAXIMUM_KEYS};
use super::key::{PublicKey, SigningKey};
use super::refusal::Refusal;
use super::verify::{Expected, MAXIMUM_TOKEN, verify};

/// The key's second name, for inputs that have a header: its first is another in every run.
const KID: &str = "fuzz";

/// An assertion is held against the same moment as tokens are.
const ASSERTION: AssertionExpected<'static> = AssertionExpected {
    audiences: &["https://broker.example", "https://broker.example/oauth/token"],
    now: 1_700_000_000,
    skew: 30,
    longest: 300,
};

/// Any bytes as a token, as a key set, and as header and claims (divided by the first line end) that were signed by a
/// good key with the `kid` [`KID`]; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    static KEY: OnceLock<Option<(SigningKey, KeySet)>> = OnceLock::new();
    let Some((key, keys)) = KEY.get_or_init(key) else { return };
    let expected = Expected {
        issuer: "https://broker.example",
        audience: "spiffe://example.org/service/orders",
        now: 1_700_000_000,
        skew: 30,
        longest: 300,
        certificate: Some(&[7; 32]),
    };
    let text = String::from_utf8_lossy(data);
    assert!(verify(&text, keys, &expected).is_err(), "a token that was never signed is taken");

    if let Ok(set) = KeySet::of_client(data) {
        assert_eq!(KeySet::from_json(set.to_json().as_bytes()), Ok(set), "written other than read");
    }
    if let Ok(read) = ClientAssertion::read(&text) {
        assert!(
            read.verify(keys, &ASSERTION).is_err(),
            "an assertion that was never signed is taken"
        );
    }
    if let Ok(set) = KeySet::from_json(data) {
        assert!(set.len() <= MAXIMUM_KEYS, "more keys than the limit");
        assert_eq!(KeySet::from_json(set.to_json().as_bytes()), Ok(set), "written other than read");
    }

    let (header, claims) = data.split_at(data.iter().position(|it| *it == b'\n').unwrap_or(0));
    signed(key, keys, &expected, header, claims);
    let ours = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, key.kid());
    signed(key, keys, &expected, ours.as_bytes(), data);
}

fn key() -> Option<(SigningKey, KeySet)> {
    let key = SigningKey::generate(Algorithm::EdDsa).ok()?;
    let named = key.public().to_jwk().replace(key.kid(), KID);
    let keys = KeySet::from_iter([key.public(), PublicKey::from_jwk(named.as_bytes()).ok()?]);
    Some((key, keys))
}

fn signed(key: &SigningKey, keys: &KeySet, expected: &Expected<'_>, header: &[u8], claims: &[u8]) {
    let Ok(token) = seal(key, header, claims) else { return };
    if let Ok(read) = ClientAssertion::read(&token) {
        let client = read.client().to_owned();
        if let Ok(used) = read.verify(keys, &ASSERTION) {
            assert!(!client.is_empty() && !used.id.is_empty(), "an assertion by or of nobody");
            let ahead = used.expires_at.saturating_sub(ASSERTION.now);
            assert!(ahead <= ASSERTION.longest + ASSERTION.skew, "an assertion for ever");
            assert!(verify(&token, keys, expected).is_err(), "an assertion is a token as well");
        }
    }
    match verify(&token, keys, expected) {
        Ok(read) => {
            assert!(token.len() <= MAXIMUM_TOKEN, "a token over the limit is taken");
            taken(key, keys, expected, &read);
        }
        Err(refusal) => {
            assert_ne!(refusal, Refusal::BadSignature, "what we have signed is refused");
            let code = refusal.code();
            let plain = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(plain && !code.is_empty(), "a code of another form");
        }
    }
}

fn taken(key: &SigningKey, keys: &KeySet, expected: &Expected<'_>, claims: &Claims) {
    assert_eq!(claims.issuer, expected.issuer, "another issuer");
    assert_eq!(claims.audience, expected.audience, "another audience");
    let life = claims.expires_at.saturating_sub(claims.issued_at);
    assert!((1..=expected.longest).contains(&life), "a life that is too long");
    let (earliest, latest) = (expected.now - expected.skew, expected.now + expected.skew);
    assert!(claims.expires_at > earliest, "an expired token");
    assert!(claims.not_before <= latest && claims.issued_at <= latest, "a token of the future");
    let bound = claims.binding.is_none_or(|hash| Some(&hash) == expected.certificate);
    assert!(bound, "bound to another certificate");
    // What was read can be said again, and is read the same.
    let again = issue(key, Profile::JwtSvid, claims);
    if matches!(again, Err(TokenError::TooLong)) {
        // Under the key's first name, which is longer.
        return;
    }
    let again = again.map(|token| verify(&token, keys, expected));
    assert_eq!(again.ok(), Some(Ok(claims.clone())), "written other than read");
}
