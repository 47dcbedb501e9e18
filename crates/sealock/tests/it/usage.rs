//! The command line itself: help, exit codes, errors.

use std::io::Read;
use std::process::Stdio;

use crate::support::{Home, text};

#[test]
fn usage_errors_exit_with_64_and_help_with_0() {
    let home = Home::new();
    assert_eq!(home.run(&["--help"]).status.code(), Some(0));
    assert_eq!(home.run(&["--version"]).status.code(), Some(0));
    for wrong in [
        &["nonsense"][..],
        &["cert", "issue"],
        &["cert", "issue", "x", "--ttl", "never"],
        &["send", "only-one"],
        &["send", "file", "no-colon"],
        &["send", "file", "box:relative"],
        &["send", "file", "box:/x", "--mode", "9999"],
        &["send", "file", "box:/x", "--signal", "HUP", "--exec", "true"],
        &["seal"],
        &["up", "--api", "nowhere"],
    ] {
        let output = home.run(wrong);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {said}");
        assert!(said.contains("error:"), "{wrong:?}: {said}");
    }
    assert!(!home.state().exists(), "a usage error makes no state");
}

#[test]
fn errors_are_json_when_asked() {
    let home = Home::initialised();
    let output = home.run(&["--json", "cert", "show", "nobody"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["code"], 1);
    assert!(error["error"].as_str().unwrap().contains("nobody"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_closed_pipe_ends_the_output_quietly() {
    let home = Home::initialised();
    let mut child = home
        .command()
        .args(["policy", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(said, "");
}

#[test]
fn unknown_settings_are_errors_with_a_suggestion() {
    let home = Home::new();
    let file = home.write("sealock.toml", "[api]\nlisten = \"127.0.0.1:0\"\nmetrcs = true\n");
    let said = home.fails(64, &["--config", &file, "config", "check"]);
    assert!(said.contains("metrcs") && said.contains("metrics"), "{said}");
    let said = home.fails(64, &["--config", "/nonexistent.toml", "status"]);
    assert!(said.contains("/nonexistent.toml"), "{said}");
}

#[test]
fn settings_that_do_not_go_together_are_told() {
    let home = Home::new();
    let file = home.write("sealock.toml", "[authority]\nkeys = \"hsm\"\n");
    let said = home.fails(64, &["--config", &file, "config", "check"]);
    assert!(said.contains("hsm.module") && said.contains("settings.md"), "{said}");
    let settings = "[api]\nlisten = \"127.0.0.1:4242\"\n[hsm]\nmodule = \"/nowhere/p11.so\"\n";
    let file = home.write("sealock.toml", settings);
    let output = home.run(&["--config", &file, "config", "check"]);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("/nowhere/p11.so"), "{said}");
    assert!(said.contains("api.listen and gateway.listen"), "{said}");
}

#[test]
fn hints_lead_to_what_helps() {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "web"]);
    home.write(
        "web.csr",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    );
    for (code, wrong, wanted) in [
        (64, &["cert", "publish", "web"][..], "--directory <NAME>|--ldap <URL>"),
        (64, &["cert", "publish", "web", "--ldap", "ldaps://x"], "--dn <DN>"),
        (64, &["cert", "publish", "web", "--ldap", "http://x", "--dn", "cn=web"], "ldaps://ldap."),
        (64, &["cert", "revoke", "web"], "sealock cert list"),
        (1, &["cert", "import", "web", "gone.crt"], "there is no such file"),
        (1, &["cert", "import", "web", "web.csr"], "your CA has made of it"),
        (1, &["acme", "eab", "remove", "nope"], "sealock acme eab list"),
        (64, &["ca", "disable", "own"], "cannot be disabled"),
        (64, &["cert", "issue", "jo", "--profile", "email"], "--email ADDRESS"),
        (64, &["trust", "install", "--java-home", "/nope"], "lib/security/cacerts"),
    ] {
        let said = home.fails(code, wrong);
        assert!(said.contains(wanted), "{wrong:?}: {said}");
    }
    let said = home.fails(1, &["acme", "eab", "self"]);
    assert!(!said.contains("caused by: request"), "{said}");
    let file = home.write("no-folder", "");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sealock"));
    let output = command.env_clear().args(["--state", &file, "status"]).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("no-folder is no folder"), "{said}");
}

#[test]
fn completions_are_printed_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(home.ok(&["completions", shell]).contains("sealock"), "{shell}");
    }
}

#[test]
fn the_committed_reference_is_what_the_program_writes() {
    let home = Home::new();
    let out = home.path("reference");
    home.ok(&["reference", "--out", out.to_str().unwrap()]);
    let committed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let pages = |folder: &std::path::Path| -> std::collections::BTreeMap<String, String> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &std::path::Path| path.file_name().unwrap().display().to_string();
        files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
    };
    let (is, should) = (pages(&committed), pages(&out));
    assert!(is.keys().eq(should.keys()), "{:?} and {:?}", is.keys(), should.keys());
    for (page, text) in &should {
        assert!(is[page] == *text, "docs/reference/{page} is out of date: run `cargo xtask docs`");
    }
}
