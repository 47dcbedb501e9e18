//! Labelled trust bundles in the simulated host.

use std::time::Duration;

use sealock_core::audit::Fact;

use super::super::record::Remembered;
use super::super::status::{DeliveryState, TrustStatus};
use super::fixture::{container, id};
use super::simulation::Simulation;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A host with one service that has had the bundle `one` for an hour.
fn one_service() -> (Simulation, String) {
    let mut host = Simulation::new();
    let labels = [
        ("sealock.trust.company.path", "/etc/ssl/certs/company.pem"),
        ("sealock.trust.company.reload", "signal:HUP"),
    ];
    host.start(container(1, "shop", &labels, host.now));
    host.pass(HOUR);
    (host, id(1))
}

fn status(host: &mut Simulation) -> TrustStatus {
    host.trusts().remove(0)
}

fn trust(host: &mut Simulation, digest: &str) {
    host.trust = digest.to_owned();
    host.trust_changed = host.now;
    host.pass(MINUTE);
}

fn delivered(fact: &Fact) -> bool {
    matches!(fact, Fact::TrustDelivered { .. })
}

#[test]
fn a_bundle_is_delivered_once_and_anew_when_it_changes() {
    let (mut host, shop) = one_service();
    let seen = status(&mut host);
    assert_eq!((seen.container.as_str(), seen.name.as_str()), ("shop", "company"));
    assert_eq!(seen.path.as_deref(), Some("/etc/ssl/certs/company.pem"));
    assert_eq!((seen.state, seen.bundle.as_deref()), (DeliveryState::Delivered, Some("one")));
    // Nobody had an earlier one: ADR 0007.
    assert!(host.model(&shop).signals.is_empty());

    trust(&mut host, "two");
    assert_eq!(status(&mut host).bundle.as_deref(), Some("two"));
    let model = host.model(&shop).clone();
    assert_eq!((model.deliveries.len(), model.signals.len()), (2, 1));
    host.pass(48 * HOUR);
    assert_eq!(host.model(&shop).deliveries.len(), 2);
    assert_eq!(host.told(delivered), 2);
    assert_eq!((host.status(), host.secrets(), host.alarms()), (vec![], vec![], vec![]));
    let fact = host.facts.iter().rfind(|fact| delivered(fact)).cloned();
    let expected = Fact::TrustDelivered {
        bundle: "two".into(),
        container: "shop".into(),
        path: "/etc/ssl/certs/company.pem".into(),
        reload: "signal:HUP".into(),
    };
    assert_eq!(fact, Some(expected));
}

#[test]
fn what_happens_to_a_bundle_while_nobody_watches_is_made_up_for() {
    let (mut host, shop) = one_service();
    host.restart_watcher();
    host.pass(MINUTE);
    let remembered = Remembered::load(host.store()).unwrap();
    let keys: Vec<String> = remembered.records.keys().map(|key| key.text()).collect();
    assert_eq!(keys, [format!("{}/trust:company", id(1))]);
    assert_eq!(host.model(&shop).deliveries.len(), 1);

    // A root was added, and a container was made anew, in the meantime.
    host.keep_away(|host| host.trust = "two".to_owned());
    host.restart_watcher();
    host.pass(MINUTE);
    assert_eq!(host.model(&shop).deliveries.len(), 2);
    host.keep_away(|host| host.model(&shop).files.clear());
    host.restart_watcher();
    host.pass(MINUTE);
    assert_eq!(host.model(&shop).deliveries.len(), 3);
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
}

#[test]
fn a_container_that_stops_has_the_bundle_of_then_when_it_starts() {
    let (mut host, shop) = one_service();
    host.model(&shop).conduct.keeps_files = true;
    host.stop(&shop);
    trust(&mut host, "two");
    assert_eq!(status(&mut host).state, DeliveryState::Stopped);
    assert_eq!(host.model(&shop).deliveries.len(), 1);
    host.restart(&shop);
    host.pass(MINUTE);
    assert_eq!(status(&mut host).bundle.as_deref(), Some("two"));
    // Its files went with a tmpfs.
    host.model(&shop).conduct.keeps_files = false;
    host.restart(&shop);
    host.pass(MINUTE);
    assert_eq!(host.model(&shop).deliveries.len(), 3);
}

#[test]
fn who_may_not_have_it_is_asked_again_when_policy_changes() {
    let mut host = Simulation::new();
    host.start(container(1, "shop", &[("sealock.trust.company.mode", "0440")], host.now));
    host.model(&id(1)).conduct.denied = true;
    host.pass(HOUR);
    let seen = status(&mut host);
    assert_eq!(seen.state, DeliveryState::Refused);
    assert_eq!(seen.label.as_deref(), Some("sealock.trust.company"));
    assert_eq!(seen.path.as_deref(), Some("/run/sealock/trust/company"));
    assert_eq!(host.model(&id(1)).asked, 1);
    trust(&mut host, "two");
    assert_eq!(host.model(&id(1)).asked, 1, "the bundle is not why");
    host.model(&id(1)).conduct.denied = false;
    host.policy_epoch += 1;
    host.pass(MINUTE);
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
}

#[test]
fn nobody_is_given_an_empty_bundle() {
    let mut host = Simulation::new();
    host.trust = String::new();
    host.start(container(1, "shop", &[("sealock.trust.company.mode", "0444")], host.now));
    host.pass(HOUR);
    assert_eq!(status(&mut host).state, DeliveryState::Waiting);
    assert_eq!(host.model(&id(1)).deliveries.len(), 0);
    trust(&mut host, "one");
    assert_eq!(status(&mut host).state, DeliveryState::Delivered);
}

#[test]
fn a_label_that_cannot_be_read_is_shown_among_the_bundles() {
    let mut host = Simulation::new();
    host.start(container(1, "shop", &[("sealock.trust.company.paht", "/x")], host.now));
    host.pass(MINUTE);
    let seen = status(&mut host);
    assert_eq!(seen.state, DeliveryState::BadLabel);
    assert_eq!(seen.hint.as_deref(), Some("did you mean `path`?"));
}
