//! Labelled secrets in the simulated host.

use std::time::Duration;

use sealock_core::audit::Fact;

use super::super::ports::Current;
use super::super::record::{Content, Remembered};
use super::super::status::{AlarmKind, DeliveryState, SecretStatus};
use super::fixture::{container, id, with_secret};
use super::simulation::Simulation;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A host with one service that has version 1 of a secret since an hour.
fn one_service() -> (Simulation, String) {
    let mut host = Simulation::new();
    host.vault.set("prod/db", 1);
    host.start(with_secret(1, "shop", host.now));
    host.pass(HOUR);
    (host, id(1))
}

fn status(host: &mut Simulation) -> SecretStatus {
    host.secrets().remove(0)
}

fn set(host: &mut Simulation, version: u64) {
    host.vault.set("prod/db", version);
    host.pass(MINUTE);
}

fn delivered(fact: &Fact) -> bool {
    matches!(fact, Fact::SecretDelivered { .. })
}

#[test]
fn a_secret_is_delivered_once_and_anew_when_its_value_changes() {
    let (mut host, shop) = one_service();
    let seen = status(&mut host);
    assert_eq!((seen.container.as_str(), seen.name.as_str()), ("shop", "db"));
    assert_eq!(seen.secret.as_deref(), Some("prod/db"));
    assert_eq!(seen.path.as_deref(), Some("/run/sealock/secrets/db"));
    assert_eq!((seen.state, seen.version), (DeliveryState::Delivered, Some(1)));
    // A service that waited for its first file is not signalled: ADR 0007.
    assert!(host.model(&shop).signals.is_empty());
    assert_eq!(host.model(&shop).deliveries.len(), 1);

    set(&mut host, 2);
    let model = host.model(&shop).clone();
    assert_eq!((model.deliveries.len(), model.served.as_deref()), (2, Some("2")));
    assert_eq!(model.signals, model.deliveries[1..]);
    assert_eq!(status(&mut host).version, Some(2));
    // A version that was deleted, so that the one before it counts again.
    set(&mut host, 1);
    assert_eq!((status(&mut host).version, host.model(&shop).signals.len()), (Some(1), 2));
    host.pass(48 * HOUR);
    assert_eq!(host.model(&shop).deliveries.len(), 3);
    assert_eq!(host.told(delivered), 3);
    assert_eq!(host.status(), []);
    assert_eq!(host.alarms(), []);
}

