//! Labelled key stores and trust stores in the simulated host.

use std::time::Duration;

use sealock_core::audit::Fact;

use super::super::ports::Current;
use super::super::record::Remembered;
use super::super::status::{AlarmKind, CertificateStatus, DeliveryState};
use super::fixture::{container, id};
use super::simulation::Simulation;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

const STORE: [(&str, &str); 4] = [
    ("sealock.cert.web.format", "pkcs12"),
    ("sealock.cert.web.password", "shop/keystore"),
    ("sealock.cert.web.reload", "signal:HUP"),
    ("sealock.cert.web.ttl", "24h"),
];

/// A host with one service that has a store under version 1 of a secret since an hour.
fn one_service() -> (Simulation, String) {
    let mut host = Simulation::new();
    host.vault.set("shop/keystore", 1);
    host.start(container(1, "shop", &STORE, host.now));
    host.pass(HOUR);
    (host, id(1))
}

fn status(host: &mut Simulation) -> CertificateStatus {
    host.status().remove(0)
}

fn set(host: &mut Simulation, version: u64) {
    host.vault.set("shop/keystore", version);
    host.pass(MINUTE);
}

#[test]
fn a_store_is_made_anew_when_its_password_changes_and_the_service_is_told() {
    let (mut host, shop) = one_service();
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
    assert_eq!((host.model(&shop).deliveries.len(), host.model(&shop).signals.len()), (1, 0));
    set(&mut host, 2);
    let model = host.model(&shop).clone();
    assert_eq!((model.deliveries.len(), model.signals.len()), (2, 1));
    host.pass(HOUR);
    assert_eq!(host.model(&shop).deliveries.len(), 2, "once for each version");
    // And at two thirds of its life as any certificate.
    host.pass(20 * HOUR);
    assert_eq!(host.model(&shop).deliveries.len(), 3);
    assert_eq!(host.alarms(), []);
    // Nobody asks for a secret that is read by nobody.
    assert!(host.secrets().is_empty());
}

#[test]
fn records_name_the_version_of_the_password_and_nothing_made_of_it() {
    let (mut host, shop) = one_service();
    host.restart_watcher();
    let remembered = Remembered::load(host.store()).unwrap();
    let [record] = &remembered.records.into_values().collect::<Vec<_>>()[..] else { panic!() };
    let written = serde_json::to_value(record).unwrap();
    assert_eq!(
        written["password"],
        serde_json::json!({"secret": "shop/keystore", "version": 1}),
        "{written}"
    );
    let mut fields: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = [
        "container_name",
        "delivered_at",
        "not_after",
        "password",
        "reload_due",
        "renew_at",
        "serial",
        "served_at",
        "started_at",
        "trust",
        "wanted",
    ];
    assert_eq!(fields, expected);
    host.pass(HOUR);
    assert_eq!(host.model(&shop).deliveries.len(), 1, "what is recorded is not made again");
    // Changed while nobody watched.
    host.keep_away(|host| host.vault.set("shop/keystore", 2));
    host.restart_watcher();
    host.pass(MINUTE);
    assert_eq!((host.model(&shop).deliveries.len(), host.model(&shop).signals.len()), (2, 1));
}

#[test]
fn a_password_that_may_not_be_read_refuses_the_certificate_by_its_label() {
    let mut host = Simulation::new();
    host.vault.set("shop/keystore", 1);
    host.start(container(1, "shop", &STORE, host.now));
    host.model(&id(1)).conduct.secret_denied = true;
    host.pass(HOUR);
    let seen = status(&mut host);
    assert_eq!((seen.state, seen.serial), (DeliveryState::Refused, None));
    assert_eq!(seen.label.as_deref(), Some("sealock.cert.web.password"));
    assert_eq!(seen.hint.as_deref(), Some("permit"));
    assert_eq!(host.model(&id(1)).asked, 1);
    let refused = |fact: &Fact| matches!(fact, Fact::LabelRefused { label, .. } if label == "sealock.cert.web.password");
    assert_eq!(host.told(refused), 1);
    // Asked again when policy or the secret change, and for no other reason.
    set(&mut host, 2);
    assert_eq!((host.model(&id(1)).asked, host.told(refused)), (2, 1));
    host.model(&id(1)).conduct.secret_denied = false;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    assert_eq!(
        (status(&mut host).state, status(&mut host).label),
        (DeliveryState::Delivered, None)
    );
}

#[test]
fn a_password_that_is_not_there_yet_makes_the_store_when_it_is_set() {
    let mut host = Simulation::new();
    host.start(container(1, "shop", &STORE, host.now));
    host.pass(HOUR);
    assert_eq!(status(&mut host).reason.as_deref(), Some("there is no such secret"));
    assert_eq!(host.model(&id(1)).deliveries.len(), 0);
    set(&mut host, 1);
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
}

