//! Many at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sealock_core::audit::Fact;
use sealock_secrets::{Vault, VaultError};

use crate::common::{Place, Scratch, actor, named, secret};

#[test]
fn concurrent_values_get_numbers_of_their_own() {
    let vault = Scratch::new();
    let set: Vec<(u64, String)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let vault = &vault;
                scope.spawn(move || {
                    let value = |n| format!("{thread} {n}");
                    (0..20).map(|n| (vault.set("a", &value(n)), value(n))).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let numbers: BTreeSet<_> = set.iter().map(|(version, _)| *version).collect();
    assert_eq!(numbers, (1..=160).collect());
    for (version, value) in set {
        assert_eq!(vault.read_version("a", version).unwrap(), value);
    }
}

/// As two processes: what one has in memory says nothing of the other.
#[test]
fn two_vaults_on_one_store() {
    let vault = Scratch::new();
    let other = Vault::open(vault.journal.clone(), vault.place.keyring()).unwrap();
    let numbers = thread::scope(|scope| {
        let threads = [&vault.vault, &other].map(|vault| {
            scope.spawn(move || {
                let mut numbers = Vec::new();
                while numbers.len() < 40 {
                    match vault.set(&named("a"), &secret("x"), None, &actor()) {
                        Ok(info) => numbers.push(info.version),
                        Err(VaultError::Conflict(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                numbers
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert_eq!(numbers, (1..=80).collect());
}

#[test]
fn there_is_one_key_whoever_makes_it() {
    for _ in 0..10 {
        let place = Place::new();
        let (journal, keyring) = (place.journal(), place.keyring());
        let vaults: Vec<Arc<Vault>> =
            (0..4).map(|_| Vault::open(journal.clone(), keyring.clone()).unwrap()).collect();
        thread::scope(|scope| {
            for (n, vault) in vaults.iter().enumerate() {
                scope.spawn(move || {
                    vault.set(&named(&format!("s/{n}")), &secret("x"), None, &actor()).unwrap();
                });
            }
        });
        drop((vaults, journal));
        let vault = place.open();
        let made = |fact: &Fact| matches!(fact, Fact::VaultKeyRotated { key: 1, values: 0 });
        assert_eq!(vault.facts().iter().filter(|fact| made(fact)).count(), 1);
        for n in 0..4 {
            assert_eq!(vault.read(&format!("s/{n}")).unwrap(), "x");
        }
    }
}

/// Tells the readers, also when the writer fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A reader sees a whole moment of a secret, or a later one; what comes in between is no tampering.
#[test]
fn readers_are_not_confused_by_writers() {
    let vault = Scratch::new();
    vault.set("a", &"0".repeat(5000));
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _finish = Finish(&finished);
            for n in 0..150 {
                let digit = char::from(b'0' + n % 10).to_string();
                let version = vault.set("a", &digit.repeat(if n % 2 == 0 { 5000 } else { 10 }));
                vault.delete("a", Some(version));
                vault.vault.undelete(&named("a"), None, &actor()).unwrap();
                if n % 3 == 0 {
                    vault.purge("a", Some(version));
                }
                if n % 25 == 0 {
                    vault.purge("a", None);
                }
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                while !finished.load(Ordering::Relaxed) {
                    match vault.read("a") {
                        Ok(text) => assert!(text.chars().all(|c| text.starts_with(c))),
                        Err(
                            VaultError::NotFound(_)
                            | VaultError::Deleted { .. }
                            | VaultError::Purged { .. },
                        ) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                    match vault.vault.history(&named("a")) {
                        Ok(_) | Err(VaultError::NotFound(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                    vault.vault.list(None, None, 10).unwrap();
                }
            });
        }
    });
}
