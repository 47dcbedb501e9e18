//! What Summon gets wrong, and what is done here instead: no secret is lost, leaked or made up.

use std::path::Path;

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use super::signals::has_ended;
use super::stage::{Running, Stage, in_python, is_ours, outcome};
use super::table::{hold, row};
use crate::support::PATIENCE;

const LEGACY: &str = "[ $# -eq 0 ] || { echo \"legacy $1\"; exit 0; }\n";

/// What comes of two variables with this provider.
fn with_provider(body: &str) -> (Option<i32>, String) {
    let stage = Stage::new();
    stage.provider("case", &format!("#!/bin/sh\n{body}\n"));
    stage.write("secrets.yml", "A: !var a\nB: !var b\n");
    let said = outcome(stage.summon(&["-p", "case", "sh", "-c", "echo \"[$A][$B]\""]));
    assert_eq!(said.err, "");
    (said.code, said.out)
}

#[test]
fn answers_that_do_not_fit_the_questions_are_not_assigned() {
    if !is_ours() {
        return;
    }
    let answer = "answer() { printf 'stream %s' \"$1\" | base64 -w0; echo; }\n";
    for (what, body) in [
        ("too few", "read -r path; answer \"$path\"; read -r path"),
        ("too few, and one empty", "read -r path; read -r other; answer \"$other\""),
        ("too many", "while read -r path; do answer \"$path\"; answer more; done"),
        ("one more at the end", "while read -r path; do answer \"$path\"; done; answer more"),
        ("the last without an end", "read -r path; answer \"$path\"; read -r path; printf YQ=="),
        ("all of them, and an exit code", "while read -r path; do answer \"$path\"; done; exit 3"),
        (
            "all of them, and a complaint",
            "while read -r path; do answer \"$path\"; done; echo no >&2",
        ),
        ("the questions themselves", "cat"),
    ] {
        let (code, out) = with_provider(&format!("{LEGACY}{answer}{body}"));
        assert_eq!((code, out.as_str()), (Some(0), "[legacy a][legacy b]\n"), "{what}");
        // One that knows no other way gives nothing at all.
        let (code, out) = with_provider(&format!("[ $# -eq 0 ] || exit 8\n{answer}{body}"));
        assert_eq!(
            (code, out.as_str()),
            (Some(127), "Error fetching secret: exit status 8\n"),
            "{what}"
        );
    }
}

#[test]
fn a_word_that_is_printed_to_whoever_comes_is_no_secret() {
    if !is_ours() {
        return;
    }
    for word in ["fail", "null", "None", "true", "test", "help", "12345678", "Usage+ab"] {
        let stage = Stage::new();
        // It reads to the end of its input, which does not come, and has half of the time for it.
        stage.provider("case", &format!("#!/bin/sh\n{LEGACY}cat > /dev/null; echo {word}\n"));
        let mut command =
            stage.summon(&["-p", "case", "--yaml", "A: !var a", "sh", "-c", "echo $A"]);
        command.env("CONJUR_HTTP_TIMEOUT", "1");
        assert_eq!(outcome(command).out, "legacy a\n", "{word}");
        for body in [
            format!("echo {word}"),
            format!("echo {word}; echo {word}"),
            format!("read -r one; read -r two; echo {word}; echo {word}; exit 0"),
        ] {
            let (code, out) = with_provider(&format!("{LEGACY}{body}"));
            assert_eq!((code, out.as_str()), (Some(0), "[legacy a][legacy b]\n"), "{body}");
        }
    }
}

#[test]
fn at_the_deadline_nothing_of_a_provider_is_left() {
    if !is_ours() {
        return;
    }
    // One that does not listen, in both modes, with a child that holds the pipes and a grandchild that does not.
    let hang = "sleep 1000 & echo $! >> pids\n(sleep 1001 > /dev/null 2>&1 & echo $! >> pids)\necho $$ >> pids\ntrap '' TERM INT HUP\nwhile :; do sleep 100; done";
    let cases = [
        ("both", hang.to_owned()),
        ("stream mode", format!("{LEGACY}{hang}")),
        ("legacy mode", format!("[ $# -gt 0 ] || exit 1\n{hang}")),
    ];
    for (what, body) in cases {
        let stage = Stage::new();
        stage.provider("hangs", &format!("#!/bin/sh\n{body}\n"));
        stage.write("secrets.yml", "A: !var a\nB: !var b\n");
        let mut command = stage.summon(&["-p", "hangs", "sh", "-c", "echo \"[$A][$B]\""]);
        command.env("CONJUR_HTTP_TIMEOUT", "1");
        let said = outcome(command);
        match what {
            "stream mode" => assert_eq!(said.out, "[legacy a][legacy b]\n"),
            _ => {
                assert_eq!(said.code, Some(127), "{said:?}");
                assert_eq!(said.out, "Error fetching secret: no answer within 1 s\n");
            }
        }
        let pids = stage.read("pids");
        assert!(pids.lines().count() >= 3, "{what}: {pids}");
        for pid in pids.lines() {
            until("the end of what the provider has left", PATIENCE, || {
                has_ended(pid).then_some(())
            });
        }
    }
}

