//! The running watcher: its loop, its bounds, and what it does about faults.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sealock_core::audit::Fact;
use sealock_engine::EventKind;

use super::super::{AlarmKind, DeliveryState, WantedPublication};
use super::fixture::id;
use super::running::{World, until};

#[tokio::test]
async fn events_lead_to_deliveries_and_time_to_renewals() {
    let world = World::new();
    world.engine.put(world.web(1, "early"));
    let run = world.start();
    run.delivered("early").await;
    world.engine.start(world.web(2, "late"));
    run.delivered("late").await;
    world.clock.advance(Duration::from_secs(2));
    run.served("early", "1001").await;
    run.served("late", "1002").await;
    assert_eq!(world.inside.reloads.load(Ordering::SeqCst), 0);

    world.clock.advance(Duration::from_secs(2400));
    run.watcher.poke();
    until("both renewals", || (run.watcher.counters().deliveries == 4).then_some(())).await;
    until("both reloads", || (world.inside.reloads.load(Ordering::SeqCst) == 2).then_some(()))
        .await;

    world.engine.containers.lock().remove(&id(1));
    world.engine.tell(EventKind::Destroyed, id(1));
    until("the end of the first", || run.state("early").is_none().then_some(())).await;
    run.stop().await;
    let delivered =
        |fact: &&Fact| matches!(fact, Fact::CertDelivered { reload, .. } if reload == "signal:HUP");
    assert_eq!(world.facts().iter().filter(delivered).count(), 2);
}

#[tokio::test]
async fn what_is_revoked_gets_a_successor_at_once() {
    let world = World::new();
    world.engine.put(world.web(1, "taken"));
    world.engine.put(world.web(2, "other"));
    let run = world.start();
    run.delivered("taken").await;
    run.delivered("other").await;
    let (stolen, kept) = (run.serial("taken").unwrap(), run.serial("other").unwrap());
    world.authority.revoked.lock().insert(stolen.clone());
    run.watcher.poke();
    until("the successor", || run.serial("taken").filter(|now| *now != stolen)).await;
    // A service that has just been started is not told before it has settled.
    world.clock.advance(Duration::from_secs(120));
    run.watcher.poke();
    until("the reload", || (world.inside.reloads.load(Ordering::SeqCst) == 1).then_some(())).await;
    assert_eq!(run.serial("other").unwrap(), kept);
    assert_eq!(run.watcher.counters().deliveries, 3);
    run.stop().await;
}

/// Who has the key may revoke by it (RFC 8555 §7.6), and is not asked whether they may.
#[tokio::test]
async fn whoever_revokes_what_they_get_is_given_less_and_less_of_it() {
    let world = World::new();
    world.engine.put(world.web(1, "loop"));
    let run = world.start();
    run.delivered("loop").await;
    let revoke = || {
        let held = run.serial("loop").unwrap();
        world.authority.revoked.lock().insert(held.clone());
        held
    };
    let first = revoke();
    run.watcher.poke();
    until("the first successor", || run.serial("loop").filter(|now| *now != first)).await;
    for (number, rest) in [(2, 60), (3, 240), (4, 960)] {
        let held = revoke();
        world.clock.advance(Duration::from_secs(rest - 10));
        // Another one, which is delivered in a round that leaves this one as it is.
        let marker = format!("marker{number}");
        world.engine.put(world.web(number, &marker));
        world.engine.tell(EventKind::Started, id(number));
        run.watcher.poke();
        run.delivered(&marker).await;
        assert_eq!(run.serial("loop").unwrap(), held, "before {rest} s");
        world.clock.advance(Duration::from_secs(20));
        run.watcher.poke();
        until("the next successor", || run.serial("loop").filter(|now| *now != held)).await;
    }
    run.stop().await;
}

/// What is delivered and asks for it is told in every round, with the serial that is there now; nothing waits for it.
#[tokio::test]
async fn delivered_certificates_are_told_to_whoever_publishes_them() {
    let world = World::new();
    let mut shown = world.web(1, "shown");
    shown.labels.insert("sealock.cert.web.publish".to_owned(), "corp".to_owned());
    world.engine.put(shown);
    world.engine.put(world.web(2, "hidden"));
    let run = world.start();
    run.delivered("shown").await;
    run.delivered("hidden").await;
    let told = || {
        let all = world.published.0.lock().clone();
        let one = |one: &WantedPublication| {
            let (container, directory) = (one.container.name.clone(), one.directory.to_string());
            (container, one.certificate.to_string(), one.serial.clone(), directory)
        };
        all.iter().map(one).collect::<Vec<_>>()
    };
    let first = until("the first", || told().pop()).await;
    assert_eq!((first.0.as_str(), first.1.as_str(), first.3.as_str()), ("shown", "web", "corp"));
    assert_eq!(told().len(), 1, "the other does not ask for it");
    world.clock.advance(Duration::from_secs(2400));
    run.watcher.poke();
    until("its successor", || told().pop().filter(|now| now.2 != first.2)).await;
    world.engine.containers.lock().remove(&id(1));
    world.engine.tell(EventKind::Destroyed, id(1));
    until("the end of it", || told().is_empty().then_some(())).await;
    run.stop().await;
}

