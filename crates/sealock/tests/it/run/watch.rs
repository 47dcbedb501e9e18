//! `--watch`.

use sealock_testkit::wait::until;

use super::World;
use crate::summon::stage::Running;
use crate::support::PATIENCE;

const WATCH: &[&str] = &["--watch=1s"];

#[test]
fn a_new_value_restarts_the_program() {
    let world = World::with(&[("prod/db", "one"), ("prod/other", "x")]);
    let script = "echo \"started $A\"; trap 'echo \"asked to end\"; exit 0' TERM; while :; do sleep 0.02; done";
    let yaml = "A: !var prod/db\nB: !var prod/other\n";
    let mut running = Running::start(world.sh(WATCH, yaml, script));
    running.prints("started one");
    world.set("prod/db", "two");
    running.prints("asked to end\nstarted two");
    // The same value again, under a new version, is no change.
    world.set("prod/db", "two");
    world.set("prod/db", "three");
    running.prints("started three");
    running.signal("TERM");
    let said = running.wait();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out.matches("started").count(), 3, "{}", said.out);
    assert_eq!(said.out.matches("asked to end").count(), 3, "{}", said.out);
}

#[test]
fn with_a_signal_files_are_written_anew_and_the_program_stays() {
    let world = World::with(&[("prod/db", "one"), ("prod/dir/a", "a1")]);
    let yaml = "F: !var:file prod/db\nsealock.files:\n  - {path: app.json, format: json, secrets: {p: !var prod/db}}\n\
                \x20 - {path: dir, prefix: prod/dir}\n";
    let show = "echo \"$(cat $F) $(cat app.json) $(cat dir/*)\"";
    let script =
        format!("echo \"pid $$\"; {show}; trap '{show}' HUP; while :; do sleep 0.02; done");
    let mut running =
        Running::start(world.sh(&["--watch=1s", "--on-change", "signal:HUP"], yaml, &script));
    running.prints("one {\"p\":\"one\"} a1\n");
    world.set("prod/db", "two");
    running.prints("two {\"p\":\"two\"} a1\n");
    world.set("prod/dir/b", "b1");
    running.prints("two {\"p\":\"two\"} a1b1\n");
    running.signal("TERM");
    let said = running.wait();
    assert_eq!(said.code, Some(128 + 15), "{said:?}");
    assert_eq!(said.out.matches("pid").count(), 1);
    assert!(world.stage.listing().is_empty(), "{:?}", world.stage.listing());
}

#[test]
fn external_providers_are_asked_again() {
    let world = World::new();
    world.stage.provider("file", "#!/bin/sh\n[ $# -eq 1 ] || exit 1\ncat \"$1\"\n");
    world.stage.write("value", "one");
    let script = "echo \"started $A\"; exec sleep 1000";
    let mut running =
        Running::start(world.sh(&["-p", "file", "--watch=1s"], "A: !var value\n", script));
    running.prints("started one");
    // Not to be had for a while: the program goes on with what it has.
    std::fs::remove_file(world.stage.work("value")).unwrap();
    until("the warning", PATIENCE, || {
        running.complained().contains("the values of before stay").then_some(())
    });
    world.stage.write("value.new", "two");
    std::fs::rename(world.stage.work("value.new"), world.stage.work("value")).unwrap();
    running.prints("started two");
    assert_eq!(
        running.complained().matches("warning").count(),
        1,
        "said once: {}",
        running.complained()
    );
    running.signal("TERM");
    let said = running.wait();
    assert_eq!((said.code, said.out.as_str()), (Some(143), "started one\nstarted two\n"));
}

#[test]
fn a_program_that_ends_by_itself_ends_the_watch() {
    let world = World::with(&[("prod/db", "one")]);
    let said = world.says(&["--watch"], "A: !var prod/db\n", "echo $A; exit 6");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(6), "one\n", ""));
}

#[test]
fn masked_output_goes_on_after_a_restart() {
    let world = World::with(&[("prod/db", "first-value")]);
    let script = "echo \"started <$A>\"; exec sleep 1000";
    let mut running =
        Running::start(world.sh(&["--watch=1s", "--mask"], "A: !var prod/db\n", script));
    running.prints("started <********>\n");
    world.set("prod/db", "other-value");
    running.prints("started <********>\nstarted <********>\n");
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
}
