//! What the surroundings do: full or missing memory, and signals.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use super::{World, one_error};
use crate::summon::folders::{in_own_mounts, no_shared_memory, skip_without_mounts};
use crate::summon::signals::{has_ended, number};
use crate::summon::stage::{Running, in_python, outcome};
use crate::support::PATIENCE;

#[test]
fn full_memory_is_a_clear_error_and_nothing_is_left() {
    if skip_without_mounts() {
        return;
    }
    let world = World::new();
    world.stage.provider(
        "large",
        &in_python("import sys\nif len(sys.argv) < 2:\n    sys.exit(1)\nprint('x' * 100000)\n"),
    );
    let yaml = "A: !var:file a\nB: !var:file b\n";
    let full = "mount -t tmpfs -o size=132k none /dev/shm\ntrap 'ls -A /dev/shm > left' EXIT";
    let inside = |command: &std::process::Command| {
        // The listing is taken when the command has ended.
        let setup = format!("{full}\n\"$@\" && code=0 || code=$?; exit $code\n");
        outcome(in_own_mounts(&setup, command))
    };
    let said = inside(&world.run(&["-p", "large", "--yaml", yaml, "--", "touch", "started"]));
    let error = one_error(&said);
    assert_eq!(said.code, Some(1));
    assert!(
        error.starts_with("error: cannot write a file in /dev/shm\n  caused by: No space left"),
        "{error}"
    );
    assert!(error.contains("hint: it is full"), "{error}");
    assert_eq!(world.stage.read("left"), "");
    // What fits, fits.
    assert_eq!(
        inside(&world.run(&[
            "-p",
            "large",
            "--yaml",
            "A: !var:file a",
            "--",
            "sh",
            "-c",
            "wc -c < $A"
        ]))
        .out,
        "100000\n"
    );
    let summon = world.stage.summon(&["-p", "large", "--yaml", yaml, "touch", "started"]);
    let said = inside(&summon);
    assert_eq!(said.code, Some(127));
    assert!(
        said.out.contains("No space left on device") && said.out.lines().count() == 1,
        "{said:?}"
    );
    assert_eq!(world.stage.read("left"), "");
    assert!(!world.stage.work("started").exists());
}

/// As some supervisors start what they start: the kernel then keeps no exit codes of children.
#[test]
fn who_is_started_with_the_ends_of_children_ignored_still_learns_of_them() {
    if skip_without(&["python3"]) {
        return;
    }
    let world = World::new();
    let ignoring = "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
                    os.execv(sys.argv[1], sys.argv[1:])";
    let inside = |command: &Command| {
        let mut outer = world.stage.command(Path::new("python3"));
        outer.args(["-c", ignoring]).arg(command.get_program()).args(command.get_args());
        outcome(outer)
    };
    let body = "echo got $A; exit 7";
    for (flags, file) in [
        (&["--exec", "never"][..], "A: literal"),
        (&["--exec", "never", "-p", "legacy"], "A: !var a"),
        (&["--mask"], "A: literal"),
    ] {
        let said = inside(&world.sh(flags, file, body));
        assert_eq!(said.code, Some(7), "{flags:?}: {said:?}");
        assert!(said.out.starts_with("got "), "{flags:?}: {said:?}");
    }
    for file in ["A: literal", "A: !var a"] {
        let said = inside(&world.stage.summon(&["-p", "legacy", "--yaml", file, "sh", "-c", body]));
        assert_eq!(said.code, Some(7), "{file}: {said:?}");
    }
}

