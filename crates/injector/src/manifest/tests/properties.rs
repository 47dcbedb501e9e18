//! What holds for any text: limits, round trips, and that nothing secret is repeated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::{Dialect, MAXIMUM_BYTES, ManifestError, Options, fuzz, parse};
use super::{message, read};
use crate::spec::Source;

const DIALECTS: [Dialect; 2] = [Dialect::Summon, Dialect::Strict];

fn error(dialect: Dialect, text: &str, environment: Option<&str>) -> ManifestError {
    read(dialect, text.as_bytes(), environment).unwrap_err()
}

#[test]
fn limits() {
    let large = "#".repeat(MAXIMUM_BYTES + 1);
    let many: String = (0..10_001).fold(String::new(), |mut text, index| {
        let _ = writeln!(text, "K{index}: x");
        text
    });
    let items = format!("A: [{}]\n", "x,".repeat(100_000));
    let deep = format!("A: {}{}\n", "[".repeat(100), "]".repeat(100));
    let lines = "- ".repeat(100) + "x";
    for dialect in DIALECTS {
        assert!(matches!(error(dialect, &large, None), ManifestError::TooLarge { .. }));
        assert!(matches!(error(dialect, &many, None), ManifestError::TooManyEntries { .. }));
        assert!(matches!(error(dialect, &items, None), ManifestError::TooManyNodes { .. }));
        assert!(matches!(error(dialect, &deep, None), ManifestError::TooDeep { .. }));
        assert!(matches!(error(dialect, &lines, None), ManifestError::TooDeep { .. }));
    }
    assert_eq!(
        read(Dialect::Strict, "#".repeat(MAXIMUM_BYTES).as_bytes(), None).unwrap().variables.len(),
        0
    );
    let most: String = many.lines().take(10_000).flat_map(|line| [line, "\n"]).collect();
    assert_eq!(read(Dialect::Strict, most.as_bytes(), None).unwrap().variables.len(), 10_000);
}

/// Files of a few lines that come to billions of nodes or entries, if one writes them out.
#[test]
fn bombs() {
    let mut lists = "a0: &a0 [x, x]\n".to_owned();
    let mut maps = "a0: &a0 {K0: x, L0: x}\n".to_owned();
    let mut nothing = "a0: &a0 {}\n".to_owned();
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..25 {
        let below = level - 1;
        let _ = writeln!(lists, "a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]");
        let _ = writeln!(
            maps,
            "a{level}: &a{level}\n  K{level}: x\n  <<: [*a{below}, *a{below}, *a{below}]"
        );
    }
    for level in 1..30 {
        let below = level - 1;
        let _ = writeln!(nothing, "a{level}: &a{level} {{<<: [*a{below}, *a{below}, *a{below}]}}");
    }
    for level in 1..100 {
        let _ = writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1);
    }
    // lists are empty values to Summon, however much is in them
    assert_eq!(read(Dialect::Summon, lists.as_bytes(), None).unwrap().variables.len(), 25);
    assert!(matches!(
        error(Dialect::Summon, &maps, Some("a24")),
        ManifestError::TooManyMerges { .. }
    ));
    assert!(matches!(
        error(Dialect::Summon, &nothing, Some("a29")),
        ManifestError::TooManyMerges { .. }
    ));
    assert!(matches!(error(Dialect::Summon, &chain, None), ManifestError::TooDeep { .. }));
    for text in [&lists, &maps, &chain] {
        assert!(matches!(error(Dialect::Strict, text, None), ManifestError::Anchor { .. }));
    }
    let long = BTreeMap::from([("x".to_owned(), "x".repeat(10_000))]);
    let once = format!("A: {}\n", "$x".repeat(1000));
    let often: String = (0..200).map(|index| format!("A{index}: {}\n", "$x".repeat(100))).collect();
    for (dialect, text) in
        DIALECTS.iter().flat_map(|dialect| [(*dialect, &once), (*dialect, &often)])
    {
        let options = Options { dialect, environment: None, substitutions: &long };
        assert!(matches!(parse(text.as_bytes(), &options), Err(ManifestError::TooMuchText { .. })));
    }
}

/// Each tag that the parser has to be helped over means to read the file again.
#[test]
fn tags_with_special_characters_are_many_only_in_small_files() {
    let lines = |count: usize| -> String {
        (0..count).map(|i| format!("K{i}: !var:default='a!{i}' p\n")).collect()
    };
    for dialect in DIALECTS {
        let manifest = read(dialect, lines(500).as_bytes(), None).unwrap();
        let last = &manifest.variables[499].spec;
        assert_eq!(last.default.as_deref(), Some("a!499"));
        assert!(matches!(error(dialect, &lines(3000), None), ManifestError::TooManyRepairs));
    }
}

