//! The exact bytes of each format, and what is refused. Whether they are read back is in `tests/readers.rs`.

use std::error::Error;

use super::*;

fn secrets(pairs: &[(&str, &[u8])]) -> Vec<(String, SecretBytes)> {
    let owned =
        |(alias, value): &(&str, &[u8])| ((*alias).to_owned(), SecretBytes::new(value.to_vec()));
    pairs.iter().map(owned).collect()
}

fn text(format: Format, pairs: &[(&str, &[u8])]) -> String {
    let file = render(format, None, &secrets(pairs), Dialect::Summon).unwrap();
    String::from_utf8(file.expose().to_vec()).unwrap()
}

fn error(format: Format, pairs: &[(&str, &[u8])]) -> String {
    render(format, None, &secrets(pairs), Dialect::Strict).unwrap_err().to_string()
}

#[test]
fn ordinary_values_as_summon_writes_them() {
    let pairs: &[(&str, &[u8])] =
        &[("USER", b"it's me"), ("PASSWORD", b"a=b#c"), ("EMPTY", b""), ("U_1", "é日".as_bytes())];
    assert_eq!(
        text(Format::Yaml, pairs),
        "\"EMPTY\": \"\"\n\"PASSWORD\": \"a=b#c\"\n\"USER\": \"it's me\"\n\"U_1\": \"é日\""
    );
    assert_eq!(
        text(Format::Json, pairs),
        r#"{"EMPTY":"","PASSWORD":"a=b#c","USER":"it's me","U_1":"é日"}"#
    );
    assert_eq!(
        text(Format::Dotenv, pairs),
        "EMPTY=\"\"\nPASSWORD=\"a=b#c\"\nUSER=\"it's me\"\nU_1=\"é日\""
    );
    assert_eq!(
        text(Format::Bash, pairs),
        "export EMPTY=\"\"\nexport PASSWORD=\"a=b#c\"\nexport USER=\"it's me\"\nexport U_1=\"é日\""
    );
    assert_eq!(
        text(Format::Properties, &pairs[..3]),
        "EMPTY=\"\"\nPASSWORD=\"a=b#c\"\nUSER=\"it's me\""
    );
    for (format, empty) in [(Format::Yaml, ""), (Format::Json, "{}"), (Format::Bash, "")] {
        assert_eq!(text(format, &[]), empty);
    }
}