#[test]
fn audit_and_records_name_the_version_and_no_digest() {
    let (mut host, _) = one_service();
    let fact = host.facts.iter().find(|fact| delivered(fact)).cloned();
    let expected = Fact::SecretDelivered {
        secret: "prod/db".into(),
        version: 1,
        container: "shop".into(),
        path: "/run/sealock/secrets/db".into(),
        reload: "none".into(),
    };
    assert_eq!(fact, Some(expected));
    host.restart_watcher();
    let remembered = Remembered::load(host.store()).unwrap();
    let [(key, record)] = &remembered.records.into_iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(key.text(), format!("{}/secret:db", id(1)));
    let Content::Secret(held) = &record.content else { panic!("{record:?}") };
    assert_eq!((held.secret.as_str(), held.version), ("prod/db", 1));
    let written = serde_json::to_value(record).unwrap();
    let mut fields: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = [
        "container_name",
        "delivered_at",
        "reload_due",
        "secret",
        "started_at",
        "version",
        "wanted",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_restart_on_tmpfs_delivers_again_without_a_signal() {
    for keeps_files in [false, true] {
        let (mut host, shop) = one_service();
        host.model(&shop).conduct.keeps_files = keeps_files;
        host.stop(&shop);
        assert_eq!(status(&mut host).state, DeliveryState::Stopped);
        host.pass(HOUR);
        host.restart(&shop);
        host.pass(MINUTE);
        let model = host.model(&shop);
        assert_eq!(model.deliveries.len(), if keeps_files { 1 } else { 2 });
        assert!(model.signals.is_empty(), "a process that is starting is not signalled");
        assert_eq!(status(&mut host).state, DeliveryState::Delivered);
    }
}

#[test]
fn a_new_value_while_the_container_was_down_is_there_when_it_starts() {
    for keeps_files in [false, true] {
        let (mut host, shop) = one_service();
        host.model(&shop).conduct.keeps_files = keeps_files;
        host.stop(&shop);
        set(&mut host, 2);
        host.restart(&shop);
        host.pass(MINUTE);
        let model = host.model(&shop).clone();
        assert_eq!(model.served.as_deref(), Some("2"), "{model:?}");
        // Where the old one was still there, the process may have read it.
        assert_eq!(model.signals.len(), usize::from(keeps_files));
    }
}

#[test]
fn a_service_that_removed_its_file_is_told_of_a_new_value_all_the_same() {
    let mut host = Simulation::new();
    host.vault.set("prod/db", 1);
    host.start(with_secret(1, "shop", host.now));
    host.model(&id(1)).conduct.removes = true;
    host.pass(HOUR);
    assert_eq!(host.model(&id(1)).deliveries.len(), 1, "it may do that");
    set(&mut host, 2);
    assert_eq!(host.model(&id(1)).signals.len(), 1);
}

#[test]
fn a_denial_is_asked_and_told_once_until_policy_or_value_change() {
    let mut host = Simulation::new();
    host.vault.set("prod/db", 1);
    host.start(with_secret(1, "shop", host.now));
    host.model(&id(1)).conduct.denied = true;
    host.pass(HOUR);
    let refused = |fact: &Fact| matches!(fact, Fact::LabelRefused { .. });
    let seen = status(&mut host);
    assert_eq!((seen.state, seen.version), (DeliveryState::Refused, None));
    assert_eq!(seen.label.as_deref(), Some("sealock.secret.db.ref"));
    assert_eq!((seen.reason.as_deref(), seen.hint.as_deref()), (Some("no rule"), Some("permit")));
    assert_eq!((host.model(&id(1)).asked, host.told(refused)), (1, 1));
    assert_eq!(host.alarms(), [], "nothing is there that should not be");

    set(&mut host, 2);
    assert_eq!((host.model(&id(1)).asked, host.told(refused)), (2, 1));
    host.model(&id(1)).conduct.denied = false;
    host.pass(HOUR);
    assert_eq!(host.model(&id(1)).asked, 2, "nothing has changed for the watcher");
    host.policy_epoch += 1;
    host.pass(MINUTE);
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
    assert_eq!(status(&mut host).label, None);
}

#[test]
fn another_name_of_the_container_is_another_identity_and_policy_is_asked_again() {
    let (mut host, shop) = one_service();
    let rename = |host: &mut Simulation, name: &str| {
        let mut renamed = host.containers[&id(1)].clone();
        renamed.name = name.to_owned();
        host.containers.insert(id(1), renamed.clone());
        host.with(|book, world| book.observe(renamed, world));
        host.pass(MINUTE);
    };
    host.model(&shop).conduct.denied = true;
    rename(&mut host, "other");
    assert_eq!(host.alarms(), [(AlarmKind::Stale, "other/secret:db".to_owned())]);
    host.restart(&shop);
    host.pass(MINUTE);
    assert_eq!(status(&mut host).state, DeliveryState::Refused);
    host.model(&shop).conduct.denied = false;
    rename(&mut host, "shop");
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
}

#[test]
fn a_secret_that_is_not_there_yet_comes_when_it_is_set() {
    let mut host = Simulation::new();
    host.start(with_secret(1, "shop", host.now));
    host.pass(HOUR);
    assert_eq!(status(&mut host).state, DeliveryState::Refused);
    assert_eq!(status(&mut host).reason.as_deref(), Some("there is no such secret"));
    assert_eq!(host.model(&id(1)).asked, 1);
    set(&mut host, 1);
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
    assert!(host.model(&id(1)).signals.is_empty());
}

#[test]
fn a_right_that_is_taken_away_is_an_alarm_and_the_file_stays() {
    let (mut host, shop) = one_service();
    host.model(&shop).conduct.denied = true;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    let seen = status(&mut host);
    assert_eq!((seen.state, seen.version), (DeliveryState::Stale, Some(1)));
    let told = "version 1 of prod/db is still in the container, but: no rule";
    assert_eq!((seen.reason.as_deref(), seen.hint.as_deref()), (Some(told), Some("permit")));
    assert_eq!(host.alarms(), [(AlarmKind::Stale, "shop/secret:db".to_owned())]);
    assert_eq!(host.model(&shop).files.len(), 1);
    host.pass(HOUR);
    let model = host.model(&shop).clone();
    assert_eq!((model.asked, model.questions), (1, 1), "asked once for each policy, nothing read");

    // It neither flickers with a restart of the watcher, nor is it told again.
    host.restart_watcher();
    host.pass(MINUTE);
    assert_eq!(host.alarms().len(), 1);
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmRaised { .. })), 1);
    assert_eq!(host.told(|fact| matches!(fact, Fact::LabelRefused { .. })), 1);

    host.model(&shop).conduct.denied = false;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    assert_eq!(host.alarms(), []);
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
    assert_eq!(host.model(&shop).deliveries.len(), 1, "what is there is still right");
}

