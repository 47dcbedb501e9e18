//! The contract of Summon, a row for each thing that it says, and what our reader of YAML is spared for it.

use super::super::{Dialect, ManifestError, substitution};
use super::{accepted, message, read, refused, shown};

/// What a tag with a value comes to.
#[test]
fn tags_and_values() {
    let rows = [
        // joined by `:` in any order
        ("!var path", "secret \"path\""),
        ("!file text", "literal \"text\", as a file"),
        ("!var:file path", "secret \"path\", as a file"),
        ("!file:var path", "secret \"path\", as a file"),
        ("!var:default='x':file path", "secret \"path\", as a file, or \"x\""),
        ("!default='x' text", "literal \"text\", or \"x\""),
        // matched loosely
        ("!variable path", "secret \"path\""),
        ("!profile text", "literal \"text\", as a file"),
        ("!var,file path", "secret \"path\", as a file"),
        ("!print text", "literal \"text\""),
        ("!VAR text", "literal \"text\""),
        ("!unknown text", "literal \"text\""),
        ("!<var> path", "secret \"path\""),
        ("!var:int path", "secret \"path\""),
        // the raw text of a scalar, tagged or not
        ("0x10", "literal \"0x10\""),
        ("yes", "literal \"yes\""),
        ("null", "literal \"null\""),
        ("~", "literal \"~\""),
        ("", "literal \"\""),
        ("27.1111", "literal \"27.1111\""),
        ("2001-01-01", "literal \"2001-01-01\""),
        ("!str 1", "literal \"1\""),
        ("!int x", "literal \"x\""),
        ("!bool 7", "literal \"7\""),
        ("!float x", "literal \"x\""),
        ("!!str 1", "literal \"1\""),
        ("! path", "literal \"path\""),
        ("'a: b'", "literal \"a: b\""),
        ("\"a\\tb\\u00e9\"", "literal \"a\\tbé\""),
        // defaults
        ("!var:default='' path", "secret \"path\""),
        ("!var:default='a':default='b' path", "secret \"path\", or \"a':default='b\""),
        ("!var:default='open path", "secret \"path\""),
        (
            "!var:default='a=b;c&d~e*f(g)@h+i/j?k' path",
            "secret \"path\", or \"a=b;c&d~e*f(g)@h+i/j?k\"",
        ),
        ("!var:default='Welcome!,[1]' path", "secret \"path\", or \"Welcome!,[1]\""),
        ("!var:default='%20%C3%A9%E2%82%AC%F0%9F%94%91' path", "secret \"path\", or \" é€🔑\""),
        ("&anchor !var:default='a!' path", "secret \"path\", or \"a!\""),
        ("!var:default='a!' &anchor path", "secret \"path\", or \"a!\""),
        ("&anchor !var:default='%C3%A9' path", "secret \"path\", or \"é\""),
        // a list or a map
        ("[a, b]", "literal \"\""),
        ("{a: b}", "literal \"\""),
        ("!var [a, b]", "secret \"\""),
        // substitution, in values only
        ("!var $env/db", "secret \"prod/db\""),
        ("$env", "literal \"prod\""),
        ("'$env'", "literal \"prod\""),
        ("FOO$$BAR", "literal \"FOO$BAR\""),
        ("$$env", "literal \"$env\""),
        ("$$$env", "literal \"$prod\""),
        ("a$ ${env} $-", "literal \"a$ ${env} $-\""),
        ("!var:default='$env' $env", "secret \"prod\", or \"$env\""),
    ];
    for (value, expected) in rows {
        accepted(Dialect::Summon, &format!("KEY: {value}\n"), None, &[&format!("KEY={expected}")]);
        accepted(
            Dialect::Summon,
            &format!("x:\n  KEY: {value}\n"),
            Some("x"),
            &[&format!("KEY={expected}")],
        );
    }
}

/// A tag ends at a blank, also in brackets.
#[test]
fn tags_in_brackets() {
    let text = "{A: !var:default='a,b!' p, B: &y # !no,\n  !file x, C: [!var:default='[1]' x]}\n";
    let expected = ["A=secret \"p\", or \"a,b!\"", "B=literal \"x\", as a file", "C=literal \"\""];
    accepted(Dialect::Summon, text, None, &expected);
    let fault = "line 1, column 5: while parsing a tag, did not find expected whitespace, or text in its escapes";
    refused(Dialect::Summon, "{A: !var,b}\n", None, fault);
}

