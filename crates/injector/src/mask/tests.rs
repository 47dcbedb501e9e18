//! What a reader of the masked output sees.

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD};

use super::*;

fn masker(values: &[&[u8]]) -> Masker {
    let values: Vec<SecretBytes> =
        values.iter().map(|value| SecretBytes::new(value.to_vec())).collect();
    Masker::new(&values).unwrap()
}

fn masked(values: &[&[u8]], text: &[u8]) -> String {
    let mut out = Vec::new();
    let mut masker = masker(values);
    masker.push(text, &mut out);
    masker.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// What is left of a text of which everything that matters should be masked.
fn check(value: &str, text: &str, expected: &str) {
    assert_eq!(masked(&[value.as_bytes()], text.as_bytes()), expected, "{text:?}");
}

#[test]
fn every_occurrence_becomes_a_mask() {
    check("hunter2", "a hunter2, hunter2hunter2 hunter", "a ********, **************** hunter");
    check("hunter2", "", "");
    check("hunter2\n", "hunter2 x\nhunter2\n", "******** x\n********");
    assert_eq!(masked(&[b"\xff\0\x01"], b"a\xff\0\x01b"), "a********b");
    assert_eq!(masked(&[], b"anything"), "anything");
}

#[test]
fn the_longest_wins_and_overlaps_become_one() {
    let values: &[&[u8]] = &[b"abc", b"abcdef", b"efghi"];
    assert_eq!(masked(values, b"abcd"), "********d");
    assert_eq!(masked(values, b"abcdef."), "********.");
    assert_eq!(masked(values, b"xabcdefghix"), "x********x");
    assert_eq!(masked(&[b"aaa"], b"baaaaab"), "b********b");
}

#[test]
fn pieces_do_not_matter() {
    let mut masker = masker(&[b"hunter2", b"hunt"]);
    let mut out = Vec::new();
    for (piece, expected) in [
        ("user ", "user "),
        ("h", "user "),
        ("un", "user "),
        // Complete, whatever follows.
        ("t", "user ********"),
        ("er", "user ********"),
        ("2", "user ********"),
        (" h", "user ******** "),
        ("i\n", "user ******** hi\n"),
        ("hun", "user ******** hi\n"),
    ] {
        masker.push(piece.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{piece:?}");
    }
    assert_eq!(masker.held_back(), 3);
    masker.finish(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "user ******** hi\nhun");
}

#[test]
fn a_prompt_is_seen_before_the_answer() {
    let mut masker = masker(&[b"hunter2", b"> top"]);
    let mut out = Vec::new();
    masker.push(b"Password: ", &mut out);
    assert_eq!(out, b"Password: ");
    // This one may be the beginning of a value.
    masker.push(b"> ", &mut out);
    assert_eq!((out.as_slice(), masker.held_back()), (&b"Password: "[..], 2));
    masker.push(b"x", &mut out);
    assert_eq!(out, b"Password: > x");
}

#[test]
fn streams_do_not_mix() {
    let mut one = masker(&[b"hunter2"]);
    let mut other = one.another();
    let (mut out, mut error) = (Vec::new(), Vec::new());
    one.push(b"hun", &mut out);
    other.push(b"ter2 hunter2", &mut error);
    one.push(b"ter2", &mut out);
    one.finish(&mut out);
    other.finish(&mut error);
    assert_eq!((out.as_slice(), error.as_slice()), (&b"********"[..], &b"ter2 ********"[..]));
}

#[test]
fn lines_of_a_value_are_masked_alone() {
    let key = "-----BEGIN KEY-----\nMC4CAQAwBQYDK2Vw\nshort\n-----END KEY-----\n";
    check(key, key, "********");
    check(key, &key.replace('\n', "\r\n"), "********\r\n");
    check(key, "1: MC4CAQAwBQYDK2Vw\r\n2: short\n", "1: ********\r\n2: short\n");
}

#[test]
fn base64_is_masked_wherever_the_value_begins_in_it() {
    let value = "s3cr3t>>pass??";
    for before in 0..7 {
        for after in 0..4 {
            let text = ["x".repeat(before), value.to_owned(), "y".repeat(after)].concat();
            for encoding in [BASE64, BASE64URL, BASE64URL_NOPAD] {
                let encoded = encoding.encode(text.as_bytes());
                let shown = masked(&[value.as_bytes()], format!("[{encoded}]").as_bytes());
                assert!(shown.contains("********"), "{encoded} {shown}");
                // All that is left of the value are the bits that its neighbours share a character with.
                let whole = encoding.encode("x".repeat(before).as_bytes()).len();
                let left = shown.len() - 2 - 8;
                assert!(left <= whole + after * 4 / 3 + 6, "{encoded} {shown}");
            }
        }
    }
    check(value, &BASE64.encode(value.as_bytes()), "********");
    check(value, &BASE64URL_NOPAD.encode(value.as_bytes()), "********");
    let long = "0123456789abcdef".repeat(8);
    let encoded = BASE64.encode(long.as_bytes());
    for width in [64, 76] {
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(width)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let shown = masked(&[long.as_bytes()], lines.join("\n").as_bytes());
        assert_eq!(shown, vec!["********"; lines.len()].join("\n"));
    }
}

#[test]
fn escaped_forms_are_masked() {
    let value = "p@ss w\"o'r/d\\<é>$1\n";
    for text in [
        "p%40ss%20w%22o%27r%2Fd%5C%3C%C3%A9%3E%241%0A",
        "p%40ss+w%22o%27r%2fd%5c%3c%c3%a9%3e%241%0a",
        "p%40ss%20w%22o'r%2Fd%5C%3C%C3%A9%3E%241%0A",
        "p%40ss%20w%22o%27r/d%5C%3C%C3%A9%3E%241%0A",
        "p@ss%20w%22o'r/d%5C%3C%C3%A9%3E$1%0A",
        r#"p@ss w\"o'r/d\\<é>$1\n"#,
        r#"p@ss w\"o'r/d\\<\u00e9>$1\n"#,
        r#"p@ss w\"o'r/d\\\u003cé\u003e$1\n"#,
        r#"p@ss w\"o'r\/d\\<é>$1\n"#,
        "p@ss w\"o\\'r/d\\\\<é>$1\\n",
        "p@ss w\"o'\\''r/d\\<é>$1",
        "p@ss w\"o'\"'\"'r/d\\<é>$1",
        "p@ss w\\\"o'r/d\\\\<é>\\$1",
        r#"p@ss\ w\"o\'r/d\\\<é\>\$1"#,
        r#"p@ss w"o\'r/d\\<é>$1\n"#,
    ] {
        check(value, &format!("[{text}]"), "[********]");
    }
}

#[test]
fn short_values_are_not_masked_and_that_is_said() {
    let masker = masker(&[b"", b"a", b"ab", b"abc", b"abcd"]);
    assert_eq!(masker.gaps(), Gaps { too_short: 2, plain_only: 1 });
    assert_eq!(masked(&[b"ab", b"x\ny"], b"ab x y"), "ab x y");
    // `YWJj` is `abc`, which would be in too many other texts.
    assert_eq!(masked(&[b"abc"], b"abc YWJj"), "******** YWJj");
    assert_eq!(masked(&[b"abcd"], b"abcd YWJjZA=="), "******** ********");
}

#[test]
fn there_is_a_limit_to_what_is_looked_for() {
    let values = |count: usize, length: usize| -> Vec<SecretBytes> {
        let value = |index| format!("{index}").into_bytes().repeat(length);
        (0..count).map(|index| SecretBytes::new(value(index))).collect()
    };
    let error = Masker::new(&values(3, 1 << 20)).unwrap_err();
    assert_eq!(error, MaskError::TooLarge { bytes: 3 << 20, limit: 2 << 20 });
    // As many as have room keep their encoded forms.
    let masker = Masker::new(&values(4, 60_000)).unwrap();
    let plain_only = masker.gaps().plain_only;
    assert!((1..4).contains(&plain_only), "{plain_only}");
    let masker = Masker::new(&values(1, 100_000)).unwrap();
    assert_eq!(masker.gaps(), Gaps { too_short: 0, plain_only: 1 });
}

#[test]
fn a_long_beginning_takes_no_longer_than_its_length() {
    let value = [vec![b'a'; 200_000], vec![b'b']].concat();
    let mut masker = masker(&[&value]);
    let mut out = Vec::new();
    for _ in 0..400 {
        masker.push(&[b'a'; 1000], &mut out);
    }
    assert_eq!((out.len(), masker.held_back()), (200_000, 200_000));
    masker.push(b"b.", &mut out);
    assert_eq!(out.len(), 200_009);
}

#[test]
fn debug_shows_no_value() {
    assert!(!format!("{:?}", masker(&[b"hunter2"])).contains("hunter2"));
}

#[test]
fn the_corpus_holds_its_promises() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/injector_mask");
    for file in std::fs::read_dir(folder).unwrap() {
        fuzz(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

mod property {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any::<u8>(), 0..40),
            "[ab]{0,12}".prop_map(String::into_bytes),
            "[ -~é\n]{3,30}".prop_map(String::into_bytes),
        ]
    }

    /// Every way of writing a value that is promised to be masked.
    fn written(value: &[u8], before: usize) -> Vec<Vec<u8>> {
        let mut out = vec![value.to_vec()];
        if value.len() >= SHORTEST_ENCODED {
            for encoding in [BASE64, BASE64URL] {
                let text = [&vec![b'x'; before], value].concat();
                out.push(encoding.encode(&text).into_bytes());
            }
            let quoted = format!("{:?}", String::from_utf8_lossy(value));
            out.push(quoted.into_bytes());
        }
        out
    }

    proptest! {
        #[test]
        fn masked_is_exactly_what_a_plain_search_finds(
            values in vec(value(), 0..5),
            pieces in vec(prop_oneof![
                3 => (any::<prop::sample::Index>(), 0..4_usize).prop_map(Ok),
                1 => vec(any::<u8>(), 0..8).prop_map(Err),
                1 => "[ab=%]{0,6}".prop_map(|text| Err(text.into_bytes())),
            ], 0..12),
            size in 1..40_usize,
        ) {
            let mut text = Vec::new();
            for piece in pieces {
                match piece {
                    Ok((index, before)) if !values.is_empty() => {
                        let value = index.get(&values);
                        let ways = written(value, before);
                        text.extend(index.get(&ways));
                    }
                    Ok(_) => {}
                    Err(bytes) => text.extend(bytes),
                }
            }
            let secrets: Vec<SecretBytes> = values.into_iter().map(SecretBytes::new).collect();
            super::fuzz::check(&secrets, &text, size);
        }

        #[test]
        fn no_value_comes_through(
            values in vec(vec(any::<u8>().prop_filter("the mask", |byte| *byte != b'*'), 3..30), 1..4),
            around in vec(vec(any::<u8>(), 0..10), 4),
            cuts in vec(1..20_usize, 1..30),
        ) {
            let text: Vec<u8> = values.iter().zip(&around).flat_map(|(value, around)| {
                [around.clone(), value.clone(), BASE64.encode(value).into_bytes()].concat()
            }).collect();
            let mut masker = Masker::new(
                &values.iter().map(|value| SecretBytes::new(value.clone())).collect::<Vec<_>>(),
            ).unwrap();
            let (mut out, mut rest) = (Vec::new(), text.as_slice());
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                masker.push(piece, &mut out);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            masker.finish(&mut out);
            for value in &values {
                let shows = |form: &[u8]| out.windows(form.len()).any(|window| window == form);
                prop_assert!(!shows(value));
                prop_assert!(value.len() < SHORTEST_ENCODED || !shows(BASE64.encode(value).as_bytes()));
            }
        }
    }
}
