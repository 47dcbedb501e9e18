//! The strict reader by itself.

use super::super::json::{DEPTH, Value, read};
use super::{CREATE, refused};

fn code(bytes: &[u8]) -> &'static str {
    read(bytes, 1 << 16).map_or_else(|error| error.code(), |_| "taken")
}

#[test]
fn what_is_no_single_json_value_is_refused() {
    for bytes in [
        &b""[..],
        b"{",
        b"{\"a\":1,}",
        b"{\"a\":1}\0",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"{\"\xc0\xaf\":1}",
        br#"{"a":"\ud800"}"#,
        br#"{"\udfff":1}"#,
        b"{\"a\":\"\n\"}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
        b"{\"a\":1} {\"a\":1}",
        b"/* */ {}",
    ] {
        assert_eq!(code(bytes), "body-malformed", "{bytes:?}");
    }
}

#[test]
fn limits_hold() {
    let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
    assert_eq!(code(&deep(DEPTH)), "taken");
    assert_eq!(code(&deep(DEPTH + 1)), "body-too-deep");
    assert_eq!(code(&vec![b'['; 60_000]), "body-too-deep");
    let error = read(b"[1,2,3]", 6).unwrap_err();
    assert_eq!((error.code(), error.status()), ("body-too-large", 413));
    assert!(read(b"[1,2,3]", 7).is_ok());
}

#[test]
fn numbers_are_those_that_go_and_we_read_alike() {
    for number in ["0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615"]
    {
        let value = read(number.as_bytes(), 99).unwrap();
        assert_eq!(value.emit(), number);
        assert!(matches!(value, Value::Number(_)));
    }
    for fraction in ["0.25", "1.0", "1e3", "-0"] {
        let value = read(fraction.as_bytes(), 99).unwrap();
        assert!(matches!(value, Value::Fraction(_)), "{fraction}");
        assert_eq!(read(value.emit().as_bytes(), 99).unwrap(), value);
    }
    for number in ["18446744073709551616", "-9223372036854775809", "1e300"] {
        assert_eq!(code(number.as_bytes()), "body-number", "{number}");
    }
}

#[test]
fn keys_that_go_takes_for_one_are_refused() {
    for (body, expected) in [
        (r#"{"a":1,"a":1}"#, "body-duplicate-field"),
        (r#"{"a":1,"\u0061":1}"#, "body-duplicate-field"),
        (r#"{"x":[{"a":1,"A":1}]}"#, "body-fields-collide"),
        (r#"{"s":1,"ſ":1}"#, "body-fields-collide"),
        ("{\"K\":1,\"\u{212a}\":1}", "body-fields-collide"),
        (r#"{"a":1,"b":{"a":1}}"#, "taken"),
        (r#"{"ä":1,"Ä":1}"#, "taken"),
    ] {
        assert_eq!(code(body.as_bytes()), expected, "{body}");
    }
    assert_eq!(code(br#"{"a":"\u0000"}"#), "body-nul");
    assert_eq!(code(br#"{"a\u0000":1}"#), "body-nul");
}

#[test]
fn what_is_emitted_is_compact_and_in_order() {
    let text = "{ \"z\" : [ 1 , true,null ] ,\"a\":\"\\u00e9\\\"\\\\\\n\\u0001\\/\\u2028\" }";
    let value = read(text.as_bytes(), 999).unwrap();
    assert_eq!(value.emit(), "{\"z\":[1,true,null],\"a\":\"é\\\"\\\\\\n\\u0001/\u{2028}\"}");
}

#[test]
fn no_value_is_shown() {
    let secret = "hunter2";
    let bodies = [
        format!(r#"{{"Env":["PASSWORD={secret}"],"HostConfig":{{"Privileged":"{secret}"}}}}"#),
        format!(r#"{{"Env":"{secret}"}}"#),
        format!(r#"{{"Env":["A={secret}",1]}}"#),
        format!(r#"{{"Env":["A={secret}"],"Env":[]}}"#),
        format!(r#"{{"Env":["A={secret}"#),
        format!(r#"{{"Env":["A={secret}"]}} x"#),
        format!(r#"{{"HostConfig":{{"Binds":["/{secret}/..:/x"]}}}}"#),
    ];
    for body in bodies {
        let error = refused(CREATE, &body);
        assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
    }
    let body =
        format!(r#"{{"Env":["A={secret}"],"Cmd":["{secret}"],"Labels":{{"a":"{secret}"}}}}"#);
    let asked = super::asked(CREATE, &body);
    assert!(!format!("{asked:?}").contains(secret));
    assert!(String::from_utf8(asked.body()).unwrap().contains(secret));
    let value = read(body.as_bytes(), 999).unwrap();
    assert!(!format!("{value:?}").contains(secret));
}

#[test]
fn a_name_in_an_error_cannot_break_its_line() {
    let error = refused(CREATE, r#"{"\u001b[2J\nx":1,"\u001b[2J\nx":2}"#).to_string();
    assert_eq!(error, r"the field `\u{1b}[2J\u{a}x` stands twice in one object");
    let long = "k".repeat(5000);
    let error = refused(CREATE, &format!(r#"{{"{long}":1,"{long}":2}}"#)).to_string();
    assert!(error.len() < 200, "{error}");
}