#[test]
fn quotes_and_lines_as_summon_writes_them() {
    let pairs: &[(&str, &[u8])] = &[("K", b"a\"b\\c\nd")];
    assert_eq!(text(Format::Yaml, pairs), r#""K": "a\"b\\c\nd""#);
    assert_eq!(text(Format::Json, pairs), r#"{"K":"a\"b\\c\nd"}"#);
    assert_eq!(text(Format::Properties, pairs), r#"K="a\"b\\c\nd""#);
    assert_eq!(text(Format::Bash, &[("K", b"a\"b\\c")]), r#"export K="a\"b\\c""#);
    assert_eq!(text(Format::Dotenv, &[("K", b"a\nb")]), "K=\"a\\nb\"");
}

#[test]
fn a_shell_runs_nothing() {
    assert_eq!(text(Format::Bash, &[("K", b"$(id)")]), "export K='$(id)'");
    assert_eq!(text(Format::Bash, &[("K", b"`id`'s\n")]), "export K='`id`'\\''s\n'");
    assert_eq!(text(Format::Dotenv, &[("K", b"$(id) \"x\"")]), "K='$(id) \"x\"'");
}

#[test]
fn escapes_that_the_reader_knows() {
    let odd = "\u{1}\u{7f}\u{200b}\u{e0001}";
    assert_eq!(
        text(Format::Json, &[("K", odd.as_bytes())]),
        r#"{"K":"\u0001\u007f\u200b\udb40\udc01"}"#
    );
    assert_eq!(text(Format::Yaml, &[("K", odd.as_bytes())]), r#""K": "\x01\x7f\u200b\U000e0001""#);
    let file = |value: &str| {
        let file =
            render(Format::Properties, None, &secrets(&[("K", value.as_bytes())]), Dialect::Strict);
        String::from_utf8(file.unwrap().expose().to_vec()).unwrap()
    };
    assert_eq!(file("  a b "), r"K=\u0020\u0020a b\u0020");
    assert_eq!(file(" "), r"K=\u0020");
    assert_eq!(file("\"é\"\t"), r#"K="\u00e9"\t"#);
}

#[test]
fn what_a_format_cannot_hold_names_the_secret() {
    for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Properties] {
        let shown = error(format, &[("A", b"x"), ("KEY", b"\xff")]);
        assert_eq!(
            shown,
            format!(
                "the value of \"KEY\" is not UTF-8, and a {} file holds only text",
                name(format)
            )
        );
    }
    for format in [Format::Dotenv, Format::Bash] {
        assert!(error(format, &[("KEY", b"a\0b")]).contains("\"KEY\" has a NUL byte"));
    }
    assert!(error(Format::Dotenv, &[("KEY", b"a${b}")]).contains("\"KEY\" has ${…}"));
    assert!(error(Format::Dotenv, &[("KEY", b"it's $5")]).contains("\"KEY\" has a dollar sign"));
    assert!(error(Format::Raw, &[]).contains("holds one secret, not 0"));
    assert!(error(Format::Raw, &[("A", b""), ("B", b"")]).contains("holds one secret, not 2"));
    assert!(error(Format::Json, &[("A", b""), ("A", b"")]).contains("two secrets called \"A\""));
}

#[test]
fn names_are_as_strict_as_with_summon() {
    let long = "x".repeat(1025);
    for (format, bad) in [
        (Format::Yaml, "a\u{1}"),
        (Format::Yaml, &long),
        (Format::Json, "a\"b"),
        (Format::Json, "a\\b"),
        (Format::Json, "a\u{7f}"),
        (Format::Dotenv, "1A"),
        (Format::Dotenv, "A.B"),
        (Format::Bash, "A-B"),
        (Format::Bash, "A;id"),
        (Format::Bash, ""),
        (Format::Properties, ".a"),
        (Format::Properties, "a b"),
        (Format::Properties, "é"),
    ] {
        assert!(error(format, &[(bad, b"v")]).contains("cannot be a name in a"), "{bad}");
    }
    for (format, good) in [
        (Format::Yaml, "a b/c: \"d\"\né"),
        (Format::Json, "a b/c: 'd' é"),
        (Format::Dotenv, "_A1"),
        (Format::Bash, "a_B"),
        (Format::Properties, "spring.datasource.password"),
        (Format::Template, "\0 anything"),
    ] {
        check(format, Some("x").filter(|_| format == Format::Template), &[good]).unwrap();
    }
}

#[test]
fn raw_is_the_bytes() {
    let bytes = [0, 255, b'\n', 0];
    let file = render(Format::Raw, None, &secrets(&[("K", &bytes)]), Dialect::Strict).unwrap();
    assert_eq!(file.expose(), bytes);
    let refused = render(Format::Raw, Some("x"), &secrets(&[("K", &bytes)]), Dialect::Strict);
    assert_eq!(refused.unwrap_err(), FormatError::RawTemplate);
}

#[test]
fn a_template_beside_a_format_wins() {
    let pairs = secrets(&[("K", b"v"), ("A", b"w")]);
    let template = "{{range .SecretsArray}}{{.Alias}}{{.Value}};{{end}}";
    for format in [Format::Template, Format::Yaml] {
        let file = render(format, Some(template), &pairs, Dialect::Summon).unwrap();
        assert_eq!(file.expose(), b"Aw;Kv;");
    }
    for template in [None, Some("")] {
        let refused = render(Format::Template, template, &pairs, Dialect::Summon);
        assert_eq!(refused.unwrap_err(), FormatError::NoTemplate);
    }
    let wrong = render(Format::Template, Some("\n{{nope}}"), &pairs, Dialect::Summon).unwrap_err();
    let cause = wrong.source().unwrap().to_string();
    assert_eq!(cause, "line 2, column 3: there is no function \"nope\"");
    assert!(!wrong.to_string().contains("nope") && wrong.hint().is_some());
    assert_eq!(check(Format::Template, Some("\n{{nope}}"), &["K"]).unwrap_err(), wrong);
}

#[test]
fn env_files_as_summon_writes_them() {
    let pairs = secrets(&[
        ("A", b"x y"),
        ("A_B", b"q\"\n\xff"),
        ("A1", b"plain$(id)#\x01"),
        ("D", b"it's"),
        ("T", b"tab\t"),
    ]);
    assert_eq!(
        String::from_utf8(env_file(&pairs).unwrap().expose().to_vec()).unwrap(),
        "A1=plain$(id)#\u{1}\nA=\"x y\"\nA_B=\"q\\\"\\n\\xff\"\nD=\"it's\"\nT=\"tab\\t\"\n"
    );
    assert_eq!(env_file(&[]).unwrap().expose(), b"\n");
    let nul = env_file(&secrets(&[("A", b"\0")])).unwrap_err();
    assert_eq!(nul, EnvFileError::Nul { name: "A".into() });
    for name in ["", "A=B", "A\nB"] {
        let refused = env_file(&secrets(&[(name, b"x")])).unwrap_err();
        assert_eq!(refused, EnvFileError::Name { name: name.into() });
    }
}

#[test]
fn what_docker_cannot_read_from_a_line_comes_from_its_environment() {
    let long = vec![b'x'; 64 * 1024];
    let pairs = secrets(&[
        ("PEM", b"-----BEGIN\nx\n"),
        ("CR", b"x\r"),
        ("INNER", b"x\ry \"z\" #"),
        ("LONG", &long),
    ]);
    let file = docker_env_file(&pairs).unwrap();
    assert_eq!(file.content.expose(), b"CR\nINNER=x\ry \"z\" #\nLONG\nPEM\n");
    assert_eq!(file.from_environment, ["CR", "LONG", "PEM"]);
    let refused = |name, value: &[u8]| docker_env_file(&secrets(&[(name, value)])).unwrap_err();
    assert_eq!(refused("A", b"\xff"), EnvFileError::NotText { name: "A".into() });
    assert_eq!(refused("A", b"\0"), EnvFileError::Nul { name: "A".into() });
    for name in ["", "#A", "A B", "A\tB", "A=B", "\u{feff}A"] {
        assert_eq!(refused(name, b"x"), EnvFileError::Name { name: name.into() });
    }
}

#[test]
fn no_error_shows_a_value() {
    let pairs: &[(&str, &[u8])] = &[("KEY", b"hunter2${x}\0\xff")];
    for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Properties, Format::Bash] {
        let error = render(format, None, &secrets(pairs), Dialect::Strict).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"));
    }
}
