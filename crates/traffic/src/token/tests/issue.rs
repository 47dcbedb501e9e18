//! What is issued, what is not, and what nobody is told.

use super::*;

#[test]
fn a_token_is_as_the_profiles_say() {
    let keys = Keys::new();
    for (key, alg) in [(&keys.es256, "ES256"), (&keys.eddsa, "EdDSA")] {
        for (profile, typ) in [(Profile::AccessToken, "at+jwt"), (Profile::JwtSvid, "JWT")] {
            let token = issue(key, profile, &claims()).unwrap();
            let [h, c, s] =
                parts(&token).map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap());
            let header: serde_json::Value = serde_json::from_slice(&h).unwrap();
            assert_eq!(header, serde_json::json!({"alg": alg, "typ": typ, "kid": key.kid()}));
            let claims: serde_json::Value = serde_json::from_slice(&c).unwrap();
            assert_eq!(
                claims,
                serde_json::json!({
                    "iss": ISSUER, "sub": "spiffe://example.org/service/shop", "aud": AUDIENCE,
                    "exp": NOW + 300, "nbf": NOW, "iat": NOW, "jti": "token-1", "client_id": "shop",
                })
            );
            assert_eq!(s.len(), 64);
        }
    }
}

/// Texts with quotes and line ends stay one text.
#[test]
fn nothing_gets_out_of_its_claim() {
    let keys = Keys::new();
    for odd in [r#"","sub":"x"#, "\n\0\u{7f}", "é😀", r"\", "{}", "</script>"] {
        let odd = Claims { id: odd.to_owned(), client: Some(odd.to_owned()), ..claims() };
        let token = issue(&keys.es256, Profile::AccessToken, &odd).unwrap();
        assert_eq!(verify(&token, &keys.set, &expected()), Ok(odd));
    }
}

#[test]
fn what_nobody_would_take_is_not_issued() {
    let keys = Keys::new();
    let good = claims();
    let refused = [
        ("iss", Claims { issuer: String::new(), ..good.clone() }),
        ("aud", Claims { audience: String::new(), ..good.clone() }),
        ("jti", Claims { id: String::new(), ..good.clone() }),
        ("client_id", Claims { client: Some(String::new()), ..good.clone() }),
        ("exp", Claims { expires_at: NOW, ..good.clone() }),
        ("exp", Claims { expires_at: 0, ..good.clone() }),
        ("exp", Claims { not_before: NOW + 300, ..good.clone() }),
        ("exp", Claims { expires_at: (1 << 53) + 1, ..good.clone() }),
    ];
    for (name, claims) in refused {
        match issue(&keys.es256, Profile::AccessToken, &claims) {
            Err(TokenError::Claim { claim, .. }) => assert_eq!(claim, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let last = Claims { expires_at: 1 << 53, ..good.clone() };
    assert!(issue(&keys.es256, Profile::AccessToken, &last).is_ok());
    // A JWT-SVID may go without an id, and is read without one.
    let unnamed = Claims { id: String::new(), ..good.clone() };
    let token = issue(&keys.es256, Profile::JwtSvid, &unnamed).unwrap();
    assert_eq!(verify(&token, &keys.set, &expected()), Ok(unnamed));

    let long = Claims { client: Some("x".repeat(MAXIMUM_TOKEN)), ..good };
    let error = issue(&keys.es256, Profile::AccessToken, &long).unwrap_err();
    assert!(matches!(error, TokenError::TooLong), "{error}");
    assert!(error.hint().is_some());
}

/// An introspecting caller learns about any audience's tokens, but not about those of others' brokers or the dead.
#[test]
fn who_inspects_is_told_only_about_living_tokens_of_ours() {
    let keys = Keys::new();
    let inspected = |claims: &Written| {
        let token = sign(&keys.es256, &head(&keys.es256).json(), &claims.json());
        inspect(&token, &keys.set, &Expected { audience: "", ..expected() }).map(drop)
    };
    assert_eq!(inspected(&body()), Ok(()));
    assert_eq!(inspected(&body().with("aud", r#""elsewhere""#)), Ok(()));
    assert_eq!(inspected(&body().with("iss", r#""x""#)), Err(Refusal::WrongIssuer));
    let exp = (NOW - 100).to_string();
    let iat = (NOW - 200).to_string();
    let dead = body().with("iat", &iat).with("nbf", &iat).with("exp", &exp);
    assert_eq!(inspected(&dead), Err(Refusal::Expired));
    let forged = sign(&keys.stranger, &head(&keys.es256).json(), &body().json());
    assert_eq!(inspect(&forged, &keys.set, &expected()), Err(Refusal::BadSignature));
}

/// Refusals go into logs and answers: their texts are ours, whatever the token holds.
#[test]
fn a_refusal_repeats_nothing() {
    let keys = Keys::new();
    let mark = "s3cr3t-mark";
    let texts = [
        head(&keys.es256).with("kid", &quoted(mark)).json(),
        head(&keys.es256).with("alg", &quoted(mark)).json(),
        head(&keys.es256).with("typ", &quoted(mark)).json(),
        head(&keys.es256).also(mark, "1").json(),
        head(&keys.es256).also("jku", &quoted(mark)).json(),
        mark.to_owned(),
    ];
    let bodies = [
        body().with("iss", &quoted(mark)).json(),
        body().with("sub", &quoted(mark)).json(),
        body().with("aud", &quoted(mark)).json(),
        body().with("exp", &quoted(mark)).json(),
        body().also("cnf", &quoted(mark)).json(),
        body().also(mark, "1").also(mark, "2").json(),
        format!("{{{mark}}}"),
    ];
    let headers = texts.iter().map(|header| keys.verify_header(header));
    let refusals: Vec<Refusal> = headers
        .chain(bodies.iter().map(|claims| keys.verify_claims(claims)))
        .chain([keys.verify(mark), keys.verify(&format!("{mark}.{mark}.{mark}"))])
        .map(|outcome| outcome.unwrap_err())
        .collect();
    assert_eq!(refusals.len(), 15);
    for refusal in refusals {
        let shown = format!("{refusal} {refusal:?} {}", refusal.code());
        assert!(!shown.contains(mark) && !shown.contains("s3cr3t"), "{shown}");
    }
}
