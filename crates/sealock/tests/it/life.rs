//! The daemon: starting twice, being killed, stopping in order, damaged state.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sealock_testkit::wait::until;

use crate::support::{Home, PATIENCE, text};

#[test]
fn a_second_daemon_is_refused_and_names_the_first() {
    if sealock_testkit::clients::skip_without_engine() {
        return;
    }
    let home = Home::new();
    let daemon = home.up();
    let said = home.fails(1, &["up", "--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]);
    assert!(said.contains(&daemon.id().to_string()), "{said}");
    assert_eq!(home.json(&["status"])["pid"], daemon.id());
    assert_eq!(daemon.stop(), Some(0));
    let log = fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn what_was_issued_before_a_kill_is_there_after_it() {
    if sealock_testkit::clients::skip_without_engine() {
        return;
    }
    let home = Home::new();
    let daemon = home.up();
    let issued = home.json(&["cert", "issue", "before"]);
    let first = home.json(&["ca", "show"]);
    daemon.kill();
    assert_eq!(home.json(&["status"])["daemon"], false, "a stale socket is no daemon");
    assert_eq!(home.json(&["cert", "show", "before"])["serial"], issued["serial"]);
    let daemon = home.up();
    assert_eq!(home.json(&["ca", "show"]), first, "started again, it changes nothing");
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn killed_while_issuing_no_serial_is_lost_or_doubled() {
    if sealock_testkit::clients::skip_without_engine() {
        return;
    }
    let home = Home::new();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let daemon = home.up();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let issuer = scope.spawn(|| {
                let mut serials = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let out = home.path("out").display().to_string();
                    let issued = home.run(&["--json", "cert", "issue", "x", "--out", &out]);
                    if issued.status.success() {
                        let issued: serde_json::Value =
                            serde_json::from_slice(&issued.stdout).unwrap();
                        serials.push(issued["serial"].as_str().unwrap().to_owned());
                    }
                }
                serials
            });
            until("some issues", PATIENCE, || {
                let list = home.run(&["--json", "cert", "list", "--all", "--name", "x"]);
                let list: serde_json::Value = serde_json::from_slice(&list.stdout).ok()?;
                (list["certificates"].as_array()?.len() > round * 3 + 3).then_some(())
            });
            daemon.kill();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            acknowledged.extend(issuer.join().unwrap());
        });
    }
    let list = home.json(&["cert", "list", "--all", "--name", "x"]);
    let stored: Vec<String> = list["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["serial"].as_str().unwrap().to_owned())
        .collect();
    let distinct: std::collections::BTreeSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "a serial is doubled");
    for serial in &acknowledged {
        assert!(distinct.contains(serial), "{serial} is lost");
    }
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn without_an_engine_it_runs_and_says_so() {
    let home = Home::new();
    let mut command = home.command();
    command.args([
        "--docker",
        "unix:///nonexistent/docker.sock",
        "up",
        "--api",
        "off",
        "--gateway",
        "off",
    ]);
    let mut child = command.spawn().unwrap();
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["daemon"] == true && status["engine"]["up"] == false).then_some(())
    });
    let check = home.run(&["status", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{}", text(&check.stdout));
    assert!(text(&check.stdout).contains("/nonexistent/docker.sock"));
    crate::support::signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn damaged_or_foreign_state_is_one_clear_error() {
    let home = Home::initialised();
    fs::write(home.state().join("VERSION"), "99\n").unwrap();
    let said = home.fails(1, &["cert", "list"]);
    assert!(said.contains("99"), "{said}");
    fs::write(home.state().join("VERSION"), "1\n").unwrap();

    let database = home.state().join("state.db");
    let good = fs::read(&database).unwrap();
    for name in ["state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(home.state().join(name));
    }
    fs::write(&database, b"this is not a database, it only has its name").unwrap();
    let said = home.fails(1, &["cert", "list"]);
    assert!(said.contains("state.db"), "{said}");
    fs::write(&database, good).unwrap();

    let file = home.write("file", "");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealock"))
        .args(["--state", &file, "status"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&file), "{}", text(&output.stderr));
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let home = Home::initialised();
    let keys = home.state().join("keys");
    let key = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = home.fails(1, &["cert", "issue", "x"]);
    assert!(said.contains("chmod") || said.contains("0600"), "{said}");
}
