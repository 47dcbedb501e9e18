//! JSON with one reading, in header and claims alike.

use super::*;
use JsonFault::{Deep, Duplicate, Large, Syntax};

/// The object `good`, made into something that has no one reading.
fn rows(good: &Written) -> Vec<(&'static str, Vec<u8>, Option<JsonFault>)> {
    let json = good.json();
    let (first, value) = good.0[0].clone();
    let doubled = |name: &str, value: &str| good.clone().also(name, value).json().into_bytes();
    let escaped = format!(r"\u{:04x}{}", u32::from(first.as_bytes()[0]), &first[1..]);
    let inside = &json[1..json.len() - 1];
    let text = |text: String| text.into_bytes();
    let bytes = |start: &[u8]| [start, inside.as_bytes(), b"}"].concat();
    vec![
        ("as it is", text(json.clone()), None),
        ("white space", text(format!(" \t\r\n{}\n ", json.replace("\":", "\" :\n"))), None),
        ("nothing", text(String::new()), Some(Syntax)),
        ("blanks", text("  ".into()), Some(Syntax)),
        ("null", text("null".into()), Some(Syntax)),
        ("a number", text("1".into()), Some(Syntax)),
        ("a text", text(quoted("x")), Some(Syntax)),
        ("an array", text(format!("[{json}]")), Some(Syntax)),
        ("two objects", text(format!("{json}{json}")), Some(Syntax)),
        ("something after it", text(format!("{json}x")), Some(Syntax)),
        ("a comma after it", text(format!("{json},")), Some(Syntax)),
        ("cut short", text(json[..json.len() - 1].into()), Some(Syntax)),
        ("a comma too many", text(format!("{{{inside},}}")), Some(Syntax)),
        ("a comma too early", text(format!("{{,{inside}}}")), Some(Syntax)),
        ("single quotes", text(json.replace('"', "'")), Some(Syntax)),
        ("a comment", text(format!("{{/**/{inside}}}")), Some(Syntax)),
        ("a comment line", text(format!("//\n{json}")), Some(Syntax)),
        ("a name without quotes", text(format!("{{x:1,{inside}}}")), Some(Syntax)),
        ("NaN", text(format!(r#"{{"x":NaN,{inside}}}"#)), Some(Syntax)),
        ("Infinity", text(format!(r#"{{"x":-Infinity,{inside}}}"#)), Some(Syntax)),
        ("a plus", text(format!(r#"{{"x":+1,{inside}}}"#)), Some(Syntax)),
        ("a zero in front", text(format!(r#"{{"x":01,{inside}}}"#)), Some(Syntax)),
        ("hexadecimal", text(format!(r#"{{"x":0x1,{inside}}}"#)), Some(Syntax)),
        ("a line end in a text", text(format!("{{\"x\":\"\n\",{inside}}}")), Some(Syntax)),
        ("an unknown escape", text(format!(r#"{{"x":"\x41",{inside}}}"#)), Some(Syntax)),
        ("half a surrogate pair", text(format!(r#"{{"x":"\ud800",{inside}}}"#)), Some(Syntax)),
        ("the other half", text(format!(r#"{{"x":"\udc00",{inside}}}"#)), Some(Syntax)),
        ("a byte order mark", text(format!("\u{feff}{json}")), Some(Syntax)),
        ("NUL in front", text(format!("\0{json}")), Some(Syntax)),
        ("NUL behind", text(format!("{json}\0")), Some(Syntax)),
        ("NUL in a text", text(format!("{{\"x\":\"\0\",{inside}}}")), Some(Syntax)),
        ("UTF-16", json.encode_utf16().flat_map(u16::to_le_bytes).collect(), Some(Syntax)),
        ("not UTF-8", bytes(b"{\"x\":\"\xff\","), Some(Syntax)),
        ("a name not UTF-8", bytes(b"{\"\xc3\":1,"), Some(Syntax)),
        ("an overlong `/`", bytes(b"{\"\xc0\xaf\":1,"), Some(Syntax)),
        ("UTF-8 of a surrogate", bytes(b"{\"\xed\xa0\x80\":1,"), Some(Syntax)),
        ("a name twice", doubled(&first, &value), Some(Duplicate)),
        ("a name twice, another value", doubled(&first, "null"), Some(Duplicate)),
        ("a name twice, once escaped", doubled(&escaped, &value), Some(Duplicate)),
        ("twice at another place", doubled("x", r#"[{"a":1,"b":2,"a":1}]"#), Some(Duplicate)),
        ("nine levels", doubled("x", &nested(8)), Some(Deep)),
        ("nine levels of objects", doubled("x", &objects(8)), Some(Deep)),
        ("a thousand levels", doubled("x", &nested(1000)), Some(Deep)),
        ("a thousand levels, not closed", doubled("x", &"[".repeat(1000)), Some(Deep)),
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

/// A thousand digits are neither read as another number nor as none.
#[test]
fn numbers_beyond_all_bounds_are_no_json() {
    let keys = Keys::new();
    for number in ["1e400", "-1e400", &"9".repeat(1000), &format!("1e{}", "9".repeat(30))] {
        let claims = body().also("x", number).json();
        assert_eq!(keys.verify_claims(&claims), Err(Refusal::Claims(Syntax)), "{number}");
    }
}
