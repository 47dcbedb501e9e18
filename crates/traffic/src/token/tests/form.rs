//! The outer form: three parts, each the only text for its bytes, and not too long.

use super::*;
use Refusal::{BadSignature, Encrypted, Malformed, TooLong};

const fn bad(part: &'static str) -> Refusal {
    Refusal::BadEncoding { part }
}

#[test]
fn a_token_has_three_parts() {
    let keys = Keys::new();
    let token = good(&keys.es256);
    let [h, c, s] = parts(&token);
    let no_header = Refusal::Header(JsonFault::Syntax);
    let flat = format!(r#"{{"payload":"{c}","protected":"{h}","signature":"{s}"}}"#);
    let general =
        format!(r#"{{"payload":"{c}","signatures":[{{"protected":"{h}","signature":"{s}"}}]}}"#);
    let rows = [
        (format!("{h}.{c}.{s}"), Ok(())),
        (String::new(), Err(Malformed)),
        (".".into(), Err(Malformed)),
        ("..".into(), Err(no_header)),
        ("...".into(), Err(Malformed)),
        ("....".into(), Err(Encrypted)),
        (".....".into(), Err(Malformed)),
        (h.into(), Err(Malformed)),
        (format!("{h}.{c}"), Err(Malformed)),
        (format!("{h}.{s}"), Err(Malformed)),
        (format!("{h}.{c}."), Err(BadSignature)),
        (format!("{h}..{s}"), Err(BadSignature)),
        (format!(".{c}.{s}"), Err(no_header)),
        (format!("{c}.{h}.{s}"), Err(Refusal::UnknownHeader)),
        (format!("{h}.{s}.{c}"), Err(BadSignature)),
        (format!("{h}.{c}.{s}."), Err(Malformed)),
        (format!(".{h}.{c}.{s}"), Err(Malformed)),
        (format!("{h}..{c}.{s}"), Err(Malformed)),
        (format!("{h}.{c}.{s}.{s}"), Err(Malformed)),
        // The compact form of a JWE.
        (format!("{h}.{c}.{s}.{s}.{s}"), Err(Encrypted)),
        (format!("{h}.{c}.{s}.{c}.{s}.{s}"), Err(Malformed)),
        // Two tokens, and SD-JWT.
        (format!("{token},{token}"), Err(Encrypted)),
        (format!("{token}~"), Err(bad("signature"))),
        // RFC 7515 §7.2: the JSON serialisations.
        (flat, Err(Malformed)),
        (general, Err(Malformed)),
    ];
    for (token, outcome) in rows {
        assert_eq!(keys.verify(&token), outcome, "{token}");
    }
}

#[test]
fn nothing_stands_around_or_between() {
    let keys = Keys::new();
    let token = good(&keys.es256);
    let [h, c, s] = parts(&token);
    for odd in [
        " ", "\t", "\n", "\r\n", "\0", "\u{feff}", "\u{200b}", "\"", "=", "+", "/", "%2E", "é",
        "\u{ff0e}",
    ] {
        let rows = [
            (format!("{odd}{token}"), bad("header")),
            (format!("{h}{odd}.{c}.{s}"), bad("header")),
            (format!("{}{odd}{}.{c}.{s}", &h[..8], &h[8..]), bad("header")),
            (format!("{h}.{c}.{odd}{s}"), bad("signature")),
            (format!("{token}{odd}"), bad("signature")),
            // Signed was something else; that comes first.
            (format!("{h}.{odd}{c}.{s}"), BadSignature),
            (format!("{h}.{c}{odd}.{s}"), BadSignature),
            // And if that was signed:
            (sign_parts(&keys.es256, h, &format!("{odd}{c}")), bad("claims")),
            (sign_parts(&keys.es256, h, &format!("{c}{odd}")), bad("claims")),
            (sign_parts(&keys.es256, &format!("{h}{odd}"), c), bad("header")),
        ];
        for (token, refusal) in rows {
            assert_eq!(keys.verify(&token), Err(refusal), "{token:?}");
        }
    }
    for scheme in ["Bearer ", "bearer ", "DPoP "] {
        assert_eq!(keys.verify(&format!("{scheme}{token}")), Err(bad("header")));
    }
}

/// Padding, and bits that are left over behind the last byte: a text that only looks different would not be found on a
/// list of refused ones.
fn other_spellings(part: &str) -> Vec<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = part.split_at(part.len() - 1);
    let left_over = [0, 0, 4, 2][part.len() % 4];
    let value = ALPHABET.iter().position(|byte| *byte == last.as_bytes()[0]).unwrap();
    let bits = (1..1 << left_over).map(|bits| char::from(ALPHABET[value | bits]));
    let mut others: Vec<String> = bits.map(|last| format!("{start}{last}")).collect();
    others.extend((1..4).map(|count| format!("{part}{}", "=".repeat(count))));
    others
}

#[test]
fn each_part_has_one_spelling() {
    let keys = Keys::new();
    let mut tried = 0;
    for (key, blanks) in keys.both().into_iter().flat_map(|key| ["", " ", "  "].map(|it| (key, it)))
    {
        let token = sign(key, &(head(key).json() + blanks), &(body().json() + blanks));
        assert_eq!(keys.verify(&token), Ok(()));
        let [h, c, s] = parts(&token);
        let others = |part| other_spellings(part).into_iter();
        let header = others(h).map(|h| (sign_parts(key, &h, c), "header"));
        let claims = others(c).map(|c| (sign_parts(key, h, &c), "claims"));
        let signature = others(s).map(|s| (format!("{h}.{c}.{s}"), "signature"));
        for (token, part) in header.chain(claims).chain(signature) {
            assert_eq!(keys.verify(&token), Err(bad(part)), "{token}");
            tried += 1;
        }
    }
    // Of each key: 15 + 3 + 0 of three lengths, twice, and 15 of the signature thrice, all with three of padding.
    assert_eq!(tried, 2 * (2 * 18 + 3 * 15 + 9 * 3));
}

/// A token of this length exactly, by blanks in its claims and header.
fn of_length(key: &SigningKey, length: usize) -> String {
    let blanks = |count: usize| " ".repeat(count);
    let short = good(key).len();
    let about = (length - short) / 4 * 3;
    let lengths = (0..3).flat_map(|header| (about - 3..about + 6).map(move |body| (header, body)));
    lengths
        .map(|(before, after)| {
            sign(key, &(head(key).json() + &blanks(before)), &(body().json() + &blanks(after)))
        })
        .find(|token| token.len() == length)
        .unwrap()
}

#[test]
fn a_token_is_not_too_long() {
    let keys = Keys::new();
    assert_eq!(keys.verify(&of_length(&keys.eddsa, MAXIMUM_TOKEN)), Ok(()));
    assert_eq!(keys.verify(&of_length(&keys.eddsa, MAXIMUM_TOKEN + 1)), Err(TooLong));
    for one in ["a", ".", "\0", "{", "é"] {
        assert_eq!(keys.verify(&one.repeat(1 << 20)), Err(TooLong));
    }
    let long = Written(vec![("kid".into(), quoted(&"k".repeat(MAXIMUM_TOKEN)))]);
    assert_eq!(keys.verify_header(&long.json()), Err(TooLong));
}