#[test]
fn an_alias_belongs_to_its_file() {
    hold([
        row("one alias in two files: each has its own value")
            .yaml("summon.files:\n  - path: one\n    secrets: {A: !var one}\n  - path: two\n    secrets: {A: !var two}\n")
            .command(&["cat", "one", "two"])
            .prints("\"A\": \"value of one\"\"A\": \"value of two\"")
            .ours(),
        row("and so has a variable of that name")
            .yaml("A: !var three\nsummon.files:\n  - path: one\n    secrets: {A: !var one}\n")
            .sh("cat one; echo $A")
            .prints("\"A\": \"value of one\"value of three\n"),
    ]);
}

#[test]
fn nothing_in_a_secret_runs() {
    let shell = |format: &str| {
        row("what is sourced runs nothing, and is the value")
            .provider("stream")
            .yaml(&format!("summon.files:\n  - path: made\n    format: {format}\n    secrets: {{A: !var shell}}\n"))
            .command(&["bash", "-c", ". ./made; printf '%s' \"$A\""])
            .prints("$(touch ran)`touch ran`")
            .leaves(|stage| assert!(!stage.work("ran").exists()))
            .ours()
    };
    hold([shell("bash"), shell("dotenv")]);
    hold([row("also in an interactive shell, where `!` is history")
        .provider("stream")
        .yaml("summon.files:\n  - path: made\n    format: bash\n    secrets: {A: 'x!!y'}\n")
        .command(&["bash", "--norc", "-ic", ". ./made; printf '%s' \"$A\""])
        .prints("x!!y")
        .complains("…")
        .ours()]);
}

#[test]
fn what_a_format_cannot_hold_is_an_error_that_names_the_alias() {
    let made = |format: &str, path: &str| {
        format!(
            "summon.files:\n  - path: made\n    format: {format}\n    secrets: {{KEY: !var {path}}}\n"
        )
    };
    hold([row("json is read by a JSON parser, whatever is in the value")
        .provider("stream")
        .yaml(&made("json", "control"))
        .command(&["python3", "-c", "import json; print(list(map(ord, json.load(open('made'))['KEY'])) == [*range(1, 32), 127])"])
        .prints("True\n")
        .ours()]);
    hold(["yaml", "json", "dotenv", "properties"].map(|format| {
        row("bytes that are no text")
            .provider("stream")
            .yaml(&made(format, "latin"))
            .sh("touch started")
            .code(127)
            .prints("error writing secret file for path made: …\"KEY\" is not UTF-8…\n")
            .leaves(|stage| {
                assert!(!stage.work("started").exists() && !stage.work("made").exists())
            })
            .ours()
    }));
    hold(["bash", "dotenv"].map(|format| {
        row("a NUL byte")
            .provider("stream")
            .yaml(&made(format, "nul"))
            .code(127)
            .prints("…\"KEY\" has a NUL byte…\n")
            .ours()
    }));
    hold([row("a NUL byte in a variable")
        .provider("stream")
        .yaml("A: !var nul\n")
        .sh("touch started")
        .code(127)
        .prints("…A has a NUL byte…\n")
        .leaves(|stage| assert!(!stage.work("started").exists()))
        .ours()]);
}

