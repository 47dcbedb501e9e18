//! Backups: sealed here, opened on another host.

use std::fs;

use sealock_testkit::clients::skip_without;

use super::{both, get, listed, set};
use crate::support::{Home, mode, text, tool};

/// A key pair: its file, and its recipient.
pub(super) fn key(home: &Home, name: &str) -> (String, String) {
    let file = home.path(name).display().to_string();
    tool("age-keygen", &["-o", &file]);
    let recipient = tool("age-keygen", &["-y", &file]).trim().to_owned();
    (file, recipient)
}

fn filled(home: &Home) -> Vec<u8> {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    set(home, "prod/db", "first");
    set(home, "prod/db", "second");
    set(home, "prod/bytes", &bytes);
    set(home, "dev/db", "of developers");
    home.ok(&["secret", "delete", "prod/db", "--version", "1"]);
    bytes
}

#[test]
fn a_backup_is_taken_in_on_another_host() {
    if skip_without(&["age", "age-keygen", "ssh-keygen"]) {
        return;
    }
    both(|home| {
        let bytes = filled(home);
        let (identity, recipient) = key(home, "key");
        let (second, other) = key(home, "second");
        let recipients = home.write("recipients", &format!("# ours\n{other}\n"));
        let to = ["--to", &recipient, "--to-file", &recipients, "-o", "vault.age"];
        let exported = home.run(&[&["secret", "export"], &to[..]].concat());
        let said = text(&exported.stderr);
        assert!(exported.status.success() && said.contains("3 secrets with "), "{said}");
        let backup = home.path("vault.age");
        assert_eq!(mode(&backup), 0o600);
        let sealed = fs::read(&backup).unwrap();
        assert!(!text(&sealed).contains("of developers") && !text(&sealed).contains("prod/db"));
        // It is age's own format.
        let plain = tool("age", &["-d", "-i", &identity, "-o", "-", backup.to_str().unwrap()]);
        assert!(plain.contains("prod/db"), "{plain}");

        let backup = backup.display().to_string();
        for (identity, daemon) in [(&identity, false), (&second, true)] {
            let there = Home::initialised();
            let daemon = daemon.then(|| super::up(&there));
            let taken = there.json(&["secret", "import", "-i", identity, &backup]);
            assert_eq!((&taken["secrets"], &taken["skipped"]), (&3.into(), &0.into()), "{taken}");
            assert_eq!(text(&get(&there, &["prod/db"])), "second");
            assert!(get(&there, &["prod/bytes"]) == bytes);
            let names: Vec<_> = listed(&there, &[]).into_iter().map(|(name, _, _)| name).collect();
            assert_eq!(names, ["dev/db", "prod/bytes", "prod/db"]);
            drop(daemon);
        }

        // Only what is below a path, for somebody with an SSH key.
        let ssh = home.path("ssh").display().to_string();
        tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &ssh]);
        let to = ["--to-file", &format!("{ssh}.pub"), "-o", "prod.age"];
        home.ok(&[&["secret", "export", "prod"], &to[..]].concat());
        let there = Home::initialised();
        let prod = home.path("prod.age").display().to_string();
        there.ok(&["secret", "import", "-i", &ssh, &prod]);
        assert_eq!(listed(&there, &[]).len(), 2);
        let log = there.ok(&["--json", "audit", "export"]);
        assert!(log.contains("prod/db") && !log.contains("second"), "{log}");
    });
}

#[test]
fn what_is_there_already_stays_or_gets_a_new_version() {
    if skip_without(&["age-keygen"]) {
        return;
    }
    both(|home| {
        filled(home);
        let (identity, recipient) = key(home, "key");
        home.ok(&["secret", "export", "--to", &recipient, "-o", "vault.age"]);
        home.ok(&["secret", "purge", "dev/db", "--yes"]);
        set(home, "prod/db", "third");
        let import = |how: &[&str]| {
            let arguments = ["--json", "secret", "import", "-i", &identity, "vault.age"];
            home.run(&[&arguments, how].concat())
        };
        for how in [&[][..], &["--on-existing", "fail"]] {
            let output = import(how);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("there is a secret prod/bytes already"), "{said}");
            assert!(said.contains("--on-existing skip"), "{said}");
            assert_eq!(listed(home, &[]).len(), 2, "nothing at all was taken in");
        }
        let output = import(&["--on-existing", "skip"]);
        let taken: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&taken["secrets"], &taken["skipped"]), (&1.into(), &2.into()), "{taken}");
        assert_eq!(text(&get(home, &["prod/db"])), "third");
        assert_eq!(text(&get(home, &["dev/db"])), "of developers");
        assert!(import(&["--on-existing", "replace"]).status.success());
        assert_eq!(text(&get(home, &["prod/db"])), "second");
        assert_eq!(text(&get(home, &["prod/db", "--version", "3"])), "third", "still to be had");
    });
}

#[test]
fn who_has_not_the_key_and_what_is_damaged_is_refused() {
    if skip_without(&["age-keygen"]) {
        return;
    }
    both(|home| {
        filled(home);
        let (identity, recipient) = key(home, "key");
        let (stranger, _) = key(home, "stranger");
        home.ok(&["secret", "export", "--to", &recipient, "-o", "vault.age"]);
        let there = Home::initialised();
        let backup = home.path("vault.age").display().to_string();
        let import = |identity: &str, file: &str| {
            there.fails(1, &["secret", "import", "-i", identity, file])
        };
        let said = import(&stranger, &backup);
        assert!(said.contains("identit"), "{said}");
        assert!(import("/nonexistent", &backup).contains("/nonexistent"));
        assert!(import(&identity, "/nonexistent").contains("/nonexistent"));
        let whole = fs::read(&backup).unwrap();
        let mut damaged = vec![whole[..whole.len() - 1].to_vec(), whole[..100].to_vec(), vec![]];
        for place in [10, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            damaged.push(bytes);
        }
        damaged.push([&whole[..], b"more"].concat());
        for (number, bytes) in damaged.iter().enumerate() {
            fs::write(there.path("damaged.age"), bytes).unwrap();
            let said = import(&identity, "damaged.age");
            assert!(!said.contains("of developers"), "{number}: {said}");
        }
        // A file of ours that is no backup.
        let other = there.write("other", "not a backup");
        there.ok(&["seal", "-r", &recipient, "-o", "other.age", &other]);
        let said = there.fails(64, &["secret", "import", "-i", &identity, "other.age"]);
        assert!(said.contains("not the beginning of a backup") && said.contains("hint"), "{said}");
        assert_eq!(listed(&there, &[]), []);

        assert!(home.fails(64, &["secret", "export"]).contains("--to"));
        assert!(
            home.fails(64, &["secret", "export", "--to", "age1no"]).contains("not a recipient")
        );
        home.fails(64, &["secret", "import", &backup]);
    });
}

#[test]
fn a_new_key_of_the_vault_changes_no_value() {
    both(|home| {
        let bytes = filled(home);
        for key in 2..4 {
            let output = home.run(&["secret", "rotate-key"]);
            let said = text(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert!(said.contains(&format!("key {key}; 4 values are under it")), "{said}");
        }
        assert_eq!(text(&get(home, &["prod/db"])), "second");
        assert!(get(home, &["prod/bytes"]) == bytes);
        home.ok(&["secret", "undelete", "prod/db", "--version", "1"]);
        assert_eq!(text(&get(home, &["prod/db", "--version", "1"])), "first");
        set(home, "prod/db", "fourth");
        assert_eq!(text(&get(home, &["prod/db"])), "fourth");
    });
}
