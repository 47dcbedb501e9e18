//! The key decides the algorithm, never the token.

use aws_lc_rs::hmac;
use data_encoding::BASE64;

use super::*;
use Refusal::{
    AlgorithmMismatch, AlgorithmNone, AlgorithmSymmetric, BadHeader, BadSignature,
    UnsupportedAlgorithm,
};

const NOT_A_TEXT: Refusal = BadHeader { member: "alg" };

/// `alg` as it is written, and what becomes of it in a token by the ES256 key.
const ROWS: &[(&str, Result<(), Refusal>)] = &[
    (r#""ES256""#, Ok(())),
    (r#""\u0045S256""#, Ok(())),
    (r#""none""#, Err(AlgorithmNone)),
    (r#""None""#, Err(AlgorithmNone)),
    (r#""NONE""#, Err(AlgorithmNone)),
    (r#""nOnE""#, Err(AlgorithmNone)),
    (r#""n\u006fne""#, Err(AlgorithmNone)),
    (r#""none ""#, Err(UnsupportedAlgorithm)),
    (r#"" none""#, Err(UnsupportedAlgorithm)),
    (r#""none\u0000""#, Err(UnsupportedAlgorithm)),
    (r#""no\nne""#, Err(UnsupportedAlgorithm)),
    (r#""ｎｏｎｅ""#, Err(UnsupportedAlgorithm)),
    (r#""""#, Err(NOT_A_TEXT)),
    ("null", Err(NOT_A_TEXT)),
    ("true", Err(NOT_A_TEXT)),
    ("0", Err(NOT_A_TEXT)),
    (r#"["ES256"]"#, Err(NOT_A_TEXT)),
    (r#"["none"]"#, Err(NOT_A_TEXT)),
    (r#"{"alg":"ES256"}"#, Err(NOT_A_TEXT)),
    (r#""HS256""#, Err(AlgorithmSymmetric)),
    (r#""hs256""#, Err(AlgorithmSymmetric)),
    (r#""Hs384""#, Err(AlgorithmSymmetric)),
    (r#""HS512""#, Err(AlgorithmSymmetric)),
    (r#""HS256/64""#, Err(AlgorithmSymmetric)),
    (r#""EdDSA""#, Err(AlgorithmMismatch)),
    (r#""es256""#, Err(UnsupportedAlgorithm)),
    (r#""ES256 ""#, Err(UnsupportedAlgorithm)),
    (r#""ES256,none""#, Err(UnsupportedAlgorithm)),
    (r#""ES256K""#, Err(UnsupportedAlgorithm)),
    (r#""ES384""#, Err(UnsupportedAlgorithm)),
    (r#""ES512""#, Err(UnsupportedAlgorithm)),
    (r#""RS256""#, Err(UnsupportedAlgorithm)),
    (r#""PS256""#, Err(UnsupportedAlgorithm)),
    (r#""Ed25519""#, Err(UnsupportedAlgorithm)),
    (r#""Ed448""#, Err(UnsupportedAlgorithm)),
    (r#""ML-DSA-65""#, Err(UnsupportedAlgorithm)),
    (r#""ECDH-ES""#, Err(UnsupportedAlgorithm)),
    (r#""RSA-OAEP""#, Err(UnsupportedAlgorithm)),
    (r#""dir""#, Err(UnsupportedAlgorithm)),
    (r#""é""#, Err(UnsupportedAlgorithm)),
];

#[test]
fn the_token_does_not_choose_the_algorithm() {
    let keys = Keys::new();
    for (alg, outcome) in ROWS {
        let header = head(&keys.es256).with("alg", alg).json();
        let token = sign(&keys.es256, &header, &body().json());
        assert_eq!(keys.verify(&token), *outcome, "{alg}");
        // And without a signature, as one says `none`.
        let unsigned = token.rsplit_once('.').unwrap().0.to_owned() + ".";
        assert_eq!(keys.verify(&unsigned), outcome.and(Err(BadSignature)), "{alg}, unsigned");
    }
    let header = head(&keys.es256).without("alg").json();
    assert_eq!(keys.verify_header(&header), Err(Refusal::MissingHeader { member: "alg" }));
}

#[test]
fn each_key_has_one_algorithm() {
    let keys = Keys::new();
    let rows: [(&SigningKey, &SigningKey, &str, _); 7] = [
        // Signed by, the kid of, alg.
        (&keys.es256, &keys.es256, "ES256", Ok(())),
        (&keys.eddsa, &keys.eddsa, "EdDSA", Ok(())),
        (&keys.es256, &keys.eddsa, "ES256", Err(AlgorithmMismatch)),
        (&keys.eddsa, &keys.es256, "EdDSA", Err(AlgorithmMismatch)),
        (&keys.eddsa, &keys.eddsa, "ES256", Err(AlgorithmMismatch)),
        (&keys.eddsa, &keys.es256, "ES256", Err(BadSignature)),
        (&keys.es256, &keys.eddsa, "EdDSA", Err(BadSignature)),
    ];
    for (by, named, alg, outcome) in rows {
        let header = head(named).with("alg", &quoted(alg)).json();
        let token = sign(by, &header, &body().json());
        assert_eq!(keys.verify(&token), outcome, "{alg} by {by:?} for {named:?}");
    }
}

/// Whoever has the public key could use it as the key of an HMAC, in any of the forms in which it is given out.
#[test]
fn a_public_key_is_no_secret() {
    let keys = Keys::new();
    let public = keys.es256.public();
    let jwk: serde_json::Value = serde_json::from_str(&public.to_jwk()).unwrap();
    let [x, y] = ["x", "y"].map(|name| jwk[name].as_str().unwrap());
    let [x, y] = [x, y].map(|text| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap());
    let point = [&[4][..], &x, &y].concat();
    // RFC 5480: id-ecPublicKey, prime256v1, and a bit string.
    let spki = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0";
    let spki = [&spki[..], &point].concat();
    let text = BASE64.encode(&spki);
    let (first, second) = text.split_at(64);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n");
    let secrets = [
        pem.clone().into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
        spki,
        point,
        x,
        public.to_jwk().into_bytes(),
        keys.set.to_json().into_bytes(),
        public.kid().as_bytes().to_vec(),
        Vec::new(),
    ];
    for secret in secrets {
        let rows = [
            ("HS256", hmac::HMAC_SHA256, AlgorithmSymmetric),
            ("HS512", hmac::HMAC_SHA512, AlgorithmSymmetric),
            // Not even said to be one; the latter has the length of a signature.
            ("ES256", hmac::HMAC_SHA256, BadSignature),
            ("ES256", hmac::HMAC_SHA512, BadSignature),
        ];
        for (alg, algorithm, refusal) in rows {
            let header = head(&keys.es256).with("alg", &quoted(alg)).json();
            let token = sign(&keys.es256, &header, &body().json());
            let signed = token.rsplit_once('.').unwrap().0;
            let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), signed.as_bytes());
            let forged = format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()));
            assert_eq!(keys.verify(&forged), Err(refusal), "{alg} with {} bytes", secret.len());
        }
    }
}
