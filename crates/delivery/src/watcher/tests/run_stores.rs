//! Labelled key stores with the running watcher.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sealock_core::Clock;
use sealock_core::audit::Fact;

use super::super::DeliveryState;
use super::fixture::{container, id};
use super::running::{Running, World, until};

const STORE: &str = "/run/sealock/certs/web/keystore.p12";
const FIRST: &[u8] = b"hunter2\n";
const SECOND: &[u8] = b"correct horse";

fn shop(world: &World, more: &[(&str, &str)]) {
    let labels = [&[("sealock.cert.web.format", "pkcs12")], more].concat();
    world.engine.put(container(1, "shop", &labels, world.clock.now()));
}

const NAMED: (&str, &str) = ("sealock.cert.web.password", "shop/keystore");

async fn refused(run: &Running, why: &str) {
    until(why, || {
        let status = run.watcher.snapshot().pop()?;
        let so = status.state == DeliveryState::Refused
            && status.label.as_deref() == Some("sealock.cert.web.password")
            && status.reason.is_some_and(|reason| reason.contains(why));
        so.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_store_is_under_the_secret_that_is_there_now_and_nothing_of_it_is_kept() {
    let world = World::new();
    world.vault.set("shop/keystore", FIRST);
    shop(&world, &[NAMED]);
    let run = world.start();
    run.delivered("shop").await;
    assert_eq!(world.inside.secret(&id(1), STORE).as_deref(), Some(&b"hunter2"[..]));
    world.clock.advance(Duration::from_secs(60));
    world.vault.set("shop/keystore", SECOND);
    run.watcher.poke();
    until("the next store", || {
        (world.inside.secret(&id(1), STORE).as_deref() == Some(SECOND)).then_some(())
    })
    .await;
    let told = format!("{:?} {:?}", run.watcher.snapshot(), run.watcher);
    run.stop().await;
    assert_eq!(world.vault.reads.load(Ordering::SeqCst), 2);
    let facts = world.facts();
    let delivered = |fact: &&Fact| matches!(fact, Fact::CertDelivered { .. });
    assert_eq!(facts.iter().filter(delivered).count(), 2);
    let told = format!("{told} {facts:?}");
    let all = world.everything_stored();
    for value in [&b"hunter2"[..], SECOND] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value);
        let hex = data_encoding::HEXLOWER.encode(digest.as_ref());
        for secret in [value, hex.as_bytes(), digest.as_ref()] {
            assert!(!all.windows(secret.len()).any(|bytes| bytes == secret), "in the store");
            assert!(!told.contains(&*String::from_utf8_lossy(secret)), "{told}");
        }
    }
}

#[tokio::test]
async fn nothing_is_issued_for_a_store_that_gets_no_password() {
    let world = World::new();
    world.vault.denies.store(true, Ordering::SeqCst);
    world.vault.set("shop/keystore", FIRST);
    shop(&world, &[NAMED]);
    let run = world.start();
    refused(&run, "no rule").await;
    world.vault.denies.store(false, Ordering::SeqCst);
    world.vault.delete("shop/keystore");
    world.authority.epoch.store(2, Ordering::SeqCst);
    run.watcher.poke();
    refused(&run, "there is no secret").await;
    // One that no program would take.
    world.vault.set("shop/keystore", b"short");
    run.watcher.poke();
    refused(&run, "too short").await;
    let before = world.authority.serial.load(Ordering::SeqCst);
    world.vault.set("shop/keystore", SECOND);
    run.watcher.poke();
    run.delivered("shop").await;
    assert_eq!(world.authority.serial.load(Ordering::SeqCst), before + 1);
    run.stop().await;
    let issued = |fact: &&Fact| matches!(fact, Fact::CertDelivered { .. });
    assert_eq!(world.facts().iter().filter(issued).count(), 1);
}

#[tokio::test]
async fn a_store_without_a_secret_asks_the_vault_nothing() {
    let world = World::new();
    shop(&world, &[]);
    let run = world.start();
    run.delivered("shop").await;
    assert_eq!(world.inside.secret(&id(1), STORE).as_deref(), Some(&b"own"[..]));
    run.stop().await;
    assert_eq!(world.vault.reads.load(Ordering::SeqCst), 0);
}
