//! Whatever could be a mistake is an error, on standard error, and nothing is started.

use super::{World, one_error};
use crate::summon::stage::outcome;

/// Runs `touch started` and holds the error against a word of why; with a hint or without.
fn refused(world: &World, arguments: &[&str], code: i32, why: &str) {
    let said = outcome(world.run(&[arguments, &["--", "touch", "started"]].concat()));
    let error = one_error(&said);
    assert_eq!(said.code, Some(code), "{arguments:?}: {error}");
    assert!(error.contains(why), "{arguments:?}: wanted {why:?} in {error}");
    assert!(!world.stage.work("started").exists(), "{arguments:?}");
}

#[test]
fn mistakes_in_the_file() {
    let world = World::new();
    for (yaml, why) in [
        ("A: !variable x", "unknown tag `variable`"),
        ("A: !var:fiel x", "unknown tag `fiel`"),
        ("A: [1]", "the value of \"A\" is a list"),
        ("A: {b: c}", "the value of \"A\" is a map"),
        ("A: $x", "variable x not declared"),
        ("A: 1\nA: 2", "mapping key \"A\" already defined at line 1"),
        ("A: &x 1", "anchors, aliases and merge keys are not allowed"),
        ("<<: {A: 1}", "anchors, aliases and merge keys are not allowed"),
        ("A: 1\n---\nB: 2", "more than one YAML document"),
        ("A: !int many", "is not an integer"),
        ("A: !bool yes", "is not a boolean"),
        ("A: !float 1.2.3", "is not a number"),
        ("A: !var ''", "the path of \"A\" is empty"),
        ("A: !var \"a\\nb\"", "control characters"),
        ("A: !var:default=off x", "`default` in a tag is not in single quotes"),
        ("A: !var:provider=../legacy x", "a provider's name has letters"),
        ("A: !default-on-error='x' y", "needs `var`"),
        ("A=B: 1", "\"A=B\" cannot be the name of an environment variable"),
        ("\"A\\tB\": 1", "cannot be the name of an environment variable"),
        ("- A", "expected mapping"),
        ("summon.files: {}", "must be a sequence"),
        (
            "summon.files: [{path: x, secrets: {A: 1}, mode: 0600}]",
            "\"mode\" is not a setting of a file",
        ),
        (
            "summon.files: [{path: x, secrets: {A: 1}, owner: '0'}]",
            "\"owner\" is not a setting of a file",
        ),
        ("summon.files: [{path: x, secrets: {A: 1}, permissions: 600}]", "octal"),
        (
            "summon.files: [{path: x, secrets: {A: 1}, format: ini}]",
            "unrecognized standard file format",
        ),
        (
            "summon.files: [{path: x, secrets: {A: 1}, format: raw}]",
            "unrecognized standard file format",
        ),
        ("sealock.files: [{path: x, format: raw, secrets: {A: 1, B: 2}}]", "has one secret, not 2"),
        ("sealock.files: [{path: x, prefix: a, secrets: {A: 1}}]", "cannot stand beside"),
        ("sealock.files: [{path: x, secrets: {A: 1}, owner: root}]", "UID or UID:GID"),
        (
            "sealock.files: [{path: x, secrets: {A: 1}}, {path: x, secrets: {A: 1}}]",
            "already exists in line 1",
        ),
    ] {
        refused(&world, &["-p", "legacy", "--yaml", yaml], 64, why);
    }
    let sections = "common: {A: 1}\ndev: {B: 2}\n";
    refused(&world, &["--yaml", sections], 64, "a section is named with -e");
    refused(&world, &["-e", "x", "--yaml", sections], 64, "No such environment 'x' found");
    refused(&world, &["-e", "dev", "--yaml", "A: 1\ndev: {B: 2}"], 64, "\"A\" is no section");
    refused(
        &world,
        &["-e", "dev", "--yaml", "common: {}\ndefault: {}\ndev: {B: 2}"],
        64,
        "both `common` and `default`",
    );
}

#[test]
fn mistakes_on_the_command_line() {
    let world = World::new();
    world.stage.write("secrets.yml", "A: 1\n");
    for (arguments, why) in [
        (&["--bogus"][..], "--bogus"),
        (&["-f", "none.yml"], "cannot read none.yml"),
        (&["-f", "/"], "cannot read /"),
        (&["-f", "x", "--yaml", "A: 1"], "cannot be used with"),
        (&["-D", "x"], "invalid substitution format: \"x\""),
        (&["--up", "-f", "/secrets.yml"], "is an absolute path"),
        (&["--up", "-f", "no-such-file"], "reached root of file system"),
        (&["--timeout", "soon"], "--timeout must be a span"),
        (&["--keep", "PATH"], "--keep is for --pristine"),
        (&["--on-change", "restart"], "--on-change is for --watch"),
        (&["--watch=0s"], "--watch must be a span"),
        (&["--watch", "--on-change", "signal:KILL"], "nothing to do when a value has changed"),
        (&["--exec", "always", "--mask"], "--exec always cannot be had with --mask"),
        (&["--exec", "always", "--watch"], "--exec always cannot be had with --watch"),
        (&["--exec", "perhaps"], "perhaps"),
        (&["--exec", "always", "--yaml", "A: !file x"], "files that have to be removed"),
        (&["--as-files"], "--as-files is for `docker run`"),
        (&["-p", "nowhere", "--yaml", "A: !var x"], "stat "),
        (&["-p", "./nowhere", "--yaml", "A: !var x"], "stat "),
        (&["--yaml", "A: !var:provider=nowhere x"], "stat "),
    ] {
        refused(&world, arguments, 64, why);
    }
    let said = outcome(world.run(&["--yaml", "A: 1"]));
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("<COMMAND>"), "{said:?}");
    assert!(!world.home.state().exists(), "and no state was made");
}

