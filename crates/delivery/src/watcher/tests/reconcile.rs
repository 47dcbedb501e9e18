use std::time::Duration;

use sealock_core::audit::Fact;

use super::super::ports::Current;
use super::super::status::{AlarmKind, DeliveryState, VerifyState};
use super::fixture::{container, id, service};
use super::simulation::Simulation;

const HOUR: Duration = Duration::from_secs(3600);

/// A host with one service that reloads, is verified, and has a certificate for `ttl`.
fn one_service(ttl: &str) -> (Simulation, String) {
    let mut host = Simulation::new();
    let mut web = container(1, "web", &[], host.now);
    web.labels = service(ttl);
    host.start(web);
    (host, id(1))
}

fn state(host: &mut Simulation) -> DeliveryState {
    host.status()[0].state
}

#[test]
fn a_certificate_is_delivered_renewed_in_time_and_seen_to_be_served() {
    let (mut host, web) = one_service("24h");
    let begin = host.now;
    host.pass(Duration::from_secs(5));
    let status = host.status().remove(0);
    assert_eq!((status.container.as_str(), status.certificate.as_str()), ("web", "web"));
    assert_eq!(status.names, ["web"]);
    assert_eq!(status.state, DeliveryState::Delivered);
    assert!(matches!(status.verify, VerifyState::Served { .. }), "{status:?}");
    // A service that waited for its first files is not signalled: ADR 0007.
    assert!(host.model(&web).signals.is_empty());

    host.pass(48 * HOUR);
    let model = host.model(&web).clone();
    assert_eq!(model.deliveries.len(), 4, "{:?}", model.deliveries);
    assert_eq!(model.signals, model.deliveries[1..], "told with each renewal, and only then");
    let first = model.deliveries[1].since(begin);
    assert!(first <= 16 * HOUR && first >= 14 * HOUR, "{first:?}");
    assert_eq!(host.alarms(), []);
    assert_eq!(host.told(|fact| matches!(fact, Fact::CertServed { .. })), 4);
}

#[test]
fn a_service_that_ignores_its_signal_is_told_once_more_and_then_an_alarm() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    host.model(&web).conduct.deaf = true;
    let renewal = host.status()[0].renew_at.unwrap();
    host.pass(renewal.since(host.now) + Duration::from_secs(16));
    assert_eq!(
        host.model(&web).signals.len(),
        2,
        "at the renewal and after half of the grace time"
    );
    assert_eq!(host.alarms(), []);
    host.pass(Duration::from_secs(20));
    assert_eq!(host.alarms(), [(AlarmKind::NotServed, "web/web".to_owned())]);
    let VerifyState::NotServed { reason } = host.status().remove(0).verify else { panic!() };
    assert!(reason.starts_with("it serves serial 11, not 12"), "{reason}");
    host.pass(HOUR);
    assert_eq!(host.model(&web).signals.len(), 2, "it is not told for ever");

    // A person restarts the service inside the container.
    let model = host.model(&web);
    model.served = model.files.values().next().cloned();
    host.pass(2 * Duration::from_secs(60));
    assert_eq!(host.alarms(), []);
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmCleared { .. })), 1);
}

#[test]
fn an_alarm_is_neither_put_off_by_short_lives_nor_flickers_with_a_restart() {
    let (mut host, web) = one_service("24s");
    host.pass(Duration::from_secs(10));
    host.model(&web).conduct.deaf = true;
    host.pass(Duration::from_secs(120));
    assert_eq!(host.alarms(), [(AlarmKind::NotServed, "web/web".to_owned())]);

    host.stop(&web);
    host.pass(Duration::from_secs(2));
    host.model(&web).conduct.deaf = false;
    host.restart(&web);
    host.pass(Duration::from_secs(20));
    assert_eq!(host.alarms(), []);
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmRaised { .. })), 1);
}

#[test]
fn a_service_that_started_without_its_files_is_told_after_half_of_the_grace_time() {
    let mut host = Simulation::new();
    let mut web = container(1, "web", &[], host.now);
    web.labels = service("24h");
    host.models.entry(id(1)).or_default().conduct.starts_empty = true;
    host.start(web);
    let begin = host.now;
    host.pass(Duration::from_secs(60));
    let signals = host.model(&id(1)).signals.clone();
    assert_eq!(signals.len(), 1);
    assert!(signals[0].since(begin) >= Duration::from_secs(15));
    assert!(matches!(host.status()[0].verify, VerifyState::Served { .. }));
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmRaised { .. })), 0);
}

