//! Nothing of somebody else's is overwritten or locked away, what is refused leaves nothing behind, and what is asked for
//! is never silently something else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sealock_testkit::wait::until;

use crate::support::{Home, PATIENCE, mode, text, tool};

/// The program with another state folder.
fn at(state: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealock"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.arg("--state").arg(state).args(arguments).output().unwrap();
    (output.status.code(), text(&output.stderr))
}

fn serial(home: &Home, name: &str) -> String {
    home.json(&["cert", "show", name])["serial"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_that_is_not_ours_is_not_overwritten() {
    let home = Home::initialised();
    fs::create_dir(home.path("mine")).unwrap();
    home.write("mine/tls.key", "the only copy");
    let before = home.json(&["cert", "list", "--all"]);
    for arguments in [&["cert", "issue", "mine"][..], &["cert", "issue", "web", "--out", "mine"]] {
        let said = home.fails(1, arguments);
        assert!(said.contains("mine/tls.key is there already") && said.contains("--out"), "{said}");
    }
    home.ok(&["cert", "issue", "web"]);
    let said = home.fails(1, &["cert", "renew", "web", "--out", "mine"]);
    assert!(said.contains("not by Sealock"), "{said}");
    assert_eq!(fs::read(home.path("mine/tls.key")).unwrap(), b"the only copy");
    let after = home.json(&["cert", "list", "--all"]);
    let count = |list: &serde_json::Value| list["certificates"].as_array().unwrap().len();
    assert_eq!(count(&after), count(&before) + 1, "only what was asked for without a fault");
    // What Sealock has put there is replaced.
    home.ok(&["cert", "issue", "web"]);
    let out = home.write("old.key", "somebody's");
    let said = home.fails(1, &["acme", "eab", "add", "q", "--key-out", &out]);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(fs::read(&out).unwrap(), b"somebody's");
    assert_eq!(home.json(&["acme", "eab", "list"]).as_array().unwrap().len(), 0);
}

#[test]
fn what_is_refused_leaves_no_folder_behind() {
    let home = Home::initialised();
    home.fails(1, &["cert", "issue", "web", "--issuer", "nobody", "--out", "web-out"]);
    assert!(!home.path("web-out").exists());
    fs::create_dir(home.path("there")).unwrap();
    home.fails(1, &["cert", "issue", "web", "--issuer", "nobody", "--out", "there"]);
    assert!(home.path("there").exists(), "it was there before");
}

#[test]
fn a_folder_of_others_is_not_closed_to_them() {
    let home = Home::new();
    let srv = home.path("srv");
    fs::create_dir(&srv).unwrap();
    home.write("srv/web.conf", "served to all");
    fs::set_permissions(&srv, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = at(&srv, &["init"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("web.conf") && said.contains("a folder of its own"), "{said}");
    assert_eq!(mode(&srv), 0o755);
    assert_eq!(fs::read_dir(&srv).unwrap().count(), 1);
    // One that is empty, as systemd or a volume makes it, is taken.
    fs::remove_file(srv.join("web.conf")).unwrap();
    assert_eq!(at(&srv, &["init"]).0, Some(0));
    assert_eq!(mode(&srv), 0o700);
}

#[test]
fn options_that_an_authority_cannot_follow_any_more_are_refused() {
    let home = Home::initialised();
    for (option, value, what) in [
        ("--permit", "dns:corp.example", "name constraints"),
        ("--key-type", "rsa3072", "another kind"),
        ("--key-protection", "passphrase", "kept otherwise"),
        ("--crl-url", "http://crl.corp.example/", "another URL"),
    ] {
        let said = home.fails(1, &["init", option, value]);
        assert!(said.contains(what) && said.contains("ca show"), "{option}: {said}");
    }
    let new = home.path("new");
    let (code, said) = at(&new, &["init", "--permit", "dns:"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("names no subtree"), "{said}");
    assert!(!home.path("new/keys").join("keyring").exists());
}

/// Who names a folder means what is in it, not the daemon that happens to run on this host.
#[test]
fn a_folder_that_is_named_is_not_that_of_the_daemon_of_this_host() {
    if sealock_testkit::clients::skip_without_root() {
        return;
    }
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_sealock");
    // As if one ran: in a mount namespace of its own.
    let script = "mount -t tmpfs none /run && mkdir -p /run/sealock/workload && \
        touch /run/sealock/workload/workload.sock && exec \"$0\" --state \"$1\" init";
    let state = home.path("elsewhere");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, program]).arg(&state);
    let output = command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(state.join("VERSION").exists());
}

#[test]
fn status_tells_a_locked_authority_from_none() {
    let home = Home::new();
    assert!(home.run(&["status"]).status.code().is_some());
    let passphrase = home.write("passphrase", "correct horse\n");
    home.ok(&["--passphrase-file", &passphrase, "init", "--key-protection", "passphrase"]);
    let said = home.ok(&["status"]);
    assert!(said.contains("locked: its keys are under a passphrase"), "{said}");
    assert_eq!(home.json(&["status"])["locked"], true);
}

#[test]
fn status_lists_what_was_not_renewed_and_not_what_is_short() {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "short", "--ttl", "1h"]);
    assert!(!home.ok(&["status"]).contains("short"));
    home.ok(&["cert", "issue", "late", "--ttl", "5s"]);
    until("the last quarter of its life", PATIENCE, || {
        home.ok(&["status"]).contains("late").then_some(())
    });
}

/// A door of ours whose certificate is revoked shows another at once.
#[test]
fn a_door_with_a_revoked_certificate_gets_another() {
    if sealock_testkit::clients::skip_without_engine() {
        return;
    }
    let home = Home::new();
    let _daemon = home.up();
    let api =
        until("the API", PATIENCE, || home.json(&["status"])["api"].as_str().map(str::to_owned));
    let shown = || {
        let script = format!(
            "openssl s_client -connect {api} </dev/null 2>/dev/null | openssl x509 -noout -serial"
        );
        tool("sh", &["-c", &script]).trim().trim_start_matches("serial=").to_lowercase()
    };
    let first = serial(&home, "sealock-api");
    assert_eq!(shown(), first);
    home.ok(&["cert", "revoke", &first, "--reason", "key-compromise"]);
    let second =
        until("another certificate", PATIENCE, || Some(shown()).filter(|now| *now != first));
    assert_eq!(serial(&home, "sealock-api"), second);
}

#[test]
fn accounts_of_the_acme_server_are_listed() {
    let home = Home::initialised();
    assert_eq!(home.json(&["acme", "account", "list"])["accounts"].as_array().unwrap().len(), 0);
    assert!(home.ok(&["acme", "account", "list"]).contains("no ACME accounts"));
}
