//! PyJWT verifies our tokens by our key set, and we verify what it signs in our shape.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use sealock_testkit::clients::skip_without;
use sealock_traffic::token::{
    Algorithm, Claims, Expected, KeySet, Profile, Refusal, SKEW, SigningKey, issue, verify,
};
use serde_json::{Value, json};

const PYTHON: &str = "python-with-jwt";
const ISSUER: &str = "https://broker.example";
const AUDIENCE: &str = "spiffe://example.org/service/orders";
const CERTIFICATE: [u8; 32] = [7; 32];

/// What the peer answers.
fn ask(question: &Value) -> Value {
    let mut command = Command::new(PYTHON);
    command.args(["-c", include_str!("interop/peer.py")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The peer looks at the real clock.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims(now: u64) -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: "spiffe://example.org/service/shop".parse().unwrap(),
        audience: AUDIENCE.to_owned(),
        issued_at: now,
        not_before: now,
        expires_at: now + 300,
        id: "token-1".to_owned(),
        client: Some("shop".to_owned()),
        binding: Some(CERTIFICATE),
    }
}

/// The same as JSON.
fn written(now: u64) -> Value {
    json!({
        "iss": ISSUER, "sub": "spiffe://example.org/service/shop", "aud": AUDIENCE,
        "exp": now + 300, "nbf": now, "iat": now, "jti": "token-1", "client_id": "shop",
        "cnf": {"x5t#S256": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"},
    })
}

const KINDS: [(Algorithm, Profile, &str); 4] = [
    (Algorithm::Es256, Profile::AccessToken, "at+jwt"),
    (Algorithm::Es256, Profile::JwtSvid, "JWT"),
    (Algorithm::EdDsa, Profile::AccessToken, "at+jwt"),
    (Algorithm::EdDsa, Profile::JwtSvid, "JWT"),
];

#[test]
fn pyjwt_verifies_our_tokens() {
    if skip_without(&[PYTHON]) {
        return;
    }
    for (algorithm, profile, typ) in KINDS {
        // The peer must find the one among others.
        let [key, newer] = [(); 2].map(|()| SigningKey::generate(algorithm).unwrap());
        let keys = KeySet::from_iter([key.public(), newer.public()]).to_json();
        let now = now();
        let token = issue(&key, profile, &claims(now)).unwrap();
        let asked = |token: &str, audience: &str| {
            ask(&json!({
                "do": "verify", "keys": keys, "token": token, "issuer": ISSUER,
                "audience": audience,
            }))
        };
        let header = json!({"alg": algorithm.name(), "typ": typ, "kid": key.kid()});
        let answer = asked(&token, AUDIENCE);
        assert_eq!(answer, json!({"header": header, "claims": written(now)}));

        // It does look at what it says yes to.
        assert_eq!(asked(&token, "spiffe://x/y/z")["refused"], "InvalidAudienceError");
        let other = issue(&key, profile, &Claims { id: "token-2".to_owned(), ..claims(now) });
        let swapped = format!(
            "{}.{}",
            other.unwrap().rsplit_once('.').unwrap().0,
            token.rsplit_once('.').unwrap().1
        );
        assert_eq!(asked(&swapped, AUDIENCE)["refused"], "InvalidSignatureError");
    }
}

#[test]
fn we_verify_what_pyjwt_signs() {
    if skip_without(&[PYTHON]) {
        return;
    }
    for (algorithm, _, typ) in KINDS {
        let now = now();
        let signed = |claims: Value| {
            let question = json!({
                "do": "sign", "alg": algorithm.name(), "typ": typ, "claims": claims,
            });
            let answer = ask(&question);
            let keys = KeySet::from_json(answer["keys"].as_str().unwrap().as_bytes()).unwrap();
            let expected = Expected {
                issuer: ISSUER,
                audience: AUDIENCE,
                now,
                skew: SKEW,
                longest: 300,
                certificate: Some(&CERTIFICATE),
            };
            verify(answer["token"].as_str().unwrap(), &keys, &expected)
        };
        assert_eq!(signed(written(now)), Ok(claims(now)));
        let mut other = written(now);
        other["aud"] = json!([AUDIENCE, "spiffe://example.org/service/other"]);
        assert_eq!(signed(other), Err(Refusal::ManyAudiences));
        let mut long = written(now);
        long["exp"] = json!(now + 301);
        assert_eq!(signed(long), Err(Refusal::WrongLifetime));
    }
}
