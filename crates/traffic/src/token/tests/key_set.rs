//! Key sets are read as a whole or not at all.

use super::*;
use KeyFault::{Form, Kid, Kind, Point, Private, Use};

/// A good JWK.
fn jwk(algorithm: Algorithm) -> Written {
    let key = SigningKey::generate(algorithm).unwrap();
    let read: serde_json::Value = serde_json::from_str(&key.public().to_jwk()).unwrap();
    Written(
        read.as_object().unwrap().iter().map(|(name, it)| (name.clone(), it.to_string())).collect(),
    )
}

fn set_of(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn read(json: &str) -> Result<usize, KeySetError> {
    KeySet::from_json(json.as_bytes()).map(|set| set.len())
}

/// What becomes of a set with a good key and this one; alone it must be the same.
fn with(jwk: &Written) -> Result<(), KeyFault> {
    let alone = PublicKey::from_jwk(jwk.json().as_bytes()).map(drop);
    let set = read(&set_of(&[self::jwk(Algorithm::EdDsa).json(), jwk.json()]));
    match (alone, set) {
        (Ok(()), Ok(2)) => Ok(()),
        (Err(alone), Err(KeySetError::Key { number: 2, fault })) if alone == fault => Err(fault),
        other => panic!("{other:?}: {}", jwk.json()),
    }
}

#[test]
fn a_key_is_for_signatures_of_its_algorithm() {
    let (ec, okp) = (jwk(Algorithm::Es256), jwk(Algorithm::EdDsa));
    let rows = [
        (ec.clone(), Ok(())),
        (okp.clone(), Ok(())),
        (ec.clone().without("alg"), Ok(())),
        (ec.clone().with("alg", r#""EdDSA""#), Err(KeyFault::Algorithm)),
        (ec.clone().with("alg", r#""ES384""#), Err(KeyFault::Algorithm)),
        (ec.clone().with("alg", r#""HS256""#), Err(KeyFault::Algorithm)),
        (ec.clone().with("alg", r#""none""#), Err(KeyFault::Algorithm)),
        (ec.clone().with("alg", "null"), Err(KeyFault::Algorithm)),
        (okp.clone().with("alg", r#""ES256""#), Err(KeyFault::Algorithm)),
        (okp.clone().with("alg", r#""Ed25519""#), Err(KeyFault::Algorithm)),
        (ec.clone().without("use"), Err(Use)),
        (ec.clone().with("use", r#""enc""#), Err(Use)),
        (ec.clone().with("use", r#""SIG""#), Err(Use)),
        (ec.clone().with("use", r#""""#), Err(Use)),
        (ec.clone().with("use", "null"), Err(Use)),
        (ec.clone().with("use", r#"["sig"]"#), Err(Use)),
        // Beside `use` it must say the same.
        (ec.clone().also("key_ops", r#"["verify"]"#), Ok(())),
        (okp.clone().also("key_ops", r#"["verify"]"#), Ok(())),
        (ec.clone().also("key_ops", r#"["sign"]"#), Err(Use)),
        (ec.clone().also("key_ops", r#"["sign","verify"]"#), Err(Use)),
        (ec.clone().also("key_ops", r#"["verify","encrypt"]"#), Err(Use)),
        (ec.clone().also("key_ops", r#"["verify","verify"]"#), Err(Use)),
        (ec.clone().also("key_ops", r#"["deriveKey"]"#), Err(Use)),
        (ec.clone().also("key_ops", "[]"), Err(Use)),
        (ec.clone().also("key_ops", "null"), Err(Use)),
        (ec.clone().also("key_ops", r#""verify""#), Err(Use)),
        (ec.clone().without("use").also("key_ops", r#"["verify"]"#), Err(Use)),
        // RFC 7517 §4: what has no meaning to us is passed over, and never followed.
        (ec.clone().also("x5u", r#""https://attacker.example""#).also("x5c", "[]"), Ok(())),
        (ec.also("ext", "true").also("iat", "1").also("exp", "0"), Ok(())),
    ];
    for (jwk, outcome) in rows {
        assert_eq!(with(&jwk), outcome, "{}", jwk.json());
    }
}

#[test]
fn there_are_two_kinds_of_keys() {
    let (ec, okp) = (jwk(Algorithm::Es256), jwk(Algorithm::EdDsa));
    let wrong = |jwk: &Written, member: &str, values: &[&str]| {
        for value in values {
            let jwk = jwk.clone().with(member, value);
            assert_eq!(with(&jwk), Err(Kind), "{}", jwk.json());
        }
        assert_eq!(with(&jwk.clone().without(member)), Err(Kind), "without {member}");
    };
    let other = [r#""RSA""#, r#""oct""#, r#""AKP""#, r#""ec""#, r#""""#, "null", r#"["EC"]"#];
    wrong(&ec, "kty", &other);
    wrong(&ec, "kty", &[r#""OKP""#]);
    wrong(&okp, "kty", &other);
    wrong(&okp, "kty", &[r#""EC""#]);
    let curves = [r#""P-384""#, r#""P-521""#, r#""secp256k1""#, r#""X25519""#, r#""Ed448""#];
    wrong(&ec, "crv", &curves);
    wrong(&okp, "crv", &curves);
    wrong(&ec, "crv", &[r#""Ed25519""#, r#""p-256""#, r#""P-256 ""#, r#""""#, "null", "256"]);
    wrong(&okp, "crv", &[r#""P-256""#, r#""ed25519""#, "null"]);
}

#[test]
fn a_private_key_is_never_read() {
    for jwk in [jwk(Algorithm::Es256), jwk(Algorithm::EdDsa)] {
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", r"\u0064"] {
            for value in [r#""AAAA""#, r#""""#, "null", "[]"] {
                assert_eq!(with(&jwk.clone().also(member, value)), Err(Private), "{member}");
            }
        }
        let set = read(&set_of(&[jwk.clone().also("d", "1").json()]));
        let error = set.unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("private key")), "{error}");
    }
    let secret = r#"{"kty":"oct","k":"AAAA","kid":"x","use":"sig","alg":"HS256"}"#;
    assert_eq!(PublicKey::from_jwk(secret.as_bytes()), Err(Private));
}

#[test]
fn a_point_is_on_its_curve() {
    let (ec, okp) = (jwk(Algorithm::Es256), jwk(Algorithm::EdDsa));
    let encoded = |bytes: &[u8]| quoted(&BASE64URL_NOPAD.encode(bytes));
    for (jwk, member) in [(&ec, "x"), (&ec, "y"), (&okp, "x")] {
        let (_, value) = jwk.0.iter().find(|(name, _)| name == member).unwrap();
        let text = value.trim_matches('"');
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        let values = [
            "null".to_owned(),
            "7".into(),
            quoted(""),
            quoted(&format!("{text}=")),
            quoted(&format!(" {text}")),
            quoted(&text[1..]),
            quoted(&"*".repeat(text.len())),
            encoded(&bytes[1..]),
            encoded(&[&bytes[..], &[0]].concat()),
            encoded(&[&[0][..], &bytes].concat()),
            encoded(&[0; 1000]),
            format!("[{value}]"),
        ];
        for value in values {
            assert_eq!(with(&jwk.clone().with(member, &value)), Err(Point), "{member}: {value}");
        }
        assert_eq!(with(&jwk.clone().without(member)), Err(Point), "without {member}");
    }
    // Of the right length, and not on the curve: beside it, at infinity, beyond the field.
    for value in [[0; 32], [1; 32], [0xff; 32]].map(|bytes| encoded(&bytes)) {
        assert_eq!(with(&ec.clone().with("y", &value)), Err(Point), "{value}");
        assert_eq!(with(&ec.clone().with("x", &value).with("y", &value)), Err(Point), "{value}");
    }
    // The same 64 bytes, divided elsewhere.
    let whole: Vec<u8> = ["x", "y"]
        .iter()
        .flat_map(|it| {
            let (_, value) = ec.0.iter().find(|(name, _)| name == it).unwrap();
            BASE64URL_NOPAD.decode(value.trim_matches('"').as_bytes()).unwrap()
        })
        .collect();
    for (place, outcome) in [(32, Ok(())), (31, Err(Point)), (33, Err(Point))] {
        let (x, y) = whole.split_at(place);
        let divided = ec.clone().with("x", &encoded(x)).with("y", &encoded(y));
        assert_eq!(with(&divided), outcome, "x of {place} bytes");
    }
    let swapped = |name: &str| ec.0.iter().find(|(other, _)| other == name).unwrap().1.clone();
    assert_eq!(with(&ec.clone().with("x", &swapped("y")).with("y", &swapped("x"))), Err(Point));
    // Ed25519 has one coordinate; another has no meaning.
    assert_eq!(with(&okp.also("y", &encoded(&[1; 32]))), Ok(()));
}

#[test]
fn a_kid_is_a_short_text() {
    let jwk = jwk(Algorithm::Es256);
    for (kid, outcome) in [
        (r#""a""#.to_owned(), Ok(())),
        (r#""../../dev/null""#.into(), Ok(())),
        (quoted(&"k".repeat(128)), Ok(())),
        (quoted(&"k".repeat(129)), Err(Kid)),
        (quoted(&"é".repeat(65)), Err(Kid)),
        (quoted(""), Err(Kid)),
        (r#""a\nb""#.into(), Err(Kid)),
        (r#""a\u0000""#.into(), Err(Kid)),
        (r#""\u009b""#.into(), Err(Kid)),
        ("null".into(), Err(Kid)),
        ("1".into(), Err(Kid)),
        (r#"["a"]"#.into(), Err(Kid)),
    ] {
        assert_eq!(with(&jwk.clone().with("kid", &kid)), outcome, "{kid}");
    }
    assert_eq!(with(&jwk.without("kid")), Err(Kid));
}

#[test]
fn a_set_has_limits_and_one_form() {
    let one = jwk(Algorithm::EdDsa);
    let many = |count: usize| -> Vec<String> {
        (0..count).map(|kid| one.clone().with("kid", &quoted(&kid.to_string())).json()).collect()
    };
    let json = |fault| Err(KeySetError::Json(fault));
    let key = |number, fault| Err(KeySetError::Key { number, fault });
    let padded = |length: usize| {
        let set = set_of(&many(1));
        let blanks = " ".repeat(length - set.len());
        set + &blanks
    };
    let deep = format!(r#"{{"keys":[],"x":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let wide = format!(
        r#"{{"keys":[],{}}}"#,
        (0..64).map(|it| format!(r#""{it}":0"#)).collect::<Vec<_>>().join(",")
    );
    let rows = [
        (set_of(&[]), Ok(0)),
        (set_of(&many(1)), Ok(1)),
        (set_of(&many(MAXIMUM_KEYS)), Ok(64)),
        (set_of(&many(MAXIMUM_KEYS + 1)), Err(KeySetError::TooMany)),
        (set_of(&vec!["null".to_owned(); MAXIMUM_KEYS + 1]), Err(KeySetError::TooMany)),
        (padded(MAXIMUM_KEY_SET), Ok(1)),
        (padded(MAXIMUM_KEY_SET + 1), Err(KeySetError::TooLong)),
        (set_of(&[one.json(), one.json()]), Err(KeySetError::SameKid { number: 2 })),
        (
            set_of(&[
                one.json(),
                jwk(Algorithm::Es256).json(),
                jwk(Algorithm::Es256)
                    .with("kid", &one.0.iter().find(|(name, _)| name == "kid").unwrap().1)
                    .json(),
            ]),
            Err(KeySetError::SameKid { number: 3 }),
        ),
        (format!(r#"{{"spiffe_sequence":1,{}"#, &set_of(&many(1))[1..]), Ok(1)),
        (String::new(), json(JsonFault::Syntax)),
        ("<html>".into(), json(JsonFault::Syntax)),
        ("[]".into(), json(JsonFault::Syntax)),
        (one.json(), Err(KeySetError::NoKeys)),
        ("{}".into(), Err(KeySetError::NoKeys)),
        (r#"{"keys":null}"#.into(), Err(KeySetError::NoKeys)),
        (r#"{"keys":{}}"#.into(), Err(KeySetError::NoKeys)),
        (r#"{"Keys":[]}"#.into(), Err(KeySetError::NoKeys)),
        (format!(r#"{{"keys":{}}}"#, one.json()), Err(KeySetError::NoKeys)),
        (r#"{"keys":[],"keys":[]}"#.into(), json(JsonFault::Duplicate)),
        (set_of(&[one.clone().also("kid", r#""b""#).json()]), json(JsonFault::Duplicate)),
        (set_of(&[one.clone().also("x5c", r#"{"a":1,"a":1}"#).json()]), json(JsonFault::Duplicate)),
        (set_of(&many(1)) + "x", json(JsonFault::Syntax)),
        (deep, json(JsonFault::Deep)),
        (wide, json(JsonFault::Large)),
        (set_of(&["null".to_owned()]), key(1, Form)),
        (set_of(&[one.json(), quoted("x")]), key(2, Form)),
        (set_of(&[one.json(), format!("[{}]", one.json())]), key(2, Form)),
        (set_of(&[one.json(), "{}".into()]), key(2, Kind)),
    ];
    for (json, outcome) in rows {
        assert_eq!(read(&json), outcome, "{}", json.chars().take(300).collect::<String>());
    }
    assert_eq!(
        KeySet::from_json(b"{\"keys\":[],\"\xff\":1}"),
        Err(KeySetError::Json(JsonFault::Syntax))
    );
}

#[test]
fn one_key_alone_has_limits_too() {
    let one = jwk(Algorithm::Es256).json();
    let padded = |length: usize| one.clone() + &" ".repeat(length - one.len());
    assert!(PublicKey::from_jwk(padded(8192).as_bytes()).is_ok());
    assert_eq!(PublicKey::from_jwk(padded(8193).as_bytes()), Err(Form));
    assert_eq!(PublicKey::from_jwk(b"[]"), Err(Form));
    assert_eq!(PublicKey::from_jwk(b""), Err(Form));
}

#[test]
fn a_set_is_read_as_it_was_written() {
    let keys = Keys::new();
    let json = keys.set.to_json();
    assert_eq!(KeySet::from_json(json.as_bytes()).unwrap(), keys.set);
    assert_eq!(keys.set.get(keys.es256.kid()), Some(&keys.es256.public()));
    assert_eq!(keys.set.get(keys.stranger.kid()), None);
    let kids: Vec<&str> = keys.set.iter().map(PublicKey::kid).collect();
    assert!(kids.is_sorted() && kids.len() == 2);
    assert!(KeySet::default().is_empty() && !keys.set.is_empty());
}
