//! SIGKILL of the injector, and of its guardian.

use std::fs;
use std::path::Path;

use sealock_testkit::wait::until;

use super::World;
use crate::summon::signals::has_ended;
use crate::summon::stage::{Running, outcome};
use crate::support::{PATIENCE, signal};

const YAML: &str = "F: !var:file prod/db\nsealock.files:\n  - {path: made, secrets: {A: !var prod/db}}\n\
                    \x20 - {path: mine, overwrite: true, secrets: {A: !var prod/db}}\n";
const SCRIPT: &str = "echo \"$$ $F\"; cat $F made mine; trap 'cat $F made > last; exit' TERM; while :; do sleep 0.02; done";

/// A run with files, its child's process and the file that has no fixed path.
fn started(world: &World, flags: &[&str]) -> (Running, String, String) {
    world.stage.write("mine", "mine");
    let mut running = Running::start(world.sh(flags, YAML, SCRIPT));
    running.prints("hunter2\"A\": \"hunter2\"\"A\": \"hunter2\"");
    let printed = running.printed();
    let (pid, path) = printed.lines().next().unwrap().split_once(' ').unwrap();
    let (pid, path) = (pid.to_owned(), path.to_owned());
    (running, pid, path)
}

fn guardian(run: u32) -> u32 {
    until("the guardian", PATIENCE, || {
        let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).find(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(11).any(|part| part == b"guard-files")
        })
    })
}

#[test]
fn the_guardian_removes_files_and_ends_the_child() {
    let world = World::with(&[("prod/db", "hunter2")]);
    // Often, for what goes wrong here is a race.
    for _ in 0..10 {
        let (running, child, path) = started(&world, &[]);
        running.signal("KILL");
        assert_eq!(running.wait().signal, Some(9));
        until("the child's end", PATIENCE, || has_ended(&child).then_some(()));
        until("the files' end", PATIENCE, || (!Path::new(&path).exists()).then_some(()));
        until("the user's file", PATIENCE, || (world.stage.read("mine") == "mine").then_some(()));
        let ledger = format!("{}.ledger", path.rsplit_once('-').unwrap().0);
        until("the ledger's end", PATIENCE, || (!Path::new(&ledger).exists()).then_some(()));
        assert_eq!(
            world.stage.read("last"),
            "hunter2\"A\": \"hunter2\"",
            "it had its files to the end"
        );
        fs::remove_file(world.stage.work("last")).unwrap();
        assert_eq!(world.stage.listing(), [world.stage.work("mine").display().to_string()]);
    }
}

#[test]
fn a_child_that_does_not_listen_is_killed() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let script = "trap '' TERM INT HUP; echo $$; while :; do sleep 0.02; done";
    let mut running = Running::start(world.sh(&[], "F: !var:file prod/db", script));
    running.prints("\n");
    let child = running.printed().trim().to_owned();
    running.signal("KILL");
    running.wait();
    until("the child's end", PATIENCE, || has_ended(&child).then_some(()));
}

#[test]
fn what_both_leave_the_next_start_heals() {
    type Start<'a> = Box<dyn Fn() -> std::process::Command + 'a>;
    let world = World::with(&[("prod/db", "hunter2")]);
    // The next start may be one of Summon's, and need no files itself.
    let next: [(&str, Start<'_>); 3] = [
        ("with files", Box::new(|| world.sh(&[], "X: !file x", "true"))),
        ("without", Box::new(|| world.sh(&[], "X: x", "true"))),
        ("summon", Box::new(|| world.stage.summon(&["--yaml", "X: x", "true"]))),
    ];
    for (what, next) in next {
        let (running, child, path) = started(&world, &[]);
        let guardian = guardian(running.id());
        signal(guardian, "STOP");
        running.signal("KILL");
        running.wait();
        signal(guardian, "KILL");
        until("the guardian's end", PATIENCE, || has_ended(&guardian.to_string()).then_some(()));
        signal(child.parse().unwrap(), "KILL");
        until("the child's end", PATIENCE, || has_ended(&child).then_some(()));
        // (Another test's start may have healed it by now, and that is as good.)
        assert_eq!(outcome(next()).code, Some(0), "{what}");
        assert!(!Path::new(&path).exists(), "{what}");
        assert_eq!(world.stage.read("mine"), "mine", "{what}");
        assert!(!world.stage.work("made").exists(), "{what}");
    }
}

#[test]
fn a_run_that_lives_is_left_alone() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let (running, child, path) = started(&world, &[]);
    // Also when its guardian has gone.
    signal(guardian(running.id()), "KILL");
    for _ in 0..3 {
        assert_eq!(outcome(world.sh(&[], "X: !file x", "true")).code, Some(0));
        assert_eq!(outcome(world.stage.summon(&["--yaml", "X: !file x", "true"])).code, Some(0));
    }
    assert!(Path::new(&path).exists() && !has_ended(&child));
    running.signal("TERM");
    running.wait();
    assert!(!Path::new(&path).exists());
    assert_eq!(world.stage.read("mine"), "mine");
}
