//! Texts that have one reading, and those that have none or two.

use super::JsonFault::{Deep, Duplicate, Large, Syntax};
use super::*;

const GOOD: &str = r#"{"name":"value","number":7}"#;

/// [`GOOD`] with one more member at its end.
fn also(name: &str, value: &str) -> String {
    format!(r#"{},"{name}":{value}}}"#, &GOOD[..GOOD.len() - 1])
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn objects(levels: usize) -> String {
    r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels)
}

/// An object with so many members.
fn wide(count: usize) -> String {
    let members: Vec<_> = (0..count).map(|number| format!(r#""x{number}":0"#)).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn a_text_has_one_reading_or_none() {
    let inside = &GOOD[1..GOOD.len() - 1];
    let within = |start: &[u8]| [start, inside.as_bytes(), b"}"].concat();
    let text = |text: &str| text.as_bytes().to_vec();
    let rows: Vec<(&str, Vec<u8>, JsonFault)> = vec![
        ("nothing", Vec::new(), Syntax),
        ("blanks", text("  "), Syntax),
        ("null", text("null"), Syntax),
        ("a number", text("1"), Syntax),
        ("a text", text(r#""x""#), Syntax),
        ("an array", text(&format!("[{GOOD}]")), Syntax),
        ("two objects", text(&format!("{GOOD}{GOOD}")), Syntax),
        ("something after it", text(&format!("{GOOD}x")), Syntax),
        ("a comma after it", text(&format!("{GOOD},")), Syntax),
        ("cut short", text(&GOOD[..GOOD.len() - 1]), Syntax),
        ("a comma too many", text(&format!("{{{inside},}}")), Syntax),
        ("a comma too early", text(&format!("{{,{inside}}}")), Syntax),
        ("single quotes", text(&GOOD.replace('"', "'")), Syntax),
        ("a comment", within(b"{/**/"), Syntax),
        ("a comment line", text(&format!("//\n{GOOD}")), Syntax),
        ("a name without quotes", within(b"{x:1,"), Syntax),
        ("NaN", within(br#"{"x":NaN,"#), Syntax),
        ("Infinity", within(br#"{"x":-Infinity,"#), Syntax),
        ("a plus", within(br#"{"x":+1,"#), Syntax),
        ("a zero in front", within(br#"{"x":01,"#), Syntax),
        ("hexadecimal", within(br#"{"x":0x1,"#), Syntax),
        ("a line end in a text", within(b"{\"x\":\"\n\","), Syntax),
        ("an unknown escape", within(br#"{"x":"\x41","#), Syntax),
        ("half a surrogate pair", within(br#"{"x":"\ud800","#), Syntax),
        ("the other half", within(br#"{"x":"\udc00","#), Syntax),
        ("a byte order mark", text(&format!("\u{feff}{GOOD}")), Syntax),
        ("NUL in front", text(&format!("\0{GOOD}")), Syntax),
        ("NUL behind", text(&format!("{GOOD}\0")), Syntax),
        ("NUL in a text", within(b"{\"x\":\"\0\","), Syntax),
        ("UTF-16", GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect(), Syntax),
        ("not UTF-8", within(b"{\"x\":\"\xff\","), Syntax),
        ("a name not UTF-8", within(b"{\"\xc3\":1,"), Syntax),
        ("an overlong `/`", within(b"{\"\xc0\xaf\":1,"), Syntax),
        ("UTF-8 of a surrogate", within(b"{\"\xed\xa0\x80\":1,"), Syntax),
        ("a number beyond all bounds", text(&also("x", "1e400")), Syntax),
        ("a thousand digits", text(&also("x", &"9".repeat(1000))), Syntax),
        ("a name twice", text(&also("name", r#""value""#)), Duplicate),
        ("a name twice, another value", text(&also("name", "null")), Duplicate),
        ("a name twice, once escaped", text(&also(r"\u006eame", "1")), Duplicate),
        ("twice at another place", text(&also("x", r#"[{"a":1,"b":2,"a":1}]"#)), Duplicate),
        ("nine levels", text(&also("x", &nested(8))), Deep),
        ("nine levels of objects", text(&also("x", &objects(8))), Deep),
        ("a thousand levels", text(&also("x", &nested(1000))), Deep),
        ("a thousand levels, not closed", text(&also("x", &"[".repeat(1000))), Deep),
        ("65 members", text(&wide(65)), Large),
        ("65 members inside", text(&also("x", &wide(65))), Large),
    ];
    for (what, bytes, fault) in rows {
        assert_eq!(read(&bytes), Err(fault), "{what}");
    }
}

#[test]
fn what_is_within_the_limits_is_read() {
    for value in [nested(7), objects(7), wide(64)] {
        assert!(read(also("x", &value).as_bytes()).is_ok(), "{value}");
    }
    assert!(read(wide(64).as_bytes()).is_ok());
    let blanks = format!(" \t\r\n{}\n ", GOOD.replace("\":", "\" :\n"));
    assert_eq!(read(blanks.as_bytes()), read(GOOD.as_bytes()));
}

#[test]
fn values_are_what_was_written() {
    let object = r#"{"a":["\u0041",1,true,null,-1,0.5,9007199254740992,9007199254740993,{}]}"#;
    let mut members = read(object.as_bytes()).unwrap();
    assert_eq!(members.names().collect::<Vec<_>>(), ["a"]);
    let Some(Value::List(list)) = members.take("a") else { panic!("no list") };
    let expected = [
        Value::Text("A".into()),
        Value::Number(1),
        Value::Bool(true),
        Value::Other,
        Value::Other,
        Value::Other,
        Value::Number(MAXIMUM_NUMBER),
        Value::Other,
        Value::Object(read(b"{}").unwrap()),
    ];
    assert_eq!(list, expected);
    assert_eq!((members.take("a"), members.names().next()), (None, None));
}
