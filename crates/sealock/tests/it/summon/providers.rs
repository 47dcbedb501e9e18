//! Which provider, and how it is asked.

use std::os::unix::fs::symlink;

use super::stage::{Stage, outcome};
use super::table::{hold, row};

const SHOW: &str = "printf '[%s]' \"$A\"";

/// A provider that says by whom it was found.
fn named(name: &str) -> String {
    format!("#!/bin/sh\n[ $# -eq 1 ] || exit 1\necho {name}\n")
}

#[test]
fn lookup() {
    let ask = "A: !var a\n";
    hold([
        row("-p beats SUMMON_PROVIDER")
            .yaml(ask)
            .set("SUMMON_PROVIDER", "legacy")
            .provider("stream")
            .sh(SHOW)
            .prints("[value of a]"),
        row("SUMMON_PROVIDER")
            .yaml(ask)
            .set("SUMMON_PROVIDER", "stream")
            .sh(SHOW)
            .prints("[value of a]"),
        row("an empty -p is none").yaml(ask).flags(&["-p", ""]).sh(SHOW).prints("[value of a]"),
        row("a bare name is looked for in the folder, not in PATH and not where one stands")
            .yaml(ask)
            .file("sh", "")
            .provider("sh")
            .fails("stat {providers}/sh: no such file or directory"),
        row("a name with a slash is a path, from where one stands")
            .yaml(ask)
            .provider("../providers/legacy")
            .sh(SHOW)
            .prints("[value of a]"),
        row("so it is in SUMMON_PROVIDER")
            .yaml(ask)
            .set("SUMMON_PROVIDER", "./../providers/legacy")
            .sh(SHOW)
            .prints("[value of a]"),
        row("an absolute path")
            .yaml(ask)
            .provider("{providers}/legacy")
            .sh(SHOW)
            .prints("[value of a]"),
        row("a path that is not there")
            .yaml(ask)
            .provider("./none")
            .fails("stat {work}/none: no such file or directory"),
        row("none, and several in the folder")
            .yaml(ask)
            .unset("SUMMON_PROVIDER")
            .code(127)
            .prints("More than one provider found in {providers}, please specify one\n…"),
        row("none, and none in the folder")
            .yaml(ask)
            .file("empty/deeper/x", "")
            .unset("SUMMON_PROVIDER")
            .set("SUMMON_PROVIDER_PATH", "{work}/empty/deeper/none")
            .fails("Could not resolve a provider!"),
        row("a provider is needed even when all values are literals")
            .yaml("A: 1\n")
            .unset("SUMMON_PROVIDER")
            .code(127)
            .prints("More than one provider found in …"),
        row("one that is missing is told before the file is read")
            .flags(&["-f", "none.yml"])
            .provider("none")
            .fails("stat {providers}/none: no such file or directory"),
        row("SUMMON_PROVIDER_PATH")
            .yaml(ask)
            .file("mine/legacy", "")
            .set("SUMMON_PROVIDER_PATH", "{work}/mine")
            .code(127)
            .prints("Error fetching secret: …ermission denied…\n"),
    ]);
}

#[test]
fn the_only_file_in_the_folder() {
    let stage = Stage::new();
    stage.write("secrets.yml", "A: !var a\n");
    stage.program("one/keyring", &named("keyring"));
    let mut command = stage.summon(&["sh", "-c", "echo $A"]);
    command.env_remove("SUMMON_PROVIDER").env("SUMMON_PROVIDER_PATH", stage.work("one"));
    assert_eq!(outcome(command).out, "keyring\n");
    // A link to one counts too.
    symlink(stage.work("one/keyring"), stage.path("providers/linked")).unwrap();
    let said = outcome(stage.summon(&["-p", "linked", "sh", "-c", "echo $A"]));
    assert_eq!(said.out, "keyring\n");
}

#[test]
fn stream_mode() {
    let stage = Stage::new();
    // What it was given, and how.
    stage.python_provider(
        "telling",
        "import base64, os, sys\nlines = []\nfor line in sys.stdin:\n    lines.append(line)\n    open('asked', 'w').write(repr((sys.argv[1:], lines)))\n    print(base64.b64encode(line.strip().encode()[::-1]).decode(), flush=True)\n",
    );
    stage.write("secrets.yml", "A: !var one\nB: !var two words\nC: literal\nD: !var one\n");
    let said = outcome(stage.summon(&["-p", "telling", "sh", "-c", "echo $A $B $C $D"]));
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "eno sdrow owt literal eno\n"),
        "{said:?}"
    );
    let asked = stage.read("asked");
    assert!(
        asked.starts_with("([], [")
            && asked.contains("'one\\n'")
            && asked.contains("'two words\\n'"),
        "{asked}"
    );
    hold([
        row("stream mode is tried first")
            .provider("stream")
            .yaml("A: !var x\n")
            .sh(SHOW)
            .prints("[value of x]"),
        row("its values are not trimmed")
            .provider("stream")
            .yaml("A: !var blanks\nB: !var lines\n")
            .sh("printf '[%s][%s]' \"$A\" \"$B\"")
            .prints("[  a b ][one\ntwo\n]"),
        row("any bytes but NUL are handed on")
            .provider("stream")
            .yaml("A: !var bytes\n")
            .sh("printf %s \"$A\" | od -An -v -tx1 | tr -d ' \\n'")
            .prints(&(1..=255).map(|byte| format!("{byte:02x}")).collect::<String>()),
        row("NUL bytes too, into a file")
            .provider("stream")
            .yaml("A: !var:file nul\n")
            .sh("od -An -c $A")
            .prints("   a  \\0   b\n"),
    ]);
}