#[test]
fn the_users_file_comes_back() {
    let yaml = "summon.files:\n  - path: made\n    overwrite: true\n    secrets: {A: !var a}\n";
    let back = |stage: &Stage| {
        assert_eq!(stage.read("made"), "mine");
        assert_eq!(crate::support::mode(&stage.work("made")), 0o644);
        assert_eq!(stage.listing().len(), 2, "{:?}", stage.listing());
    };
    let replaced = |sentence| row(sentence).file("made", "mine").yaml(yaml).ours();
    hold([
        replaced("at an orderly end")
            .command(&["cat", "made"])
            .prints("\"A\": \"value of a\"")
            .leaves(back),
        replaced("at an error").sh("exit 5").code(5).leaves(back),
        replaced("when the child has put another in its place")
            .sh("echo x > new; mv new made")
            .leaves(back),
        replaced("when the child has removed it").sh("rm made").leaves(back),
        replaced("when there is no such program")
            .command(&["no-such-program"])
            .code(127)
            .prints("…")
            .leaves(back),
        replaced("when another file cannot be written")
            .yaml(&format!("{yaml}  - path: made/impossible\n    secrets: {{A: 1}}\n"))
            .code(127)
            .prints("…")
            .leaves(back),
    ]);
    if !is_ours() {
        return;
    }
    for signal in ["TERM", "KILL"] {
        let stage = Stage::new();
        stage.write("made", "mine");
        stage.write("secrets.yml", yaml);
        let mut running = Running::start(stage.summon(&["sh", "-c", "cat made; exec sleep 1000"]));
        running.prints("value of a");
        running.signal(signal);
        running.wait();
        until("the user's file", PATIENCE, || (stage.read("made") == "mine").then_some(()));
        until("nothing else", PATIENCE, || (stage.listing().len() == 2).then_some(()));
    }
}

#[test]
fn killed_it_leaves_neither_file_nor_child() {
    if !is_ours() {
        return;
    }
    let stage = Stage::new();
    stage.write("secrets.yml", "F: !var:file a\n");
    let body = "echo \"path $F\"; trap 'cat $F > last; exit' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    let mut running = Running::start(stage.summon(&["sh", "-c", body]));
    until("the child", PATIENCE, || stage.work("pid").exists().then_some(()));
    running.prints("path /dev/shm/.summon");
    let path = running.printed().trim().replace("path ", "");
    let pid = stage.read("pid").trim().to_owned();
    running.signal("KILL");
    assert_eq!(running.wait().signal, Some(9));
    until("the child's end", PATIENCE, || has_ended(&pid).then_some(()));
    until("the file's end", PATIENCE, || (!Path::new(&path).exists()).then_some(()));
    assert_eq!(stage.read("last"), "value of a", "it was asked, and had its file to the end");
}

#[test]
fn small_things() {
    hold([
        row("an alias of YAML is its value")
            .yaml("A: &x one\nB: *x\n")
            .sh("echo $B")
            .prints("one\n")
            .ours(),
        row("permissions that look octal and are decimal are refused")
            .yaml("summon.files:\n  - path: made\n    permissions: 600\n    secrets: {A: 1}\n")
            .code(127)
            .prints("…octal…\n")
            .ours(),
        row("a path of two lines is not two questions")
            .yaml("A: !var \"a\\nb\"\n")
            .code(127)
            .prints("Error fetching secret: …line end…\n")
            .ours(),
        row("no provider is started for literals alone")
            .provider("stream")
            .yaml("A: 1\n")
            .sh("echo $A")
            .prints("1\n")
            .ours(),
    ]);
}

#[test]
fn endless_output_of_a_provider_ends() {
    if !is_ours() || skip_without(&["python3"]) {
        return;
    }
    let stage = Stage::new();
    let endless = "import os, sys\nchunk = b'A' * 65536\nfd = 2 if 'err' in sys.argv[0] else 1\ntry:\n    while True:\n        os.write(fd, chunk)\nexcept BrokenPipeError:\n    pass\n";
    for (name, limit) in [
        ("out", "1048576 bytes to its standard output"),
        ("err", "16777216 bytes to its standard error"),
    ] {
        stage.provider(name, &in_python(endless));
        let said = outcome(stage.summon(&["-p", name, "--yaml", "A: !var a", "touch", "started"]));
        assert_eq!(said.code, Some(127));
        assert_eq!(
            said.out,
            format!("Error fetching secret: the provider printed more than {limit}\n")
        );
    }
    assert!(!stage.work("started").exists());
    // The largest value comes through.
    let large = "import sys\nif len(sys.argv) < 2:\n    sys.exit(1)\nsys.stdout.write('x' * int(sys.argv[1]))\n";
    stage.provider("large", &in_python(large));
    let ask = |size: usize| {
        let yaml = format!("A: !var:file '{size}'");
        outcome(stage.summon(&["-p", "large", "--yaml", &yaml, "sh", "-c", "wc -c < $A"]))
    };
    assert_eq!(ask(1 << 20).out, "1048576\n");
    assert_eq!(ask((1 << 20) + 1).code, Some(127));
}
