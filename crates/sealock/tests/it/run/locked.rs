//! A vault that cannot be had: locked, busy, read-only, not there.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{FlockOperation, flock};

use super::{World, one_error};
use crate::summon::folders::{in_own_mounts, skip_without_mounts};
use crate::summon::stage::{Running, Stage, outcome};
use crate::support::Home;

const YAML: &str = "A: !var prod/db\n";

fn fails(world: &World, global: &[&str], why: &[&str]) {
    let mut command = world.stage.command(std::path::Path::new(env!("CARGO_BIN_EXE_sealock")));
    command.arg("--state").arg(world.home.state()).args(global);
    command.args(["run", "--yaml", YAML, "--", "touch", "started"]);
    let said = outcome(command);
    let error = one_error(&said);
    assert_eq!(said.code, Some(1), "{error}");
    assert!(why.iter().all(|part| error.contains(part)), "{why:?} in {error}");
    assert!(!world.stage.work("started").exists());
}

#[test]
fn a_vault_under_a_passphrase() {
    let world = World::new();
    let home = &world.home;
    let right = home.write("right", "correct horse battery\n");
    let wrong = home.write("wrong", "battery staple horse\n");
    home.ok(&["--passphrase-file", &right, "init", "--key-protection", "passphrase"]);
    let mut set = home.command();
    set.args(["--passphrase-file", &right, "secret", "set", "prod/db"]);
    assert_eq!(Running::with_input(set, "hunter2").wait().code, Some(0));
    fails(&world, &["--passphrase-file", &wrong], &["passphrase"]);
    fails(
        &world,
        &["--passphrase-file", "/no/such/file"],
        &["cannot read the passphrase file /no/such/file"],
    );
    fails(&world, &[], &["--passphrase-file"]);
    let global = ["--passphrase-file", &right];
    let mut command = world.stage.command(std::path::Path::new(env!("CARGO_BIN_EXE_sealock")));
    command
        .arg("--state")
        .arg(home.state())
        .args(global)
        .args(["run", "--yaml", YAML, "--", "sh", "-c", "echo $A"]);
    assert_eq!(outcome(command).out, "hunter2\n");
    let mut by_variable = world.sh(&[], YAML, "echo $A");
    by_variable.env("SEALOCK_PASSPHRASE_FILE", &right);
    assert_eq!(outcome(by_variable).out, "hunter2\n");
    // What needs no vault needs no passphrase.
    assert_eq!(world.prints(&["-p", "legacy"], "A: !var a\n", "echo $A"), "value of a\n");
}

#[test]
fn a_state_folder_that_somebody_else_works_in() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let lock =
        OpenOptions::new().read(true).write(true).open(world.home.state().join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    fails(&world, &[], &["in use", "hint: "]);
    flock(&lock, FlockOperation::Unlock).unwrap();
    assert_eq!(world.prints(&[], YAML, "echo $A"), "hunter2\n");
}

#[test]
fn no_vault_at_all() {
    let world = World::new();
    fails(&world, &[], &["A cannot be had", "hint: "]);
    assert!(!world.home.state().exists(), "to read makes none");
    let world = World { home: Home::initialised(), stage: Stage::new() };
    fails(&world, &[], &["there is no secret prod/db"]);
}

#[test]
fn a_state_folder_that_cannot_be_written() {
    if skip_without_mounts() {
        return;
    }
    let world = World::with(&[("prod/db", "hunter2")]);
    let state = world.home.state().display().to_string();
    let read_only = format!("mount --bind {state} {state}\nmount -o remount,bind,ro {state}");
    let said =
        outcome(in_own_mounts(&read_only, &world.run(&["--yaml", YAML, "--", "touch", "started"])));
    let error = one_error(&said);
    assert_eq!(said.code, Some(1), "{error}");
    assert!(error.to_lowercase().contains("read-only"), "{error}");
    assert!(!world.stage.work("started").exists());
    assert_eq!(world.prints(&[], YAML, "echo $A"), "hunter2\n", "and nothing was broken");
}

#[test]
fn a_damaged_vault_gives_an_error_and_no_value() {
    let world = World::with(&[("prod/db", "hunter2")]);
    // The wrapping key of another installation.
    let other = Home::initialised();
    let key = |home: &Home| {
        let entries = std::fs::read_dir(home.state().join("keys"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut keys: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "key")).collect();
        keys.pop()
    };
    let (Some(ours), Some(theirs)) = (key(&world.home), key(&other)) else {
        panic!(
            "{:?}",
            std::fs::read_dir(world.home.state().join("keys")).unwrap().collect::<Vec<_>>()
        );
    };
    std::fs::copy(theirs, &ours).unwrap();
    std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = outcome(world.run(&["--yaml", YAML, "--", "touch", "started"]));
    one_error(&said);
    assert!(matches!(said.code, Some(1 | 2)), "{said:?}");
    assert!(!world.stage.work("started").exists());
}
