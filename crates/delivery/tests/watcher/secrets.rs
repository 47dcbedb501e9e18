//! Labelled secrets in real containers.

use std::process::Command;
use std::thread;
use std::time::Duration;

use sealock_core::audit::Fact;
use sealock_delivery::watcher::{AlarmKind, DeliveryState, SecretStatus};
use sealock_testkit::clients::{skip, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, docker};
use sealock_testkit::{unique_name, wait};

use super::installation::{Installation, PATIENCE, run_in};
use super::kill::{SCOPE, STATE, kill_at, socket};

const FILE: &str = "/run/sealock/secrets/db";
const REF: [&str; 2] = ["--label", "sealock.secret.db.ref=prod/db"];

fn cannot_run() -> bool {
    skip_without_engine() || skip_without_root()
}

impl Installation {
    fn secret_of(&self, container: &Container) -> Option<SecretStatus> {
        let mut all = self.watcher().secrets().into_iter();
        all.find(|status| status.container_id == container.id())
    }

    fn secret_in_state(&self, container: &Container, state: DeliveryState) -> SecretStatus {
        wait::until("the secret's state", PATIENCE, || {
            self.secret_of(container).filter(|status| status.state == state)
        })
    }

    /// Sets the secret, and waits until the container has that version.
    fn set(&self, container: &Container, value: &str) {
        let version = self.vault.set("prod/db", value.as_bytes());
        self.watcher().poke();
        wait::until("the new version", PATIENCE, || {
            (self.secret_of(container)?.version == Some(version)).then_some(())
        });
    }
}

/// What a container was given when it was made, and what its own layer has.
fn what_docker_knows(container: &Container) -> Vec<u8> {
    let inspect = docker(&["inspect", container.id()]);
    let export = Command::new("docker").args(["export", container.id()]).output().unwrap();
    assert!(export.status.success());
    [inspect.as_bytes(), &export.stdout].concat()
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|bytes| bytes == needle.as_bytes())
}

#[test]
fn a_labelled_container_reads_its_secret_and_is_told_of_a_new_value() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    let (first, second) = ("hunter2 is first", "hunter3 is second");
    installation.vault.set("prod/db", first.as_bytes());
    installation.start();
    let name = unique_name();
    let options = [
        "--name",
        &name,
        "--read-only",
        "--tmpfs",
        "/run/sealock",
        "--tmpfs",
        "/tmp",
        "--label",
        "sealock.secret.db.owner=app",
        "--label",
        "sealock.secret.db.mode=0440",
        "--label",
        "sealock.secret.db.reload=signal:USR1",
    ];
    let script = format!("trap 'cat {FILE} >/tmp/told' USR1; while :; do sleep 0.1; done");
    let command = ["/bin/sh", "-c", &script];
    let container = installation.run(&image, &[&options[..], &REF].concat(), &command);
    let status = installation.secret_in_state(&container, DeliveryState::Delivered);
    assert_eq!((status.name.as_str(), status.secret.as_deref()), ("db", Some("prod/db")));
    assert_eq!(status.path.as_deref(), Some(FILE));
    assert_eq!(container.output(&["cat", FILE]), first);
    assert_eq!(container.output(&["stat", "-c", "%a %u:%g", FILE]), "440 1000:1000\n");
    assert_eq!(installation.watcher().counters().reloads, 0);

    installation.set(&container, second);
    assert_eq!(container.output(&["cat", FILE]), second);
    wait::until("the signal", PATIENCE, || {
        let told = container.exec(&["cat", "/tmp/told"]);
        (told.status.success() && told.stdout == second.as_bytes()).then_some(())
    });
    assert_eq!(container.output(&["stat", "-c", "%a %u:%g", FILE]), "440 1000:1000\n");
    // A lock of ours is all that is beside it, and it is empty.
    let names = container.output(&[
        "sh",
        "-c",
        "cat /run/sealock/secrets/.*.lock; ls /run/sealock/secrets",
    ]);
    assert_eq!(names, "db\n");

    let facts = installation.facts();
    let delivered: Vec<(String, String, String)> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::SecretDelivered { secret, container, reload, .. } => {
                Some((secret.clone(), container.clone(), reload.clone()))
            }
            _ => None,
        })
        .collect();
    let told = |reload: &str| ("prod/db".to_owned(), name.clone(), reload.to_owned());
    assert_eq!(delivered, [told("none"), told("signal:USR1")]);
    installation.stop();
    let known = what_docker_knows(&container);
    let database = std::fs::read(installation.folder.join("state.db")).unwrap();
    let digest = container.output(&["sha256sum", FILE]);
    let digest = digest.split(' ').next().unwrap();
    for value in [first, second, digest] {
        assert!(!holds(&known, value), "Docker has it");
        assert!(!holds(&database, value), "the state has it");
        assert!(!format!("{facts:?}").contains(value), "the audit log has it");
    }
}

