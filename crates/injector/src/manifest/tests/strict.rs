//! What is refused where Summon would guess, and what Summon does not have.

use super::super::Dialect;
use super::{accepted, read, refused};

#[test]
fn tags_and_values() {
    let rows = [
        ("text", "literal \"text\""),
        ("", "literal \"\""),
        ("yes", "literal \"yes\""),
        ("0x10", "literal \"0x10\""),
        ("!str yes", "literal \"yes\""),
        ("!!str yes", "literal \"yes\""),
        ("!int -12", "literal \"-12\""),
        ("!int 0o17", "literal \"0o17\""),
        ("!int '0x1F'", "literal \"0x1F\""),
        ("!bool true", "literal \"true\""),
        ("!float 1", "literal \"1\""),
        ("!float -.5e-3", "literal \"-.5e-3\""),
        ("!float .inf", "literal \".inf\""),
        ("!file text", "literal \"text\", as a file"),
        ("!file:int 1", "literal \"1\", as a file"),
        ("!default='x' $none", "literal \"x\""),
        ("!default='x' text", "literal \"text\""),
        ("!int:default='5' $none", "literal \"5\""),
        ("!var $env/db", "secret \"prod/db\""),
        ("!file:var path", "secret \"path\", as a file"),
        ("!var:default='' path", "secret \"path\", or \"\""),
        ("!default='a:b':var path", "secret \"path\", or \"a:b\""),
        ("!var:default='it's' path", "secret \"path\", or \"it's\""),
        ("!var:default='Hi!%20%C3%A9' path", "secret \"path\", or \"Hi! é\""),
        ("!var:default-on-error='' path", "secret \"path\", on error \"\""),
        ("!var:default-on-error=off path", "secret \"path\", on error \"off\""),
        ("!var:default-on-error=off:file path", "secret \"path\", as a file, on error \"off\""),
        (
            "!var:default-on-error='a':default='b':file path",
            "secret \"path\", as a file, or \"b\", on error \"a\"",
        ),
        ("!var:provider=keyring.v2 path", "secret \"path\" of keyring.v2"),
        ("!provider=vault:var path", "secret \"path\" of vault"),
    ];
    for (value, expected) in rows {
        accepted(Dialect::Strict, &format!("KEY: {value}\n"), None, &[&format!("KEY={expected}")]);
    }
}

#[test]
fn refused_tags_and_values() {
    let rows = [
        ("!variable p", "unknown tag `variable`"),
        ("!var:filee p", "unknown tag `filee`"),
        ("!var: p", "unknown tag ``"),
        ("!var:defalut='S3CR3T' p", "unknown tag `defalut`"),
        ("!!timestamp 1", "unknown tag `timestamp`"),
        ("!<var> p", "unknown tag `var`"),
        ("!var:var p", "`var` cannot stand beside `var` in a tag"),
        ("!var:int p", "`int` cannot stand beside `var` in a tag"),
        ("!str:int 1", "`int` cannot stand beside `str` in a tag"),
        ("!var:default='a':default='b' p", "`default` cannot stand beside `default` in a tag"),
        ("!var:default=S3CR3T p", "the value of `default` in a tag is not in single quotes"),
        ("!var:default='S3CR3T p", "the value of `default` in a tag is not in single quotes"),
        (
            "!var:default-on-error= p",
            "the value of `default-on-error` in a tag is not in single quotes",
        ),
        (
            "!var:default-on-error=it's p",
            "the value of `default-on-error` in a tag is not in single quotes",
        ),
        ("!default-on-error='S3CR3T' p", "`default-on-error` in a tag needs `var`"),
        ("!provider=x p", "`provider` in a tag needs `var`"),
        (
            "!var:provider=../evil p",
            "a provider's name has letters, digits, `-`, `_` and `.`, at most 64",
        ),
        ("!var:provider= p", "a provider's name has letters, digits, `-`, `_` and `.`, at most 64"),
        ("!int S3CR3T", "the value of \"KEY\" is not an integer"),
        ("!int ''", "the value of \"KEY\" is not an integer"),
        ("!bool yes", "the value of \"KEY\" is not a boolean (true, false)"),
        ("!float 1e", "the value of \"KEY\" is not a number"),
        ("!float .", "the value of \"KEY\" is not a number"),
        ("!var ''", "the path of \"KEY\" is empty or has control characters"),
        ("!var $none", "the path of \"KEY\" is empty or has control characters"),
        ("!var \"a\\nb\"", "the path of \"KEY\" is empty or has control characters"),
        ("$nope", "variable nope not declared"),
        ("&a S3CR3T", "anchors, aliases and merge keys are not allowed"),
    ];
    for (value, expected) in rows {
        let text = format!("A: 1\nKEY: {value}\n");
        refused(Dialect::Strict, &text, None, &format!("line 2, column 6: {expected}"));
    }
}