/// The stand-ins for `\'` are put in only where nothing else can look like them.
#[test]
fn stand_ins_are_never_values() {
    for text in ["A: \"\\uE000\\uE001\"\nB: \"\\'\"\n", "A: \u{e000}\u{e001}\nB: \"\\'\"\n"] {
        assert!(matches!(error(Dialect::Summon, text, None), ManifestError::Syntax { .. }));
    }
    let manifest =
        read(Dialect::Summon, "A: \"\\'a\\'\"\nB: \\'\nC: '\\\\'\n".as_bytes(), None).unwrap();
    let texts: Vec<_> = manifest.variables.iter().map(|variable| &variable.spec.source).collect();
    let expected = ["'a'", "\\'", "\\\\"].map(|text| Source::Literal(text.to_owned()));
    assert_eq!(texts, expected.iter().collect::<Vec<_>>());
}

#[test]
fn debug_shows_no_values() {
    let text = b"A: S3CR3T\nB: !var:default='S3CR3T':default-on-error='S3CR3T' p\n";
    let shown = format!("{:?}", read(Dialect::Strict, text, None).unwrap());
    assert!(!shown.contains("S3CR3T") && shown.contains("redacted"), "{shown}");
}

/// What can stand in a file, put together at random.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("A: "),
        Just("prod:\n  "),
        Just("common:\n  "),
        Just("summon.files:\n- path: f\n  "),
        Just("sealock.files:\n- path: f\n  "),
        Just("secrets:\n    "),
        Just("prefix: "),
        Just("S3CR3T"),
        Just("\n"),
        Just("\n  "),
        Just("!var "),
        Just("!var:default='S3CR3T!' "),
        Just("!int "),
        Just("!<x> "),
        Just("&a "),
        Just("*a"),
        Just("<<: "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just(": "),
        Just("'"),
        Just("\""),
        Just("\\'"),
        Just("|\n  "),
        Just(">+\n  "),
        Just("$env"),
        Just("$S3CR3T_NAME"),
        Just("\t"),
        Just("---\n"),
        Just("...\n"),
        Just("%TAG ! x\n"),
        Just("%C3%A9"),
        Just("# "),
        Just("? "),
        Just("- "),
        Just("permissions: "),
        Just("0600"),
        Just("\r\n"),
        Just("\u{feff}"),
        Just("\u{85}"),
        Just("é"),
        Just("\0"),
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

/// In double quotes, so that any text can stand there.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted + "\""
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }

    #[test]
    fn any_text(text in fragments()) {
        fuzz(text.as_bytes());
    }

    /// The names of substitutions and keys may be in a message, but no value.
    #[test]
    fn refusals_repeat_no_value(text in fragments()) {
        let text = text.replace("$S3CR3T_NAME", "$name");
        // behind a colon or in quotes it would be a key
        let text = text.replace("S3CR3T: ", "x: ").replace("S3CR3T\": ", "x\": ").replace("S3CR3T': ", "x': ");
        for (dialect, environment) in [(Dialect::Summon, None), (Dialect::Strict, None), (Dialect::Strict, Some("prod"))] {
            if let Err(error) = read(dialect, text.as_bytes(), environment) {
                let key = message(&error).contains("\"") || matches!(error, ManifestError::Undeclared { .. });
                let shown = format!("{} {error:?} {:?}", message(&error), error.hint());
                prop_assert!(key || !shown.contains("S3CR3T"), "{shown}");
            }
        }
    }

    #[test]
    fn literals_come_out_as_they_went_in(values in prop::collection::vec(any::<String>(), 1..5)) {
        let text: String = values
            .iter()
            .enumerate()
            .map(|(index, value)| format!("K{index}: {}\n", quoted(&value.replace('$', "$$"))))
            .collect();
        for dialect in DIALECTS {
            let manifest = read(dialect, text.as_bytes(), None).unwrap();
            let out: Vec<_> = manifest.variables.into_iter().map(|variable| variable.spec.source).collect();
            let expected: Vec<_> = values.iter().cloned().map(Source::Literal).collect();
            prop_assert!(out == expected, "{text}");
        }
    }

    #[test]
    fn block_literals_come_out_as_they_went_in(lines in prop::collection::vec("[!-~][ -~é€]{0,20}", 1..6), ended: bool) {
        let block: String = lines.iter().map(|line| format!("\n  {}", line.replace('$', "$$"))).collect();
        let (text, mut expected) = (format!("K: |{block}"), lines.join("\n"));
        let text = if ended { format!("{text}\n") } else { text };
        if ended {
            expected.push('\n');
        }
        for dialect in DIALECTS {
            let manifest = read(dialect, text.as_bytes(), None).unwrap();
            prop_assert!(manifest.variables[0].spec.source == Source::Literal(expected.clone()), "{text:?}");
        }
    }

    #[test]
    fn defaults_come_out_as_they_went_in(value in "[^']{1,20}", encoded: bool) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_;/?:@&=+,.!~*()[]".contains(&b);
        let default: String = value
            .bytes()
            .map(|b| if plain(b) && !encoded { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        // Summon's expression for a default ends at an end of line
        prop_assume!(!value.contains('\n'));
        for dialect in DIALECTS {
            let text = format!("K: !var:default='{default}' path\n");
            let manifest = read(dialect, text.as_bytes(), None).unwrap();
            let out = manifest.variables[0].spec.default.as_deref();
            prop_assert!(out == Some(value.as_str()), "{text:?} became {out:?}");
        }
    }
}
