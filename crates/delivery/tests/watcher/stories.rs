use std::process::Command;

use sealock_core::audit::Fact;
use sealock_delivery::watcher::{AlarmKind, DeliveryState, VerifyState};
use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Image, docker};
use sealock_testkit::{unique_name, wait};

use super::installation::{Installation, PATIENCE, service_image};
use super::proxy::Proxy;

const FOLDER: &str = "/run/sealock/certs/web";

fn skip() -> bool {
    skip_without_engine() || skip_without_root()
}

#[test]
fn a_labelled_container_gets_files_for_its_own_name_that_openssl_verifies() {
    if skip() || skip_without(&["openssl"]) {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let name = unique_name();
    let options = ["--name", &name, "--tmpfs", "/run", "--read-only"];
    let labels = ["--label", "sealock.cert.web.owner=app", "--label", "sealock.cert.web.mode=0440"];
    let container = installation.run(&image, &[&options[..], &labels[..]].concat(), &[]);
    let status = installation.delivered(&container, None);
    assert_eq!(status.names, std::slice::from_ref(&name));
    assert_eq!(status.verify, VerifyState::NotAsked);

    let listing = container.output(&["sh", "-c", &format!("stat -L -c '%n %a %u:%g' {FOLDER}/*")]);
    let expected: String =
        [("bundle.pem", 440), ("ca.crt", 444), ("tls.crt", 444), ("tls.key", 440)]
            .iter()
            .map(|(file, mode)| format!("{FOLDER}/{file} {mode} 1000:1000\n"))
            .collect();
    assert_eq!(listing, expected);

    let here = &installation.folder;
    for file in ["ca.crt", "tls.crt", "bundle.pem"] {
        let content = container.output(&["cat", &format!("{FOLDER}/{file}")]);
        std::fs::write(here.join(file), content).unwrap();
    }
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(here).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {}: {error}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    openssl(&["verify", "-verify_hostname", &name, "-CAfile", "ca.crt", "tls.crt"]);
    let key = openssl(&["pkey", "-in", "bundle.pem", "-pubout"]);
    assert_eq!(key, openssl(&["x509", "-in", "tls.crt", "-noout", "-pubkey"]));

    let delivered = installation.facts().into_iter().find_map(|fact| match fact {
        Fact::CertDelivered { serial, container, path, .. } => Some((serial, container, path)),
        _ => None,
    });
    assert_eq!(delivered, Some((status.serial.unwrap(), name, FOLDER.to_owned())));
}

#[test]
fn a_short_life_is_renewed_reloaded_and_served_without_a_restart() {
    if skip() {
        return;
    }
    let (image, mut installation) = (service_image(), Installation::new());
    installation.start();
    // Without any network but its own loopback: only from inside the namespace can this be seen.
    let options = [
        "--network",
        "none",
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.web.ttl=12s",
        "--label",
        "sealock.cert.web.reload=signal:HUP",
        "--label",
        "sealock.cert.web.verify=tls:8443",
    ];
    let container = installation.run(&image, &options, &["/reloading_service", FOLDER, "8443"]);
    let first = installation.served(&container, None);
    let life = container.inspect("{{.State.StartedAt}} {{.State.Pid}}");
    let second = installation.served(&container, first.serial.as_deref());
    let third = installation.served(&container, second.serial.as_deref());
    assert!(third.not_after > second.not_after);
    assert_eq!(container.inspect("{{.State.StartedAt}} {{.State.Pid}}"), life);
    assert_eq!(installation.watcher().alarms(), []);
    let counters = installation.watcher().counters();
    assert!(counters.reloads >= 2 && counters.served >= 3, "{counters:?}");
}

#[test]
fn a_service_that_ignores_its_reload_raises_an_alarm_until_it_serves() {
    if skip() {
        return;
    }
    let (image, mut installation) = (service_image(), Installation::new());
    installation.start();
    let name = unique_name();
    let options = [
        "--name",
        &name,
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.web.reload=signal:HUP",
        "--label",
        "sealock.cert.web.verify=tls:8443",
    ];
    let command = ["/reloading_service", FOLDER, "8443", "ignore-hangup"];
    let container = installation.run(&image, &options, &command);
    let first = installation.served(&container, None);
    installation.watcher().renew_now(&name, "web").unwrap();
    let second = installation.delivered(&container, first.serial.as_deref());
    let alarm = installation.alarm();
    assert_eq!((alarm.kind, alarm.subject), (AlarmKind::NotServed, format!("{name}/web")));
    let (old, new) = (first.serial.unwrap(), second.serial.unwrap());
    assert_eq!(alarm.reason, format!("it serves serial {old}, not {new}"));
    // Told at the renewal and once more after half of the grace time.
    assert_eq!(installation.watcher().counters().reloads, 2);

    // What the operator would do.
    let _ = docker(&["restart", "--time", "0", container.id()]);
    installation.served(&container, Some(&new));
    wait::until("the end of the alarm", PATIENCE, || {
        installation.watcher().alarms().is_empty().then_some(())
    });
    let facts = installation.facts();
    let count = |wanted: &dyn Fn(&Fact) -> bool| facts.iter().filter(|fact| wanted(fact)).count();
    assert_eq!(count(&|fact| matches!(fact, Fact::AlarmRaised { .. })), 1);
    assert_eq!(count(&|fact| matches!(fact, Fact::AlarmCleared { .. })), 1);
}

#[test]
fn restarted_and_recreated_containers_get_their_files_again() {
    if skip() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let name = unique_name();
    let on_tmpfs = ["--name", &name, "--tmpfs", "/run", "--label", "sealock.cert.web.ttl=1h"];
    let container = installation.run(&image, &on_tmpfs, &[]);
    let on_disk = installation.run(&image, &["--label", "sealock.cert.web.ttl=1h"], &[]);
    let first = installation.delivered(&container, None);
    let kept = installation.delivered(&on_disk, None);
    let _ = docker(&["restart", "--time", "0", container.id(), on_disk.id()]);
    let second = installation.delivered(&container, first.serial.as_deref());
    assert!(container.output(&["cat", &format!("{FOLDER}/tls.crt")]).contains("CERTIFICATE"));
    assert_eq!(installation.status_of(&on_disk, "web").unwrap().serial, kept.serial);

    let old = container.id().to_owned();
    drop(container);
    let again = installation.run(&image, &on_tmpfs, &[]);
    let third = installation.delivered(&again, second.serial.as_deref());
    assert_ne!(third.container_id, old);
    wait::until("the old container to be forgotten", PATIENCE, || {
        let ids = installation.watcher().snapshot().into_iter().map(|one| one.container_id);
        (!ids.collect::<Vec<_>>().contains(&old)).then_some(())
    });
}

#[test]
fn bad_labels_and_refused_names_are_told_and_the_container_runs_on() {
    if skip() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let options = [
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.web.ttl=1h",
        "--label",
        "sealock.cert.bad.ttl=soon",
        "--label",
        "sealock.cert.bank.dns=www.bank.example",
    ];
    let container = installation.run(&image, &options, &[]);
    installation.delivered(&container, None);
    let bad = installation.status_of(&container, "bad").unwrap();
    assert_eq!(bad.state, DeliveryState::BadLabel);
    assert_eq!(bad.label.as_deref(), Some("sealock.cert.bad.ttl"));
    assert!(bad.reason.unwrap().starts_with("`soon` is not a span of time"));
    let bank = wait::until("the refusal", PATIENCE, || {
        let status = installation.status_of(&container, "bank")?;
        (status.state == DeliveryState::Refused).then_some(status)
    });
    assert_eq!(bank.label.as_deref(), Some("sealock.cert.bank.dns"));
    assert_eq!(bank.reason.as_deref(), Some("www.bank.example is not a name of its own"));
    assert_eq!(bank.hint.as_deref(), Some("permit … www.bank.example …"));
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
    assert_eq!(container.output(&["ls", "/run/sealock/certs"]), "web\n");
    let refused = installation.facts().into_iter().filter_map(|fact| match fact {
        Fact::LabelRefused { label, .. } => Some(label),
        _ => None,
    });
    let refused: Vec<String> = refused.collect();
    assert_eq!(refused, ["sealock.cert.bad.ttl", "sealock.cert.bank.dns"]);
}

#[test]
fn what_happened_while_nobody_watched_is_caught_up() {
    if skip() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    let options = ["--tmpfs", "/run", "--label", "sealock.cert.web.ttl=12s"];
    let early = installation.run(&image, &options, &[]);
    installation.start();
    let first = installation.delivered(&early, None);
    installation.stop();

    // A new watcher on the same state does nothing that is done already.
    installation.start();
    assert_eq!(installation.delivered(&early, None).serial, first.serial);
    installation.kill();

    let late = installation.run(&image, &options, &[]);
    let _ = docker(&["restart", "--time", "0", early.id()]);
    installation.start();
    installation.delivered(&late, None);
    installation.delivered(&early, first.serial.as_deref());
    installation.stop();

    // Past its end.
    let last = {
        installation.start();
        let status = installation.delivered(&late, None);
        installation.stop();
        status
    };
    wait::until("the end of its life", PATIENCE, || {
        (sealock_core::Clock::now(&sealock_core::SystemClock) > last.not_after?).then_some(())
    });
    installation.start();
    installation.delivered(&late, last.serial.as_deref());
}

#[test]
fn an_engine_that_restarts_is_an_alarm_and_then_caught_up_with() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let mut installation = Installation::with_engine(|folder| folder.join("docker.sock"));
    let mut proxy = Proxy::new(&installation.folder);
    assert!(proxy.path().starts_with(&installation.folder));
    proxy.give(installation.runtime.handle());
    installation.start();
    let options = ["--tmpfs", "/run", "--label", "sealock.cert.web.ttl=1h"];
    let before = installation.run(&image, &options, &[]);
    let kept = installation.delivered(&before, None);

    proxy.take();
    let alarm = installation.alarm();
    assert_eq!((alarm.kind, alarm.subject.as_str()), (AlarmKind::EngineAway, "engine"));
    let meanwhile = installation.run(&image, &options, &[]);
    proxy.give(installation.runtime.handle());
    installation.delivered(&meanwhile, None);
    let after = installation.run(&image, &options, &[]);
    installation.delivered(&after, None);
    assert_eq!(installation.watcher().alarms(), []);
    assert_eq!(installation.status_of(&before, "web").unwrap().serial, kept.serial);
    let states: Vec<String> = installation
        .facts()
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::EngineChanged { state } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(states, ["connected", "away", "connected"]);
}