#[test]
fn a_process_that_has_just_started_is_not_signalled_at_once() {
    // On a volume: an earlier version is there, it ended while the host was down, and the process that
    // starts now may have loaded it.
    let (mut host, web) = one_service("1h");
    host.model(&web).conduct.keeps_files = true;
    host.pass(HOUR / 2);
    host.stop(&web);
    host.now = host.now.plus(2 * HOUR);
    host.restart(&web);
    let begin = host.now;
    host.pass(Duration::from_secs(60));
    let model = host.model(&web);
    assert_eq!(model.deliveries.len(), 2);
    assert_eq!(model.signals.len(), 1);
    assert!(model.signals[0].since(begin) >= Duration::from_secs(15), "{:?}", model.signals);
}

#[test]
fn a_restart_on_tmpfs_delivers_again_and_one_on_a_volume_does_not() {
    for keeps_files in [false, true] {
        let (mut host, web) = one_service("24h");
        host.model(&web).conduct.keeps_files = keeps_files;
        host.pass(HOUR);
        host.stop(&web);
        assert_eq!(state(&mut host), DeliveryState::Stopped);
        host.pass(HOUR);
        host.restart(&web);
        host.pass(Duration::from_secs(60));
        let model = host.model(&web);
        assert_eq!(model.deliveries.len(), if keeps_files { 1 } else { 2 });
        assert!(model.signals.is_empty(), "a process that is starting is not signalled");
        assert!(matches!(host.status()[0].verify, VerifyState::Served { .. }));
    }
}

#[test]
fn a_container_that_is_made_anew_gets_its_own_and_the_old_one_is_forgotten() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    host.destroy(&web);
    let mut again = container(2, "web", &[], host.now);
    again.labels = service("24h");
    host.start(again);
    host.pass(HOUR);
    let ids: Vec<String> = host.status().into_iter().map(|one| one.container_id).collect();
    assert_eq!(ids, [id(2)]);
    assert_eq!(host.model(&id(2)).deliveries.len(), 1);
    // Nothing of the first is remembered.
    host.restart_watcher();
    assert_eq!(host.book.known().into_iter().collect::<Vec<_>>(), [id(2)]);
}

#[test]
fn a_denial_is_asked_and_told_once_until_the_policy_changes() {
    let (mut host, web) = one_service("24h");
    host.pass(Duration::from_secs(1));
    assert_eq!(state(&mut host), DeliveryState::Delivered);
    host.model(&web).conduct.denied = true;
    host.book.entries.values_mut().next().unwrap().forced = true;
    host.pass(HOUR);
    let refused = |fact: &Fact| matches!(fact, Fact::LabelRefused { .. });
    let status = host.status().remove(0);
    assert_eq!(status.state, DeliveryState::Refused);
    assert_eq!(status.label.as_deref(), Some("sealock.cert.web"));
    assert_eq!(status.hint.as_deref(), Some("permit"));
    assert_eq!((host.model(&web).asked, host.told(refused)), (2, 1));

    // A restart of the watcher asks again, but does not tell again.
    host.restart_watcher();
    host.book.entries.values_mut().next().unwrap().forced = true;
    host.pass(HOUR);
    assert_eq!((host.model(&web).asked, host.told(refused)), (3, 1));

    host.model(&web).conduct.denied = false;
    host.pass(HOUR);
    assert_eq!(state(&mut host), DeliveryState::Refused, "nothing has changed for the watcher");
    host.policy_epoch += 1;
    host.pass(Duration::from_secs(60));
    assert_eq!(state(&mut host), DeliveryState::Delivered);
    assert_eq!(host.model(&web).asked, 4);
}

#[test]
fn bad_labels_are_in_the_status_told_once_and_hurt_nobody_else() {
    let mut host = Simulation::new();
    let labels = [("sealock.cert.a.ttl", "soon"), ("sealock.cert.b.ttl", "1h")];
    host.start(container(1, "web", &labels, host.now));
    host.pass(HOUR);
    host.resync();
    let states: Vec<_> =
        host.status().into_iter().map(|one| (one.certificate, one.state)).collect();
    let expected =
        [("a".to_owned(), DeliveryState::BadLabel), ("b".to_owned(), DeliveryState::Delivered)];
    assert_eq!(states, expected);
    assert_eq!(host.status()[0].label.as_deref(), Some("sealock.cert.a.ttl"));
    host.restart_watcher();
    assert_eq!(host.told(|fact| matches!(fact, Fact::LabelRefused { .. })), 1);
}

#[test]
fn failures_are_tried_again_less_and_less_often_and_become_an_alarm() {
    let (mut host, web) = one_service("24h");
    host.model(&web).conduct.no_space = true;
    host.pass(Duration::from_secs(1));
    assert_eq!(state(&mut host), DeliveryState::Retrying);
    assert_eq!(host.status()[0].reason.as_deref(), Some("no space is left"));
    assert_eq!(host.alarms(), []);
    host.pass(HOUR);
    assert_eq!(host.alarms(), [(AlarmKind::DeliveryFailed, "web/web".to_owned())]);
    let asked = host.model(&web).asked;
    assert!((15..30).contains(&asked), "{asked} tries in an hour");
    // The alarm outlives the watcher, and is told once.
    host.restart_watcher();
    assert_eq!(host.alarms().len(), 1);
    host.model(&web).conduct.no_space = false;
    host.pass(HOUR / 6);
    assert_eq!(host.alarms(), []);
    assert_eq!(state(&mut host), DeliveryState::Delivered);
    assert_eq!(host.told(|fact| matches!(fact, Fact::AlarmRaised { .. })), 1);
    assert_eq!(host.told(|fact| matches!(fact, Fact::Failed { .. })), 1);
}

