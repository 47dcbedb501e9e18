//! Flags and their environment twins.

use super::{World, one_error};
use crate::summon::stage::{Outcome, fits, outcome};

const SHOW: &str = "echo \"[${A-unset}]\"";

#[test]
fn summons_flags_mean_the_same() {
    let world = World::new();
    let sections = "common: {A: 1, B: $b}\ndev: {A: !var a}\n";
    let flags = ["-p", "legacy", "-e", "dev", "-D", "b=x=y"];
    assert_eq!(world.prints(&flags, sections, "echo $A $B"), "value of a x=y\n");
    world.stage.write("secrets.yml", "A: below\n");
    world.stage.write("deep/own.yml", "A: own\n");
    let said = |flags: &[&str]| {
        let mut command = world.run(&[flags, &["--", "sh", "-c", SHOW]].concat());
        command.current_dir(world.stage.work("deep"));
        outcome(command)
    };
    assert_eq!(said(&["--up"]).out, "[below]\n");
    assert_eq!(said(&["-f", "own.yml"]).out, "[own]\n");
    assert_eq!(said(&["--file=own.yml"]).out, "[own]\n");
    assert_eq!(said(&[]).code, Some(64));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a row for each flag")]
fn every_flag_has_a_twin() {
    let world = World::new();
    world.stage.write("secrets.yml", "A: usual\n");
    world.stage.write("other.yml", "A: other\n");
    world.stage.write("sections.yml", "dev: {A: $x$y}\n");
    world.stage.write("missing.yml", "A: !var none/a\nB: !var none/b\n");
    world.stage.write("asked.yml", "A: !var a\n");
    world.stage.write("file.yml", "A: !file x\n");
    world.stage.provider("hangs", "#!/bin/sh\nsleep 1000\n");
    world.stage.provider(
        "shows",
        "#!/bin/sh\n[ $# -eq 1 ] || exit 1\necho \"${MINE-unset} ${YOURS-unset}\"\n",
    );
    std::fs::create_dir(world.stage.work("below")).unwrap();
    // Twins, script, code, output, complaint.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, i32, &'a str, &'a str);
    let cases: [Case<'_>; 19] = [
        (&[("FILE", "other.yml")], SHOW, 0, "[other]\n", ""),
        (&[("YAML", "A: text")], SHOW, 0, "[text]\n", ""),
        (&[("UP", "true"), ("FILE", "other.yml")], SHOW, 0, "[other]\n", ""),
        (
            &[("FILE", "sections.yml"), ("ENVIRONMENT", "dev"), ("DEFINE", "x=1\ny=2")],
            SHOW,
            0,
            "[12]\n",
            "",
        ),
        (&[("FILE", "asked.yml"), ("PROVIDER", "legacy")], SHOW, 0, "[value of a]\n", ""),
        (
            &[("FILE", "missing.yml"), ("PROVIDER", "legacy"), ("IGNORE", "A\nB")],
            SHOW,
            0,
            "[unset]\n",
            "",
        ),
        (
            &[("FILE", "missing.yml"), ("PROVIDER", "legacy"), ("IGNORE_ALL", "yes")],
            SHOW,
            0,
            "[unset]\n",
            "",
        ),
        (
            &[("FILE", "asked.yml"), ("PROVIDER", "hangs"), ("TIMEOUT", "1s")],
            SHOW,
            1,
            "",
            "error: …no answer within 1 s…",
        ),
        (&[("FILE", "asked.yml"), ("PROVIDER", "shows")], SHOW, 0, "[unset unset]\n", ""),
        (
            &[("FILE", "asked.yml"), ("PROVIDER", "shows"), ("PROVIDER_ENV", "MINE\nYOU*")],
            SHOW,
            0,
            "[mine yours]\n",
            "",
        ),
        (&[("PRISTINE", "1")], "echo \"$A ${MINE-unset}\"", 0, "usual unset\n", ""),
        (
            &[("PRISTINE", "1"), ("KEEP", "MINE\nPATH")],
            "echo \"$A $MINE ${YOURS-unset}\"",
            0,
            "usual mine unset\n",
            "",
        ),
        // Literals are not masked; that the twin is heard is to be seen by what goes against it.
        (
            &[("MASK", "true"), ("EXEC", "always")],
            SHOW,
            64,
            "",
            "error: --exec always cannot be had with --mask…",
        ),
        (&[("WATCH", "1s"), ("ON_CHANGE", "signal:HUP")], SHOW, 0, "[usual]\n", ""),
        (&[("ON_CHANGE", "signal:HUP")], SHOW, 64, "", "error: --on-change is for --watch…"),
        (&[("EXEC", "always"), ("FILE", "file.yml")], SHOW, 64, "", "error: --exec always…"),
        (
            &[("EXEC", "always"), ("FILE", "file.yml"), ("FILES", "memfd")],
            SHOW,
            0,
            "[/proc/self/fd/…]\n",
            "",
        ),
        (&[("AS_FILES", "true")], SHOW, 64, "", "error: --as-files is for `docker run`…"),
        (&[("MASK", "perhaps")], SHOW, 64, "", "error: SEALOCK_RUN_MASK must be true or false…"),
    ];
    let run = |twins: &[(&str, &str)], flags: &[&str], script: &str| -> Outcome {
        let mut command = world.run(&[flags, &["--", "sh", "-c", script]].concat());
        command.env("MINE", "mine").env("YOURS", "yours");
        if twins.iter().any(|(name, _)| *name == "UP") {
            command.current_dir(world.stage.work("below"));
        }
        command.envs(twins.iter().map(|(name, value)| (format!("SEALOCK_RUN_{name}"), value)));
        outcome(command)
    };
    for (twins, script, code, out, err) in cases {
        let said = run(twins, &[], script);
        let good = said.code == Some(code) && fits(out, &said.out) && fits(err, &said.err);
        assert!(good, "{twins:?}: {said:?}");
    }
    // A flag goes before its twin.
    let said = run(
        &[("FILE", "none"), ("ENVIRONMENT", "none")],
        &["-f", "sections.yml", "-e", "dev", "-Dx=3", "-Dy=4"],
        SHOW,
    );
    assert_eq!(said.out, "[34]\n", "{said:?}");
    let said = run(&[("YAML", "A: text")], &["-f", "other.yml"], SHOW);
    assert_eq!(said.out, "[other]\n", "{said:?}");
    // Whoever is started does not hand our settings on to another run of ours.
    for value in ["0", "no", "false"] {
        assert_eq!(run(&[("MASK", value)], &[], SHOW).out, "[usual]\n");
    }
}

#[test]
fn pristine_gives_the_variables_of_the_file_and_nothing_else() {
    let world = World::new();
    let mut command = world.run(&[
        "--pristine",
        "--yaml",
        "A: 1\nB: !var:provider=legacy b",
        "--",
        "/usr/bin/env",
    ]);
    command.env("OTHER", "x");
    let mut lines: Vec<String> = outcome(command).out.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["A=1", "B=value of b"]);
    let mut command = world.run(&[
        "--pristine",
        "--keep",
        "OTHER",
        "--keep",
        "NOT_THERE",
        "--yaml",
        "A: 1",
        "--",
        "/usr/bin/env",
    ]);
    command.env("OTHER", "x=y\nz").env("ANOTHER", "x");
    let out = outcome(command).out;
    assert!(out == "OTHER=x=y\nz\nA=1\n" || out == "A=1\nOTHER=x=y\nz\n", "{out}");
}

#[test]
fn defaults_stand_in_also_for_errors_when_asked() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let cases = [
        ("!var:default-on-error=off prod/none", "off"),
        ("!var:default-on-error='o:f' prod/none", "o:f"),
        ("!var:default-on-error='' prod/none", ""),
        ("!var:default-on-error=off:provider=legacy none/a", "off"),
        ("!var:provider=legacy:default-on-error=off none/a", "off"),
        ("!var:default-on-error=off prod/db", "hunter2"),
        ("!var:default='empty':default-on-error=off prod/none", "off"),
        ("!var:default='empty':provider=stream empty", "empty"),
        ("!var:default-on-error=off:provider=stream empty", ""),
        ("!default='empty' ''", "empty"),
    ];
    for (value, shown) in cases {
        let out = world.prints(&[], &format!("A: {value}\n"), SHOW);
        assert_eq!(out, format!("[{shown}]\n"), "{value}");
    }
    let said = world.says(&[], "A: !var:default='x' prod/none", SHOW);
    assert_eq!(said.code, Some(1), "a default is not for errors");
    one_error(&said);
}
