//! What clients sign to say who they are.

use super::*;
use Refusal as R;

const ENDPOINT: &str = "https://broker.example/oauth/token";

fn expected_assertion() -> AssertionExpected<'static> {
    AssertionExpected { audiences: &[ISSUER, ENDPOINT], now: NOW, skew: SKEW, longest: 300 }
}

fn header_of(key: &SigningKey) -> Written {
    Written(Vec::new()).also("alg", &quoted(key.algorithm().name()))
}

fn good_claims() -> Written {
    Written(Vec::new())
        .also("iss", r#""shop""#)
        .also("sub", r#""shop""#)
        .also("aud", &quoted(ENDPOINT))
        .also("exp", &(NOW + 60).to_string())
        .also("jti", r#""once""#)
}

fn taken(keys: &KeySet, text: &str) -> Result<UsedAssertion, Refusal> {
    let read = ClientAssertion::read(text)?;
    assert_eq!(read.client(), "shop");
    read.verify(keys, &expected_assertion())
}

#[test]
fn a_client_is_who_it_signs_to_be() {
    let keys = Keys::new();
    let used = UsedAssertion { id: "once".into(), expires_at: NOW + 60 };
    for key in keys.both() {
        let bare = header_of(key);
        for header in [
            bare.clone(),
            bare.clone().also("typ", r#""JWT""#),
            bare.clone().also("typ", r#""client-authentication+jwt""#),
            bare.clone().also("kid", &quoted(key.kid())),
        ] {
            let text = sign(key, &header.json(), &good_claims().json());
            assert_eq!(taken(&keys.set, &text), Ok(used.clone()), "{}", header.json());
        }
        for aud in [quoted(ISSUER), format!(r#"["{ISSUER}"]"#)] {
            let claims = good_claims().with("aud", &aud);
            assert!(taken(&keys.set, &sign(key, &bare.json(), &claims.json())).is_ok(), "{aud}");
        }
    }
}

#[test]
fn an_assertion_with_a_second_reading_or_another_key_is_refused() {
    let keys = Keys::new();
    let key = &keys.es256;
    let bare = header_of(key);
    let claims = good_claims();
    let headers: &[(Written, Refusal)] = &[
        (bare.clone().with("alg", r#""none""#), R::AlgorithmNone),
        (bare.clone().with("alg", r#""HS256""#), R::AlgorithmSymmetric),
        (bare.clone().with("alg", r#""RS256""#), R::UnsupportedAlgorithm),
        (bare.clone().with("alg", r#""EdDSA""#), R::BadSignature),
        (bare.clone().also("typ", r#""at+jwt""#), R::WrongType),
        (bare.clone().also("typ", "7"), R::BadHeader { member: "typ" }),
        (bare.clone().also("kid", r#""other""#), R::UnknownKey),
        (bare.clone().also("kid", &quoted(keys.eddsa.kid())), R::BadSignature),
        (bare.clone().also("jwk", "{}"), R::ForbiddenHeader { member: "jwk" }),
        (bare.clone().also("jku", r#""https://x""#), R::ForbiddenHeader { member: "jku" }),
        (bare.clone().also("x5c", "[]"), R::ForbiddenHeader { member: "x5c" }),
        (bare.clone().also("alg", r#""ES256""#), R::Header(JsonFault::Duplicate)),
        (bare.clone().also("other", "1"), R::UnknownHeader),
    ];
    for (header, refusal) in headers {
        let text = sign(key, &header.json(), &claims.json());
        assert_eq!(taken(&keys.set, &text).err(), Some(*refusal), "{}", header.json());
    }
    let stranger = sign(&keys.stranger, &bare.json(), &claims.json());
    assert_eq!(taken(&keys.set, &stranger).err(), Some(R::BadSignature));
    let none = taken(&KeySet::default(), &sign(key, &bare.json(), &claims.json()));
    assert_eq!(none.err(), Some(R::BadSignature));
}

#[test]
fn each_claim_of_an_assertion_is_what_it_must_be() {
    let keys = Keys::new();
    let key = &keys.es256;
    let missing = |claim| R::MissingClaim { claim };
    let bad = |claim| R::BadClaim { claim };
    let c = good_claims;
    let at = |second: u64| second.to_string();
    let rows: Vec<(Written, Refusal)> = vec![
        (c().without("iss"), missing("iss")),
        (c().without("sub"), missing("sub")),
        (c().without("aud"), missing("aud")),
        (c().without("exp"), missing("exp")),
        (c().without("jti"), missing("jti")),
        (c().with("jti", r#""""#), bad("jti")),
        (c().with("jti", "7"), bad("jti")),
        (c().with("jti", &quoted(&"x".repeat(257))), bad("jti")),
        (c().with("sub", r#""bank""#), R::NotItsOwn),
        (c().with("aud", r#""https://other""#), R::WrongAudience),
        (c().with("aud", r#""https://broker.example/""#), R::WrongAudience),
        (c().with("aud", r#""https://broker.example/oauth/revoke""#), R::WrongAudience),
        (c().with("aud", &format!(r#"["{ISSUER}","https://other"]"#)), R::ManyAudiences),
        (c().with("aud", "[]"), R::ManyAudiences),
        (c().with("exp", r#""1800000000""#), bad("exp")),
        (c().with("exp", "1700000060.0"), bad("exp")),
        (c().with("exp", &at(NOW - SKEW)), R::Expired),
        (c().with("exp", &at(NOW + 300 + SKEW + 1)), R::WrongLifetime),
        (c().also("iat", &at(NOW + SKEW + 1)), R::IssuedInFuture),
        (c().also("iat", r#""x""#), bad("iat")),
        (c().also("nbf", &at(NOW + SKEW + 1)), R::NotYetValid),
        (c().also("iat", &at(NOW)).with("exp", &at(NOW)), R::WrongLifetime),
        (c().also("iss", r#""shop""#), R::Claims(JsonFault::Duplicate)),
    ];
    for (claims, refusal) in rows {
        let text = sign(key, &header_of(key).json(), &claims.json());
        assert_eq!(taken(&keys.set, &text).err(), Some(refusal), "{}", claims.json());
    }
    let edge = c().with("exp", &at(NOW + 300 + SKEW)).also("iat", &at(NOW + SKEW)).also("nbf", "1");
    assert!(taken(&keys.set, &sign(key, &header_of(key).json(), &edge.json())).is_ok());
    // A token of ours is no assertion, whoever has signed it.
    assert_eq!(ClientAssertion::read(&good(key)).err(), Some(R::WrongType));
}

#[test]
fn a_clients_keys_are_read_as_clients_write_them() {
    let keys = Keys::new();
    for key in keys.both() {
        let jwk = key.public().to_jwk();
        let bare =
            jwk.replace(r#","use":"sig""#, "").replace(&format!(r#","kid":"{}""#, key.kid()), "");
        assert!(!bare.contains("use") && !bare.contains("kid"), "{bare}");
        for text in [jwk.clone(), bare.clone(), format!(r#"{{"keys":[{bare}]}}"#)] {
            let read = KeySet::of_client(text.as_bytes()).unwrap();
            assert_eq!(read.get(key.kid()), Some(&key.public()), "{text}");
        }
        // The broker's own set is read as strictly as ever.
        assert!(KeySet::from_json(format!(r#"{{"keys":[{bare}]}}"#).as_bytes()).is_err());
        let private = bare.replace(r#""kty""#, r#""d":"AAAA","kty""#);
        let refused = KeySet::of_client(private.as_bytes());
        assert_eq!(refused.err(), Some(KeySetError::Key { number: 1, fault: KeyFault::Private }));
        let other = bare.replace('{', r#"{"use":"enc","#);
        let refused = KeySet::of_client(other.as_bytes());
        assert_eq!(refused.err(), Some(KeySetError::Key { number: 1, fault: KeyFault::Use }));
    }
}

#[test]
fn a_clients_keys_are_read_from_pem() {
    // As `openssl pkey -pubout` writes them.
    let p256 = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
        6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
        -----END PUBLIC KEY-----\n";
    let ed25519 = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
        -----END PUBLIC KEY-----\n";
    let both = KeySet::of_client(format!("{p256}{ed25519}").as_bytes()).unwrap();
    let kinds: Vec<_> = both.iter().map(PublicKey::algorithm).collect();
    assert_eq!((both.len(), kinds.contains(&Algorithm::EdDsa)), (2, true));
    // The key of RFC 8037, appendix A.2, whose thumbprint is in A.3.
    assert!(both.get("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k").is_some());
    let fault = |text: &str| match KeySet::of_client(text.as_bytes()) {
        Err(KeySetError::Key { fault, .. }) => Some(fault),
        _ => None,
    };
    let private = ed25519.replace("PUBLIC", "PRIVATE");
    assert_eq!(fault(&private), Some(KeyFault::Private));
    assert_eq!(fault(&p256.replace("PUBLIC KEY", "CERTIFICATE")), Some(KeyFault::Form));
    assert_eq!(fault(&p256.replace("MFkw", "MFow")), Some(KeyFault::Kind));
    assert_eq!(fault(&ed25519.replace("11qY", "!!!!")), Some(KeyFault::Form));
    // Not on the curve, and the point that fits everybody's signatures.
    assert_eq!(fault(&p256.replace("D54W", "D54X")), Some(KeyFault::Point));
    let zero = format!("MCowBQYDK2VwAyEA{}=", "A".repeat(43));
    let zero = format!("-----BEGIN PUBLIC KEY-----\n{zero}\n-----END PUBLIC KEY-----\n");
    assert_eq!(fault(&zero), Some(KeyFault::Point));
    let twice = KeySet::of_client(format!("{p256}{p256}").as_bytes());
    assert_eq!(twice.err(), Some(KeySetError::SameKid { number: 2 }));
    for none in ["-----BEGIN NOTHING-----\n-----END NOTHING-----\n", "", "{}", "[]", "null"] {
        assert!(KeySet::of_client(none.as_bytes()).is_err(), "{none}");
    }
}
