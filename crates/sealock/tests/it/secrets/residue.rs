//! Where a value must not be.

use std::fs;
use std::path::Path;

use super::{fed, get, set, up};
use crate::support::{Home, text};

/// In every form that text is usually brought into.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Base64 of the same bytes has three forms, by where they begin; the ends depend on what is around them.
    let base64 = |before: &str| {
        let text = data_encoding::BASE64.encode(format!("{before}{value}").as_bytes());
        text.as_bytes()[4..text.len() - 4].to_vec()
    };
    vec![
        value.as_bytes().to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        base64(""),
        base64("x"),
        base64("xx"),
    ]
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Looks through all files of a folder.
fn search(folder: &Path, forms: &[Vec<u8>], seen: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            search(&entry.path(), forms, seen);
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            for form in forms {
                assert!(!holds(&bytes, form), "{} is in {:?}", text(form), entry.path());
            }
            *seen += 1;
        }
    }
}

const VALUE: &str = "Zq7-never-to-be-found-8Kx";

/// Everything that is said while a value goes in and out and is refused.
fn all_that_is_said(home: &Home) -> Vec<u8> {
    let mut said = Vec::new();
    let mut hear = |output: std::process::Output| {
        said.extend(output.stdout);
        said.extend(output.stderr);
    };
    let long = VALUE.repeat(50_000);
    for verbose in [&[][..], &["-vv"], &["--json"]] {
        let with = |arguments: &[&'static str]| [verbose, arguments].concat();
        hear(fed(home, &with(&["secret", "set", "a/b"]), VALUE.as_bytes()));
        hear(fed(home, &with(&["secret", "set", "a/long"]), VALUE.repeat(400).as_bytes()));
        hear(fed(home, &with(&["secret", "set", "a/b", "--ttl", "never"]), VALUE.as_bytes()));
        hear(fed(home, &with(&["secret", "set", "a//b"]), VALUE.as_bytes()));
        hear(fed(home, &with(&["secret", "set", "a/b"]), long.as_bytes()));
        hear(home.run(&with(&["secret", "get", "a/b", "-o", "value"])));
        fs::remove_file(home.path("value")).unwrap();
        hear(home.run(&with(&["secret", "list"])));
        hear(home.run(&with(&["secret", "history", "a/b"])));
        hear(home.run(&with(&["secret", "rotate-key"])));
        hear(home.run(&with(&["secret", "delete", "a/b"])));
        hear(home.run(&with(&["secret", "get", "a/b"])));
        hear(home.run(&with(&["secret", "undelete", "a/b"])));
        let yaml = ["run", "--yaml", "A: !var a/b\nB: !var a/none", "--", "true"];
        hear(home.run(&with(&yaml)));
        hear(home.run(&with(&["run", "--yaml", "A: !var a/b", "--", "/nonexistent"])));
        hear(home.run(&with(&["status"])));
        hear(home.run(&with(&["audit", "export"])));
        hear(home.run(&with(&["audit", "verify"])));
    }
    said
}

#[test]
fn a_value_is_in_no_log_no_error_and_no_file() {
    for daemon in [false, true] {
        let home = Home::initialised();
        set(&home, "a/b", VALUE);
        let running = daemon.then(|| up(&home));
        let said = all_that_is_said(&home);
        for form in forms(VALUE) {
            assert!(!holds(&said, &form), "{}", text(&said));
        }
        let log = text(&said);
        assert!(log.contains("secret-written") && log.contains("secret-read"), "{log}");
        // Killed, so that what was not yet moved into the database is still beside it.
        running.into_iter().for_each(crate::support::Daemon::kill);
        let mut seen = 0;
        search(&home.path(""), &forms(VALUE), &mut seen);
        assert!(seen > 5, "{seen}");
        let wal = home.state().join("state.db-wal");
        assert_eq!(wal.exists(), daemon, "a killed daemon leaves its log of changes");
        assert_eq!(text(&get(&home, &["a/b"])), VALUE);
    }
}