#[test]
fn a_container_without_a_tmpfs_is_refused_and_nothing_of_it_reaches_the_disk() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.vault.set("prod/db", b"hunter2 stays away");
    installation.start();
    let container = installation.run(&image, &REF, &[]);
    let status = installation.secret_in_state(&container, DeliveryState::Refused);
    assert_eq!(status.label.as_deref(), Some("sealock.secret.db.path"));
    let reason = status.reason.unwrap();
    assert!(reason.ends_with("/run/sealock/secrets is not on a file system in memory"), "{reason}");
    let hint = status.hint.unwrap();
    assert!(hint.contains("--tmpfs /run/sealock,"), "{hint}");
    assert!(hint.contains("sealock.secret.db.on-disk=allowed"), "{hint}");
    assert!(!container.exec(&["ls", "/run"]).status.success(), "not even a folder was made");
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
    let refused = installation.facts().into_iter().find_map(|fact| match fact {
        Fact::LabelRefused { label, .. } => Some(label),
        _ => None,
    });
    assert_eq!(refused.as_deref(), Some("sealock.secret.db.path"));

    let allowed = ["--label", "sealock.secret.db.on-disk=allowed"];
    let on_disk = installation.run(&image, &[&REF[..], &allowed].concat(), &[]);
    let _ = installation.secret_in_state(&on_disk, DeliveryState::Delivered);
    assert_eq!(on_disk.output(&["cat", FILE]), "hunter2 stays away");
    // That is what the refusal is for.
    assert!(holds(&what_docker_knows(&on_disk), "hunter2 stays away"));
    assert!(!holds(&what_docker_knows(&container), "hunter2 stays away"));
}

#[test]
fn what_is_mounted_decides_whether_it_is_memory() {
    if cannot_run() {
        return;
    }
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        skip("there is no /dev/shm");
        return;
    };
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.vault.set("prod/db", b"hunter2");
    installation.start();
    let path = ["--label", "sealock.secret.db.path=/app/db.password"];
    let run = |volume: &str| {
        let options = [&REF[..], &path, &["--volume", volume]].concat();
        installation.run(&image, &options, &[])
    };
    let of_the_host = run(&format!("{}:/app", memory.path().display()));
    let disk = run(&format!("{}:/app", installation.folder.display()));
    let volume = run("/app");
    let _ = installation.secret_in_state(&of_the_host, DeliveryState::Delivered);
    assert_eq!(of_the_host.output(&["cat", "/app/db.password"]), "hunter2");
    for container in [&disk, &volume] {
        let status = installation.secret_in_state(container, DeliveryState::Refused);
        assert!(status.hint.unwrap().contains("--tmpfs /app,"));
    }
    assert!(!installation.folder.join("db.password").exists());
}

#[test]
fn a_restart_a_denial_and_a_deletion_are_seen() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let options = ["--tmpfs", "/run", "--label", "sealock.secret.root.ref=other/root"];
    let foreign = installation.run(&image, &options, &[]);
    let container = installation.run(&image, &[&REF[..], &["--tmpfs", "/run"]].concat(), &[]);
    let denied = installation.secret_in_state(&foreign, DeliveryState::Refused);
    assert_eq!(denied.label.as_deref(), Some("sealock.secret.root.ref"));
    assert_eq!(denied.hint.as_deref(), Some("permit … other/root …"));
    let missing = installation.secret_in_state(&container, DeliveryState::Refused);
    assert_eq!(missing.reason.as_deref(), Some("there is no secret prod/db"));

    installation.set(&container, "one");
    let _ = docker(&["restart", "--time", "0", container.id()]);
    wait::until("the file", PATIENCE, || {
        let read = container.exec(&["cat", FILE]);
        (read.status.success() && read.stdout == b"one").then_some(())
    });
    assert_eq!(installation.watcher().counters().reloads, 0);

    installation.vault.delete("prod/db");
    installation.watcher().poke();
    let alarm = installation.alarm();
    assert_eq!(alarm.kind, AlarmKind::Stale);
    assert_eq!(container.output(&["cat", FILE]), "one", "the service may need it yet");
    let _ = docker(&["restart", "--time", "0", container.id()]);
    wait::until("the end of the alarm", PATIENCE, || {
        installation.watcher().alarms().is_empty().then_some(())
    });
    let _ = installation.secret_in_state(&container, DeliveryState::Refused);
    assert!(!container.exec(&["cat", FILE]).status.success(), "its tmpfs is empty");
}

/// Sets new values as fast as it can until it is killed.
fn rotate_for_ever(state: &str, scope: String) {
    let mut installation = Installation::reopen(state.as_ref(), scope, socket);
    installation.start();
    std::fs::write(std::path::Path::new(state).join("started"), "").unwrap();
    loop {
        installation.vault.set("prod/db", unique_name().as_bytes());
        installation.watcher().poke();
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_sigkill_at_any_moment_leaves_one_whole_secret_and_nothing_beside_it() {
    if let (Ok(state), Ok(scope)) = (std::env::var(STATE), std::env::var(SCOPE)) {
        return rotate_for_ever(&state, scope);
    }
    if cannot_run() {
        return;
    }
    let (image, scope) = (Image::busybox(), unique_name());
    let folder = sealock_testkit::scratch_folder();
    let options = [&REF[..], &["--tmpfs", "/run"]].concat();
    let containers: Vec<Container> =
        (0..2).map(|_| run_in(&scope, &image, &options, &[])).collect();
    for number in 0..8_u64 {
        kill_at(Duration::from_millis(number * 41 % 300), folder.path(), &scope);
    }
    let mut installation = Installation::reopen(folder.path(), scope, socket);
    installation.vault.set("prod/db", b"the last one");
    installation.start();
    for container in &containers {
        wait::until("the start to heal", PATIENCE, || {
            let read = container.exec(&["cat", FILE]);
            (read.status.success() && read.stdout == b"the last one").then_some(())
        });
        let left = container.output(&["ls", "-A", "/run/sealock/secrets"]);
        let others: Vec<&str> =
            left.lines().filter(|name| *name != "db" && !name.ends_with(".lock")).collect();
        assert_eq!(others, Vec::<&str>::new());
    }
}
