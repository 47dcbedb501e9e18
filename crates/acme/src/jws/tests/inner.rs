//! What stands inside of a request: changes of keys, and bindings to external accounts.

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use sealock_core::SecretBytes;

use super::*;
use crate::testing::authenticated;

const PAYLOAD: &[u8] = br#"{"account":"https://ca.example/acme/account/1","oldKey":{}}"#;

const EXTERNAL: &str =
    r#"{"alg":"HS256","kid":"team-7","url":"https://ca.example/acme/new-order"}"#;

fn change(jws: &str) -> Result<KeyChange, JwsFault> {
    KeyChange::read(jws.as_bytes(), URL)
}

#[test]
fn a_new_key_signs_that_it_wants_to_be_the_accounts() {
    for key in SigningKey::each() {
        let change = change(&key.jws(&key.inner(), PAYLOAD)).unwrap();
        assert_eq!((change.key(), change.payload()), (&key.jwk, PAYLOAD));
    }
}

#[test]
fn changes_of_keys_that_are_refused() {
    use JwsFault::*;
    let [key, stranger] = [(); 2].map(|()| SigningKey::generate(Algorithm::Es256));
    let good = key.inner();
    let more = |more: &str| good.replace("{\"alg", &format!("{{{more},\"alg"));
    let jwk = format!(",\"jwk\":{}", key.jwk.to_json());
    let rows = [
        (more(&format!("\"nonce\":\"{NONCE}\"")), InnerNonce),
        (more("\"nonce\":\"\""), BadHeader { member: "nonce" }),
        (more(&format!("\"kid\":\"{KID}\"")), InnerKey),
        (good.replace(&jwk, ""), InnerKey),
        (good.replace(&jwk, &format!(",\"kid\":\"{KID}\"")), InnerKey),
        (good.replace("new-order", "key-change"), InnerUrl),
        (good.replace("ES256", "none"), BadSignatureAlgorithm),
        (good.replace("ES256", "HS256"), BadSignatureAlgorithm),
        (good.replace("ES256", "ES384"), AlgorithmMismatch),
        (good.replace("P-256", "P-512"), Key(JwkFault::Kind)),
        (more(r#""crit":["x"]"#), ForbiddenHeader { member: "crit" }),
        (stranger.inner(), BadSignature),
    ];
    for (header, fault) in rows {
        assert_eq!(change(&key.jws(&header, PAYLOAD)).unwrap_err(), fault, "{header}");
    }
    let general = key.jws(&good, PAYLOAD).replace("\"signature\"", "\"signatures\"");
    assert_eq!(change(&general).unwrap_err(), General);
    assert_eq!(change("").unwrap_err(), Json(JsonFault::Syntax));
    // Signed by the old key instead of the new one.
    let by_old = key.jws(&good, PAYLOAD);
    let [protected, payload, _] = parts(&by_old);
    let signature = stranger.sign(format!("{protected}.{payload}").as_bytes());
    let forged = whole(&[protected, payload, BASE64URL_NOPAD.encode(&signature)]);
    assert_eq!(change(&forged).unwrap_err(), BadSignature);
    // An outer request is no inner one, and the other way round.
    assert_eq!(change(&key.jws(&key.by_jwk(), PAYLOAD)).unwrap_err(), InnerNonce);
    assert_eq!(read(&by_old).unwrap_err(), NoNonce);
}

fn binding(jws: &str) -> Result<Binding, JwsFault> {
    Binding::from_members(json::read(jws.as_bytes()).unwrap())
}

#[test]
fn an_account_is_bound_to_an_external_one() {
    let account = SigningKey::generate(Algorithm::Es256).jwk;
    let key = [7; MINIMUM_MAC_KEY];
    for (alg, hash) in [("HS256", HMAC_SHA256), ("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)] {
        let header = EXTERNAL.replace("HS256", alg);
        let jws = authenticated(hash, &key, &header, account.to_json().as_bytes());
        let binding = binding(&jws).unwrap();
        assert_eq!(binding.kid(), "team-7");
        assert_eq!(binding.verify(&SecretBytes::new(key.to_vec()), &account, URL), Ok(()));
    }
}

#[test]
fn bindings_that_are_refused() {
    use JwsFault::*;
    let [account, other] = [(); 2].map(|()| SigningKey::generate(Algorithm::Es256));
    let key = SecretBytes::new(vec![7; 32]);
    let payload = account.jwk.to_json();
    let made = |header: &str, payload: &str| {
        authenticated(HMAC_SHA256, key.expose(), header, payload.as_bytes())
    };
    let outcome = |jws: &str| binding(jws)?.verify(&key, &account.jwk, URL);
    assert_eq!(outcome(&made(EXTERNAL, &payload)), Ok(()));
    let more = |more: &str| EXTERNAL.replace("{\"alg", &format!("{{{more},\"alg"));
    let by_header = [
        (EXTERNAL.replace("HS256", "none"), BindingAlgorithm),
        (EXTERNAL.replace("HS256", "ES256"), BindingAlgorithm),
        (EXTERNAL.replace("HS256", "HS1"), BindingAlgorithm),
        // Another hash than the tag is of.
        (EXTERNAL.replace("HS256", "HS512"), BindingMac),
        (EXTERNAL.replace("\"kid\"", "\"id\""), BindingKid),
        (more(&format!("\"jwk\":{payload}")), BindingKid),
        (more(&format!("\"nonce\":\"{NONCE}\"")), InnerNonce),
        (EXTERNAL.replace("new-order", "new-account"), InnerUrl),
        (more(r#""crit":["x"]"#), ForbiddenHeader { member: "crit" }),
    ];
    for (header, fault) in by_header {
        assert_eq!(outcome(&made(&header, &payload)), Err(fault), "{header}");
    }
    let by_payload = [
        (other.jwk.to_json(), BindingPayload),
        (String::new(), Key(JwkFault::Json(JsonFault::Syntax))),
        ("{}".into(), Key(JwkFault::Kind)),
        (payload.replace("\"kty\"", "\"d\":\"AA\",\"kty\""), Key(JwkFault::Private)),
    ];
    for (payload, fault) in by_payload {
        assert_eq!(outcome(&made(EXTERNAL, &payload)), Err(fault), "{payload}");
    }
    // Under another key, and cut short.
    let forged = authenticated(HMAC_SHA256, &[8; 32], EXTERNAL, payload.as_bytes());
    assert_eq!(outcome(&forged), Err(BindingMac));
    let [protected, bytes, mac] = parts(&made(EXTERNAL, &payload));
    for cut in [&mac[..0], &mac[..4], &mac[..40]] {
        let short = whole(&[protected.clone(), bytes.clone(), cut.to_owned()]);
        assert_eq!(outcome(&short), Err(BindingMac), "{cut}");
    }
    // A signature of the account's own key is no MAC.
    let signed = account.jws(EXTERNAL, payload.as_bytes());
    assert_eq!(outcome(&signed), Err(BindingMac));
    // A key of ours that can be guessed.
    let weak = vec![7; MINIMUM_MAC_KEY - 1];
    let jws = authenticated(HMAC_SHA256, &weak, EXTERNAL, payload.as_bytes());
    let outcome = binding(&jws).unwrap().verify(&SecretBytes::new(weak), &account.jwk, URL);
    assert_eq!(outcome, Err(BindingWeakKey));
}
