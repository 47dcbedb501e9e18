//! Keys: kept and read again, named by what they are, and never shown.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::HEXLOWER;

use super::*;

#[test]
fn a_kept_key_is_the_same_key() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        let kept = key.to_pkcs8().unwrap();
        let again = SigningKey::from_pkcs8(algorithm, &kept).unwrap();
        assert_eq!(again.public(), key.public());
        let set = KeySet::from_iter([key.public()]);
        assert_eq!(verify(&good(&again), &set, &expected()), Ok(claims()));

        let other = [Algorithm::Es256, Algorithm::EdDsa].into_iter().find(|it| *it != algorithm);
        for (algorithm, bytes) in [
            (other.unwrap(), &kept[..]),
            (algorithm, &kept[..kept.len() - 1]),
            (algorithm, b""),
            (algorithm, b"-----BEGIN PRIVATE KEY-----\n"),
        ] {
            let error = SigningKey::from_pkcs8(algorithm, bytes).unwrap_err();
            assert!(matches!(error, TokenError::Import { .. }), "{error}");
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn two_keys_are_not_the_same() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let [one, other] = [(); 2].map(|()| SigningKey::generate(algorithm).unwrap());
        assert_ne!(one.kid(), other.kid());
        assert_ne!(one.public(), other.public());
    }
}

/// RFC 7638: the name is a hash of the key, so that two keys cannot have one by accident. RFC 8037 A.3 has an example.
#[test]
fn a_key_is_named_by_its_thumbprint() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        assert_eq!(BASE64URL_NOPAD.decode(key.kid().as_bytes()).unwrap().len(), 32);
    }
    // RFC 8410 §10.3 as a PKCS#8 of RFC 8037 A.1's private key.
    let d = BASE64URL_NOPAD.decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let start = b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &[&start[..], &d].concat()).unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert!(key.public().to_jwk().contains("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
}

/// RFC 7517 §4.3, and no more than was said: only the public half, and for signatures.
#[test]
fn what_is_given_out_is_public() {
    for (algorithm, members) in
        [(Algorithm::Es256, "alg crv kid kty use x y"), (Algorithm::EdDsa, "alg crv kid kty use x")]
    {
        let key = SigningKey::generate(algorithm).unwrap();
        let jwk = key.public().to_jwk();
        let read: serde_json::Value = serde_json::from_str(&jwk).unwrap();
        let mut names: Vec<&str> = read.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), members);
        assert_eq!(read["use"], "sig");
        assert_eq!(PublicKey::from_jwk(jwk.as_bytes()).unwrap(), key.public());

        // Where the private bytes are: RFC 8410 §7, RFC 5915 §3 (version 1, then an octet string).
        let kept = key.to_pkcs8().unwrap();
        let before: &[u8] = match algorithm {
            Algorithm::Es256 => &[2, 1, 1, 4, 32],
            Algorithm::EdDsa => &[4, 34, 4, 32],
        };
        let place = kept.windows(before.len()).position(|window| window == before).unwrap();
        let secret = &kept[place + before.len()..][..32];
        let shown = format!("{key:?} {key:#?} {:?} {jwk}", key.public());
        for form in [BASE64URL_NOPAD.encode(secret), format!("{secret:?}"), HEXLOWER.encode(secret)]
        {
            assert!(!shown.contains(&form), "{shown}");
        }
        assert!(shown.contains(key.kid()), "{shown}");
    }
}

/// A zeroed buffer that was published as a key, and its like: whoever knows that needs no private key.
#[test]
fn a_key_of_small_order_is_none() {
    let neutral_and_zero = [&[1][..], &[0; 63]].concat();
    let mut forgeable = 0;
    for weak in sealock_core::ed25519::SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut weak = weak;
            weak[31] |= sign;
            // What the library itself says to a signature that was made without any key.
            let fits = |text: u8| {
                let public = UnparsedPublicKey::new(&ED25519, &weak);
                public.verify(&[text], &neutral_and_zero).is_ok()
            };
            forgeable += usize::from((0..=255).any(fits));
            let x = BASE64URL_NOPAD.encode(&weak);
            let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"w","x":"{x}"}}"#);
            assert_eq!(PublicKey::from_jwk(jwk.as_bytes()), Err(KeyFault::Point), "{x}");
        }
    }
    // As many as there are: all of them are on the list.
    assert_eq!(forgeable, 8);
}