#[test]
fn without_memory_nothing_is_put_on_a_disk() {
    if skip_without_mounts() {
        return;
    }
    let world = World::new();
    let run = |flags: &[&str], runtime: Option<&str>| {
        let _ = fs::remove_dir_all(world.stage.path("dev"));
        let mut command =
            world.sh(&[flags, &["-p", "legacy"]].concat(), "A: !var:file a\n", "echo $A; cat $A");
        command.envs(runtime.map(|folder| ("XDG_RUNTIME_DIR", folder)));
        outcome(in_own_mounts(&no_shared_memory(&world.stage), &command))
    };
    let home = world.stage.path("home").display().to_string();
    for runtime in [None, Some(home.as_str())] {
        let said = run(&[], runtime);
        let error = one_error(&said);
        assert_eq!(said.code, Some(1));
        assert!(error.contains("there is no memory-backed folder for files"), "{error}");
        assert!(error.contains("--files memfd"), "{error}");
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    let said = run(&["--files", "memfd"], None);
    assert!(
        said.out.starts_with("/proc/self/fd/") && said.out.ends_with("\nvalue of a"),
        "{said:?}"
    );
}

/// Notes signals, ends by the second SIGTERM or by SIGUSR2.
const NOTES: &str = "
import os, signal, sys
terms = 0
def note(number, _):
    global terms
    terms += number == signal.SIGTERM
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGUSR2 or terms == 2:
        sys.exit(7)
for name in 'HUP INT QUIT TERM USR1 USR2 WINCH CONT'.split():
    signal.signal(getattr(signal, 'SIG' + name), note)
print('ready', flush=True)
while True:
    signal.pause()
";

#[test]
fn signals_are_the_programs_once_and_twice() {
    let world = World::new();
    let notes = world.stage.python("notes", NOTES);
    for flags in [&["--exec", "never"][..], &["--mask"], &["--watch"]] {
        let mut running =
            Running::start(world.run(&[flags, &["--yaml", "A: !file 1", "--", &notes]].concat()));
        running.prints("ready");
        let mut wanted = "ready\n".to_owned();
        // None of them kills here, however often it comes.
        for name in ["HUP", "HUP", "INT", "INT", "QUIT", "WINCH", "USR1", "TERM", "TERM"] {
            running.signal(name);
            wanted += &format!("SIG{name}\n");
            running.prints(&wanted);
        }
        let said = running.wait();
        assert_eq!((said.code, said.out), (Some(7), wanted), "{flags:?}");
    }
}

#[test]
fn stopped_and_gone_on_with() {
    let world = World::new();
    for flags in [&["--exec", "never"][..], &["--mask"]] {
        let mut running = Running::start(world.sh(
            flags,
            "A: !file 1",
            "echo $$; trap 'exit 5' TERM; while :; do sleep 0.02; done",
        ));
        running.prints("\n");
        let child = running.printed().trim().to_owned();
        let us = running.id().to_string();
        for _ in 0..2 {
            running.signal("TSTP");
            for pid in [&child, &us] {
                until("both are stopped", PATIENCE, || (state(pid) == 'T').then_some(()));
            }
            running.signal("CONT");
            for pid in [&child, &us] {
                until("both go on", PATIENCE, || (state(pid) != 'T').then_some(()));
            }
        }
        running.signal("TERM");
        assert_eq!(running.wait().code, Some(5), "{flags:?}");
    }
}

fn state(pid: &str) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn a_signal_while_secrets_are_fetched_ends_it_all() {
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let world = World::new();
        world.stage.provider(
            "slow",
            "#!/bin/sh\n[ $# -gt 0 ] || exit 1\nsleep 1000 &\necho $$ $! > pids\n: > begun\nwait\n",
        );
        let mut running = Running::start(world.run(&[
            "-p",
            "slow",
            "--yaml",
            "A: !var a",
            "--",
            "touch",
            "started",
        ]));
        until("the provider", PATIENCE, || {
            assert!(!running.has_ended());
            world.stage.work("begun").exists().then_some(())
        });
        running.signal(name);
        let said = running.wait();
        assert_eq!(said.signal, Some(number(name)), "{name}: {said:?}");
        for pid in world.stage.read("pids").split_whitespace() {
            assert!(has_ended(pid), "{name}: {pid} goes on");
        }
        assert!(!world.stage.work("started").exists());
    }
}
