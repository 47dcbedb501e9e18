//! Signals that come while the command runs.

use std::fs;

use super::stage::{Running, Stage, is_ours};

/// Notes every signal of those that are named, and ends by SIGUSR2 with 7.
const NOTES: &str = "
import os, signal, sys
seen = []
def note(number, _):
    seen.append(signal.Signals(number).name)
    print(seen[-1], flush=True)
    if number == signal.SIGUSR2:
        sys.exit(7)
for name in sys.argv[1:] + ['SIGUSR2']:
    signal.signal(getattr(signal, name), note)
print('ready', open(os.environ['F']).read() if 'F' in os.environ else '', flush=True)
while True:
    signal.pause()
";

fn noting(stage: &Stage, signals: &[&str]) -> Running {
    stage.write("secrets.yml", "F: !var:file a\n");
    let notes = stage.python("notes", NOTES);
    let mut command = stage.summon(&[&notes]);
    command.args(signals);
    let mut running = Running::start(command);
    running.prints("ready value of a");
    running
}

#[test]
fn all_signals_are_forwarded() {
    let stage = Stage::new();
    let mut names = vec![
        "USR1", "QUIT", "ALRM", "WINCH", "CONT", "URG", "IO", "XCPU", "XFSZ", "VTALRM", "ABRT",
        "TRAP",
    ];
    // Go keeps this one for itself.
    names.extend(is_ours().then_some("PROF"));
    let full: Vec<String> = names.iter().map(|name| format!("SIG{name}")).collect();
    let mut running = noting(&stage, &full.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        running.signal(name);
        running.prints(&format!("SIG{name}\n"));
    }
    running.signal("USR2");
    let said = running.wait();
    assert_eq!(said.code, Some(7), "the child's own: {said:?}");
    for name in names {
        assert_eq!(
            said.out.matches(&format!("SIG{name}\n")).count(),
            1,
            "{name} once: {}",
            said.out
        );
    }
}

#[test]
fn the_first_request_to_end_is_forwarded_and_the_second_kills() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("HUP", "INT"), ("TERM", "HUP")] {
        let stage = Stage::new();
        let mut running = noting(&stage, &["SIGTERM", "SIGINT", "SIGHUP"]);
        running.signal(first);
        running.prints(&format!("SIG{first}\n"));
        running.signal(second);
        let said = running.wait();
        let wanted = format!("ready value of a\nSIG{first}\nsignal: killed\n");
        assert_eq!((said.code, said.out), (Some(127), wanted), "{first} {second}");
    }
}

#[test]
fn a_child_that_takes_its_time_to_end_is_waited_for_with_its_file() {
    let stage = Stage::new();
    let body = "trap 'sleep 0.3; cat $F; exit 4' TERM\necho ready\nwhile :; do sleep 0.05; done";
    stage.write("secrets.yml", "F: !var:file a\n");
    let mut running = Running::start(stage.summon(&["sh", "-c", body]));
    running.prints("ready");
    running.signal("TERM");
    let said = running.wait();
    assert_eq!((said.code, said.out.as_str()), (Some(4), "ready\nvalue of a"), "{said:?}");
}

#[test]
fn a_signal_while_providers_are_asked_ends_them_and_starts_nothing() {
    if !is_ours() {
        return;
    }
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let stage = Stage::new();
        stage.provider(
            "slow",
            "#!/bin/sh\n[ $# -gt 0 ] || exit 1\nsleep 1000 &\necho $$ $! > pids\n: > begun\nwait\n",
        );
        stage.write("secrets.yml", "A: !var a\n");
        let mut running = Running::start(stage.summon(&["-p", "slow", "touch", "started"]));
        sealock_testkit::wait::until("the provider", crate::support::PATIENCE, || {
            assert!(!running.has_ended());
            stage.work("begun").exists().then_some(())
        });
        running.signal(name);
        let said = running.wait();
        // As a program ends that does not listen.
        assert_eq!(said.signal, Some(number(name)), "{name}: {said:?}");
        assert!(!stage.work("started").exists());
        for pid in stage.read("pids").split_whitespace() {
            assert!(has_ended(pid), "{name}: {pid} goes on");
        }
    }
}

pub(crate) fn number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "TERM" => 15,
        other => unreachable!("{other}"),
    }
}

/// Whether a process is no more, or only waited for.
pub(crate) fn has_ended(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, fields)| fields.starts_with('Z') || fields.starts_with('X'))
}
