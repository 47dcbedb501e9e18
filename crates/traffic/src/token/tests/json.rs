//! JSON with one reading, in header and claims alike.

use super::*;
use JsonFault::{Deep, Duplicate, Large, Syntax};

/// The object `good`, made into something that has no one reading. Which texts have none, the reader's own tests say;
/// here it is seen that this reader reads.
fn rows(good: &Written) -> Vec<(&'static str, Vec<u8>, Option<JsonFault>)> {
    let json = good.json();
    let (first, value) = good.0[0].clone();
    let doubled = |name: &str, value: &str| good.clone().also(name, value).json().into_bytes();
    let escaped = format!(r"\u{:04x}{}", u32::from(first.as_bytes()[0]), &first[1..]);
    let text = |text: String| text.into_bytes();
    vec![
        ("as it is", text(json.clone()), None),
        ("white space", text(format!(" \t\r\n{}\n ", json.replace("\":", "\" :\n"))), None),
        ("nothing", text(String::new()), Some(Syntax)),
        ("two objects", text(format!("{json}{json}")), Some(Syntax)),
        ("cut short", text(json[..json.len() - 1].into()), Some(Syntax)),
        ("a name twice", doubled(&first, &value), Some(Duplicate)),
        ("a name twice, once escaped", doubled(&escaped, &value), Some(Duplicate)),
        ("twice at another place", doubled("x", r#"[{"a":1,"b":2,"a":1}]"#), Some(Duplicate)),
        ("nine levels", doubled("x", &nested(8)), Some(Deep)),
        ("65 members", wide(good, 65), Some(Large)),
        ("65 members inside", doubled("x", &wide_object(65)), Some(Large)),
    ]
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn objects(levels: usize) -> String {
    r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels)
}

/// With members that nobody knows, up to `count`.
fn wide(good: &Written, count: usize) -> Vec<u8> {
    let more = (good.0.len()..count).map(|number| (format!("x{number}"), "0".to_owned()));
    Written(good.0.iter().cloned().chain(more).collect()).json().into_bytes()
}

fn wide_object(count: usize) -> String {
    String::from_utf8(wide(&Written(Vec::new()), count)).unwrap()
}

#[test]
fn claims_have_one_reading() {
    let keys = Keys::new();
    let header = head(&keys.es256).json();
    for (what, json, fault) in rows(&body()) {
        let token = seal(&keys.es256, header.as_bytes(), &json).unwrap();
        let outcome = fault.map_or(Ok(()), |fault| Err(Refusal::Claims(fault)));
        assert_eq!(keys.verify(&token), outcome, "{what}");
    }
}

#[test]
fn a_header_has_one_reading() {
    let keys = Keys::new();
    for (what, json, fault) in rows(&head(&keys.es256)) {
        let token = seal(&keys.es256, &json, body().json().as_bytes()).unwrap();
        let outcome = fault.map_or(Ok(()), |fault| Err(Refusal::Header(fault)));
        assert_eq!(keys.verify(&token), outcome, "{what}");
    }
}

/// Up to the limits claims of others are passed over, whatever they are.
#[test]
fn other_claims_are_passed_over() {
    let keys = Keys::new();
    for value in [
        "null",
        "true",
        "-1",
        "1e300",
        "0.5",
        "[]",
        r#""\u0000""#,
        r#""\ud83d\ude00""#,
        r#"[null,[1],{"exp":0,"aud":"x"}]"#,
    ] {
        let claims = body().also("scope", value).also("EXP", value).also(r"exp\u0000", value);
        assert_eq!(keys.verify_claims(&claims.json()), Ok(()), "{value}");
    }
    for value in [nested(7), objects(7), wide_object(64)] {
        assert_eq!(keys.verify_claims(&body().also("x", &value).json()), Ok(()), "{value}");
    }
    let many = String::from_utf8(wide(&body(), 64)).unwrap();
    assert_eq!(keys.verify_claims(&many), Ok(()));
}