#[test]
fn a_password_that_is_gone_or_not_permitted_any_more_is_an_alarm_and_the_store_stays() {
    let (mut host, shop) = one_service();
    host.model(&shop).conduct.secret_denied = true;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    let seen = status(&mut host);
    let told = "the store in the container is under version 1 of shop/keystore, but: no rule";
    assert_eq!((seen.state, seen.reason.as_deref()), (DeliveryState::Stale, Some(told)));
    assert_eq!(seen.label.as_deref(), Some("sealock.cert.web.password"));
    assert_eq!(host.alarms(), [(AlarmKind::Stale, "shop/web".to_owned())]);
    assert_eq!((host.model(&shop).files.len(), host.model(&shop).questions), (1, 1));
    host.model(&shop).conduct.secret_denied = false;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    assert_eq!((host.alarms().len(), host.model(&shop).deliveries.len()), (0, 1));

    host.vault.0.clear();
    host.pass(MINUTE);
    assert_eq!(status(&mut host).state, DeliveryState::Stale);
    assert!(status(&mut host).reason.unwrap().ends_with("it was deleted or has expired"));
    host.restart_watcher();
    host.pass(MINUTE);
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmRaised { .. })), 2, "told once each");
    // Nothing is renewed without it; once it is back, everything is.
    host.pass(20 * HOUR);
    assert_eq!(host.model(&shop).deliveries.len(), 1);
    set(&mut host, 2);
    assert_eq!((host.alarms().len(), host.model(&shop).deliveries.len()), (0, 2));
}

#[test]
fn a_no_to_the_certificate_is_no_alarm_about_its_password() {
    let (mut host, shop) = one_service();
    host.model(&shop).conduct.denied = true;
    set(&mut host, 2);
    // The model says no to everything: the reading was not what was asked about.
    let seen = status(&mut host);
    assert_eq!(seen.label.as_deref(), Some("sealock.cert.web"));
    assert_eq!((seen.state, host.alarms()), (DeliveryState::Refused, vec![]));
}

#[test]
fn a_vault_that_cannot_be_read_changes_nothing() {
    let (mut host, shop) = one_service();
    host.vault.0.insert("shop/keystore".into(), Current::Unknown);
    host.pass(HOUR);
    assert_eq!((host.alarms().len(), host.model(&shop).deliveries.len()), (0, 1));
}

#[test]
fn a_store_of_the_companys_certificate_is_told_of_after_a_kill_too() {
    let mut host = Simulation::new();
    host.vault.set("shop/keystore", 1);
    host.foreign.0.insert("web".into(), Current::Version(1));
    let labels = [
        ("sealock.cert.web.imported", "web"),
        ("sealock.cert.web.format", "jks"),
        ("sealock.cert.web.password", "shop/keystore"),
        ("sealock.cert.web.reload", "signal:HUP"),
    ];
    host.start(container(1, "shop", &labels, host.now));
    host.pass(HOUR);
    assert_eq!(host.model(&id(1)).deliveries.len(), 1);
    set(&mut host, 2);
    assert_eq!((host.model(&id(1)).deliveries.len(), host.model(&id(1)).signals.len()), (2, 1));
    host.foreign.0.insert("web".into(), Current::Version(2));
    host.pass(MINUTE);
    assert_eq!((host.model(&id(1)).deliveries.len(), host.model(&id(1)).signals.len()), (3, 2));
    host.pass(48 * HOUR);
    assert_eq!(host.model(&id(1)).deliveries.len(), 3);
}

#[test]
fn a_trust_store_is_made_anew_with_its_password_and_with_the_roots() {
    let mut host = Simulation::new();
    host.vault.set("shop/trust", 1);
    let labels = [
        ("sealock.trust.company.format", "pkcs12"),
        ("sealock.trust.company.password", "shop/trust"),
        ("sealock.trust.company.reload", "signal:HUP"),
    ];
    host.start(container(1, "shop", &labels, host.now));
    host.pass(HOUR);
    assert_eq!(host.model(&id(1)).deliveries.len(), 1);
    host.vault.set("shop/trust", 2);
    host.pass(MINUTE);
    // The same roots are the same to the model, as a store would be whose bytes had been delivered by a watcher that was
    // killed before it remembered: the service is told all the same.
    assert_eq!((host.model(&id(1)).deliveries.len(), host.model(&id(1)).signals.len()), (2, 1));
    host.trust = "two".to_owned();
    host.trust_changed = host.now;
    host.pass(MINUTE);
    assert_eq!((host.model(&id(1)).deliveries.len(), host.model(&id(1)).signals.len()), (3, 2));
    host.model(&id(1)).conduct.secret_denied = true;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    let seen = host.trusts().remove(0);
    assert_eq!(seen.label.as_deref(), Some("sealock.trust.company.password"));
    assert_eq!(host.alarms(), [(AlarmKind::Stale, "shop/trust:company".to_owned())]);
}