#[test]
fn a_deleted_secret_is_an_alarm_until_it_is_back_or_the_file_is_gone() {
    let (mut host, shop) = one_service();
    host.vault.0.clear();
    host.pass(MINUTE);
    let told = "version 1 of prod/db is still in the container, but it was deleted or has expired";
    assert_eq!(status(&mut host).reason.as_deref(), Some(told));
    assert_eq!(status(&mut host).state, DeliveryState::Stale);
    host.restart_watcher();
    host.vault.0.insert("prod/db".into(), Current::Unknown);
    host.pass(MINUTE);
    assert_eq!(host.alarms(), [], "a vault that cannot be read has lost nothing");
    host.vault.set("prod/db", 1);
    host.pass(MINUTE);
    assert_eq!(host.alarms(), []);
    assert_eq!(host.model(&shop).deliveries.len(), 1);

    host.vault.0.clear();
    host.pass(MINUTE);
    assert_eq!(host.alarms(), [(AlarmKind::Stale, "shop/secret:db".to_owned())]);
    let raised = host.told(|fact| matches!(fact, Fact::AlarmRaised { .. }));
    host.restart(&shop);
    host.pass(MINUTE);
    assert_eq!(host.alarms(), [], "its tmpfs is empty again");
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmRaised { .. })), raised);
    assert_eq!(status(&mut host).state, DeliveryState::Refused);
}

#[test]
fn a_disk_is_refused_once_in_each_life_of_the_container_unless_it_is_allowed() {
    let mut host = Simulation::new();
    host.vault.set("prod/db", 1);
    for (number, allowed) in [(1, false), (2, true)] {
        host.models.entry(id(number)).or_default().conduct.on_disk = true;
        let mut shop = with_secret(number, &format!("shop{number}"), host.now);
        if allowed {
            let label = "sealock.secret.db.on-disk".to_owned();
            let _ = shop.labels.insert(label, "allowed".to_owned());
        }
        host.start(shop);
    }
    host.pass(HOUR);
    host.policy_epoch += 1;
    set(&mut host, 2);
    let [refused, allowed] = &host.secrets()[..] else { panic!() };
    assert_eq!((refused.state, allowed.state), (DeliveryState::Refused, DeliveryState::Delivered));
    assert_eq!(refused.label.as_deref(), Some("sealock.secret.db.path"));
    assert_eq!(host.model(&id(1)).asked, 1, "the place is the same as it was");
    assert_eq!(host.alarms(), []);

    host.restart(&id(1));
    host.pass(MINUTE);
    assert_eq!(host.model(&id(1)).asked, 2);
    assert_eq!(host.told(|fact| matches!(fact, Fact::LabelRefused { .. })), 1);
    // Made anew, with a tmpfs.
    host.destroy(&id(1));
    host.start(with_secret(3, "shop1", host.now));
    host.pass(MINUTE);
    assert_eq!(host.secrets()[0].state, DeliveryState::Delivered);
}

#[test]
fn failures_are_tried_again_and_become_an_alarm() {
    let mut host = Simulation::new();
    host.vault.set("prod/db", 1);
    host.start(with_secret(1, "shop", host.now));
    host.model(&id(1)).conduct.no_space = true;
    host.pass(HOUR);
    assert_eq!(status(&mut host).state, DeliveryState::Retrying);
    assert_eq!(host.alarms(), [(AlarmKind::DeliveryFailed, "shop/secret:db".to_owned())]);
    let failed = host.facts.iter().find_map(|fact| match fact {
        Fact::Failed { what, .. } => Some(what.clone()),
        _ => None,
    });
    assert_eq!(failed.as_deref(), Some("secret for shop/secret:db"));
    host.model(&id(1)).conduct.no_space = false;
    host.pass(HOUR);
    assert_eq!(host.alarms(), []);
}

