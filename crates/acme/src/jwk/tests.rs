use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair};
use data_encoding::BASE64;
use sealock_core::ed25519::SMALL_ORDER;

use super::*;
use crate::testing::SigningKey;

/// RFC 7515 A.2.1.
const RFC_RSA: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;

/// RFC 7515 A.3.1, without the private half.
const RFC_P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// RFC 8037 A.2.
const RFC_ED25519: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// The examples of RFC 7515 A.2 and A.3, and of RFC 8037 A.4: key, what is signed, signature.
const SIGNED: [(&str, &str, &str); 3] = [
    (
        RFC_RSA,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        RFC_P256,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    (
        RFC_ED25519,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
];

/// SubjectPublicKeyInfos that OpenSSL wrote, where in them `n` or `x` begins, and how long it is; `y` stands behind `x`.
const OPENSSL: [(&str, &str, usize, usize); 4] = [
    (
        "RSA",
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1llUzZwtlTZIU4Stk4MxwzcK/ANIRqbN33eyeV70LWzdR6zfBxCAqMdQbvXaFfb8Wbwq3I+H1EpW39maCpEl5NvNHhRda8HWAUh57t74WwWIVmF74K1PeFsEcZlArCfmjpGQqaG1CBSgey9FQ8w87qRqVs2JSeyBIbZJWNkI/IgHj0JdESU7xCkJUwo1aNQ1vwvGOmv88b3o7WDPTvRH9l/HiNsRt9z0UZA/LrlxSxX/vOMpedH0tOx80iJ/jak9ns9oct0zvlKE6LasjToRa6JzpVm1+q7HzgjBmqv6k5H6PmNYKvD8DbytGQ57/nn0btT6FUUBVuOu7g77gMGX8wIDAQAB",
        33,
        256,
    ),
    (
        "P-256",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6HpugkthvlmONTEKKzDM8SCIzKgTtdqFkZLosQDjp5Py3bpnpVV4aZb+zHUMmuH12tNlkVHjIQCYSGshnQ+TZA==",
        27,
        32,
    ),
    (
        "P-384",
        "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAENl2QYZVEKBzeAWHKwFnKX0WsBkwyh5+iVZK/yf330i6l9KNtDswX/h2tzb7vglOU/Sz1dTqnjytVpZ4NJRm+WD+bmorMyCE85TsUEbBtMupvyu70JGvaJfoCGD2y9MMS",
        24,
        48,
    ),
    ("Ed25519", "MCowBQYDK2VwAyEAzZ0kbpMrihiq7US4DaGRbFCwNxxc4StOmy0IZs5sFUU=", 12, 32),
];

fn key(json: &str) -> Jwk {
    Jwk::from_json(json.as_bytes()).unwrap()
}

fn fault(json: &str) -> JwkFault {
    Jwk::from_json(json.as_bytes()).unwrap_err()
}

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// An RSA key of these numbers.
fn rsa(n: &[u8], e: &[u8]) -> String {
    format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, text(n), text(e))
}

/// A modulus of so many bits that is odd.
fn modulus(bits: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; bits.div_ceil(8)];
    bytes[0] = 0xff >> ((8 - bits % 8) % 8);
    bytes
}

#[test]
fn examples_of_the_standards_are_verified() {
    for (json, signed, signature) in SIGNED {
        let key = key(json);
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        assert!(key.made(&signature, signed.as_bytes()), "{key:?}");
        assert!(!key.made(&signature, &signed.as_bytes()[1..]), "{key:?}");
        for place in [0, signature.len() / 2, signature.len() - 1] {
            let mut bent = signature.clone();
            bent[place] ^= 1;
            assert!(!key.made(&bent, signed.as_bytes()), "{key:?} {place}");
        }
        let longer = [&signature[..], &[0]].concat();
        for other in [&[][..], &signature[1..], &signature[..signature.len() - 1], &longer] {
            assert!(!key.made(other, signed.as_bytes()), "{key:?} {}", other.len());
        }
        assert!(!key.made(&vec![0; signature.len()], signed.as_bytes()), "{key:?}");
    }
}