#[tokio::test]
async fn a_policy_that_changes_is_asked_again() {
    let world = World::new();
    world.engine.put(world.web(1, "bank"));
    let run = world.start();
    until("the refusal", || (run.state("bank")? == DeliveryState::Refused).then_some(())).await;
    world.authority.permits_bank.store(true, Ordering::SeqCst);
    world.authority.epoch.store(2, Ordering::SeqCst);
    run.watcher.poke();
    run.delivered("bank").await;
    run.stop().await;
}

#[tokio::test]
async fn no_more_is_under_way_at_once_than_allowed() {
    let mut world = World::new();
    world.settings.concurrency = 5;
    *world.inside.slow.lock() = Duration::from_millis(2);
    for number in 1..=200 {
        world.engine.put(world.web(number, &format!("web{number}")));
    }
    let run = world.start();
    until("all deliveries", || (run.watcher.counters().deliveries == 200).then_some(())).await;
    assert_eq!(world.inside.most.load(Ordering::SeqCst), 5);
    run.stop().await;
}

#[tokio::test]
async fn what_hangs_holds_up_nobody_else() {
    let mut world = World::new();
    // As many certificates as there are places for deliveries, and none of them ever ends.
    let mut stuck = world.web(1, "stuck");
    for number in 0..8 {
        stuck.labels.insert(format!("sealock.cert.c{number}.ttl"), "1h".to_owned());
    }
    world.settings.deliver_deadline = Duration::from_millis(500);
    world.engine.put(stuck);
    world.engine.put(world.web(2, "dead"));
    world.engine.put(world.web(3, "boom"));
    world.engine.put(world.web(4, "well"));
    world.engine.stuck.lock().insert(id(2));
    world.inside.stuck.lock().insert("stuck".to_owned());
    let run = world.start();
    run.delivered("well").await;
    assert!(world.inside.running.load(Ordering::SeqCst) <= 2, "two places, not all");
    for (name, reason) in [
        ("stuck", "the delivery did not end in time"),
        ("boom", "the delivery ended with a fault of sealock"),
    ] {
        let status = until(name, || {
            let mut all = run.watcher.snapshot().into_iter();
            all.find(|one| one.container == name && one.state == DeliveryState::Retrying)
        })
        .await;
        assert_eq!(status.reason.as_deref(), Some(reason));
    }
    world.engine.start(world.web(5, "next"));
    run.delivered("next").await;
    run.stop().await;
}

#[tokio::test]
async fn an_engine_that_comes_back_is_caught_up_with() {
    let mut world = World::new();
    world.settings.engine_grace = Duration::ZERO;
    world.engine.put(world.web(1, "before"));
    let run = world.start();
    run.delivered("before").await;
    world.engine.go();
    let alarm = until("the alarm", || run.watcher.alarms().pop()).await;
    assert_eq!(alarm.kind, AlarmKind::EngineAway);
    assert_eq!(alarm.reason, "cannot reach the engine at unix:///nowhere: refused");
    world.engine.put(world.web(2, "meanwhile"));
    let restarted = sealock_engine::StartedAt::parse("2027-01-16T00:00:00Z");
    world.engine.containers.lock().get_mut(&id(1)).unwrap().started_at = restarted;
    world.inside.files.lock().clear();
    world.engine.away.store(false, Ordering::SeqCst);
    run.delivered("meanwhile").await;
    until("the delivery after the restart", || {
        (run.watcher.counters().deliveries == 3).then_some(())
    })
    .await;
    assert_eq!(run.watcher.alarms(), []);
    run.stop().await;
}

#[tokio::test]
async fn a_restart_that_lost_nothing_delivers_nothing() {
    let world = World::new();
    world.engine.put(world.web(1, "web"));
    let run = world.start();
    run.delivered("web").await;
    world.clock.advance(Duration::from_secs(2));
    run.served("web", "1001").await;
    let restarted = sealock_engine::StartedAt::parse("2027-01-16T00:00:00Z");
    world.engine.containers.lock().get_mut(&id(1)).unwrap().started_at = restarted;
    world.engine.tell(EventKind::Started, id(1));
    until("the second look", || {
        run.watcher.poke();
        world.clock.advance(Duration::from_secs(1));
        (run.watcher.counters().served == 2).then_some(())
    })
    .await;
    assert_eq!(run.watcher.counters().deliveries, 1);
    run.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_now_is_written_later() {
    let world = World::new();
    let run = world.start();
    until("the engine", || (run.watcher.counters().resyncs == 1).then_some(())).await;
    world.store.broken.store(true, Ordering::SeqCst);
    world.engine.start(world.web(1, "web"));
    run.delivered("web").await;
    world.store.broken.store(false, Ordering::SeqCst);
    until("the audit event", || {
        world.facts().iter().any(|fact| matches!(fact, Fact::CertDelivered { .. })).then_some(())
    })
    .await;
    run.stop().await;
    // The next watcher knows of it.
    let run = world.start();
    run.delivered("web").await;
    assert_eq!(run.watcher.counters().deliveries, 0);
    run.stop().await;
}

#[tokio::test]
async fn a_delivery_that_is_under_way_at_shutdown_is_recorded() {
    let world = World::new();
    *world.inside.slow.lock() = Duration::from_millis(200);
    world.engine.put(world.web(1, "web"));
    let run = world.start();
    until("the delivery", || (world.inside.running.load(Ordering::SeqCst) == 1).then_some(()))
        .await;
    run.stop().await;
    let run = world.start();
    run.delivered("web").await;
    assert_eq!(run.watcher.counters().deliveries, 0);
    run.stop().await;
}
