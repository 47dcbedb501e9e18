//! Labelled secrets with the running watcher.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sealock_core::Clock;
use sealock_core::audit::Fact;

use super::super::{AlarmKind, DeliveryState};
use super::fixture::{id, with_secret};
use super::running::{Running, World, until};

const PATH: &str = "/run/sealock/secrets/db";
const VALUE: &[u8] = b"hunter2";
const NEW_VALUE: &[u8] = b"correct horse";

/// One container with version 1 of its secret.
async fn delivered() -> (World, Running) {
    let world = World::new();
    world.vault.set("prod/db", VALUE);
    world.engine.put(with_secret(1, "shop", world.clock.now()));
    let run = world.start();
    let _ = run.has_version("shop", 1).await;
    (world, run)
}

#[tokio::test]
async fn a_new_value_is_delivered_and_told_when_the_watcher_is_poked() {
    let (world, run) = delivered().await;
    assert_eq!(world.inside.secret(&id(1), PATH).as_deref(), Some(VALUE));
    assert_eq!(world.inside.reloads.load(Ordering::SeqCst), 0);
    // Old enough to be signalled.
    world.clock.advance(Duration::from_secs(60));
    world.vault.set("prod/db", NEW_VALUE);
    run.watcher.poke();
    let status = run.has_version("shop", 2).await;
    assert_eq!(status.path.as_deref(), Some(PATH));
    assert_eq!(world.inside.secret(&id(1), PATH).as_deref(), Some(NEW_VALUE));
    until("the signal", || (world.inside.reloads.load(Ordering::SeqCst) == 1).then_some(())).await;
    run.stop().await;
    assert_eq!(world.vault.reads.load(Ordering::SeqCst), 2);
    let told = |fact: &&Fact| matches!(fact, Fact::SecretDelivered { .. });
    assert_eq!(world.facts().iter().filter(told).count(), 2);
}

#[tokio::test]
async fn no_value_and_nothing_made_of_it_is_kept_or_told() {
    let (world, run) = delivered().await;
    let told = format!("{:?} {:?}", run.watcher.secrets(), run.watcher);
    run.stop().await;
    let told = format!("{told} {:?}", world.facts());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VALUE);
    let hex = data_encoding::HEXLOWER.encode(digest.as_ref());
    let text = String::from_utf8_lossy(VALUE).into_owned();
    for secret in [&text, &hex] {
        assert!(!told.contains(secret.as_str()), "{told}");
    }
    let all = world.everything_stored();
    for secret in [VALUE, hex.as_bytes(), digest.as_ref()] {
        assert!(!all.windows(secret.len()).any(|bytes| bytes == secret), "in the store");
    }
}

#[tokio::test]
async fn a_container_without_a_tmpfs_gets_nothing_and_the_status_says_what_to_do() {
    let world = World::new();
    world.vault.set("prod/db", VALUE);
    world.inside.on_disk.lock().insert("shop".to_owned());
    world.engine.put(with_secret(1, "shop", world.clock.now()));
    let mut free = with_secret(2, "free", world.clock.now());
    let label = "sealock.secret.db.on-disk".to_owned();
    let _ = free.labels.insert(label, "allowed".to_owned());
    world.inside.on_disk.lock().insert("free".to_owned());
    world.engine.put(free);
    let run = world.start();
    let _ = run.has_version("free", 1).await;
    let refused = until("the refusal", || {
        run.secret("shop").filter(|status| status.state == DeliveryState::Refused)
    })
    .await;
    assert_eq!(refused.reason.as_deref(), Some("it is on a disk"));
    let hint = "mount a tmpfs there, such as docker run --tmpfs /run/sealock, or allow the disk: \
                sealock.secret.db.on-disk=allowed";
    assert_eq!(refused.hint.as_deref(), Some(hint));
    assert_eq!(world.inside.secret(&id(1), PATH), None);
    run.stop().await;
}

#[tokio::test]
async fn a_vault_that_hangs_or_is_locked_holds_up_no_certificate() {
    let mut world = World::new();
    world.settings.deliver_deadline = Duration::from_millis(200);
    world.vault.hangs.store(true, Ordering::SeqCst);
    world.vault.set("prod/db", VALUE);
    world.engine.put(with_secret(1, "shop", world.clock.now()));
    world.engine.put(world.web(2, "web"));
    let run = world.start();
    run.delivered("web").await;
    let retrying = until("the failure", || {
        run.secret("shop").filter(|status| status.state == DeliveryState::Retrying)
    })
    .await;
    assert_eq!(retrying.reason.as_deref(), Some("the reading of the secret did not end in time"));
    world.vault.locked.store(true, Ordering::SeqCst);
    world.vault.hangs.store(false, Ordering::SeqCst);
    until("the next failure", || {
        world.clock.advance(Duration::from_secs(5));
        run.watcher.poke();
        let reason = run.secret("shop")?.reason?;
        (reason == "the vault is locked").then_some(())
    })
    .await;
    world.vault.locked.store(false, Ordering::SeqCst);
    until("the delivery", || {
        world.clock.advance(Duration::from_secs(60));
        run.watcher.poke();
        (run.secret("shop")?.state == DeliveryState::Delivered).then_some(())
    })
    .await;
    run.stop().await;
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_seen_without_reading_and_the_file_stays() {
    let (world, run) = delivered().await;
    world.vault.denies.store(true, Ordering::SeqCst);
    world.authority.epoch.store(2, Ordering::SeqCst);
    run.watcher.poke();
    let alarm = until("the alarm", || run.watcher.alarms().pop()).await;
    assert_eq!((alarm.kind, alarm.subject.as_str()), (AlarmKind::Stale, "shop/secret:db"));
    assert_eq!(world.vault.reads.load(Ordering::SeqCst), 1);
    assert_eq!(world.inside.secret(&id(1), PATH).as_deref(), Some(VALUE));
    world.vault.denies.store(false, Ordering::SeqCst);
    world.authority.epoch.store(3, Ordering::SeqCst);
    run.watcher.poke();
    until("the end of the alarm", || run.watcher.alarms().is_empty().then_some(())).await;
    // And gone from the vault.
    world.vault.delete("prod/db");
    run.watcher.poke();
    until("the alarm", || run.watcher.alarms().pop()).await;
    run.stop().await;
}

#[tokio::test]
async fn a_tmpfs_that_is_empty_after_a_restart_is_filled_again() {
    let (world, run) = delivered().await;
    let restarted = sealock_engine::StartedAt::parse("2027-01-16T00:00:00Z");
    world.engine.containers.lock().get_mut(&id(1)).unwrap().started_at = restarted;
    world.inside.secrets.lock().clear();
    world.engine.tell(sealock_engine::EventKind::Started, id(1));
    until("the file", || world.inside.secret(&id(1), PATH)).await;
    assert_eq!(world.inside.reloads.load(Ordering::SeqCst), 0);
    run.stop().await;
}