/// RFC 7638 §3.1 and RFC 8037 A.3.
#[test]
fn thumbprints_are_those_of_the_standards() {
    let rsa = key(
        r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
    );
    assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(key(RFC_ED25519).thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_key_is_kept_as_its_canonical_text() {
    for signing in SigningKey::each() {
        let key = signing.jwk;
        let json = key.to_json();
        let again = Jwk::from_json(json.as_bytes()).unwrap();
        assert_eq!((again.to_json(), &again), (json.clone(), &key));
        // In a record of the store.
        let kept = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<Jwk>(&kept).unwrap(), key);
        // Other members, blanks and another order make no other key.
        let members = &json[1..json.len() - 1];
        let alg = key.algorithm();
        let other = format!(
            r#" {{ "kid":"x", "use" : "sig", {members}, "alg":"{alg}", "ext":true, "key_ops":["verify"] }} "#
        );
        let other = Jwk::from_json(other.as_bytes()).unwrap();
        assert_eq!((other.thumbprint(), &other), (key.thumbprint(), &key));
        assert!(!format!("{key:?}").contains(r#""x""#));
    }
    assert!(serde_json::from_str::<Jwk>(r#""{\"kty\":\"oct\",\"k\":\"AA\"}""#).is_err());
    let [one, other] = [(); 2].map(|()| SigningKey::generate(Algorithm::Es256).jwk);
    assert_ne!(one, other);
}

#[test]
fn what_is_no_public_key_of_ours_is_refused() {
    use JwkFault::*;
    let x = |member| Number { member };
    let p256 = |more: &str| RFC_P256.replace("\"kty\"", &format!("{more},\"kty\""));
    let good = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let rows: Vec<(String, JwkFault)> = vec![
        (String::new(), Json(JsonFault::Syntax)),
        ("[]".into(), Json(JsonFault::Syntax)),
        (p256(r#""kty":"EC""#), Json(JsonFault::Duplicate)),
        (" ".repeat(8193), TooLong),
        ("{}".into(), Kind),
        (r#"{"kty":1}"#.into(), Kind),
        (r#"{"kty":"ec"}"#.into(), Kind),
        (r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.into(), Kind),
        (r#"{"kty":"oct"}"#.into(), Private),
        (r#"{"kty":"oct","k":"AAAA"}"#.into(), Private),
        (p256(r#""d":"AA""#), Private),
        (p256(r#""d":null"#), Private),
        (RFC_RSA.replace("\"e\"", "\"p\":\"AA\",\"e\""), Private),
        (RFC_RSA.replace("\"e\"", "\"oth\":[],\"e\""), Private),
        (RFC_ED25519.replace("\"x\"", "\"priv\":\"AA\",\"x\""), Private),
        (p256(r#""use":"enc""#), Use),
        (p256(r#""use":1"#), Use),
        (p256(r#""key_ops":["sign","verify"]"#), Use),
        (p256(r#""key_ops":"verify""#), Use),
        (p256(r#""alg":"ES384""#), Algorithm),
        (p256(r#""alg":1"#), Algorithm),
        (RFC_RSA.replace("\"e\"", "\"alg\":\"PS256\",\"e\""), Algorithm),
        (RFC_P256.replace("P-256", "P-521"), Kind),
        (RFC_P256.replace("P-256", "secp256k1"), Kind),
        (RFC_P256.replace(r#""crv":"P-256","#, ""), Kind),
        (RFC_P256.replace("P-256", "P-384"), Point),
        (RFC_ED25519.replace("Ed25519", "X25519"), Kind),
        (RFC_ED25519.replace("Ed25519", "Ed448"), Kind),
        (RFC_P256.replace("\"x\"", "\"X\""), x("x")),
        (RFC_P256.replace("\"y\"", "\"z\""), x("y")),
        (RFC_P256.replace(good, &format!("{good}=")), x("x")),
        (RFC_P256.replace(good, &good.replace('8', "+")), x("x")),
        // The last character of 32 bytes holds two bits that are left over.
        (RFC_P256.replace(good, &good.replace("VEU", "VEV")), x("x")),
        (RFC_P256.replace(good, &good[..42]), x("x")),
        (RFC_P256.replace(good, &good[..40]), Point),
        (RFC_P256.replace(good, &text(&[0; 33])), Point),
        (RFC_P256.replace(good, &text(&[0; 32])), Point),
        (RFC_P256.replace(good, &text(&[7; 32])), Point),
        (RFC_ED25519.replace("11qYAYKx", "11qY"), Point),
        (RFC_RSA.replace("\"n\"", "\"m\""), x("n")),
        (RFC_RSA.replace("AQAB", ""), x("e")),
        (RFC_RSA.replace("AQAB", "AAEAAQ"), x("e")),
        (rsa(&[&[0], &modulus(2048)[..]].concat(), &[1, 0, 1]), x("n")),
        (rsa(&[0; 256], &[1, 0, 1]), x("n")),
        (rsa(&modulus(2047), &[1, 0, 1]), RsaSize),
        (rsa(&modulus(1024), &[1, 0, 1]), RsaSize),
        (rsa(&modulus(8193), &[1, 0, 1]), RsaSize),
        (rsa(&modulus(2048), &[1]), RsaNumbers),
        (rsa(&modulus(2048), &[2]), RsaNumbers),
        (rsa(&modulus(2048), &[1, 0, 0]), RsaNumbers),
        (rsa(&modulus(2048), &[1, 0, 0, 0, 1]), RsaNumbers),
        (rsa(&[&modulus(2040)[..], &[0xfe]].concat(), &[1, 0, 1]), RsaNumbers),
    ];
    for (json, expected) in rows {
        assert_eq!(fault(&json), expected, "{json}");
    }
    for point in SMALL_ORDER {
        let json = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, text(&point));
        assert_eq!(fault(&json), Point, "{point:?}");
    }
    let zeros = text(&[0; 48]);
    let json = format!(r#"{{"kty":"EC","crv":"P-384","x":"{zeros}","y":"{zeros}"}}"#);
    assert_eq!(fault(&json), Point);
}

#[test]
fn the_bounds_of_rsa_are_in_themselves_good() {
    for bits in [2048, 2049, 3072, 4095, 8192] {
        for exponent in [&[3][..], &[1, 0, 1], &[0xff; 4]] {
            let json = rsa(&modulus(bits), exponent);
            assert_eq!(key(&json).algorithm(), Algorithm::Rs256, "{bits} {exponent:?}");
        }
    }
}

#[test]
fn a_certificates_key_is_recognised() {
    let keys = OPENSSL.map(|(kind, spki, start, length)| {
        let spki = BASE64.decode(spki.as_bytes()).unwrap();
        let number = |place: usize| text(&spki[start + place * length..][..length]);
        let json = match kind {
            "RSA" => format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, number(0)),
            "Ed25519" => format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, number(0)),
            _ => {
                format!(r#"{{"kty":"EC","crv":"{kind}","x":"{}","y":"{}"}}"#, number(0), number(1))
            }
        };
        (key(&json), spki)
    });
    for (place, (key, _)) in keys.iter().enumerate() {
        for (other, (_, spki)) in keys.iter().enumerate() {
            assert_eq!(key.same_as_spki(spki), place == other, "{key:?} {other}");
        }
        let own = &keys[place].1;
        let longer = [own, &[0][..]].concat();
        for not in [&[][..], &own[1..], &own[..own.len() - 1], &longer] {
            assert!(!key.same_as_spki(not), "{key:?}");
        }
    }
}

/// A signature of the one curve with its hash is none of the other, and DER is no form of JWS.
#[test]
fn ecdsa_is_r_and_s_side_by_side() {
    use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING as ASN1;
    let pair = EcdsaKeyPair::generate(&ASN1).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = (text(&point[..32]), text(&point[32..]));
    let key = key(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#));
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), b"message").unwrap();
    assert!(!key.made(signature.as_ref(), b"message"));
}