#[test]
fn sections() {
    let both = "common: {A: 1, B: 2}\ndefault: {C: 3}\nprod: {B: 4}\n";
    let empty = "common=literal \"\"";
    let rows: [(&str, Option<&str>, &[&str]); 8] = [
        // `common`, else `default`, never both; the named one wins
        (both, Some("prod"), &["B=literal \"4\"", "A=literal \"1\""]),
        ("default: {A: 1}\nprod: {B: 4}\n", Some("prod"), &["B=literal \"4\"", "A=literal \"1\""]),
        (both, Some("default"), &["C=literal \"3\"", "A=literal \"1\"", "B=literal \"2\""]),
        (both, Some("common"), &["A=literal \"1\"", "B=literal \"2\""]),
        // without -e, nothing is special, and the names of sections are exported
        (both, None, &[empty, "default=literal \"\"", "prod=literal \"\""]),
        (both, Some(""), &[empty, "default=literal \"\"", "prod=literal \"\""]),
        ("common: 1\n", None, &["common=literal \"1\""]),
        ("prod: {}\n", Some("prod"), &[]),
    ];
    for (text, environment, expected) in rows {
        accepted(Dialect::Summon, text, environment, expected);
    }
    let missing = "No such environment 'prod' found in secrets file";
    for text in
        ["dev: {A: 1}\n", "A: 1\n", "prod: {A: 1}\nB: 1\n", "prod: {A: 1}\nB: [1]\n", "prod:\n"]
    {
        refused(Dialect::Summon, text, Some("prod"), missing);
    }
}

#[test]
fn undeclared_substitutions() {
    let message = "variable nope not declared";
    refused(Dialect::Summon, "A: $nope/x\n", None, message);
    refused(Dialect::Summon, "A: !var x/$other$nope\n", None, message);
    refused(Dialect::Summon, "common: {A: $nope}\nprod: {B: 1}\n", Some("prod"), message);
    refused(Dialect::Summon, "common: {A: $nope}\nprod: {A: 1}\n", Some("prod"), message);
    accepted(
        Dialect::Summon,
        "dev: {A: $nope}\nprod: {B: 1}\n",
        Some("prod"),
        &["B=literal \"1\""],
    );
    accepted(Dialect::Summon, "A: $nope\nA: 2\n", None, &["A=literal \"2\""]);
    // names, tags and paths of files are as they stand
    let file = "$nope: 1\nsummon.files:\n- {path: $nope/f, template: $nope, secrets: {$nope: 1}}\n";
    let expected =
        ["$nope=literal \"1\"", "$nope/f 0600 Template \"$nope\"", "  $nope=literal \"1\""];
    accepted(Dialect::Summon, file, None, &expected);
}

#[test]
fn files() {
    let rows: [(&str, &[&str]); 16] = [
        ("path: f", &["f 0600 Yaml", "  A=secret \"p\""]),
        ("path: f\n  format: json", &["f 0600 Json", "  A=secret \"p\""]),
        ("path: f\n  format: dotenv", &["f 0600 Dotenv", "  A=secret \"p\""]),
        ("path: f\n  format: properties", &["f 0600 Properties", "  A=secret \"p\""]),
        ("path: f\n  format: bash", &["f 0600 Bash", "  A=secret \"p\""]),
        (
            "path: f\n  format: template\n  template: x",
            &["f 0600 Template \"x\"", "  A=secret \"p\""],
        ),
        ("path: f\n  template: x", &["f 0600 Template \"x\"", "  A=secret \"p\""]),
        ("path: f\n  format: json\n  template: x", &["f 0600 Template \"x\"", "  A=secret \"p\""]),
        ("path: f\n  format: ''\n  template: ~", &["f 0600 Yaml", "  A=secret \"p\""]),
        ("path: f\n  permissions: 0640", &["f 0640 Yaml", "  A=secret \"p\""]),
        ("path: f\n  permissions: 0o640", &["f 0640 Yaml", "  A=secret \"p\""]),
        ("path: f\n  permissions: 0x1A0", &["f 0640 Yaml", "  A=secret \"p\""]),
        ("path: f\n  permissions: 04755", &["f 0755 Yaml", "  A=secret \"p\""]),
        ("path: f\n  permissions: 0", &["f 0600 Yaml", "  A=secret \"p\""]),
        ("path: f\n  overwrite: true", &["f 0600 overwrite Yaml", "  A=secret \"p\""]),
        (
            "path: f\n  overwrite: 'yes'\n  unknown: 1",
            &["f 0600 overwrite Yaml", "  A=secret \"p\""],
        ),
    ];
    for (settings, expected) in rows {
        let text = format!("summon.files:\n- {settings}\n  secrets:\n    A: !var p\n");
        accepted(Dialect::Summon, &text, None, expected);
        accepted(Dialect::Summon, &text, Some("prod"), expected);
    }
    // files of ours are a variable, as for Summon
    accepted(
        Dialect::Summon,
        "sealock.files: [{path: f}]\n",
        None,
        &["sealock.files=literal \"\""],
    );
    let twice = "summon.files: [{path: f, secrets: {}}]\nsummon.files: [{path: f, secrets: {A: 1, A: 2}}]\n";
    accepted(Dialect::Summon, twice, None, &["f 0600 Yaml", "f 0600 Yaml", "  A=literal \"2\""]);
}

