//! Streams through the gateway as a person has them: typed into, resized, left and taken up again, and quiet for
//! a long time.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use sealock_testkit::docker::Image;
use sealock_testkit::unique_name;
use sealock_testkit::wait::until;

use crate::gateway::{Client, home, skip};
use crate::gateway_docker::Side;
use crate::support::{PATIENCE, text};
use crate::terminal::Terminal;

/// Longer than every deadline for a request that has work to do.
const QUIET: Duration = Duration::from_secs(130);

/// Waits until the shell sees this size. The client tells the engine of it by a request of its own, beside the
/// stream.
fn sized(terminal: &mut Terminal, wanted: &str) {
    until(wanted, PATIENCE, || {
        terminal.type_in("stty size; echo end$((1 + 1))\n");
        terminal.shown_until("end2").contains(wanted).then_some(())
    });
}

#[test]
fn a_terminal_feels_like_the_local_socket() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let admin = Client::admin(&home);
    let image = Image::busybox();
    // What a failed test leaves running is removed by its name.
    let side = Side::gateway(&home, &admin);
    let named = format!("--name={}", side.name);
    let run = ["run", "--rm", "-it", &named, "--env", "PS1=READY> ", image.name(), "sh"];
    let mut terminal = Terminal::start(admin.command(&run));
    terminal.shows("READY>");
    terminal.type_in("echo $((20 + 22))\n");
    terminal.shows("42\r\n");
    sized(&mut terminal, "24 80");
    terminal.resize(33, 111);
    sized(&mut terminal, "33 111");
    terminal.type_in("sleep 1000\n");
    std::thread::sleep(Duration::from_millis(300));
    terminal.type_in("\u{3}");
    terminal.shows("READY>");
    terminal.type_in("echo ä€ | wc -c; exit 9\n");
    assert_eq!(terminal.ends(), Some(9));

    let container = image.start_command(&["-it", "--env", "PS1=READY> "], &["sh"]);
    let id = container.id();
    let mut terminal = Terminal::start(admin.command(&["attach", id]));
    terminal.type_in("MARK=kept; echo attached$((1 + 1))\n");
    terminal.shows("attached2");
    terminal.type_in("\u{10}\u{11}");
    terminal.shows("read escape sequence");
    let _ = terminal.ends();
    assert_eq!(container.inspect("{{.State.Running}}"), "true", "it was only left");
    let again = ["attach", "--detach-keys", "ctrl-x", id];
    let mut terminal = Terminal::start(admin.command(&again));
    terminal.type_in("echo $MARK again\n");
    terminal.shows("kept again");
    terminal.type_in("\u{18}");
    terminal.shows("read escape sequence");
    let _ = terminal.ends();

    let exec = ["exec", "-it", "--detach-keys", "ctrl-x", id, "sh"];
    let mut terminal = Terminal::start(admin.command(&exec));
    terminal.shows("READY>");
    sized(&mut terminal, "24 80");
    terminal.type_in("exit 7\n");
    assert_eq!(terminal.ends(), Some(7));
    let mut terminal = Terminal::start(admin.command(&["attach", id]));
    terminal.type_in("exit 5\n");
    assert_eq!(terminal.ends(), Some(5));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn streams_may_be_quiet_for_minutes() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let admin = Client::admin(&home);
    let image = Image::busybox();
    let mark = unique_name();
    let label = format!("quiet={mark}");
    // What is said at the very end may be lost, at the socket too.
    let said = "read line; echo said $line; read line; sleep 1; exit 3";
    let container = image.start_command(&["--interactive"], &["sh", "-c", said]);
    let idle = image.start(&[]);
    let filter = format!("label={label}");
    let id = container.id();
    let start = |arguments: &[&str]| {
        let mut command = admin.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut events = start(&["events", "--filter", &filter, "--format", "{{.Action}}"]);
    let logs = start(&["logs", "--follow", id]);
    let wait = start(&["wait", id]);
    let mut exec =
        start(&["exec", "--interactive", idle.id(), "sh", "-c", "read line; echo $line"]);
    let mut attach = start(&["attach", id]);
    std::thread::sleep(QUIET);
    drop(image.start(&["--label", &label]));
    exec.stdin.take().unwrap().write_all(b"after long\n").unwrap();
    // Kept open: docker's client stops listening at the end of its input, at the socket too.
    let mut typed = attach.stdin.take().unwrap();
    typed.write_all(b"a word\nlast\n").unwrap();
    let [exec, attach, logs, wait] = [exec, attach, logs, wait].map(|child| {
        let output = child.wait_with_output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    });
    drop(typed);
    assert_eq!(exec, (Some(0), "after long\n".to_owned()));
    assert_eq!(attach, (Some(3), "said a word\n".to_owned()));
    assert_eq!(logs, (Some(0), "said a word\n".to_owned()));
    assert_eq!(wait, (Some(0), "3\n".to_owned()));
    assert!(events.try_wait().unwrap().is_none(), "the events go on");
    events.kill().unwrap();
    let seen = text(&events.wait_with_output().unwrap().stdout);
    assert!(seen.starts_with("create\n") && seen.contains("destroy\n"), "{seen}");
    assert_eq!(daemon.stop(), Some(0));
}
