use std::fmt::Write;

use super::*;
use sealock_core::json;

fn read(kind: &str, value: &str) -> Result<Identifier, IdentifierFault> {
    Identifier::read(kind, value)
}

/// `identifiers` of an order that holds this.
fn list(json: &str) -> Result<Vec<Identifier>, IdentifiersFault> {
    let order = format!(r#"{{"identifiers":{json}}}"#);
    Identifier::list(json::read(order.as_bytes()).unwrap().take("identifiers").unwrap())
}

#[test]
fn names_and_addresses_are_read_in_one_form() {
    let rows = [
        ("dns", "shop.example", "shop.example"),
        ("dns", "Shop.EXAMPLE", "shop.example"),
        ("dns", "*.shop.example", "*.shop.example"),
        ("dns", "shop", "shop"),
        ("dns", "my_app.internal", "my_app.internal"),
        ("dns", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("dns", "localhost.example", "localhost.example"),
        ("ip", "192.0.2.1", "192.0.2.1"),
        ("ip", "10.0.0.255", "10.0.0.255"),
        ("ip", "2001:db8::1", "2001:db8::1"),
        ("ip", "fd00::a:0:0:1", "fd00::a:0:0:1"),
    ];
    for (kind, value, expected) in rows {
        let identifier = read(kind, value).unwrap();
        assert_eq!((identifier.kind(), identifier.to_string()), (kind, expected.to_owned()));
        assert_eq!(identifier.to_subject_name().to_string(), expected);
        let json = serde_json::to_string(&identifier).unwrap();
        assert_eq!(json, format!(r#"{{"type":"{kind}","value":"{expected}"}}"#));
        assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), identifier);
        assert_eq!(list(&format!("[{json}]")), Ok(vec![identifier]));
    }
}

#[test]
fn what_is_no_identifier_is_refused() {
    use IdentifierFault::*;
    let long = "a".repeat(64);
    let rows = [
        ("DNS", "shop.example", Unsupported),
        ("", "", Unsupported),
        ("email", "jo@shop.example", Unsupported),
        ("permanent-identifier", "x", Unsupported),
        ("dns", "", Dns),
        ("dns", ".", Dns),
        ("dns", "shop.example.", Dns),
        ("dns", ".shop.example", Dns),
        ("dns", "shop..example", Dns),
        ("dns", "-shop.example", Dns),
        ("dns", "shop .example", Dns),
        ("dns", "shop.example\0", Dns),
        ("dns", "shop.example:443", Dns),
        ("dns", "https://shop.example", Dns),
        ("dns", "bücher.example", Dns),
        ("dns", "*", Dns),
        ("dns", "*.", Dns),
        ("dns", "*shop.example", Dns),
        ("dns", "a.*.example", Dns),
        ("dns", "*.*.example", Dns),
        ("dns", "192.0.2.1", Dns),
        ("dns", "*.192.0.2.1", Dns),
        ("dns", "2001:db8::1", Dns),
        ("dns", &long, Dns),
        ("dns", &["a"; 128].join("."), Dns),
        ("dns", "localhost", Localhost),
        ("dns", "LocalHost", Localhost),
        ("dns", "shop.localhost", Localhost),
        ("dns", "*.localhost", Localhost),
        ("ip", "", Ip),
        ("ip", "shop.example", Ip),
        ("ip", "192.0.2", Ip),
        ("ip", "192.0.2.01", Ip),
        ("ip", "0xc0.0.2.1", Ip),
        ("ip", "3221225985", Ip),
        ("ip", "192.0.2.1/32", Ip),
        ("ip", " 192.0.2.1", Ip),
        ("ip", "2001:DB8::1", Ip),
        ("ip", "2001:0db8::1", Ip),
        ("ip", "2001:db8:0:0:0:0:0:1", Ip),
        ("ip", "2001:db8::1:0:0:0:0", Ip),
        ("ip", "[2001:db8::1]", Ip),
        ("ip", "fe80::1%eth0", Ip),
        ("ip", "::ffff:c000:201", Ip),
        ("ip", "0.0.0.0", Address),
        ("ip", "0.1.2.3", Address),
        ("ip", "127.0.0.1", Address),
        ("ip", "127.1.2.3", Address),
        ("ip", "169.254.169.254", Address),
        ("ip", "224.0.0.1", Address),
        ("ip", "255.255.255.255", Address),
        ("ip", "::", Address),
        ("ip", "::1", Address),
        ("ip", "::ffff:192.0.2.1", Address),
        ("ip", "::ffff:127.0.0.1", Address),
        ("ip", "fe80::1", Address),
        ("ip", "ff02::1", Address),
    ];
    for (kind, value, fault) in rows {
        assert_eq!(read(kind, value), Err(fault), "{kind} {value}");
    }
}

#[test]
fn a_wildcard_is_proven_by_its_domain() {
    let wildcard = read("dns", "*.shop.example").unwrap();
    assert!(wildcard.is_wildcard());
    assert_eq!(wildcard.base(), read("dns", "shop.example").unwrap());
    for (kind, value) in [("dns", "shop.example"), ("ip", "192.0.2.1")] {
        let identifier = read(kind, value).unwrap();
        assert!(!identifier.is_wildcard());
        assert_eq!(identifier.base(), identifier);
    }
    assert_eq!(read("dns", "*.shop").unwrap().base(), read("dns", "shop").unwrap());
}

#[test]
fn lists_are_limited_and_without_doubles() {
    use IdentifiersFault::*;
    let one = |value: &str| format!(r#"{{"type":"dns","value":"{value}"}}"#);
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| one(&format!("h{number}.example"))).collect();
        format!("[{}]", names.join(","))
    };
    assert_eq!(list(&many(MAXIMUM_IDENTIFIERS)).unwrap().len(), MAXIMUM_IDENTIFIERS);
    let refused = |number, fault| One { number, fault };
    let (good, other) = (one("shop.example"), one("SHOP.example"));
    let rows = [
        (many(MAXIMUM_IDENTIFIERS + 1), TooMany),
        ("[]".into(), Empty),
        ("{}".into(), Form),
        ("null".into(), Form),
        (good.clone(), Form),
        (format!("[{good},{good}]"), Twice { number: 2 }),
        (format!("[{good},{other}]"), Twice { number: 2 }),
        (format!("[{good},1]"), refused(2, IdentifierFault::Form)),
        (format!("[{good},{{}}]"), refused(2, IdentifierFault::Form)),
        (r#"[{"type":"dns"}]"#.into(), refused(1, IdentifierFault::Form)),
        (r#"[{"type":"dns","value":["a"]}]"#.into(), refused(1, IdentifierFault::Form)),
        (r#"[{"type":1,"value":"a"}]"#.into(), refused(1, IdentifierFault::Form)),
        (format!("[{good},{}]", one("a b")), refused(2, IdentifierFault::Dns)),
    ];
    for (json, fault) in rows {
        assert_eq!(list(&json), Err(fault), "{json}");
    }
    // A wildcard is another identifier than its domain; other members are passed over.
    let more = r#"{"type":"dns","value":"*.shop.example","note":[1]}"#;
    assert_eq!(list(&format!("[{good},{more}]")).unwrap().len(), 2);
}

/// RFC 8738 §6, RFC 3596 §2.5.
#[test]
fn an_address_has_the_name_by_which_it_is_looked_up() {
    let name = |kind, value| read(kind, value).unwrap().server_name();
    assert_eq!(name("dns", "shop.example"), "shop.example");
    assert_eq!(name("ip", "192.0.2.1"), "1.2.0.192.in-addr.arpa");
    assert_eq!(
        name("ip", "2001:db8::1"),
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    );
    let mut expected = String::new();
    for nibble in "0123456789abcdef0123456789abcde2".chars().rev() {
        write!(expected, "{nibble}.").unwrap();
    }
    let address = "123:4567:89ab:cdef:123:4567:89ab:cde2".parse().unwrap();
    assert_eq!(reverse_name(address), expected + "ip6.arpa");
}
