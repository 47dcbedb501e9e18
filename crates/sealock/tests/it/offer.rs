//! `offer` and `receive` as a user types them.

use std::fs;
use std::process::Stdio;

use sealock_testkit::wait::until;

use crate::support::{Home, PATIENCE, text};

fn offer(home: &Home, ttl: &str) -> std::process::Child {
    let file = home.write("secret.txt", "once only\n");
    let ticket = home.path("ticket");
    let child = home
        .command()
        .args(["offer", &file, "--ttl", ttl, "--listen", "127.0.0.1:0", "--ticket-out"])
        .arg(&ticket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the ticket", PATIENCE, || fs::metadata(&ticket).ok().filter(|found| found.len() > 0));
    child
}

#[test]
fn a_ticket_is_good_once_and_every_try_is_audited() {
    let home = Home::initialised();
    let child = offer(&home, "15s");
    assert_eq!(crate::support::mode(&home.path("ticket")), 0o600);
    let ticket = fs::read_to_string(home.path("ticket")).unwrap();
    let copy = home.write("copy", &ticket);
    let to = home.path("to").display().to_string();
    home.ok(&["receive", "--ticket", &copy, "--to", &to]);
    assert_eq!(fs::read_to_string(home.path("to/secret.txt")).unwrap(), "once only\n");
    let second = home.path("second").display().to_string();
    let said = home.fails(1, &["receive", "--ticket", &copy, "--to", &second]);
    assert!(said.contains("taken") || said.contains("already") || said.contains("used"), "{said}");
    assert!(!home.path("second").exists());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!home.path("ticket").exists(), "a used ticket is removed");
    let log = home.ok(&["--json", "audit", "export"]);
    for event in ["offer-made", "offer-taken", "offer-refused"] {
        assert!(log.contains(event), "{event}: {log}");
    }
    // The ticket's time is in whole seconds, so it may be over a moment after the offer has ended.
    until("the ticket's time to be over", PATIENCE, || {
        let said = home.fails(1, &["receive", "--ticket", &copy, "--to", &second]);
        (said.contains("expired") || said.contains("over")).then_some(())
    });
}

#[test]
fn an_offer_that_nobody_takes_ends_with_an_error() {
    let home = Home::initialised();
    let child = offer(&home, "1s");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("within its time"), "{}", text(&output.stderr));
    let said = home.fails(64, &["receive", "--ticket", "/dev/null", "--to", "x"]);
    assert!(said.contains("ticket"), "{said}");
}
