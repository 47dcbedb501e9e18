//! The header: `alg`, `typ`, `kid`, and nothing that would be followed.

use super::*;
use Refusal::{BadHeader, BadSignature, ForbiddenHeader, MissingHeader, UnknownHeader, UnknownKey};

#[test]
fn kid_is_only_looked_up() {
    let keys = Keys::new();
    let kid = keys.es256.kid();
    let bad = Err(BadHeader { member: "kid" });
    let unknown = Err(UnknownKey);
    let rows = [
        (quoted(kid), Ok(())),
        (quoted(""), bad),
        ("null".to_owned(), bad),
        ("0".to_owned(), bad),
        (format!("[{}]", quoted(kid)), bad),
        (format!(r#"{{"$ne":{}}}"#, quoted(kid)), bad),
        (quoted("other"), unknown),
        (quoted(keys.stranger.kid()), unknown),
        (quoted(&kid[1..]), unknown),
        (quoted(&format!("{kid} ")), unknown),
        (quoted(&format!(r"{kid}\u0000")), unknown),
        (quoted(&format!("./{kid}")), unknown),
        (quoted(&kid.to_ascii_lowercase()), unknown),
        (quoted("../../../../dev/null"), unknown),
        (quoted(r"..\\..\\windows\\win.ini"), unknown),
        (quoted("/proc/sys/kernel/randomize_va_space"), unknown),
        (quoted("file:///dev/null"), unknown),
        (quoted("https://attacker.example/key.json"), unknown),
        (quoted("x' UNION SELECT 'AAAA"), unknown),
        (quoted("key; rm -rf /"), unknown),
        (quoted("$(id)"), unknown),
        (quoted("%s%n"), unknown),
        (quoted(&"k".repeat(129)), unknown),
        (quoted(&"k".repeat(5000)), unknown),
    ];
    for (value, outcome) in rows {
        let header = head(&keys.es256).with("kid", &value).json();
        assert_eq!(keys.verify_header(&header), outcome, "{value}");
    }
    let header = head(&keys.es256).without("kid").json();
    assert_eq!(keys.verify_header(&header), Err(MissingHeader { member: "kid" }));
}

#[test]
fn a_key_that_is_not_known_is_told_from_a_signature_that_is_not_its() {
    let keys = Keys::new();
    let refused = |token: &str| keys.verify(token).unwrap_err();
    assert_eq!(refused(&good(&keys.stranger)), UnknownKey);
    let forged = sign(&keys.stranger, &head(&keys.es256).json(), &body().json());
    assert_eq!(refused(&forged), BadSignature);
}

/// With each of these the token is signed by an attacker's key, and says where to find it; and by the broker's, which
/// never writes them.
#[test]
fn nothing_is_followed() {
    let keys = Keys::new();
    let jwk = keys.stranger.public().to_jwk();
    let rows = [
        ("jku", r#""https://attacker.example/jwks.json""#.to_owned()),
        ("jku", quoted(ISSUER)),
        ("jwk", jwk.clone()),
        ("jwk", "null".to_owned()),
        ("x5u", r#""https://attacker.example/chain.pem""#.to_owned()),
        ("x5c", r#"["MIIB"]"#.to_owned()),
        ("x5c", "[]".to_owned()),
        ("x5t", r#""AAAA""#.to_owned()),
        ("x5t#S256", r#""AAAA""#.to_owned()),
        ("crit", r#"["exp"]"#.to_owned()),
        ("crit", r#"["b64"]"#.to_owned()),
        ("crit", "[]".to_owned()),
        ("crit", "null".to_owned()),
        ("b64", "false".to_owned()),
        ("b64", "true".to_owned()),
        ("zip", r#""DEF""#.to_owned()),
        ("enc", r#""A256GCM""#.to_owned()),
        ("epk", jwk),
        ("cty", r#""JWT""#.to_owned()),
    ];
    for (member, value) in rows {
        for by in [&keys.es256, &keys.stranger] {
            for named in [&keys.es256, &keys.stranger] {
                let header = head(named).also(member, &value).json();
                let token = sign(by, &header, &body().json());
                assert_eq!(keys.verify(&token), Err(ForbiddenHeader { member }), "{value}");
            }
        }
        // Alone it says no less, and escapes do not hide it.
        let alone = format!(r#"{{"{member}":{value}}}"#);
        assert_eq!(keys.verify_header(&alone), Err(ForbiddenHeader { member }), "{value}");
        let (first, rest) = member.split_at(1);
        let escaped = format!(r"\u{:04x}{rest}", u32::from(first.as_bytes()[0]));
        let header = head(&keys.es256).also(&escaped, &value).json();
        assert_eq!(keys.verify_header(&header), Err(ForbiddenHeader { member }), "{escaped}");
    }
}

/// RFC 7797: with `b64: false` the claims stand in the token as they are.
#[test]
fn claims_are_never_read_unencoded() {
    let keys = Keys::new();
    let header = head(&keys.es256).also("b64", "false").also("crit", r#"["b64"]"#).json();
    let claims = body().with("iss", r#""broker""#).with("aud", r#""orders""#).json();
    let claims = claims.replace("spiffe://example.org/service/shop", "shop").replace('.', "");
    let token = sign_parts(&keys.es256, &BASE64URL_NOPAD.encode(header.as_bytes()), &claims);
    assert_eq!(keys.verify(&token), Err(ForbiddenHeader { member: "crit" }));
}

#[test]
fn there_is_nothing_else() {
    let keys = Keys::new();
    for (name, value) in [
        ("CRIT", r#"["exp"]"#),
        ("Alg", r#""none""#),
        ("alg ", r#""none""#),
        (r"alg\u0000", r#""none""#),
        ("iss", r#""https://broker.example""#),
        ("nonce", r#""x""#),
        ("iv", r#""x""#),
        ("tag", r#""x""#),
        ("p2c", "1000000000"),
        ("svt", "[]"),
        ("__proto__", r#"{"alg":"none"}"#),
        ("", "1"),
    ] {
        let header = head(&keys.es256).also(name, value).json();
        assert_eq!(keys.verify_header(&header), Err(UnknownHeader), "{name:?}");
    }
}

#[test]
fn a_token_has_a_type() {
    let keys = Keys::new();
    let bad = Err(BadHeader { member: "typ" });
    let wrong = Err(Refusal::WrongType);
    let rows = [
        (r#""at+jwt""#, Ok(())),
        (r#""AT+JWT""#, Ok(())),
        (r#""application/at+jwt""#, Ok(())),
        (r#""JWT""#, Ok(())),
        (r#""JOSE""#, Ok(())),
        // RFC 8725 §3.11: what else brokers sign is no token to us.
        (r#""dpop+jwt""#, wrong),
        (r#""logout+jwt""#, wrong),
        (r#""secevent+jwt""#, wrong),
        (r#""token-introspection+jwt""#, wrong),
        (r#""JOSE+JSON""#, wrong),
        (r#""application/jwt""#, wrong),
        (r#""at+jwt ""#, wrong),
        (r#""at+jwt;x""#, wrong),
        (r#""application/application/at+jwt""#, wrong),
        (r#""""#, bad),
        ("null", bad),
        (r#"["at+jwt"]"#, bad),
    ];
    for (typ, outcome) in rows {
        let header = head(&keys.es256).with("typ", typ).json();
        assert_eq!(keys.verify_header(&header), outcome, "{typ}");
    }
    let header = head(&keys.es256).without("typ").json();
    assert_eq!(keys.verify_header(&header), Err(MissingHeader { member: "typ" }));
}

/// Only an access token must have an id; nobody can turn one into the other.
#[test]
fn the_type_says_which_claims_there_must_be() {
    let keys = Keys::new();
    let token = |typ: &str, claims: &Written| {
        sign(&keys.es256, &head(&keys.es256).with("typ", typ).json(), &claims.json())
    };
    let unnamed = body().without("jti");
    assert_eq!(keys.verify(&token(r#""JWT""#, &unnamed)), Ok(()));
    let missing = Err(Refusal::MissingClaim { claim: "jti" });
    assert_eq!(keys.verify(&token(r#""at+jwt""#, &unnamed)), missing);
    let (access, svid) = (token(r#""at+jwt""#, &unnamed), token(r#""JWT""#, &unnamed));
    let [header, ..] = parts(&svid);
    let [_, claims, signature] = parts(&access);
    assert_eq!(keys.verify(&format!("{header}.{claims}.{signature}")), Err(BadSignature));
}
