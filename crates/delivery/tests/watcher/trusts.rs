//! Labelled trust bundles in real containers.

use std::path::Path;

use sealock_core::audit::Fact;
use sealock_delivery::watcher::{AlarmKind, CertificateSource, DeliveryState, TrustStatus};
use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, docker};
use sealock_testkit::{unique_name, wait};

use super::installation::{Installation, PATIENCE};

const FILE: &str = "/etc/ssl/certs/company.pem";
const LABEL: [&str; 2] = ["--label", "sealock.trust.company.path=/etc/ssl/certs/company.pem"];

fn cannot_run() -> bool {
    skip_without_engine() || skip_without_root()
}

impl Installation {
    fn trust_of(&self, container: &Container, name: &str) -> Option<TrustStatus> {
        let mut all = self.watcher().trusts().into_iter();
        all.find(|status| status.container_id == container.id() && status.name == name)
    }

    fn trust_in_state(&self, container: &Container, state: DeliveryState) -> TrustStatus {
        wait::until("the bundle's state", PATIENCE, || {
            self.trust_of(container, "company").filter(|status| status.state == state)
        })
    }

    /// The roots change, as by `trust add` or a rotation; waits until the container was given them.
    fn trusts(&self, container: &Container, digest: &str, more: &[Vec<u8>]) {
        self.source.trusts(digest, more);
        self.watcher().poke();
        wait::until("the new bundle", PATIENCE, || {
            let status = self.trust_of(container, "company")?;
            let new = status.bundle.as_deref() == Some(digest);
            (new && status.state == DeliveryState::Delivered).then_some(())
        });
    }
}

/// Some other root.
fn another() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().self_signed(&key).unwrap().der().to_vec()
}

fn certificates(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}

#[test]
fn a_bundle_on_a_disk_changes_without_a_restart_and_the_service_is_told() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let name = unique_name();
    let options = [
        "--name",
        &name,
        "--label",
        "sealock.trust.company.owner=app",
        "--label",
        "sealock.trust.company.reload=signal:USR1",
    ];
    let script =
        format!("trap 'cat {FILE} >/tmp/told' USR1; mkdir -p /tmp; while :; do sleep 0.1; done");
    let command = ["/bin/sh", "-c", &script];
    let container = installation.run(&image, &[&options[..], &LABEL].concat(), &command);
    let status = installation.trust_in_state(&container, DeliveryState::Delivered);
    assert_eq!(status.path.as_deref(), Some(FILE));
    let first = container.output(&["cat", FILE]);
    assert_eq!(certificates(&first), 1);
    assert_eq!(container.output(&["stat", "-c", "%a %u:%g", FILE]), "444 1000:1000\n");
    assert_eq!(installation.watcher().counters().reloads, 0);

    let life = container.inspect("{{.State.StartedAt}} {{.State.Pid}}");
    installation.trusts(&container, "two", &[another()]);
    let second = container.output(&["cat", FILE]);
    assert_eq!(certificates(&second), 2);
    assert!(second.starts_with(&first), "the roots of before are still first");
    wait::until("the signal", PATIENCE, || {
        let told = container.exec(&["cat", "/tmp/told"]);
        (told.status.success() && told.stdout == second.as_bytes()).then_some(())
    });
    // A root that was taken away is not trusted there any more.
    installation.trusts(&container, "three", &[]);
    assert_eq!(container.output(&["cat", FILE]), first);
    assert_eq!(container.inspect("{{.State.StartedAt}} {{.State.Pid}}"), life);
    let told = |fact: &Fact| match fact {
        Fact::TrustDelivered { bundle, container, path, .. } => {
            Some((bundle.clone(), container.clone(), path.clone()))
        }
        _ => None,
    };
    let told: Vec<_> = installation.facts().iter().filter_map(told).collect();
    let all = ["one", "two", "three"].map(|it| (it.to_owned(), name.clone(), FILE.to_owned()));
    assert_eq!(told, all);
}

