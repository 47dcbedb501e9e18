//! Requests as they may and may not be.

use data_encoding::BASE64URL_NOPAD;
use sealock_core::json::JsonFault;

use super::*;
use crate::jwk::JwkFault;
use crate::testing::{KID, NONCE, SigningKey, URL, flattened};

mod inner;

fn read(body: &str) -> Result<Request, JwsFault> {
    Request::read(body.as_bytes())
}

fn fault(body: &str) -> JwsFault {
    read(body).unwrap_err()
}

fn text(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

/// The three parts of a JWS as they stand there.
fn parts(jws: &str) -> [String; 3] {
    let mut members = json::read(jws.as_bytes()).unwrap();
    ["protected", "payload", "signature"].map(|name| match members.take(name) {
        Some(json::Value::Text(text)) => text,
        _ => panic!("no {name}"),
    })
}

fn whole([protected, payload, signature]: &[String; 3]) -> String {
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#)
}

#[test]
fn a_request_is_read_and_verified() {
    for key in SigningKey::each() {
        for (header, signer) in [
            (key.by_jwk(), Signer::Jwk(key.jwk.clone())),
            (key.by_kid(), Signer::Kid(KID.to_owned())),
        ] {
            for payload in ["", "{}", r#"{"identifiers":[]}"#, "\u{0}not JSON"] {
                let request = read(&key.jws(&header, payload.as_bytes())).unwrap();
                assert_eq!(request.signer(), &signer);
                assert_eq!((request.nonce(), request.url()), (NONCE, URL));
                assert_eq!(request.algorithm(), key.jwk.algorithm());
                assert_eq!(request.payload(), payload.as_bytes());
                assert_eq!(request.is_post_as_get(), payload.is_empty());
                assert_eq!(request.verify(&key.jwk), Ok(()));
                assert_eq!(request.expect_url(URL), Ok(()));
            }
        }
    }
}

/// RFC 8555 §6.2 wants other members of the header passed over, where they are not of those that change what is done.
#[test]
fn other_header_members_are_passed_over() {
    let key = SigningKey::generate(Algorithm::Es256);
    for more in [r#""typ":"JWT""#, r#""cty":"x""#, r#""x5t":1"#, r#""new":{"a":[null]}"#] {
        let header = key.by_kid().replace("\"alg\"", &format!("{more},\"alg\""));
        let request = read(&key.jws(&header, b"{}")).unwrap();
        assert_eq!(request.verify(&key.jwk), Ok(()), "{more}");
    }
}

#[test]
fn the_form_is_the_flattened_one() {
    use JwsFault::*;
    let key = SigningKey::generate(Algorithm::Es256);
    let good = key.jws(&key.by_kid(), b"{}");
    let [protected, payload, signature] = &parts(&good);
    let more = |more: &str| good.replace("{\"p", &format!("{{{more},\"p"));
    let signed = format!(r#"{{"protected":"{protected}","signature":"{signature}"}}"#);
    let general = format!(r#"{{"payload":"{payload}","signatures":[{signed}]}}"#);
    let rows: Vec<(String, JwsFault)> = vec![
        (String::new(), Json(JsonFault::Syntax)),
        (format!("{protected}.{payload}.{signature}"), Json(JsonFault::Syntax)),
        (format!("[{good}]"), Json(JsonFault::Syntax)),
        (format!("{good}{good}"), Json(JsonFault::Syntax)),
        (more(r#""payload":"""#), Json(JsonFault::Duplicate)),
        (more(r#""header":{}"#), Unprotected),
        (more(r#""header":null"#), Unprotected),
        (more(r#""signatures":[]"#), General),
        (general, General),
        (more(r#""Payload":"""#), UnknownMember),
        (more(r#""x":1"#), UnknownMember),
        ("{}".into(), MissingMember { member: "protected" }),
        (signed, MissingMember { member: "payload" }),
        (good.replace(&format!("\"{payload}\""), "null"), MissingMember { member: "payload" }),
        (good.replace(&format!("\"{signature}\""), "7"), MissingMember { member: "signature" }),
        (good.replace("signature", "Signature"), UnknownMember),
    ];
    for (body, expected) in rows {
        assert_eq!(fault(&body), expected, "{body}");
    }
    let blanks = good.replace(':', " :\n ").replace(',', "\t,");
    assert_eq!(read(&blanks).unwrap().verify(&key.jwk), Ok(()));
}

#[test]
fn a_part_has_one_spelling() {
    let key = SigningKey::generate(Algorithm::EdDsa);
    let good = parts(&key.jws(&key.by_kid(), b"{ }x"));
    for (place, member) in ["protected", "payload", "signature"].into_iter().enumerate() {
        let one = &good[place];
        let last = one.len() - 1;
        for bad in [
            format!("{one}="),
            format!("{one}\\n"),
            format!(" {one}"),
            format!("{}+{}", &one[..4], &one[5..]),
            format!("{}/{}", &one[..4], &one[5..]),
            format!("{}.{}", &one[..4], &one[5..]),
            format!("{}ä", &one[..last]),
            "A".into(),
        ] {
            let mut bent = good.clone();
            bent[place] = bad;
            assert_eq!(fault(&whole(&bent)), JwsFault::BadEncoding { member }, "{bent:?}");
        }
    }
    // 4 bytes of a payload, and 64 of a signature, leave four bits over.
    for (place, member) in [(1, "payload"), (2, "signature")] {
        let mut bent = good.clone();
        let last = bent[place].pop().unwrap();
        bent[place].push(char::from(u8::try_from(last).unwrap() + 1));
        assert_eq!(fault(&whole(&bent)), JwsFault::BadEncoding { member }, "{bent:?}");
    }
}

#[test]
fn the_limit_is_in_bytes() {
    let key = SigningKey::generate(Algorithm::EdDsa);
    let empty = key.jws(&key.by_kid(), b"").len();
    let most = (MAXIMUM_REQUEST - empty) / 4 * 3;
    let request = read(&key.jws(&key.by_kid(), &vec![b'x'; most])).unwrap();
    assert_eq!((request.payload().len(), request.verify(&key.jwk)), (most, Ok(())));
    assert_eq!(fault(&key.jws(&key.by_kid(), &vec![b'x'; most + 3])), JwsFault::TooLong);
    assert_eq!(fault(&" ".repeat(MAXIMUM_REQUEST + 1)), JwsFault::TooLong);
}

#[test]
fn headers_that_are_refused() {
    use JwsFault::*;
    let key = SigningKey::generate(Algorithm::Es256);
    let bad = |member| BadHeader { member };
    let jwk = key.jwk.to_json();
    let (by_kid, by_jwk) = (key.by_kid(), key.by_jwk());
    let more = |more: &str| by_kid.replace("{\"alg", &format!("{{{more},\"alg"));
    let with = |member: &str, old: &str, new: &str| {
        let old = format!("\"{member}\":\"{old}\"");
        assert!(by_kid.contains(&old), "{old}");
        by_kid.replace(&old, &format!("\"{member}\":{new}"))
    };
    let url = |url: String| with("url", URL, &format!("\"{url}\""));
    let kid = |kid: &str| with("kid", KID, &format!("\"{kid}\""));
    let nonce = |nonce: &str| with("nonce", NONCE, &format!("\"{nonce}\""));
    let rows: Vec<(String, JwsFault)> = vec![
        (String::new(), Header(JsonFault::Syntax)),
        ("[]".into(), Header(JsonFault::Syntax)),
        (more(r#""alg":"ES256""#), Header(JsonFault::Duplicate)),
        (more(r#""crit":["b64"]"#), ForbiddenHeader { member: "crit" }),
        (more(r#""crit":[]"#), ForbiddenHeader { member: "crit" }),
        (more(r#""b64":true"#), ForbiddenHeader { member: "b64" }),
        (more(r#""jku":"https://evil.example""#), ForbiddenHeader { member: "jku" }),
        (more(r#""x5u":"https://evil.example""#), ForbiddenHeader { member: "x5u" }),
        (more(r#""x5c":[]"#), ForbiddenHeader { member: "x5c" }),
        ("{}".into(), MissingHeader { member: "alg" }),
        (with("alg", "ES256", "null"), bad("alg")),
        (with("alg", "ES256", "[\"ES256\"]"), bad("alg")),
        (with("alg", "ES256", "\"\""), bad("alg")),
        (by_kid.replace("\"url\"", "\"URL\""), MissingHeader { member: "url" }),
        (url(String::new()), bad("url")),
        (with("url", URL, "1"), bad("url")),
        (url("https://ca.example/a b".into()), bad("url")),
        (url("https://ca.example/\\n".into()), bad("url")),
        (url("https://ca.example/ä".into()), bad("url")),
        (url("x".repeat(MAXIMUM_URL + 1)), bad("url")),
        (by_kid.replace("\"nonce\"", "\"Nonce\""), NoNonce),
        (with("nonce", NONCE, "7"), bad("nonce")),
        (nonce(""), bad("nonce")),
        (nonce("a+b"), bad("nonce")),
        (nonce("YQ=="), bad("nonce")),
        (nonce(&"a".repeat(MAXIMUM_NONCE + 1)), bad("nonce")),
        (by_kid.replace("\"kid\"", "\"KID\""), NoSigner),
        (kid(""), bad("kid")),
        (with("kid", KID, "null"), bad("kid")),
        (kid("https://ca.example/account/\\u0000"), bad("kid")),
        (kid(&"x".repeat(MAXIMUM_URL + 1)), bad("kid")),
        (more(&format!("\"jwk\":{jwk}")), TwoSigners),
        (more("\"jwk\":null"), bad("jwk")),
        (by_jwk.replace(&jwk, "\"\""), bad("jwk")),
        (by_jwk.replace(&jwk, "{}"), Key(JwkFault::Kind)),
        (by_jwk.replace("\"kty\"", "\"d\":\"AA\",\"kty\""), Key(JwkFault::Private)),
        (by_jwk.replace("P-256", "P-384"), Key(JwkFault::Point)),
    ];
    for (header, expected) in rows {
        assert_eq!(fault(&key.jws(&header, b"{}")), expected, "{header}");
    }
}

#[test]
fn algorithms_that_are_not_taken() {
    let key = SigningKey::generate(Algorithm::Es256);
    for alg in [
        "none", "None", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES512", "ES256K",
        "Ed25519", "Ed448", "es256", "ES256 ", "RSA-OAEP",
    ] {
        for header in [key.by_kid(), key.by_jwk()] {
            let header = header.replacen("ES256", alg, 1);
            let good = key.jws(&header, b"{}");
            assert_eq!(fault(&good), JwsFault::BadSignatureAlgorithm, "{alg}");
            let [protected, payload, _] = parts(&good);
            let bare = whole(&[protected, payload, String::new()]);
            assert_eq!(fault(&bare), JwsFault::BadSignatureAlgorithm, "{alg}");
        }
    }
}

/// What an HMAC under the public key would be (the key is no secret).
#[test]
fn the_public_key_is_no_secret_of_a_mac() {
    let key = SigningKey::generate(Algorithm::Rs256);
    for alg in ["HS256", "RS256"] {
        let header = key.by_kid().replace("RS256", alg);
        for secret in [key.jwk.to_json().into_bytes(), key.jwk.to_spki().unwrap()] {
            let body = crate::testing::authenticated(
                aws_lc_rs::hmac::HMAC_SHA256,
                &secret,
                &header,
                b"{}",
            );
            assert!(read(&body).and_then(|request| request.verify(&key.jwk)).is_err(), "{alg}");
        }
    }
}

#[test]
fn the_key_decides_the_algorithm() {
    let keys = SigningKey::each();
    for signing in &keys {
        for named in &keys {
            let same = signing.alg() == named.alg();
            // By an account, under a header that names another algorithm.
            let request = read(&signing.jws(&named.by_kid(), b"{}")).unwrap();
            let expected = if same { Ok(()) } else { Err(JwsFault::AlgorithmMismatch) };
            assert_eq!(request.verify(&signing.jwk), expected);
            let other = if same { Ok(()) } else { Err(JwsFault::BadSignature) };
            assert_eq!(request.verify(&named.jwk), other);
            // With a key in it that is for another one.
            let header = signing.by_jwk().replacen(signing.alg(), named.alg(), 1);
            let request = read(&signing.jws(&header, b"{}")).unwrap();
            assert_eq!(request.verify(&signing.jwk), expected);
        }
    }
}

#[test]
fn no_other_key_and_no_other_bytes_are_verified() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let [key, stranger] = [(); 2].map(|()| SigningKey::generate(algorithm));
        let good = key.jws(&key.by_kid(), b"{\"a\":1}");
        let request = read(&good).unwrap();
        assert_eq!(request.verify(&key.jwk), Ok(()));
        assert_eq!(request.verify(&stranger.jwk), Err(JwsFault::BadSignature));
        // A request that brings the stranger's key and is signed by the account's.
        let request = read(&key.jws(&stranger.by_jwk(), b"{}")).unwrap();
        for any in [&key.jwk, &stranger.jwk] {
            assert_eq!(request.verify(any), Err(JwsFault::BadSignature));
        }
        // The other way round: good under the key that it brings, and under no other.
        let request = read(&stranger.jws(&stranger.by_jwk(), b"{}")).unwrap();
        assert_eq!(request.verify(&stranger.jwk), Ok(()));
        assert_eq!(request.verify(&key.jwk), Err(JwsFault::BadSignature));
        // Parts of another request of the same account.
        let [protected, payload, signature] = parts(&good);
        let other = parts(&key.jws(&key.by_jwk(), b"{\"a\":2}"));
        for mixed in [
            [other[0].clone(), payload.clone(), signature.clone()],
            [protected.clone(), other[1].clone(), signature.clone()],
            [protected.clone(), payload.clone(), other[2].clone()],
            [protected.clone(), String::new(), signature.clone()],
            [protected.clone(), payload.clone(), String::new()],
            [protected.clone(), payload.clone(), text("x")],
        ] {
            let request = read(&whole(&mixed)).unwrap();
            assert_eq!(request.verify(&key.jwk), Err(JwsFault::BadSignature), "{mixed:?}");
        }
    }
}

#[test]
fn it_is_for_one_resource() {
    let key = SigningKey::generate(Algorithm::EdDsa);
    let request = read(&key.jws(&key.by_kid(), b"{}")).unwrap();
    for other in ["", "https://ca.example/acme/new-orde", "HTTPS://ca.example/acme/new-order"] {
        assert_eq!(request.expect_url(other), Err(JwsFault::OtherUrl), "{other}");
    }
}

/// RFC 7515 A.4 is in ES512, which nobody needs; A.5 is not signed. In the flattened form of A.7 the first has an
/// unprotected header.
#[test]
fn examples_of_the_standard_that_are_none_of_ours() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let [a2, a4, a5] = ["eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJFUzUxMiJ9", "eyJhbGciOiJub25lIn0"];
    let row = |protected: &str| whole(&[protected.into(), payload.into(), String::new()]);
    // They are no requests of ACME, which have a URL.
    for protected in [a2, a4, a5] {
        assert_eq!(fault(&row(protected)), JwsFault::MissingHeader { member: "url" });
    }
    let a7 = row("eyJhbGciOiJFUzI1NiJ9")
        .replace("{\"p", "{\"header\":{\"kid\":\"e9bc097a-ce51-4036-9562-d2ade882db0d\"},\"p");
    assert_eq!(fault(&a7), JwsFault::Unprotected);
}

/// Header and payload are signed as they came, and not as we would write them.
#[test]
fn blanks_in_the_header_are_signed_too() {
    let key = SigningKey::generate(Algorithm::Es384);
    let header = key.by_kid().replace(',', " ,\n");
    let good = key.jws(&header, b"{}");
    assert_eq!(read(&good).unwrap().verify(&key.jwk), Ok(()));
    let signature = parts(&good)[2].clone();
    let bent = whole(&[text(&key.by_kid()), text("{}"), signature]);
    assert_eq!(read(&bent).unwrap().verify(&key.jwk), Err(JwsFault::BadSignature));
    let bytes = flattened(b"\xff", b"{}", |message| key.sign(message));
    assert_eq!(fault(&bytes), JwsFault::Header(JsonFault::Syntax));
}
