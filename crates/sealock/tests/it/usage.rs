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
    for page in ["cli.md", "settings.md", "policy-schema.md"] {
        let is = std::fs::read_to_string(committed.join(page)).unwrap_or_default();
        let should = std::fs::read_to_string(out.join(page)).unwrap();
        assert!(is == should, "docs/reference/{page} is out of date: run `cargo xtask docs`");
    }
}