#[test]
fn sections_of_files() {
    let text = "summon.files:\n- path: f\n  secrets:\n    common: {A: 1, B: 1}\n    prod: {B: !var $env}\n";
    accepted(
        Dialect::Summon,
        text,
        Some("prod"),
        &["f 0600 Yaml", "  B=secret \"prod\"", "  A=literal \"1\""],
    );
    refused(
        Dialect::Summon,
        text,
        Some("dev"),
        &prefixed("No such environment 'dev' found in file config"),
    );
    let none = "environment sections exist in file config but no environment specified";
    refused(Dialect::Summon, text, None, &prefixed(none));
    let mixed = "summon.files:\n- path: f\n  secrets:\n    A: 1\n    prod: {B: 1}\n";
    accepted(
        Dialect::Summon,
        mixed,
        None,
        &["f 0600 Yaml", "  A=literal \"1\"", "  prod=literal \"\""],
    );
}

fn prefixed(text: &str) -> String {
    format!("failed to process file config: {text}")
}

#[test]
fn refused_files() {
    refused(Dialect::Summon, "summon.files: {}\n", None, "summon.files must be a sequence/array");
    let rows = [
        ("{path: f}", "no secrets defined"),
        ("{path: f, secrets: x}", "expected mapping node for secrets"),
        ("{path: f, secrets: {A: $nope}}", "variable nope not declared"),
        ("{secrets: {A: 1}}", "file config is missing required 'path' field"),
        ("{path: f/, secrets: {A: 1}}", "provided filepath \"f/\" must contain a filename"),
        (
            "{path: f, format: txt, secrets: {A: 1}}",
            "unable to process file \"f\" into file format \"txt\": unrecognized standard file format, \"txt\"",
        ),
        (
            "{path: f, format: template, secrets: {A: 1}}",
            "file config for path \"f\" specifies format \"template\" but no template content was provided",
        ),
        ("{path: [f], secrets: {A: 1}}", "line 1, column 24: `path` of a file must be a text"),
        (
            "{path: f, overwrite: 'true', secrets: {}}",
            "line 1, column 38: `overwrite` of a file must be true or false",
        ),
        (
            "{path: f, permissions: '0600', secrets: {}}",
            "line 1, column 40: `permissions` of a file must be octal, from 0001 to 0777",
        ),
        // Summon makes a file that its owner cannot read, and others maybe can
        (
            "{path: f, permissions: 660, secrets: {}}",
            "line 1, column 40: `permissions` of a file are octal, with a leading 0",
        ),
        (
            "{path: f, path: g, secrets: {}}",
            "line 1, column 27: mapping key \"path\" already defined at line 1",
        ),
        ("text", "an entry of summon.files must be a mapping"),
    ];
    for (entry, expected) in rows {
        refused(
            Dialect::Summon,
            &format!("summon.files: [ {entry} ]\n"),
            None,
            &prefixed(expected),
        );
    }
}