#[test]
fn every_value_is_where_it_belongs() {
    // More than fit into a pipe, and into one page of the answer.
    let count = 3000;
    let yaml: String = (0..count).map(|n| format!("V{n}: !var path/{n}\n")).collect();
    let check = format!(
        "for n in $(seq 0 {}); do eval \"[ \\\"\\$V$n\\\" = 'value of path/$n' ]\" || echo $n; done",
        count - 1
    );
    hold([row("many values in stream mode").provider("stream").yaml(&yaml).sh(&check)]);
    let yaml: String = (0..300).map(|n| format!("V{n}: !var path/{n}\n")).collect();
    let check = "for n in $(seq 0 299); do eval \"[ \\\"\\$V$n\\\" = 'value of path/$n' ]\" || echo $n; done";
    hold([row("many values in legacy mode").yaml(&yaml).sh(check)]);
}

#[test]
fn what_makes_it_ask_one_by_one() {
    let stage = Stage::new();
    stage.write("secrets.yml", "A: !var a\nB: !var b\n");
    let legacy = "[ $# -eq 0 ] || { echo \" legacy $1 \"; exit 0; }\n";
    let answer = "answer() { printf 'stream %s' \"$1\" | base64 -w0; echo; }\n";
    let cases = [
        ("a line on standard error", "while read -r path; do echo oh >&2; answer \"$path\"; done"),
        ("a line that is no base64", "while read -r path; do echo 'not base64!'; done"),
        ("no output", "read -r path"),
        ("an exit code, and no output", "exit 9"),
        ("a usage", "echo 'usage: PATH' >&2; exit 1"),
        ("a usage on standard output", "echo 'usage: PATH'; exit 1"),
    ];
    for (what, body) in cases {
        stage.provider("case", &format!("#!/bin/sh\n{legacy}{answer}{body}\n"));
        let said = outcome(stage.summon(&["-p", "case", "sh", "-c", "echo \"[$A][$B]\""]));
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(0), "[legacy a][legacy b]\n"),
            "{what}: {said:?}"
        );
    }
}

#[test]
fn legacy_mode() {
    let stage = Stage::new();
    stage.provider(
        "case",
        "#!/bin/sh\n[ $# -gt 0 ] || exit 1\nprintf '%s ' $# \"$1\" >> asked\ncase $1 in\n\
         white) printf ' \\t\\r\\n\\v\\f\\302\\240a \\n b\\342\\200\\250\\n\\n' ;;\nboth) echo value; echo complaint >&2 ;;\n\
         fails) echo value; echo ' why ' >&2; exit 5 ;;\nquiet) exit 6 ;;\nkilled) echo last >&2; kill -KILL $$ ;;\nesac\n",
    );
    let ask = |path: &str| {
        let yaml = format!("A: !var {path}\n");
        outcome(stage.summon(&["-p", "case", "--yaml", &yaml, "sh", "-c", SHOW]))
    };
    for (path, code, shown) in [
        ("white", 0, "[a \n b]"),
        ("both", 0, "[value]"),
        ("fails", 127, "Error fetching secret: exit status 5: why\n"),
        ("quiet", 127, "Error fetching secret: exit status 6\n"),
        ("killed", 127, "Error fetching secret: signal: killed: last\n"),
    ] {
        let said = ask(path);
        assert_eq!(
            (said.code, said.out.as_str(), said.err.as_str()),
            (Some(code), shown, ""),
            "{path}"
        );
    }
    // Once each, with the path as the only argument.
    assert_eq!(stage.read("asked"), "1 white 1 both 1 fails 1 quiet 1 killed ");
    let said = ask("-weird --path; $(id) *");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(stage.read("asked").ends_with("1 -weird --path; $(id) * "));
}

#[test]
fn legacy_calls_run_at_the_same_time() {
    // None of them answers before all have begun.
    let stage = Stage::new();
    let provider = "#!/bin/sh\n[ $# -gt 0 ] || exit 1\n: > began.$1\nwhile [ \"$(ls began.* | wc -l)\" -lt 8 ]; do sleep 0.01; done\necho $1\n";
    stage.provider("all", provider);
    let yaml: String = (0..8).map(|n| format!("V{n}: !var p{n}\n")).collect();
    stage.write("secrets.yml", yaml);
    let said = outcome(stage.summon(&["-p", "all", "sh", "-c", "echo $V0 $V7"]));
    assert_eq!((said.code, said.out.as_str()), (Some(0), "p0 p7\n"), "{said:?}");
}

#[test]
fn a_timeout_of_seconds() {
    let stage = Stage::new();
    stage.provider("hangs", "#!/bin/sh\n[ $# -gt 0 ] || exec sleep 1000\necho legacy $1\n");
    stage.write("secrets.yml", "A: !var a\n");
    let mut command = stage.summon(&["-p", "hangs", "sh", "-c", SHOW]);
    command.env("CONJUR_HTTP_TIMEOUT", "1");
    let said = outcome(command);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "[legacy a]"), "{said:?}");
    // What is no number of seconds is as if it was not there.
    for odd in ["", "0", "-1", "x", "1.5"] {
        let mut command = stage.summon(&["sh", "-c", SHOW]);
        command.env("CONJUR_HTTP_TIMEOUT", odd);
        assert_eq!(outcome(command).out, "[value of a]", "{odd}");
    }
}