#[test]
fn a_certificate_that_nears_its_end_is_an_alarm() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    host.model(&web).conduct.denied = true;
    host.pass(18 * HOUR);
    assert_eq!(host.alarms(), []);
    host.pass(HOUR);
    host.turn();
    let kinds: Vec<AlarmKind> = host.alarms().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [AlarmKind::Expiring]);
    host.stop(&web);
    host.pass(Duration::from_secs(31));
    assert_eq!(host.alarms(), [], "a container that does not run serves nobody");
}

#[test]
fn downtime_is_caught_up() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    host.restart_watcher();
    assert_eq!(host.model(&web).deliveries.len(), 1, "what is recorded is not done again");
    host.now = host.now.plus(30 * HOUR);
    host.restart_watcher();
    assert_eq!(host.model(&web).deliveries.len(), 2);
    host.pass(Duration::from_secs(60));
    assert_eq!(host.alarms(), []);

    // Restarted while nobody watched, and everything on tmpfs is gone.
    host.keep_away(|host| host.restart(&id(1)));
    host.restart_watcher();
    assert_eq!(host.model(&web).deliveries.len(), 3);
}

#[test]
fn a_delivery_that_was_not_recorded_is_found_at_the_next_start() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    // Killed between delivery and record.
    let key = host.book.entries.keys().next().unwrap().clone();
    host.model(&web).files.insert(key, "ff".to_owned());
    host.restart_watcher();
    assert_eq!(host.model(&web).deliveries.len(), 2);
    host.pass(Duration::from_secs(60));
    assert!(matches!(host.status()[0].verify, VerifyState::Served { .. }));
    assert_eq!(host.alarms(), []);
}

#[test]
fn a_reload_that_was_still_to_be_done_is_done_after_a_restart() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    let key = host.book.entries.keys().next().unwrap().clone();
    let due = host.now;
    let record = host.book.entries.get_mut(&key).unwrap().record.as_mut().unwrap();
    record.reload_due = Some(due);
    let put = record.put(&key);
    host.book.effects.write(put);
    host.restart_watcher();
    assert_eq!(host.model(&web).signals.len(), 1);
}

#[test]
fn a_new_trust_bundle_renews_everything_spread_over_a_while() {
    let mut host = Simulation::new();
    for number in 1..=20 {
        let labels = [("sealock.cert.web.ttl", "24h")];
        host.start(container(number, &format!("web{number}"), &labels, host.now));
    }
    host.pass(HOUR);
    host.trust = "two".to_owned();
    host.trust_changed = host.now;
    let changed = host.now;
    host.pass(2 * Duration::from_secs(60));
    let mut moments = std::collections::BTreeSet::new();
    for number in 1..=20 {
        let deliveries = &host.model(&id(number)).deliveries;
        assert_eq!(deliveries.len(), 2);
        moments.insert(deliveries[1]);
    }
    assert!(moments.len() > 15);
    assert!(moments.iter().all(|at| at.since(changed) <= Duration::from_secs(60)));
}

#[test]
fn a_clock_that_was_set_back_neither_stops_nor_floods() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    host.model(&web).conduct.no_space = true;
    host.book.entries.values_mut().next().unwrap().forced = true;
    host.pass(Duration::from_secs(60));
    host.model(&web).conduct.no_space = false;
    // A year back: what was delivered is not valid yet, and the next try was set for then.
    host.now = host.now.minus(365 * 24 * HOUR);
    host.turn();
    assert_eq!(host.model(&web).deliveries.len(), 2);
    host.pass(HOUR);
    assert_eq!(host.model(&web).deliveries.len(), 2);
    assert_eq!(host.alarms(), []);
}

#[test]
fn another_name_of_the_container_makes_another_certificate() {
    let (mut host, web) = one_service("24h");
    host.pass(HOUR);
    let mut renamed = host.containers[&web].clone();
    renamed.name = "shop".to_owned();
    host.with(|book, world| book.observe(renamed, world));
    host.pass(Duration::from_secs(60));
    assert_eq!(host.status()[0].names, ["shop"]);
    assert_eq!(host.model(&web).deliveries.len(), 2);
}

