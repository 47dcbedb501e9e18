//! A new vault key, while others work, and stopped in the middle (see also `kill`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sealock_core::audit::Fact;
use sealock_secrets::{Vault, VaultError};
use sealock_store::{KeyRange, Transaction};

use crate::common::{Scratch, actor, named, secret, wanted};

fn key_rows(vault: &Scratch) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = vault.store().range(&KeyRange::prefix(b"vault/key/"), 10).unwrap();
    rows.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

fn value_rows(vault: &Scratch) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = vault.store().range(&KeyRange::prefix(b"vault/value/"), 10_000).unwrap();
    rows.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

#[test]
fn everything_comes_under_the_new_key() {
    let vault = Scratch::new();
    // More rows than go in one commit.
    for n in 0..700 {
        vault.set(&format!("many/{}", n % 350), &format!("value {n}"));
    }
    vault.set("long", &"x".repeat(10_000));
    vault.set("marked", "one");
    vault.set("marked", "two");
    vault.set("marked", "three");
    vault.delete("marked", Some(1));
    vault.purge("marked", Some(2));
    vault.set("gone", "x");
    vault.purge("gone", None);
    let (old_keys, long_values) = (key_rows(&vault), value_rows(&vault));
    let rotated = vault.vault.rotate_key(&actor()).unwrap();
    assert_eq!((rotated.key, rotated.values), (2, 703));
    let keys = key_rows(&vault);
    assert_eq!(keys.len(), 1, "the old key is gone");
    assert_ne!(keys, old_keys);
    assert_eq!(value_rows(&vault), long_values, "values stay as they are");
    assert_eq!(vault.facts().pop(), Some(Fact::VaultKeyRotated { key: 2, values: 703 }));
    let vault = vault.reopen();
    for n in 0..350 {
        let name = format!("many/{n}");
        assert_eq!(vault.read(&name).unwrap(), format!("value {}", n + 350));
        assert_eq!(vault.read_version(&name, 1).unwrap(), format!("value {n}"));
    }
    assert_eq!(vault.states("marked"), "1 deleted, 2 purged, 3 live");
    vault.vault.undelete(&named("marked"), Some(1), &actor()).unwrap();
    assert_eq!(vault.read_version("marked", 1).unwrap(), "one");
    assert_eq!(vault.set("gone", "again"), 2);
    assert_eq!(vault.vault.rotate_key(&actor()).unwrap().key, 3);
    assert_eq!(vault.vault.finish_rotation(&actor()).unwrap(), None);
}

/// Once the key is gone, a copy of the rows from before is worth nothing, even to this vault.
#[test]
fn rows_from_before_do_not_open_after_a_rotation() {
    let vault = Scratch::new();
    vault.set("a", "purged");
    let rows = vault.store().range(&KeyRange::prefix(b"vault/"), 100).unwrap();
    vault.purge("a", None);
    vault.vault.rotate_key(&actor()).unwrap();
    let mut transaction = Transaction::new();
    for (key, entry) in rows.into_iter().filter(|(key, _)| !key.starts_with(b"vault/key/")) {
        transaction = transaction.put(key, entry.value);
    }
    vault.store().commit(&transaction).unwrap();
    assert!(vault.read("a").unwrap_err().is_tampering());
}

#[test]
fn a_vault_without_secrets_can_be_rotated() {
    let vault = Scratch::new();
    let rotated = vault.vault.rotate_key(&actor()).unwrap();
    assert_eq!((rotated.key, rotated.values), (2, 0));
    vault.set("a", "x");
    assert_eq!(vault.reopen().read("a").unwrap(), "x");
}

#[test]
fn secrets_are_set_and_read_meanwhile() {
    let vault = Scratch::new();
    for n in 0..200 {
        vault.set(&format!("s/{n}"), "0");
    }
    let stop = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|thread| {
                let (vault, stop) = (&vault, &stop);
                scope.spawn(move || {
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        last = vault.set(&format!("w/{thread}"), &format!("{thread} {}", last + 1));
                        let read = vault.read(&format!("w/{thread}")).unwrap();
                        assert_eq!(read, format!("{thread} {last}"));
                        assert_eq!(vault.read(&format!("s/{}", last % 200)).unwrap(), "0");
                    }
                    last
                })
            })
            .collect();
        for key in 2..12 {
            assert_eq!(vault.vault.rotate_key(&actor()).unwrap().key, key);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let vault = vault.reopen();
    for (thread, last) in written.into_iter().enumerate() {
        assert!(last > 0);
        for version in [1, last] {
            let read = vault.read_version(&format!("w/{thread}"), version).unwrap();
            assert_eq!(read, format!("{thread} {version}"));
        }
    }
}

/// Two vaults on one store, as two processes have it: neither knows what the other does.
#[test]
fn another_process_may_rotate() {
    let vault = Scratch::new();
    vault.set("a", "one");
    let other = Vault::open(vault.journal.clone(), vault.place.keyring()).unwrap();
    other.rotate_key(&actor()).unwrap();
    assert_eq!(vault.read("a").unwrap(), "one");
    other.rotate_key(&actor()).unwrap();
    // The key that this one has in mind is gone, and so is the one after it.
    assert_eq!(vault.set("a", "two"), 2);
    vault.delete("a", Some(1));
    other.rotate_key(&actor()).unwrap();
    assert_eq!(vault.vault.rotate_key(&actor()).unwrap().key, 5);
    let read = other.read(&[wanted("a", None)]).unwrap().remove(0).unwrap();
    assert_eq!(read.value, secret("two"));
    assert_eq!(vault.reopen().read("a").unwrap(), "two");
}

#[test]
fn two_rotations_at_once_leave_one_key() {
    let vault = Scratch::new();
    for n in 0..300 {
        vault.set(&format!("s/{n}"), &n.to_string());
    }
    let other = Vault::open(vault.journal.clone(), vault.place.keyring()).unwrap();
    thread::scope(|scope| {
        for vault in [&vault.vault, &other] {
            scope.spawn(move || {
                for _ in 0..5 {
                    match vault.rotate_key(&actor()) {
                        Ok(_) | Err(VaultError::Conflict(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    let vault = vault.reopen();
    vault.vault.finish_rotation(&actor()).unwrap();
    assert_eq!(key_rows(&vault).len(), 1);
    for n in 0..300 {
        assert_eq!(vault.read(&format!("s/{n}")).unwrap(), n.to_string());
    }
}