#[test]
fn a_place_that_cannot_be_written_gets_no_bundle_and_an_alarm() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let container = installation.run(&image, &[&["--read-only"][..], &LABEL].concat(), &[]);
    let alarm = installation.alarm();
    assert_eq!(alarm.kind, AlarmKind::DeliveryFailed);
    assert!(alarm.subject.ends_with("/trust:company"), "{alarm:?}");
    let status = installation.trust_of(&container, "company").unwrap();
    assert_eq!(status.state, DeliveryState::Retrying);
    assert!(status.reason.unwrap().contains("read-only"));
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
}

#[test]
fn a_container_leads_no_bundle_out_of_itself() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    // A folder of the host that a link from inside might mean.
    let outside = format!("/tmp/{}", unique_name());
    std::fs::create_dir(&outside).unwrap();
    let mut containers = Vec::new();
    for target in [outside.clone(), format!("../../../../../../..{outside}")] {
        let label = ["--label", "sealock.trust.company.path=/trap/company.pem"];
        let container = installation.run(&image, &label, &[]);
        let _ = container.output(&["ln", "-s", &target, "/trap"]);
        containers.push(container);
    }
    // A link in place of the file itself, to one that is not to be overwritten.
    let label = ["--label", "sealock.trust.company.path=/trap.pem"];
    let file = installation.run(&image, &label, &[]);
    let _ = file.output(&["sh", "-c", "echo precious >/precious && ln -s /precious /trap.pem"]);
    installation.start();
    containers.push(file);
    for container in &containers {
        wait::until("an end", PATIENCE, || {
            let state = installation.trust_of(container, "company")?.state;
            (state == DeliveryState::Delivered || state == DeliveryState::Retrying).then_some(())
        });
    }
    let found = std::fs::read_dir(&outside).unwrap().count();
    std::fs::remove_dir(&outside).unwrap();
    assert_eq!(found, 0, "something was written on the host");
    assert!(!Path::new("/precious").exists());
    let file = containers.last().unwrap();
    assert_eq!(file.output(&["cat", "/precious"]), "precious\n");
}

#[test]
fn a_container_that_was_stopped_meanwhile_gets_the_bundle_of_now() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let container = installation.run(&image, &LABEL, &[]);
    installation.trust_in_state(&container, DeliveryState::Delivered);
    let _ = docker(&["stop", "--time", "0", container.id()]);
    installation.trust_in_state(&container, DeliveryState::Stopped);
    installation.source.trusts("two", &[another()]);
    installation.watcher().poke();
    let _ = docker(&["start", container.id()]);
    wait::until("the new bundle", PATIENCE, || {
        let status = installation.trust_of(&container, "company")?;
        (status.bundle.as_deref() == Some("two")).then_some(())
    });
    assert_eq!(certificates(&container.output(&["cat", FILE])), 2);

    // Killed right after the roots have changed: the next start makes up for it, and leaves nothing half-done.
    installation.source.trusts("three", &[another(), another()]);
    installation.watcher().poke();
    installation.kill();
    installation.start();
    wait::until("the next bundle", PATIENCE, || {
        let status = installation.trust_of(&container, "company")?;
        (status.bundle.as_deref() == Some("three")).then_some(())
    });
    assert_eq!(certificates(&container.output(&["cat", FILE])), 3);
    let left = container.output(&["sh", "-c", "ls /etc/ssl/certs"]);
    assert_eq!(left, "company.pem\n");
}

#[test]
fn who_may_not_have_the_bundle_is_told_which_rule_would_let_it() {
    if cannot_run() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let label = ["--label", "sealock.trust.denied.path=/etc/company.pem"];
    let container = installation.run(&image, &label, &[]);
    let status = wait::until("the refusal", PATIENCE, || {
        let status = installation.trust_of(&container, "denied")?;
        (status.state == DeliveryState::Refused).then_some(status)
    });
    assert_eq!(status.label.as_deref(), Some("sealock.trust.denied"));
    assert_eq!(status.hint.as_deref(), Some("permit …"));
    assert!(!container.exec(&["cat", "/etc/company.pem"]).status.success());
    assert_eq!(installation.source.trust().digest, "one");
}