#[test]
fn a_reload_that_fails_is_tried_again_and_becomes_an_alarm() {
    let (mut host, shop) = one_service();
    host.model(&shop).conduct.cannot_be_told = true;
    set(&mut host, 2);
    assert_eq!(host.alarms(), [(AlarmKind::ReloadFailed, "shop/secret:db".to_owned())]);
    let seen = status(&mut host);
    assert_eq!((seen.state, seen.version), (DeliveryState::Delivered, Some(2)));
    assert_eq!(seen.reason.as_deref(), Some("no such program"));
    // It is still to be done after a restart of the watcher.
    host.restart_watcher();
    host.model(&shop).conduct.cannot_be_told = false;
    host.pass(HOUR);
    assert_eq!(host.alarms(), []);
    assert_eq!(host.model(&shop).served.as_deref(), Some("2"));
}

#[test]
fn what_is_recorded_is_not_read_again_after_a_restart_of_the_watcher() {
    let (mut host, shop) = one_service();
    host.restart_watcher();
    host.pass(HOUR);
    let model = host.model(&shop).clone();
    assert_eq!((model.asked, model.questions), (1, 1), "policy is asked, the vault is not read");
    set(&mut host, 2);
    assert_eq!(host.model(&shop).signals.len(), 1);
    // Changed while nobody watched.
    host.keep_away(|host| host.vault.set("prod/db", 3));
    host.restart_watcher();
    host.pass(MINUTE);
    assert_eq!((status(&mut host).version, host.model(&shop).signals.len()), (Some(3), 2));
}

#[test]
fn a_watcher_that_was_killed_before_it_remembered_tells_the_service_all_the_same() {
    let (mut host, shop) = one_service();
    // The new version is in the container, and nobody knows.
    let key = host.book.entries.keys().next().unwrap().clone();
    host.model(&shop).files.insert(key, "2".to_owned());
    host.keep_away(|host| host.vault.set("prod/db", 2));
    host.restart_watcher();
    host.pass(MINUTE);
    let model = host.model(&shop).clone();
    assert_eq!((model.signals.len(), model.served.as_deref()), (1, Some("2")));
    assert_eq!(status(&mut host).version, Some(2));
}

#[test]
fn labels_that_clash_are_told_and_hurt_nobody_else() {
    let mut host = Simulation::new();
    host.vault.set("prod/db", 1);
    let labels = [
        ("sealock.secret.a.ref", "prod/db"),
        ("sealock.secret.b.ref", "prod/db"),
        ("sealock.secret.b.path", "/run/sealock/secrets/a"),
        ("sealock.secrets.c.ref", "prod/db"),
    ];
    host.start(container(1, "shop", &labels, host.now));
    host.pass(HOUR);
    host.resync();
    let states: Vec<(String, DeliveryState)> =
        host.secrets().into_iter().map(|one| (one.name, one.state)).collect();
    let expected = [
        (String::new(), DeliveryState::BadLabel),
        ("a".to_owned(), DeliveryState::Delivered),
        ("b".to_owned(), DeliveryState::BadLabel),
    ];
    assert_eq!(states, expected);
    assert_eq!(host.secrets()[2].label.as_deref(), Some("sealock.secret.b.path"));
    assert_eq!(host.told(|fact| matches!(fact, Fact::LabelRefused { .. })), 2);
}

#[test]
fn a_certificate_and_a_secret_of_one_name_do_not_get_into_each_others_way() {
    let mut host = Simulation::new();
    host.vault.set("prod/web", 1);
    let labels = [("sealock.cert.web.ttl", "24h"), ("sealock.secret.web.ref", "prod/web")];
    host.start(container(1, "shop", &labels, host.now));
    host.pass(HOUR);
    host.restart_watcher();
    host.pass(HOUR);
    assert_eq!(host.model(&id(1)).deliveries.len(), 2);
    host.vault.set("prod/web", 2);
    host.pass(MINUTE);
    assert_eq!(host.model(&id(1)).deliveries.len(), 3);
    assert_eq!((host.status().len(), host.secrets().len()), (1, 1));
    assert_eq!(host.secrets()[0].version, Some(2));
    host.destroy(&id(1));
    host.restart_watcher();
    assert!(host.book.known().is_empty(), "nothing of it is remembered");
}

#[test]
fn a_vault_that_gives_another_version_than_it_names_is_not_read_for_ever() {
    let (mut host, shop) = one_service();
    // As if version 2 had been read while the vault named 1.
    let entry = host.book.entries.values_mut().next().unwrap();
    let Content::Secret(held) = &mut entry.record.as_mut().unwrap().content else { panic!() };
    held.version = 2;
    host.pass(HOUR);
    assert_eq!(host.model(&shop).asked, 1);
    set(&mut host, 3);
    assert_eq!(host.model(&shop).asked, 2);
}