#[test]
fn an_engine_that_is_away_is_an_alarm_after_a_while() {
    let (mut host, _) = one_service("24h");
    host.pass(HOUR);
    host.with(|book, world| book.engine_away("cannot reach the engine".to_owned(), world));
    host.pass(Duration::from_secs(5));
    assert_eq!(host.alarms(), []);
    host.pass(Duration::from_secs(6));
    assert_eq!(host.alarms(), [(AlarmKind::EngineAway, "engine".to_owned())]);
    host.resync();
    assert_eq!(host.alarms(), []);
    let changes = host.told(|fact| matches!(fact, Fact::EngineChanged { .. }));
    assert_eq!(changes, 3, "connected, away, connected");
}

#[test]
fn containers_of_another_installation_are_left_alone() {
    for (scope, delivered) in [(None, ["free"]), (Some("demo"), ["scoped"])] {
        let mut host = Simulation::new();
        host.settings.scope = scope.map(str::to_owned);
        let ttl = ("sealock.cert.web.ttl", "1h");
        host.start(container(1, "free", &[ttl], host.now));
        host.start(container(2, "scoped", &[ttl, ("sealock.scope", "demo")], host.now));
        host.pass(HOUR);
        let names: Vec<String> = host.status().into_iter().map(|one| one.container).collect();
        assert_eq!(names, delivered);
    }
}

/// A host with one service whose certificate another authority signs.
fn one_imported() -> (Simulation, String) {
    let mut host = Simulation::new();
    let mut web = container(1, "web", &[], host.now);
    web.labels = service("24h");
    web.labels.retain(|label, _| !label.ends_with(".ttl") && !label.ends_with(".dns"));
    web.labels.insert("sealock.cert.web.imported".to_owned(), "shop".to_owned());
    host.start(web);
    (host, id(1))
}

#[test]
fn a_certificate_that_another_authority_signs_comes_when_it_was_imported_and_only_then() {
    let (mut host, web) = one_imported();
    host.pass(HOUR);
    // Nobody has asked for it, even: that is no.
    assert_eq!(state(&mut host), DeliveryState::Refused);
    host.foreign.0.insert("shop".to_owned(), Current::Waiting);
    host.pass(HOUR);
    let status = host.status().remove(0);
    assert_eq!(status.reason.as_deref(), Some("waits for the signature"));
    assert!(status.hint.unwrap().contains("sealock cert import shop"));
    assert_eq!(host.model(&web).deliveries.len(), 0);

    host.foreign.0.insert("shop".to_owned(), Current::Version(1));
    host.turn();
    let status = host.status().remove(0);
    assert_eq!((status.state, status.renew_at), (DeliveryState::Delivered, None));
    assert_eq!(status.names, ["shop.corp.example"]);
    host.pass(70 * 24 * HOUR);
    assert_eq!(host.model(&web).deliveries.len(), 1, "no life is over that we could renew");

    host.foreign.0.insert("shop".to_owned(), Current::Version(2));
    host.turn();
    host.pass(Duration::from_secs(5));
    let model = host.model(&web).clone();
    assert_eq!((model.deliveries.len(), model.signals.len()), (2, 1), "told of the new one");
    assert_eq!(host.alarms(), []);
}

#[test]
fn an_imported_certificate_that_was_forgotten_is_an_alarm_while_a_container_has_it() {
    let (mut host, web) = one_imported();
    host.foreign.0.insert("shop".to_owned(), Current::Version(1));
    host.pass(HOUR);
    assert_eq!(state(&mut host), DeliveryState::Delivered);
    host.foreign.0.remove("shop");
    host.pass(HOUR);
    let status = host.status().remove(0);
    assert_eq!(status.state, DeliveryState::Stale);
    assert!(status.reason.unwrap().contains("shop is not known any more"));
    let alarms: Vec<AlarmKind> = host.alarms().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(alarms, [AlarmKind::Stale]);
    // Imported again, it is as before.
    host.foreign.0.insert("shop".to_owned(), Current::Version(2));
    host.pass(HOUR);
    assert_eq!((state(&mut host), host.alarms()), (DeliveryState::Delivered, Vec::new()));
    assert_eq!(host.model(&web).deliveries.len(), 2);
}

#[test]
fn an_imported_certificate_without_a_successor_is_an_alarm_and_stays() {
    let (mut host, web) = one_imported();
    host.foreign.0.insert("shop".to_owned(), Current::Version(1));
    host.turn();
    host.pass(80 * 24 * HOUR);
    let alarms: Vec<AlarmKind> = host.alarms().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(alarms, [AlarmKind::Expiring]);
    host.pass(20 * 24 * HOUR);
    assert_eq!(host.model(&web).deliveries.len(), 1);
    // A new trust bundle comes with the certificate that there is.
    host.trust = "two".to_owned();
    host.trust_changed = host.now;
    host.pass(HOUR);
    assert_eq!(host.model(&web).deliveries.len(), 2);
}
