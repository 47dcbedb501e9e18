//! Each claim has one type and one form, and names us.

use super::*;
use Refusal::{
    BadClaim, BadSubject, ManyAudiences, MissingClaim, WrongAudience, WrongIssuer, WrongLifetime,
};

type Row<'a> = (&'a str, Result<(), Refusal>);

fn check(claim: &str, rows: &[Row<'_>]) {
    let keys = Keys::new();
    for (value, outcome) in rows {
        let claims = body().with(claim, value).json();
        assert_eq!(keys.verify_claims(&claims), *outcome, "{claim}: {value}");
    }
}

const fn bad(claim: &'static str) -> Result<(), Refusal> {
    Err(BadClaim { claim })
}

#[test]
fn claims_that_must_be_there() {
    let keys = Keys::new();
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"] {
        let missing = Err(MissingClaim { claim });
        assert_eq!(keys.verify_claims(&body().without(claim).json()), missing, "{claim}");
        // Of another name is not there, however alike it looks.
        for name in [claim.to_uppercase(), format!("{claim} "), format!(r"{claim}\u0000")] {
            let (_, value) = body().0.into_iter().find(|(name, _)| name == claim).unwrap();
            let claims = body().without(claim).also(&name, &value).json();
            assert_eq!(keys.verify_claims(&claims), missing, "{name}");
        }
    }
    assert_eq!(keys.verify_claims("{}"), Err(MissingClaim { claim: "iss" }));
    assert_eq!(keys.verify_claims(&body().without("client_id").json()), Ok(()));
}