#[test]
fn everything_that_is_missing_is_named_and_nothing_is_started() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let yaml = "A: !var prod/db\nB: !var prod/none\nC: !var:provider=legacy none/c\nD: !var:provider=legacy d\n\
                sealock.files:\n  - path: made\n    secrets: {E: !var prod/e}\n  - path: folder\n    prefix: nowhere\n";
    let said = outcome(world.run(&["--yaml", yaml, "--", "touch", "started"]));
    let error = one_error(&said);
    assert_eq!(said.code, Some(1));
    for part in [
        "error: 4 secrets cannot be had\n",
        "  caused by: B: there is no secret prod/none\n",
        "  caused by: C: exit status 3: no such secret none/c\n",
        "  caused by: E: there is no secret prod/e\n",
        "  caused by: folder: there is no secret below nowhere\n",
        "hint: ",
    ] {
        assert!(error.contains(part), "{part:?} in {error}");
    }
    assert!(!error.contains("hunter2") && !error.contains("value of d"), "{error}");
    assert!(world.stage.listing().is_empty(), "{:?}", world.stage.listing());
    // One is told in one line.
    let said = outcome(world.run(&["--yaml", "B: !var prod/none", "--", "true"]));
    assert!(
        one_error(&said).starts_with("error: B cannot be had: there is no secret prod/none\n"),
        "{said:?}"
    );
    // Left out when that is asked for.
    let show = "echo \"$A${B-unset}${C-unset}\"; cat made";
    let yaml = yaml.split("  - path: folder").next().unwrap();
    let ignored = world.prints(
        &["-i", "B", "-i", "C", "--ignore", "E"],
        yaml,
        "echo \"$A${B-unset}${C-unset}\"",
    );
    assert_eq!(ignored, "hunter2unsetunset\n");
    assert_eq!(world.prints(&["-I"], yaml, show), "hunter2unsetunset\n");
}

#[test]
fn half_answers_are_errors() {
    let world = World::new();
    let answer = "answer() { printf 'stream %s' \"$1\" | base64 -w0; echo; }\n";
    let legacy = "[ $# -eq 0 ] || { echo \"legacy $1\"; exit 0; }\n";
    for (what, body) in [
        ("too few", "read -r path; answer \"$path\"; read -r path"),
        ("too many", "read -r one; read -r two; answer \"$one\"; answer \"$two\"; answer more"),
    ] {
        world.stage.provider("half", &format!("#!/bin/sh\n{legacy}{answer}{body}\n"));
        let said = outcome(world.run(&[
            "-p",
            "half",
            "--yaml",
            "A: !var a\nB: !var b",
            "--",
            "touch",
            "started",
        ]));
        let error = one_error(&said);
        assert_eq!(said.code, Some(1), "{what}");
        assert!(
            error.contains("A: the provider's answer does not fit what it was asked"),
            "{error}"
        );
        assert!(error.contains("B: the provider's answer"), "{error}");
    }
    assert!(!world.stage.work("started").exists());
}

#[test]
fn exit_codes_are_a_shells() {
    let world = World::new();
    world.stage.write("text", "no program");
    world.stage.program("lost", "#!/no/such/interpreter\n");
    world.stage.program("old", "exit 8\n");
    for flags in [&[][..], &["--exec", "never"], &["--mask"]] {
        for code in [0, 1, 42, 127, 255] {
            assert_eq!(
                world.says(flags, "A: 1", &format!("exit {code}")).code,
                Some(code),
                "{flags:?}"
            );
        }
        for (program, code) in [
            ("no-such-program", 127),
            ("./none", 127),
            ("/none", 127),
            ("./text", 126),
            ("/", 126),
            ("./lost", 126),
        ] {
            let said = outcome(world.run(&[flags, &["--yaml", "A: 1", "--", program]].concat()));
            one_error(&said);
            assert_eq!(said.code, Some(code), "{flags:?} {program}: {}", said.err);
        }
    }
    for flags in [&[][..], &["--exec", "never"], &["--mask"]] {
        // What has no first line that names an interpreter is a shell's, as in a shell.
        let said = outcome(world.run(&[flags, &["--yaml", "A: 1", "--", "./old", "x"]].concat()));
        assert_eq!(said.code, Some(8), "{flags:?}: {}", said.err);
    }
    for (name, number) in
        [("HUP", 1), ("INT", 2), ("KILL", 9), ("USR1", 10), ("TERM", 15), ("PIPE", 13)]
    {
        let kill = format!("kill -{name} $$");
        for flags in [&["--exec", "never"][..], &["--mask"]] {
            assert_eq!(
                world.says(flags, "A: 1", &kill).code,
                Some(128 + number),
                "{flags:?} {name}"
            );
        }
        // Where the program has taken our place, who waits for it sees its end itself.
        assert_eq!(world.says(&[], "A: 1", &kill).signal, Some(number), "{name}");
    }
}