#[test]
fn a_reload_command_runs_without_a_shell_and_its_failure_is_told() {
    if skip() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let label = |command: &str| format!("sealock.cert.web.reload=exec:{command}");
    let touch = label("/bin/touch '/tmp/told; once'");
    let good = installation.run(&image, &["--tmpfs", "/run", "--label", &touch], &[]);
    let fail = label("/bin/sh -c 'echo no such site >&2; exit 3'");
    let bad = installation.run(&image, &["--tmpfs", "/run", "--label", &fail], &[]);
    for container in [&good, &bad] {
        let first = installation.delivered(container, None);
        installation.watcher().renew_now(container.id(), "web").unwrap();
        installation.delivered(container, first.serial.as_deref());
    }
    wait::until("the command", PATIENCE, || {
        good.output(&["ls", "/tmp"]).contains("told; once").then_some(())
    });
    let alarm = installation.alarm();
    assert_eq!(alarm.kind, AlarmKind::ReloadFailed);
    let told = "3 times in a row: the reload command ended with code 3: no such site";
    assert_eq!(alarm.reason, told);
    assert_eq!(installation.status_of(&bad, "web").unwrap().state, DeliveryState::Delivered);
}

#[test]
fn a_place_that_cannot_be_written_is_tried_again_and_told() {
    if skip() {
        return;
    }
    let (image, mut installation) = (Image::busybox(), Installation::new());
    installation.start();
    let options = ["--read-only", "--label", "sealock.cert.web.ttl=1h"];
    let container = installation.run(&image, &options, &[]);
    let alarm = installation.alarm();
    assert_eq!(alarm.kind, AlarmKind::DeliveryFailed);
    let status = installation.status_of(&container, "web").unwrap();
    assert_eq!(status.state, DeliveryState::Retrying);
    assert!(status.reason.unwrap().contains("read-only"));
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
}

#[test]
fn a_service_is_seen_in_every_network_mode() {
    if skip() {
        return;
    }
    let (image, mut installation) = (service_image(), Installation::new());
    installation.start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let verify = format!("sealock.cert.web.verify=tls:{port}");
    let command = ["/reloading_service", FOLDER, &port];
    let start = |network: &str| {
        let options = ["--network", network, "--tmpfs", "/run", "--label", &verify];
        installation.run(&image, &options, &command)
    };
    let (bridge, host) = (start("bridge"), start("host"));
    // In the network of another container, on a port of its own there.
    let guest = format!("container:{}", bridge.id());
    let options =
        ["--network", &guest, "--tmpfs", "/run", "--label", "sealock.cert.web.verify=tls:9"];
    let guest = installation.run(&image, &options, &["/reloading_service", FOLDER, "9"]);
    for container in [&bridge, &host, &guest] {
        installation.served(container, None);
    }
}
