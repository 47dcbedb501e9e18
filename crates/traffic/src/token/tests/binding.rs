//! A token that is bound to a certificate is worth nothing without it (RFC 8705 §3.1).

use super::*;
use Refusal::{CertificateRequired, UnknownConfirmation, WrongCertificate};

const OURS: [u8; 32] = [7; 32];

fn bound(to: &[u8]) -> String {
    format!(r#"{{"x5t#S256":"{}"}}"#, BASE64URL_NOPAD.encode(to))
}

fn verify_with(certificate: Option<&[u8; 32]>, claims: &Written) -> Result<(), Refusal> {
    let keys = Keys::new();
    let token = sign(&keys.es256, &head(&keys.es256).json(), &claims.json());
    verify(&token, &keys.set, &Expected { certificate, ..expected() }).map(drop)
}

#[test]
fn a_bound_token_needs_its_certificate() {
    let mut almost = OURS;
    almost[31] ^= 1;
    let claims = body().also("cnf", &bound(&OURS));
    assert_eq!(verify_with(Some(&OURS), &claims), Ok(()));
    assert_eq!(verify_with(None, &claims), Err(CertificateRequired));
    for other in [[0; 32], [8; 32], almost] {
        assert_eq!(verify_with(Some(&other), &claims), Err(WrongCertificate), "{other:x?}");
    }
    // One that is bound to nobody may come with any, or with none.
    assert_eq!(verify_with(Some(&OURS), &body()), Ok(()));
    assert_eq!(verify_with(None, &body()), Ok(()));
}

/// What is not understood is a binding all the same: the token is not taken as an unbound one.
#[test]
fn no_other_binding_is_passed_over() {
    let text = BASE64URL_NOPAD.encode(&OURS);
    let rows = [
        (bound(&OURS), Ok(())),
        ("null".to_owned(), Err(UnknownConfirmation)),
        ("true".into(), Err(UnknownConfirmation)),
        ("{}".into(), Err(UnknownConfirmation)),
        ("[]".into(), Err(UnknownConfirmation)),
        (quoted(""), Err(UnknownConfirmation)),
        (quoted(&text), Err(UnknownConfirmation)),
        (format!("[{}]", bound(&OURS)), Err(UnknownConfirmation)),
        // Other ways: DPoP, RFC 7800.
        (format!(r#"{{"jkt":"{text}"}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"kid":"{text}"}}"#), Err(UnknownConfirmation)),
        (r#"{"jwk":{"kty":"EC"}}"#.into(), Err(UnknownConfirmation)),
        (format!(r#"{{"x5t#S512":"{text}"}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"X5T#S256":"{text}"}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"x5t":"{text}"}}"#), Err(UnknownConfirmation)),
        // Ours beside another.
        (format!(r#"{{"x5t#S256":"{text}","jkt":"{text}"}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"jkt":null,"x5t#S256":"{text}"}}"#), Err(UnknownConfirmation)),
        // Of another form.
        (r#"{"x5t#S256":null}"#.into(), Err(UnknownConfirmation)),
        (r#"{"x5t#S256":7}"#.into(), Err(UnknownConfirmation)),
        (r#"{"x5t#S256":""}"#.into(), Err(UnknownConfirmation)),
        (format!(r#"{{"x5t#S256":["{text}"]}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"x5t#S256":"{text}="}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"x5t#S256":" {text}"}}"#), Err(UnknownConfirmation)),
        (format!(r#"{{"x5t#S256":"{}"}}"#, "07".repeat(32)), Err(UnknownConfirmation)),
        (bound(&OURS[..31]), Err(UnknownConfirmation)),
        (bound(&[7; 33]), Err(UnknownConfirmation)),
        // The last two bits are left over, and zero.
        (format!(r#"{{"x5t#S256":"{}d"}}"#, &text[..42]), Err(UnknownConfirmation)),
        // Hidden, or twice.
        (r#"{"x5t#S256\u0000":"x"}"#.into(), Err(UnknownConfirmation)),
        (
            format!(r#"{{"x5t#S256":"{text}","x5t#S256":"{text}"}}"#),
            Err(Refusal::Claims(JsonFault::Duplicate)),
        ),
    ];
    assert!(text.ends_with('c'), "the row with bits left over is about {text}");
    for (cnf, outcome) in rows {
        let claims = body().also("cnf", &cnf);
        assert_eq!(verify_with(Some(&OURS), &claims), outcome, "{cnf}");
    }
}

#[test]
fn what_is_bound_is_issued_bound() {
    let keys = Keys::new();
    let bound = Claims { binding: Some(OURS), ..claims() };
    for profile in [Profile::AccessToken, Profile::JwtSvid] {
        let token = issue(&keys.es256, profile, &bound).unwrap();
        assert_eq!(keys.verify(&token), Err(CertificateRequired));
        let with = Expected { certificate: Some(&OURS), ..expected() };
        assert_eq!(verify(&token, &keys.set, &with), Ok(bound.clone()));
        // RFC 7662: who asks about a token of somebody else is told what it is bound to.
        assert_eq!(inspect(&token, &keys.set, &expected()), Ok(bound.clone()));
    }
}
