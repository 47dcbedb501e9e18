//! A person at a terminal, with a shell's job control.

use std::path::Path;

use sealock_testkit::clients::{skip_without, skip_without_engine};
use sealock_testkit::docker::Image;
use sealock_testkit::unique_name;

use super::World;
use crate::terminal::Terminal;

/// Notes what the terminal sends, and echoes what is typed. Not by `print`, which a signal's handler must not enter a
/// second time.
const PROGRAM: &str = "
import os, signal, sys
seen = {}
def say(*words):
    os.write(1, (' '.join(map(str, words)) + '\\n').encode())
def note(number, _):
    seen[number] = seen.get(number, 0) + 1
    say(signal.Signals(number).name, seen[number])
for one in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT):
    signal.signal(one, note)
say('ready')
for line in iter(sys.stdin.readline, ''):
    if line == 'end\\n':
        say('ended')
        sys.exit(5)
    say('typed', line.strip(), seen)
";

/// An interactive shell at a terminal of its own; `$S` is the command.
fn shell(world: &World, start: &[String]) -> Terminal {
    let mut command = world.stage.command(Path::new("setsid"));
    command.args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"]);
    command.env("PS1", "READY> ").env("TERM", "dumb").env("SUMMON_PROVIDER", "legacy");
    let quoted: Vec<String> = start.iter().map(|word| format!("'{word}'")).collect();
    command.env("S", quoted.join(" "));
    let terminal = Terminal::start(command);
    terminal.shows("READY> ");
    terminal
}

fn words(command: &std::process::Command) -> Vec<String> {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|word| word.to_str().unwrap().to_owned()).collect()
}

#[test]
fn job_control() {
    if skip_without(&["setsid", "bash", "python3"]) {
        return;
    }
    let world = World::new();
    let program = world.stage.python("program", PROGRAM);
    let run = |flags: &[&str]| {
        words(&world.run(&[flags, &["--yaml", "A: !file 1", "--", &program]].concat()))
    };
    let starts = [
        run(&[]),
        run(&["--exec", "never", "--files", "memfd"]),
        run(&["--mask"]),
        run(&["--watch"]),
        run(&["--files", "memfd"]),
        words(&world.stage.summon(&["--yaml", "A: !file 1", &program])),
    ];
    for start in starts {
        let mut terminal = shell(&world, &start);
        terminal.type_in("eval \"$S\"\n");
        terminal.shows("ready");
        // Ctrl-C reaches it once, and nobody else ends.
        terminal.type_in("\u{3}");
        terminal.shows("SIGINT 1");
        terminal.type_in("one\n");
        let shown = terminal.shown_until("typed one {2: 1}");
        assert!(!shown.contains("SIGINT 2"), "{start:?}: {shown}");
        // Ctrl-\ too.
        terminal.type_in("\u{1c}");
        terminal.shows("SIGQUIT 1");
        // And a window that is drawn larger.
        terminal.resize(40, 100);
        terminal.shows("SIGWINCH 1");
        terminal.type_in("two\n");
        let shown = terminal.shown_until("typed two");
        assert!(
            !shown.contains("SIGWINCH 2") && !shown.contains("SIGQUIT 2"),
            "{start:?}: {shown}"
        );
        // Ctrl-Z gives the shell back, and `fg` the program, twice.
        for time in 1..=2 {
            terminal.type_in("\u{1a}");
            assert!(terminal.shown_until("READY> ").contains("Stopped"), "{start:?}");
            terminal.type_in("jobs\n");
            assert!(terminal.shown_until("READY> ").contains("Stopped"), "{start:?}");
            terminal.type_in("fg\n");
            terminal.shows("SIGCONT");
            terminal.type_in("three\n");
            // It goes on once each time: 18 is SIGCONT.
            terminal.shows(&format!("typed three {{2: 1, 3: 1, 28: 1, 18: {time}}}"));
        }
        terminal.type_in("end\n");
        assert!(terminal.shown_until("READY> ").contains("ended"), "{start:?}");
        terminal.type_in("echo code $?\n");
        terminal.shows("code 5");
        terminal.type_in("exit 0\n");
        assert_eq!(terminal.ends(), Some(0), "{start:?}");
    }
}

#[test]
fn a_program_that_does_not_listen_ends_by_one_key() {
    if skip_without(&["setsid", "bash"]) {
        return;
    }
    let world = World::new();
    for (start, code) in [
        (words(&world.sh(&[], "A: !file 1", "echo begun; exec sleep 1000")), "code 130"),
        (
            words(&world.stage.summon(&[
                "--yaml",
                "A: !file 1",
                "sh",
                "-c",
                "echo begun; exec sleep 1000",
            ])),
            "code 127",
        ),
    ] {
        let mut terminal = shell(&world, &start);
        terminal.type_in("eval \"$S\"\n");
        terminal.shows("begun");
        terminal.type_in("\u{3}");
        terminal.shows("READY> ");
        terminal.type_in("echo code $?\n");
        terminal.shows(code);
    }
}

#[test]
fn a_provider_may_ask_at_the_terminal() {
    if skip_without(&["setsid", "bash"]) {
        return;
    }
    let world = World::new();
    let body = "#!/bin/sh\n[ $# -gt 0 ] || exit 1\nprintf 'PIN: ' > /dev/tty\nread -r pin < /dev/tty\necho \"opened with $pin\"\n";
    world.stage.provider("asks", body);
    let program = ["sh", "-c", "echo \"got $A\""];
    for start in [
        words(&world.run(&[&["-p", "asks", "--yaml", "A: !var a", "--"][..], &program].concat())),
        words(
            &world.stage.summon(&[&["-p", "asks", "--yaml", "A: !var a"][..], &program].concat()),
        ),
    ] {
        let mut terminal = shell(&world, &start);
        terminal.type_in("eval \"$S\"\n");
        terminal.shows("PIN: ");
        terminal.type_in("1234\n");
        assert!(terminal.shown_until("READY> ").contains("got opened with 1234"), "{start:?}");
        // And Ctrl-C while it asks ends both.
        terminal.type_in("eval \"$S\"\n");
        terminal.shows("PIN: ");
        terminal.type_in("\u{3}");
        terminal.shows("READY> ");
        terminal.type_in("echo code $?\n");
        terminal.shows("code 130");
    }
}

/// A container of this name, removed whatever happens.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = sealock_testkit::docker::try_docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

#[test]
fn docker_run_with_a_terminal_works_under_it() {
    if skip_without_engine() {
        return;
    }
    let world = World::with(&[("prod/db", "hunter2")]);
    let image = Image::busybox();
    for flags in [&["--exec", "never"][..], &[]] {
        let name = Named(unique_name());
        let named = format!("--name={}", name.0);
        let docker = [
            "docker",
            "run",
            "--rm",
            "-it",
            &named,
            "-e",
            "A",
            "-e",
            "PS1=INSIDE> ",
            image.name(),
            "sh",
        ];
        let command = world.run(&[flags, &["--yaml", "A: !var prod/db", "--"], &docker].concat());
        let mut terminal = Terminal::start(command);
        terminal.shows("INSIDE> ");
        terminal.type_in("echo \"A is $A\"; stty size\n");
        terminal.shows("A is hunter2");
        terminal.type_in("echo sleeping$((1 + 1)); sleep 1000\n");
        terminal.shows("sleeping2");
        terminal.type_in("\u{3}");
        terminal.shows("INSIDE> ");
        terminal.type_in("exit 9\n");
        assert_eq!(terminal.ends(), Some(9), "{flags:?}");
    }
}
