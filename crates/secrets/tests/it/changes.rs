//! Hearing of changes.

use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sealock_secrets::SecretChange;

use crate::common::{Scratch, named};

/// Long enough for any machine; nothing waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn each_change_is_heard_by_name() {
    let vault = Scratch::new();
    vault.set("before", "x");
    let changes = vault.vault.changes().unwrap();
    vault.set("a/b", "x");
    vault.delete("a/b", None);
    vault.purge("before", None);
    vault.read("a/b").unwrap_err();
    for expected in ["a/b", "a/b", "before"] {
        assert_eq!(changes.next_within(PATIENCE), Some(SecretChange::Secret(named(expected))));
    }
    assert_eq!(changes.next_within(Duration::ZERO), None);
}

#[test]
fn a_change_wakes_who_waits() {
    let vault = Scratch::new();
    let mut changes = vault.vault.changes().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| changes.next_within(PATIENCE));
        vault.set("a", "x");
        assert_eq!(waiting.join().unwrap(), Some(SecretChange::Secret(named("a"))));
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut changes).poll_next(&mut context).is_pending());
    vault.set("b", "x");
    let next = futures_util::FutureExt::now_or_never(changes.next()).flatten();
    assert_eq!(next, Some(SecretChange::Secret(named("b"))));
}

#[test]
fn who_is_too_slow_is_told() {
    let vault = Scratch::new();
    let changes = vault.vault.changes().unwrap();
    for _ in 0..600 {
        vault.set("a", "x");
        vault.purge("a", None);
    }
    let mut heard = Vec::new();
    while let Some(change) = changes.next_within(Duration::ZERO) {
        heard.push(change);
    }
    assert_eq!(heard[0], SecretChange::Missed);
}
