use proptest::prelude::*;

use super::*;

fn settings() -> Settings {
    Settings::new(Path::new("/etc/docker/tls"), Vec::new()).unwrap()
}

fn merged(text: &str) -> String {
    let once = merge(text, &settings()).unwrap();
    assert!(once.changed);
    let twice = merge(&once.text, &settings()).unwrap();
    assert!(!twice.changed, "merging again changes nothing");
    assert_eq!(twice.text, once.text);
    once.text
}

fn refused(text: &str) -> String {
    merge(text, &settings()).unwrap_err().to_string()
}

const NEW: &str = r#"{
  "tlsverify": true,
  "tlscacert": "/etc/docker/tls/ca.pem",
  "tlscert": "/etc/docker/tls/server-cert.pem",
  "tlskey": "/etc/docker/tls/server-key.pem",
  "hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2376"]
}
"#;

#[test]
fn without_a_file_there_is_a_whole_one() {
    assert_eq!(merged(""), NEW);
    assert_eq!(merged(" \n"), NEW);
    assert_eq!(merged("{}\n"), NEW);
    assert_eq!(settings().lines(), NEW);
}

#[test]
fn what_is_there_stays_byte_for_byte() {
    let text = "{\n\t\"zeta\" :\t1.50e3, \"data-root\": \"/d\\u00e4ta,}\",\n\t\"log-opts\": {\"tlsverify\": false},\n\t\
                \"huge\": 123456789012345678901234567890\n}\n\n";
    let new = merged(text);
    let kept = text.trim_end().trim_end_matches("\n}");
    assert!(new.starts_with(kept), "{new}");
    assert!(new.ends_with("\"]\n}\n\n"), "{new}");
    assert!(new.contains("890,\n\t\"tlsverify\": true,\n\t\"tlscacert\""), "{new}");
    assert!(merged(r#"{"debug":true}"#).starts_with(r#"{"debug":true, "tlsverify": true, "#));
}

#[test]
fn sockets_that_are_there_stay() {
    let new = merged(r#"{"hosts": ["fd://", "unix:///a[]b.sock" ], "tls": true}"#);
    assert!(
        new.starts_with(r#"{"hosts": ["fd://", "unix:///a[]b.sock", "tcp://0.0.0.0:2376" ], "#)
    );
    let new = merged(r#"{"hosts": []}"#);
    assert!(
        new.starts_with(r#"{"hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2376"], "#)
    );
    let open = merge(r#"{"hosts": ["tcp://0.0.0.0:2375"]}"#, &settings()).unwrap();
    assert_eq!(open.notes, ["tcp://0.0.0.0:2375 demands a client certificate too"]);
}

#[test]
fn contradictions_are_named() {
    for (text, says) in [
        (r#"{"tls": false}"#, "`tls: false`, which contradicts tlsverify"),
        (r#"{"tlsverify": false}"#, "`tlsverify: false`, which contradicts `tlsverify: true`"),
        (r#"{"tlscacert": "/other/ca.pem"}"#, "`tlscacert: \"/other/ca.pem\"`"),
        (r#"{"hosts": "fd://"}"#, "`hosts: \"fd://\"`"),
        (r#"{"hosts": [1]}"#, "`hosts: [1]`"),
        (r#"{"hosts": ["tcp://127.0.0.1:2376"]}"#, "the port is taken"),
        (r#"{"TLSVerify": true}"#, "contradicts `tlsverify`, as the setting is called"),
        (r#"{"debug": true, "debug": false}"#, "says `debug` twice"),
        (r#"{"tlsverify": true, "tls\u0076erify": true}"#, "says `tlsverify` twice"),
        ("[]", "is not an object"),
        ("{\"a\": 1,\n  // no\n}", "a comment at line 2, column 3"),
        ("{\n# no\n}", "a comment at line 2, column 1"),
        ("{\"a\": 1,\n}", "not JSON at line 2, column 1"),
        ("{\"a\": 1} x", "not JSON at line 1, column 10"),
    ] {
        let said = refused(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn a_relative_folder_is_refused() {
    assert!(Settings::new(Path::new("tls"), Vec::new()).is_err());
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        "[a-z{}\\[\\],:\"\\\\ \n]{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z\"\\\\{]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_of_any_object_is_lost(
        members in prop::collection::btree_map("[a-z\"\\\\{]{0,6}", json(), 0..5),
        pretty in any::<bool>(),
    ) {
        let ours = ["tls", "hosts"];
        prop_assume!(!members.keys().any(|key| ours.contains(&key.as_str())));
        let there = Value::Object(members.into_iter().collect());
        let text = if pretty {
            serde_json::to_string_pretty(&there).unwrap()
        } else {
            there.to_string()
        };
        let new: Value = serde_json::from_str(&merged(&text)).unwrap();
        let mut left = new.as_object().unwrap().clone();
        for key in ["tlsverify", "tlscacert", "tlscert", "tlskey", "hosts"] {
            prop_assert!(left.remove(key).is_some());
        }
        prop_assert_eq!(Value::Object(left), there);
    }
}