#[test]
fn what_yaml_allows() {
    let rows: [(&str, Option<&str>, &[&str]); 17] = [
        // nothing at all has no sections, and needs none
        ("", Some("prod"), &[]),
        ("# nothing\n", Some("prod"), &[]),
        ("{}\n", Some("prod"), &[]),
        // only the first document counts
        ("A: 1\n---\nB: 2\n", None, &["A=literal \"1\""]),
        ("---\nA: 1\n...\n[\n", None, &["A=literal \"1\""]),
        // the last of the same names, but not in sections
        ("A: 1\nB: 2\nA: 3\n", None, &["A=literal \"3\"", "B=literal \"2\""]),
        // aliases are what they stand for, and merge keys work, with sections and without
        ("A: &a !var p\nB: *a\n", None, &["A=secret \"p\"", "B=secret \"p\""]),
        (
            "b: &b {A: 1, B: 2}\nprod:\n  <<: *b\n  B: 3\n",
            Some("prod"),
            &["B=literal \"3\"", "A=literal \"1\""],
        ),
        (
            "prod: {<<: [{A: 1}, {A: 2, B: 3}]}\n",
            Some("prod"),
            &["A=literal \"1\"", "B=literal \"3\""],
        ),
        ("<<: {A: 1}\nB: 2\n", None, &["B=literal \"2\"", "A=literal \"1\""]),
        ("'<<': {A: 1}\n", None, &["<<=literal \"\""]),
        // ends of lines, marks, tabs, escapes
        (
            "\u{feff}A: 1\r\nB: |\r\n  x\r\n  y\r\n",
            None,
            &["A=literal \"1\"", "B=literal \"x\\ny\\n\""],
        ),
        ("A: |\n  x\n  y", None, &["A=literal \"x\\ny\""]),
        ("A: |+\n  x\n\n", None, &["A=literal \"x\\n\\n\""]),
        (
            "A:\tx\nB: \t-1\nC:\t\t!var p\n",
            None,
            &["A=literal \"x\"", "B=literal \"-1\"", "C=secret \"p\""],
        ),
        ("A: \"it\\'s \\\\'\"\n", None, &["A=literal \"it's \\\\'\""]),
        ("{\n\t\"A\": \"1\"\n}\n", None, &["A=literal \"1\""]),
    ];
    for (text, environment, expected) in rows {
        accepted(Dialect::Summon, text, environment, expected);
    }
    let wide: Vec<u8> = "\u{feff}A: é\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(shown(&read(Dialect::Summon, &wide, None).unwrap()), ["A=literal \"é\""]);
    let wide: Vec<u8> = "\u{feff}A: é\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(shown(&read(Dialect::Summon, &wide, None).unwrap()), ["A=literal \"é\""]);
}

#[test]
fn what_yaml_refuses() {
    let rows = [
        ("- a\n", None, "invalid YAML structure: expected mapping"),
        ("text\n", None, "invalid YAML structure: expected mapping"),
        ("---\n", Some("prod"), "invalid YAML structure: expected mapping"),
        (
            "prod: {A: 1,\n A: 2}\n",
            Some("prod"),
            "line 2, column 2: mapping key \"A\" already defined at line 1",
        ),
        (
            "dev: {A: 1, A: 2}\nprod: {}\n",
            Some("prod"),
            "line 1, column 13: mapping key \"A\" already defined at line 1",
        ),
        (
            "prod: {A: 1}\nprod: {}\n",
            Some("prod"),
            "line 2, column 1: mapping key \"prod\" already defined at line 1",
        ),
        ("A: *nope\n", None, "line 1, column 4: while parsing node, found unknown anchor"),
        ("A: &a [*a]\n", None, "line 1, column 8: an anchor's value contains itself"),
        (
            "<<: text\n",
            None,
            "line 1, column 1: map merge requires map or sequence of maps as the value",
        ),
        ("[a]: 1\n", None, "line 1, column 1: a key is not a single text"),
        ("\tA: 1\n", None, "line 1, column 2: tabs are not allowed as indentation"),
        ("prod:\n \tA: 1\n", Some("prod"), "line 2, column 3: tabs are not allowed as indentation"),
        ("A: \u{1}\n", None, "line 1, column 4: control characters are not allowed"),
        ("A: !x!y z\n", None, "line 1, column 4: the handle wasn't declared"),
        (
            "A: !var:default='%FF!' z\n",
            None,
            "line 1, column 4: while parsing a tag, found an incorrect leading UTF-8 byte",
        ),
        (
            "A=B: 1\n",
            None,
            "line 1, column 1: \"A=B\" cannot be the name of an environment variable",
        ),
        ("'': 1\n", None, "line 1, column 1: \"\" cannot be the name of an environment variable"),
    ];
    for (text, environment, expected) in rows {
        refused(Dialect::Summon, text, environment, expected);
    }
    let error = read(Dialect::Summon, b"A: 1\r\nB: \xff\n", None).unwrap_err();
    assert_eq!(message(&error), "line 2, column 4: the text is not UTF-8");
}

#[test]
fn substitutions_of_the_command_line() {
    assert_eq!(substitution("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    assert_eq!(substitution("a=").unwrap(), ("a".to_owned(), String::new()));
    let error = substitution("nope").unwrap_err();
    assert!(matches!(error, ManifestError::SubstitutionFormat { .. }));
    assert_eq!(error.to_string(), "invalid substitution format: \"nope\" (expected key=value)");
}

#[test]
fn lines_are_kept() {
    let text = b"# first\nA: 1\nsummon.files:\n- path: f\n  secrets:\n    B: 1\n";
    let manifest = read(Dialect::Summon, text, None).unwrap();
    assert_eq!(manifest.variables[0].spec.line, 2);
    assert_eq!(manifest.files[0].line, 4);
}