#[test]
fn refused_files() {
    let rows = [
        (
            "A: 1\nB: [1]\n",
            None,
            "line 2, column 1: the value of \"B\" is a list, not a single value",
        ),
        (
            "prod: {A: 1}\n",
            None,
            "line 1, column 1: the value of \"prod\" is a map, not a single value",
        ),
        ("A: 1\nA: 2\n", None, "line 2, column 1: mapping key \"A\" already defined at line 1"),
        (
            "dev: {A: 1, A: 2}\nprod: {}\n",
            Some("prod"),
            "line 1, column 13: mapping key \"A\" already defined at line 1",
        ),
        ("dev: {A: !foo 1}\nprod: {}\n", Some("prod"), "line 1, column 10: unknown tag `foo`"),
        (
            "dev: {A: [1]}\nprod: {}\n",
            Some("prod"),
            "line 1, column 7: the value of \"A\" is a list, not a single value",
        ),
        (
            "prod: {A: 1}\nB: 1\n",
            Some("prod"),
            "line 2, column 1: \"B\" is no section of the secrets file, and environment 'prod' is asked for",
        ),
        (
            "dev: {A: 1}\n",
            Some("prod"),
            "line 1, column 1: No such environment 'prod' found in secrets file",
        ),
        (
            "common: {}\nprod: {}\ndefault: {}\n",
            Some("prod"),
            "line 3, column 1: the secrets file has both `common` and `default`",
        ),
        (
            "A: 1\n<<: {B: 1}\n",
            None,
            "line 2, column 1: anchors, aliases and merge keys are not allowed",
        ),
        ("A: 1\n---\nB: 1\n", None, "line 2, column 1: the file holds more than one YAML document"),
        ("!var A: 1\n", None, "line 1, column 1: there can be no tag here"),
        ("prod: !var {A: 1}\n", Some("prod"), "line 1, column 7: there can be no tag here"),
        (
            "\"A\\tB\": 1\n",
            None,
            "line 1, column 1: \"A\\tB\" cannot be the name of an environment variable",
        ),
        (
            "'A=B': 1\n",
            None,
            "line 1, column 1: \"A=B\" cannot be the name of an environment variable",
        ),
        (
            "A: \"it\\'s\"\n",
            None,
            "line 1, column 4: while parsing a quoted scalar, found unknown escape character",
        ),
    ];
    for (text, environment, expected) in rows {
        refused(Dialect::Strict, text, environment, expected);
    }
}

#[test]
fn sections() {
    let text = "common: {A: 1, B: $env}\ndev: {C: $nope}\nprod: {B: !var p}\nsealock.files: []\n";
    accepted(Dialect::Strict, text, Some("prod"), &["B=secret \"p\"", "A=literal \"1\""]);
    refused(Dialect::Strict, text, Some("dev"), "line 2, column 10: variable nope not declared");
}

#[test]
fn files_of_ours() {
    let rows: [(&str, &[&str]); 9] = [
        ("{path: f, secrets: {A: !var p}}", &["f 0600 Yaml", "  A=secret \"p\""]),
        (
            "{path: f, secrets: {A: !var p}, owner: 1000, permissions: '0440', overwrite: true}",
            &["f 0440 overwrite owner (1000, None) Yaml", "  A=secret \"p\""],
        ),
        (
            "{path: f, secrets: {A: 1}, owner: '0:70'}",
            &["f 0600 owner (0, Some(70)) Yaml", "  A=literal \"1\""],
        ),
        ("{path: f, format: raw, secrets: {A: 1}}", &["f 0600 Raw", "  A=literal \"1\""]),
        (
            "{path: f, template: x, secrets: {A: 1}}",
            &["f 0600 Template \"x\"", "  A=literal \"1\""],
        ),
        ("{path: d, prefix: $env/db}", &["d 0600 folder \"prod/db\" of None"]),
        (
            "{path: d/, prefix: p, provider: vault, permissions: 0400, owner: '1:2'}",
            &["d/ 0400 owner (1, Some(2)) folder \"p\" of Some(\"vault\")"],
        ),
        ("{path: f, permissions: 0o644, secrets: {A: 1}}", &["f 0644 Yaml", "  A=literal \"1\""]),
        (
            "{path: f, secrets: {prod: {A: 1}, common: {B: 2}}}",
            &["f 0600 Yaml", "  A=literal \"1\"", "  B=literal \"2\""],
        ),
    ];
    for (entry, expected) in rows {
        let environment = entry.contains("common").then_some("prod");
        accepted(Dialect::Strict, &format!("sealock.files:\n- {entry}\n"), environment, expected);
    }
    let both =
        "summon.files: [{path: f, secrets: {A: 1}}]\nsealock.files: [{path: g, secrets: {B: 1}}]\n";
    let expected = ["f 0600 Yaml", "  A=literal \"1\"", "g 0600 Yaml", "  B=literal \"1\""];
    accepted(Dialect::Strict, both, None, &expected);
}