#[test]
fn null_and_other_types_are_no_claims() {
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id"] {
        check(claim, &[("null", bad(claim)), ("true", bad(claim)), ("{}", bad(claim))]);
    }
    for claim in ["iss", "sub", "aud", "jti", "client_id"] {
        check(claim, &[("0", bad(claim)), ("1.5", bad(claim)), (r#""""#, bad(claim))]);
    }
    for claim in ["iss", "sub", "exp", "nbf", "iat", "jti", "client_id"] {
        check(claim, &[("[]", bad(claim)), (r#"["x"]"#, bad(claim)), ("[1700000300]", bad(claim))]);
    }
}

/// A time that one reader passes over and another does not is how tokens live for ever.
#[test]
fn times_are_whole_numbers() {
    let rows = |claim| {
        [
            (r#""1700000300""#, bad(claim)),
            (r#""2099-01-01T00:00:00Z""#, bad(claim)),
            (r#""""#, bad(claim)),
            ("1700000300.0", bad(claim)),
            ("1700000300.5", bad(claim)),
            ("1.7000003e9", bad(claim)),
            ("17000003E2", bad(claim)),
            ("1700000300e0", bad(claim)),
            ("1e300", bad(claim)),
            ("-1", bad(claim)),
            ("-0", bad(claim)),
            ("-1700000300", bad(claim)),
            ("-9223372036854775808", bad(claim)),
            // 2^53 + 1, and the ends of what fits into machine words.
            ("9007199254740993", bad(claim)),
            ("9223372036854775807", bad(claim)),
            ("18446744073709551615", bad(claim)),
            ("18446744073709551616", bad(claim)),
            ("99999999999999999999999999", bad(claim)),
        ]
    };
    for claim in ["exp", "nbf", "iat"] {
        check(claim, &rows(claim));
    }
    let far = Err(WrongLifetime);
    check(
        "exp",
        &[
            ("1700000300", Ok(())),
            ("0", far),
            ("4102444800", far),
            // In milliseconds, and 2^53.
            ("1700000300000", far),
            ("9007199254740992", far),
        ],
    );
}

#[test]
fn the_issuer_is_one_text() {
    let wrong = Err(WrongIssuer);
    check(
        "iss",
        &[
            (r#""https://broker.example""#, Ok(())),
            (r#""https:\/\/broker.example""#, Ok(())),
            (r#""https://broker.example/""#, wrong),
            (r#""https://broker.exampl""#, wrong),
            (r#""https://broker.example.attacker.example""#, wrong),
            (r#""https://broker.example@attacker.example""#, wrong),
            (r#""https://broker.example\u0000""#, wrong),
            (r#""https://broker.example ""#, wrong),
            (r#""HTTPS://broker.example""#, wrong),
            (r#""https://Broker.example""#, wrong),
            (r#""http://broker.example""#, wrong),
            (r#""https://broker.example:443""#, wrong),
            (r#""broker.example""#, wrong),
            (r#""*""#, wrong),
            // Another letter that looks the same: the Cyrillic е.
            (r#""https://brok\u0435r.example""#, wrong),
        ],
    );
}

#[test]
fn the_audience_is_exactly_one() {
    let (wrong, many) = (Err(WrongAudience), Err(ManyAudiences));
    let ours = r#""spiffe://example.org/service/orders""#;
    check(
        "aud",
        &[
            (ours, Ok(())),
            (&format!("[{ours}]"), Ok(())),
            (&format!("[{ours},{ours}]"), many),
            (&format!(r#"[{ours},"spiffe://example.org/service/other"]"#), many),
            (&format!(r#"["x",{ours}]"#), many),
            (&format!("[{ours},null]"), many),
            ("[]", many),
            (&format!("[[{ours}]]"), bad("aud")),
            ("[null]", bad("aud")),
            (r#"[""]"#, bad("aud")),
            (&format!(r#"[{{"aud":{ours}}}]"#), bad("aud")),
            (r#"["spiffe://example.org/service/other"]"#, wrong),
            (r#""spiffe://example.org/service/other""#, wrong),
            (r#""spiffe://example.org/service/orders2""#, wrong),
            (r#""spiffe://example.org/service/order""#, wrong),
            (r#""spiffe://example.org/service/orders/""#, wrong),
            (r#""spiffe://example.org/service/orders\u0000""#, wrong),
            (r#""spiffe://example.org/service/Orders""#, wrong),
            (r#""spiffe://example.org/service/x spiffe://example.org/service/orders""#, wrong),
            (r#""spiffe://example.org/service/orders,x""#, wrong),
            (r#""spiffe://example.org/service/*""#, wrong),
            (r#""spiffe://example.org""#, wrong),
            (r#""*""#, wrong),
            (r#""orders""#, wrong),
        ],
    );
}

/// Who has not set what it expects gets nothing.
#[test]
fn nothing_is_expected_by_default() {
    let keys = Keys::new();
    let token = good(&keys.es256);
    let no_issuer = Expected { issuer: "", ..expected() };
    assert_eq!(verify(&token, &keys.set, &no_issuer), Err(WrongIssuer));
    let no_audience = Expected { audience: "", ..expected() };
    assert_eq!(verify(&token, &keys.set, &no_audience), Err(WrongAudience));
    let no_life = Expected { longest: 0, ..expected() };
    assert_eq!(verify(&token, &keys.set, &no_life), Err(WrongLifetime));
    for claim in ["iss", "aud"] {
        let token =
            sign(&keys.es256, &head(&keys.es256).json(), &body().with(claim, r#""""#).json());
        let nothing = Expected { issuer: "", audience: "", ..expected() };
        assert_eq!(verify(&token, &keys.set, &nothing).map(drop), bad(claim));
    }
}

#[test]
fn the_subject_is_an_identity() {
    let no = Err(BadSubject);
    check(
        "sub",
        &[
            (r#""spiffe://example.org/service/shop""#, Ok(())),
            (r#""spiffe://example.org/human/ada""#, Ok(())),
            (r#""shop""#, no),
            (r#""admin@example.org""#, no),
            (r#""https://example.org/service/shop""#, no),
            (r#""SPIFFE://example.org/service/shop""#, no),
            (r#""spiffe://Example.org/service/shop""#, no),
            (r#""spiffe:///service/shop""#, no),
            (r#""spiffe://example.org""#, no),
            (r#""spiffe://example.org/service/""#, no),
            (r#""spiffe://example.org/service/shop/""#, no),
            (r#""spiffe://example.org/service/../human/ada""#, no),
            (r#""spiffe://example.org/service/%73hop""#, no),
            (r#""spiffe://example.org/service/shop?x""#, no),
            (r#""spiffe://example.org/service/shop\u0000""#, no),
            (r#""spiffe://example.org/service/shop\n""#, no),
            (r#"" spiffe://example.org/service/shop""#, no),
            (r#""spiffe://user@example.org/service/shop""#, no),
            (r#""spiffe://example.org:1/service/shop""#, no),
            (r#""spiffe://example.org/robot/shop""#, no),
        ],
    );
}
