use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Filters {
    Filters::parse(text).unwrap()
}

fn owner(name: &str) -> String {
    format!("spiffe://host.sealock/human/{name}").parse().unwrap()
}

#[test]
fn both_forms_are_read_and_one_is_written() {
    let written = r#"{"label":{"a=b":true,"c":true},"status":{"running":true}}"#;
    for text in [
        written,
        r#"{"status":["running"],"label":["c","a=b"]}"#,
        r#" { "label" : ["a=b","c","a=b"], "status":["running"] } "#,
        r#"{"\u006cabel":["a\u003db","c"],"status":["running"],"id":[]}"#,
    ] {
        assert_eq!(parse(text).to_string(), written, "{text}");
    }
    let filters = parse(written);
    assert_eq!(filters.values("label").collect::<Vec<_>>(), ["a=b", "c"]);
    assert_eq!(filters.keys().collect::<Vec<_>>(), ["label", "status"]);
    assert_eq!(filters.values("id").count(), 0);
    assert!(parse("{}").is_empty() && parse(r#"{"label":[]}"#).is_empty());
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let many = format!(r#"{{"label":[{}]}}"#, vec![r#""a""#; 10_000].join(","));
    let values: Vec<String> = (0..300).map(|number| format!("\"{number}\"")).collect();
    let too_many = format!(r#"{{"label":[{}]}}"#, values.join(","));
    let keys: Vec<String> = (0..300).map(|number| format!("\"k{number}\":[\"a\"]")).collect();
    let too_many_keys = format!("{{{}}}", keys.join(","));
    let long_key = format!(r#"{{"{}":["a"]}}"#, "k".repeat(65));
    for text in [
        // False means true to the engine.
        r#"{"label":{"x":false}}"#,
        r#"{"label":{"x":true,"y":false}}"#,
        // Twice.
        r#"{"label":["a"],"label":["b"]}"#,
        r#"{"label":["a"],"\u006cabel":["b"]}"#,
        r#"{"label":{"a":true,"a":true}}"#,
        // Two forms.
        r#"{"label":["a"],"status":{"running":true}}"#,
        // Other types.
        r#"{"label":"a=b"}"#,
        r#"{"label":null}"#,
        r#"{"label":true}"#,
        r#"{"label":[1]}"#,
        r#"{"label":[null]}"#,
        r#"{"label":[["a"]]}"#,
        r#"{"label":{"a":1}}"#,
        r#"{"label":{"a":"true"}}"#,
        r#"{"label":{"a":null}}"#,
        "[]",
        "null",
        "\"{}\"",
        "1",
        "",
        // More than JSON.
        "{}x",
        "{} {}",
        "{,}",
        "{'label':['a']}",
        r#"{"label":["a"],}"#,
        "\u{feff}{}",
        r#"{"label":["\ud800"]}"#,
        // Odd keys and values.
        r#"{"":["a"]}"#,
        r#"{"la bel":["a"]}"#,
        r#"{"\u017ftatus":["a"]}"#,
        r#"{"label":["a\u0000"]}"#,
        r#"{"label":["a\n"]}"#,
        &many,
        &too_many,
        &too_many_keys,
        &long_key,
    ] {
        let shown: String = text.chars().take(60).collect();
        assert!(Filters::parse(text).is_err(), "{shown}");
    }
}

#[test]
fn an_owner_narrows_what_was_asked() {
    let ann = owner("ann");
    let label = format!("{OWNER_LABEL}={ann}");
    let owned =
        parse(r#"{"label":["a=b"],"status":["running"]}"#).owned_by(OWNER_LABEL, &ann).unwrap();
    assert_eq!(owned.values("label").collect::<Vec<_>>(), ["a=b", label.as_str()]);
    assert_eq!(owned.values("status").collect::<Vec<_>>(), ["running"]);
    assert_eq!(owned.clone().owned_by(OWNER_LABEL, &ann).unwrap(), owned);
    let alone = Filters::default().owned_by(OWNER_LABEL, &ann).unwrap();
    assert_eq!(alone.values("label").collect::<Vec<_>>(), [label.as_str()]);
    // Whoever has any owner: the one is meant.
    let any =
        parse(&format!(r#"{{"label":["{OWNER_LABEL}"]}}"#)).owned_by(OWNER_LABEL, &ann).unwrap();
    assert_eq!(any, alone);
}

#[test]
fn nobody_asks_for_what_is_somebody_elses() {
    let bob = owner("bob");
    for label in [
        format!("{OWNER_LABEL}={}", owner("ann")),
        format!("{OWNER_LABEL}="),
        format!("{OWNER_LABEL}={bob}x"),
        format!("{OWNER_LABEL}=={bob}"),
    ] {
        let filters = parse(&format!(r#"{{"label":["{label}"]}}"#));
        assert!(
            matches!(filters.owned_by(OWNER_LABEL, &bob), Err(FiltersError::OtherOwner)),
            "{label}"
        );
    }
    // Another key, so it is only one more label.
    assert!(parse(r#"{"label":["sealock.ownerx=a"]}"#).owned_by(OWNER_LABEL, &bob).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"[{}\[\]":,a-c=! truefals]{0,60}"#) {
        fuzz(text.as_bytes());
    }

    #[test]
    fn what_is_read_is_written_and_read_again(
        map in prop::collection::btree_map("[a-z!.-]{1,8}", prop::collection::vec("[^\\p{Cc}]{0,12}", 0..4), 0..5)
    ) {
        let text = serde_json::to_string(&map).unwrap();
        let filters = parse(&text);
        prop_assert_eq!(parse(&filters.to_string()), filters.clone());
        for (key, values) in &map {
            for value in values {
                prop_assert!(filters.values(key).any(|one| one == value));
            }
        }
        fuzz(text.as_bytes());
    }
}