#[test]
fn refused_settings() {
    let rows = [
        ("{path: f, secret: {A: 1}}", 13, "\"secret\" is not a setting of a file"),
        (
            "{path: f, path: g, secrets: {A: 1}}",
            13,
            "mapping key \"path\" already defined at line 2",
        ),
        ("{path: f, secrets: {A: 1, A: 2}}", 29, "mapping key \"A\" already defined at line 2"),
        ("{path: f, secrets: {}}", 22, "no secrets defined"),
        ("{path: f, secrets: {'': 1}}", 23, "\"\" cannot be the alias of a secret"),
        (
            "{path: f, secrets: {prod: {A: 1}}}",
            22,
            "environment sections exist in file config but no environment specified",
        ),
        ("{path: '', secrets: {A: 1}}", 3, "file config is missing required 'path' field"),
        ("{path: , secrets: {A: 1}}", 8, "`path` of a file must be a text"),
        (
            "{path: \"a\\0b\", secrets: {A: 1}}",
            3,
            "`path` of a file must be a path without control characters",
        ),
        (
            "{path: f, format: json, template: x, secrets: {A: 1}}",
            3,
            "`template` of a file cannot stand beside `format`",
        ),
        (
            "{path: f, format: raw, secrets: {A: 1, B: 2}}",
            3,
            "a file of format `raw` has one secret, not 2",
        ),
    ];
    refused_entries(&rows);
    let ours = "summon.files:\n- {path: f, secrets: {A: 1}, owner: 0}\n";
    refused(Dialect::Strict, ours, None, "line 2, column 30: \"owner\" is not a setting of a file");
    let twice = "summon.files:\n- {path: f, secrets: {A: 1}}\n- {path: f, secrets: {A: 1}}\n";
    refused(
        Dialect::Strict,
        twice,
        None,
        "line 3, column 3: the path \"f\" already exists in line 2",
    );
}

#[test]
fn refused_values_of_settings() {
    let octal = "`permissions` of a file must be octal, from 0001 to 0777";
    let rows = [
        (
            "{path: f, permissions: 600, secrets: {A: 1}}",
            26,
            "`permissions` of a file are octal, with a leading 0",
        ),
        (
            "{path: f, permissions: '600', secrets: {A: 1}}",
            26,
            "`permissions` of a file are octal, with a leading 0",
        ),
        ("{path: f, permissions: 01777, secrets: {A: 1}}", 26, octal),
        ("{path: f, permissions: 0, secrets: {A: 1}}", 26, octal),
        (
            "{path: f, overwrite: yes, secrets: {A: 1}}",
            24,
            "`overwrite` of a file must be true or false",
        ),
        (
            "{path: f, owner: root, secrets: {A: 1}}",
            20,
            "`owner` of a file must be UID or UID:GID, in digits",
        ),
        (
            "{path: f, owner: 4294967295, secrets: {A: 1}}",
            20,
            "`owner` of a file must be UID or UID:GID, in digits",
        ),
        (
            "{path: f, provider: x, secrets: {A: 1}}",
            23,
            "`provider` of a file must be beside `prefix`; for one secret it stands in the tag",
        ),
        (
            "{path: f, prefix: p, secrets: {A: 1}}",
            24,
            "`secrets` of a file cannot stand beside `prefix`",
        ),
        (
            "{path: f, prefix: p, format: raw}",
            24,
            "`format` of a file cannot stand beside `prefix`",
        ),
        (
            "{path: f, prefix: p, provider: a/b}",
            34,
            "`provider` of a file must be a name of letters, digits, `-`, `_` and `.`",
        ),
        ("{path: f, prefix: ''}", 21, "the path of \"prefix\" is empty or has control characters"),
        ("{path: !var f, secrets: {A: 1}}", 10, "there can be no tag here"),
        ("text", 3, "an entry of sealock.files must be a mapping"),
    ];
    refused_entries(&rows);
}

#[track_caller]
fn refused_entries(rows: &[(&str, usize, &str)]) {
    for (entry, column, expected) in rows {
        let text = format!("sealock.files:\n- {entry}\n");
        refused(Dialect::Strict, &text, None, &format!("line 2, column {column}: {expected}"));
    }
}

/// Whoever gets a refusal is told what to do about it.
#[test]
fn hints() {
    let rows = [
        ("A: !foo x\n", "known are var, file, str"),
        ("A: $nope\n", "declare it with -D nope=VALUE"),
        ("prod: {A: 1}\n", "a section is named with -e"),
        ("A: &a x\n", "write the entries out"),
        ("A: 1\nA: 1\n", "remove one of the two"),
        ("A: !int x\n", "correct the value"),
        ("A: !var\n", "write the path of the secret"),
        (
            "sealock.files: [{pth: f}]\n",
            "known are path, format, template, permissions, overwrite, secrets, owner",
        ),
        ("sealock.files: [{path: f, format: xml, secrets: {A: 1}}]\n", "known are yaml, json"),
        ("sealock.files: [{path: f, permissions: 600, secrets: {A: 1}}]\n", "write 0600"),
    ];
    for (text, expected) in rows {
        let hint =
            read(Dialect::Strict, text.as_bytes(), None).unwrap_err().hint().unwrap_or_default();
        assert!(hint.contains(expected), "{text}: {hint}");
    }
}
