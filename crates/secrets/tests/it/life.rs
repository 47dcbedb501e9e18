//! Setting, reading, deleting, purging, expiring.

use std::sync::Arc;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{SecretBytes, Timestamp};
use sealock_secrets::{MAX_KEPT, MAX_VALUE, Vault, VaultError, VersionState, Wanted};
use sealock_store::{Keyring, KeyringError, NewProtection};

use crate::common::{Place, Scratch, actor, named, secret, wanted};

#[test]
fn versions_are_kept_and_the_newest_is_read() {
    let vault = Scratch::new();
    assert_eq!((vault.set("prod/db", "one"), vault.set("prod/db", "two")), (1, 2));
    assert_eq!(vault.set("prod", "other"), 1);
    let vault = vault.reopen();
    assert_eq!(vault.read("prod/db").unwrap(), "two");
    assert_eq!(vault.read_version("prod/db", 1).unwrap(), "one");
    assert_eq!(vault.read("prod").unwrap(), "other");
    let error = vault.read_version("prod/db", 3).unwrap_err();
    assert_eq!(error.to_string(), "the secret prod/db has no version 3; its newest is 2");
    assert!(matches!(vault.read_version("prod/db", 0), Err(VaultError::VersionNotFound { .. })));
    assert!(matches!(vault.read("prod/d"), Err(VaultError::NotFound(_))));
    let first = vault.vault.history(&named("prod/db")).unwrap().remove(0);
    assert_eq!((first.version, first.by.as_str(), first.bytes), (1, "uid:0", 3));
    assert_eq!(first.created, Timestamp::from_secs(1_700_000_000));
    assert_eq!((first.expires, first.state), (None, VersionState::Live));
}

/// Around the length up to which a value lies beside its version, and at the bounds.
#[test]
fn values_of_every_length_come_back() {
    let vault = Scratch::new();
    for length in [0, 1, 127, 4095, 4096, 4097, 100_000, MAX_VALUE] {
        let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n * 31 % 256).unwrap()).collect();
        let value = SecretBytes::new(bytes);
        vault.vault.set(&named("a"), &value, None, &actor()).unwrap();
        assert_eq!(vault.value("a", None).unwrap().value, value, "{length} bytes");
        assert_eq!(vault.vault.history(&named("a")).unwrap().pop().unwrap().bytes, length as u64);
    }
    let vault = vault.reopen();
    assert_eq!(vault.value("a", Some(6)).unwrap().value.len(), 4097);
    let long = SecretBytes::new(vec![0; MAX_VALUE + 1]);
    let error = vault.vault.set(&named("a"), &long, None, &actor()).unwrap_err();
    assert!(matches!(error, VaultError::TooBig { bytes, .. } if bytes == MAX_VALUE + 1));
    assert_eq!(vault.value("a", None).unwrap().version, 8);
}

#[test]
fn many_are_read_in_one_commit_each_for_its_own_actor() {
    let vault = Scratch::new();
    vault.set("a", "1");
    vault.set("b", "2");
    vault.set("b", "3");
    let by = |who: &str, name: &str, version| Wanted {
        name: named(name),
        version,
        actor: Actor { who: who.into(), request: "r".into(), decision: None },
    };
    let before = vault.journal.last_seq();
    let read = vault
        .vault
        .read(&[
            by("x", "a", None),
            by("x", "none", None),
            by("y", "b", Some(1)),
            by("y", "b", Some(9)),
            by("z", "b", None),
        ])
        .unwrap();
    let versions: Vec<_> =
        read.iter().map(|one| one.as_ref().ok().map(|value| value.version)).collect();
    assert_eq!(versions, [Some(1), None, Some(1), None, Some(2)]);
    let told: Vec<_> = vault
        .journal
        .tail(before, 10)
        .unwrap()
        .into_iter()
        .map(|record| match record.event.fact {
            Fact::SecretRead { secret, version } => (record.event.who, secret, version),
            other => panic!("{other:?}"),
        })
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(who, secret, version)| (who.as_str(), secret.as_str(), *version))
        .collect();
    assert_eq!(told, [("x", "a", 1), ("y", "b", 1), ("z", "b", 2)]);
    // Nothing read, nothing told.
    assert!(vault.vault.read(&[]).unwrap().is_empty());
    assert!(vault.vault.read(&[wanted("none", None)]).unwrap()[0].is_err());
    assert_eq!(vault.journal.last_seq(), before + 3);
}

#[test]
fn what_expired_is_not_read_and_nothing_older_stands_in() {
    let vault = Scratch::new();
    vault.set("a", "old");
    let info = vault.set_for("a", "short", 60);
    assert_eq!(info.expires, Some(Timestamp::from_secs(1_700_000_060)));
    vault.place.clock.set(Timestamp::from_millis(1_700_000_059_999));
    assert_eq!(vault.read("a").unwrap(), "short");
    vault.place.clock.set(Timestamp::from_secs(1_700_000_060));
    let error = vault.read("a").unwrap_err();
    assert_eq!(error.to_string(), "version 2 of the secret a expired at 2023-11-14T22:14:20Z");
    assert!(error.hint().unwrap().contains("sealock secret set a"));
    assert!(vault.read_version("a", 2).is_err());
    assert_eq!(vault.read_version("a", 1).unwrap(), "old");
    assert_eq!(vault.states("a"), "1 live, 2 expired");
    let current = vault.vault.version_of(&named("a")).unwrap().unwrap();
    assert_eq!((current.version, current.state), (2, VersionState::Expired));
    vault.set("a", "new");
    assert_eq!(vault.read("a").unwrap(), "new");
    let written = vault.facts().into_iter().filter_map(|fact| match fact {
        Fact::SecretWritten { version, bytes, expires, .. } => Some((version, bytes, expires)),
        _ => None,
    });
    let expires = ["never", "2023-11-14T22:14:20Z", "never"].map(str::to_owned);
    let [one, two, three] = expires;
    assert_eq!(written.collect::<Vec<_>>(), [(1, 3, one), (2, 5, two), (3, 3, three)]);
}

#[test]
fn a_deletion_can_be_taken_back() {
    let vault = Scratch::new();
    vault.set("a/b", "one");
    vault.set("a/b", "two");
    assert_eq!(vault.delete("a/b", None).version, 2);
    let error = vault.read("a/b").unwrap_err();
    assert_eq!(error.to_string(), "version 2 of the secret a/b is deleted");
    let hint = error.hint().unwrap();
    assert!(hint.ends_with("`sealock secret undelete a/b`"), "{hint}");
    assert_eq!(vault.read_version("a/b", 1).unwrap(), "one");
    vault.delete("a/b", Some(1));
    let hint = vault.read_version("a/b", 1).unwrap_err().hint().unwrap();
    assert!(hint.ends_with("`sealock secret undelete a/b --version 1`"), "{hint}");
    assert_eq!(vault.states("a/b"), "1 deleted, 2 deleted");
    // Again changes nothing and tells nothing.
    let told = vault.journal.last_seq();
    vault.delete("a/b", None);
    assert_eq!(vault.journal.last_seq(), told);
    let vault = vault.reopen();
    let info = vault.vault.undelete(&named("a/b"), None, &actor()).unwrap();
    assert_eq!((info.version, info.state), (2, VersionState::Live));
    assert_eq!(vault.read("a/b").unwrap(), "two");
    assert_eq!(vault.states("a/b"), "1 deleted, 2 live");
    let facts = vault.facts();
    let secret = || "a/b".to_owned();
    assert!(facts.contains(&Fact::SecretDeleted { secret: secret(), version: 2 }));
    assert!(facts.contains(&Fact::SecretDeleted { secret: secret(), version: 1 }));
    assert_eq!(facts[facts.len() - 2], Fact::SecretUndeleted { secret: secret(), version: 2 });
}

#[test]
fn a_purged_version_is_gone_and_stays_in_the_history() {
    let vault = Scratch::new();
    vault.set("a", "one");
    vault.set("a", &"long".repeat(5000));
    vault.set("a", "three");
    vault.purge("a", Some(2));
    assert!(matches!(vault.read_version("a", 2), Err(VaultError::Purged { version: 2, .. })));
    assert_eq!(vault.states("a"), "1 live, 2 purged, 3 live");
    assert_eq!(vault.vault.history(&named("a")).unwrap()[1].bytes, 20_000);
    let error = vault.vault.undelete(&named("a"), Some(2), &actor()).unwrap_err();
    assert_eq!(error.to_string(), "version 2 of the secret a was purged");
    assert_eq!(vault.read("a").unwrap(), "three");
    // The newest one too, and then nothing older stands in for it.
    vault.purge("a", Some(3));
    assert!(matches!(vault.read("a"), Err(VaultError::Purged { version: 3, .. })));
    assert_eq!(vault.set("a", "four"), 4);
    assert_eq!(vault.states("a"), "1 live, 2 purged, 3 purged, 4 live");
}

#[test]
fn numbers_do_not_come_back_after_a_purge() {
    let vault = Scratch::new();
    vault.set("a", "one");
    vault.set("a", "two");
    vault.set("a/b", "below");
    vault.purge("a", None);
    assert!(matches!(vault.read("a"), Err(VaultError::NotFound(_))));
    assert!(matches!(vault.vault.history(&named("a")), Err(VaultError::NotFound(_))));
    assert!(matches!(vault.vault.purge(&named("a"), None, &actor()), Err(VaultError::NotFound(_))));
    assert_eq!(vault.vault.version_of(&named("a")).unwrap(), None);
    assert_eq!(vault.read("a/b").unwrap(), "below");
    let vault = vault.reopen();
    assert_eq!(vault.set("a", "three"), 3);
    assert_eq!(vault.states("a"), "3 live");
    assert!(matches!(vault.read_version("a", 2), Err(VaultError::Purged { .. })));
    // The last version that has a value takes the secret with it.
    vault.purge("a", Some(3));
    assert!(matches!(vault.read("a"), Err(VaultError::NotFound(_))));
    assert_eq!(vault.set("a", "four"), 4);
    let purged: Vec<_> = vault
        .facts()
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::SecretPurged { version, .. } => Some(version),
            _ => None,
        })
        .collect();
    assert_eq!(purged, [0, 0]);
}

#[test]
fn there_is_a_bound_on_versions() {
    let vault = Scratch::new();
    for _ in 0..MAX_KEPT {
        vault.set("a", "x");
    }
    let full = vault.vault.set(&named("a"), &secret("x"), None, &actor()).unwrap_err();
    assert!(matches!(full, VaultError::TooManyVersions(_)));
    assert!(full.hint().unwrap().contains("sealock secret purge a --version N"));
    vault.delete("a", Some(1));
    assert!(vault.vault.set(&named("a"), &secret("x"), None, &actor()).is_err());
    vault.purge("a", Some(1));
    assert_eq!(vault.set("a", "y"), MAX_KEPT + 1);
    assert_eq!(vault.read("a").unwrap(), "y");
}

#[test]
fn the_history_of_what_was_purged_is_bounded() {
    let vault = Scratch::new();
    for version in 1..=2000 {
        vault.set("a", "x");
        if version > 1 {
            vault.purge("a", Some(version - 1));
        }
    }
    vault.set("a", "y");
    vault.set("a", "z");
    let history = vault.vault.history(&named("a")).unwrap();
    assert_eq!(history.len(), 2000);
    assert_eq!((history[0].version, history[1999].version), (3, 2002));
    assert!(matches!(vault.read_version("a", 1), Err(VaultError::Purged { .. })));
    assert_eq!(vault.read("a").unwrap(), "z");
}

#[test]
fn a_vault_that_was_never_used_is_empty_and_says_so() {
    let vault = Scratch::new();
    assert!(matches!(vault.read("a"), Err(VaultError::NotFound(_))));
    assert!(vault.vault.delete(&named("a"), None, &actor()).is_err());
    assert!(vault.vault.purge(&named("a"), None, &actor()).is_err());
    assert!(vault.vault.list(None, None, 10).unwrap().secrets.is_empty());
    assert_eq!(vault.vault.finish_rotation(&actor()).unwrap(), None);
    assert_eq!(vault.journal.last_seq(), 0, "nothing was written");
    vault.set("a", "x");
    assert_eq!(vault.facts()[0], Fact::VaultKeyRotated { key: 1, values: 0 });
}

#[test]
fn the_passphrase_is_needed() {
    let place = Place::new();
    let keys = place.path().join("keys");
    let good = secret("correct horse");
    let keyring = Keyring::create(&keys, &NewProtection::Passphrase(&good)).unwrap();
    let journal = place.journal();
    let vault = Vault::open(journal.clone(), Arc::new(keyring)).unwrap();
    vault.set(&named("a"), &secret("x"), None, &actor()).unwrap();
    drop(vault);
    let wrong = Keyring::open(&keys, Some(&secret("wrong horse"))).unwrap_err();
    assert!(matches!(wrong, KeyringError::WrongPassphrase));
    assert!(matches!(Keyring::open(&keys, None), Err(KeyringError::PassphraseNeeded)));
    let keyring = Keyring::open(&keys, Some(&good)).unwrap();
    let vault = Vault::open(journal.clone(), Arc::new(keyring)).unwrap();
    assert!(vault.read(&[wanted("a", None)]).unwrap()[0].is_ok());
    // Another keyring than the one that the vault was made with.
    let other = Keyring::create(&place.path().join("other"), &NewProtection::File).unwrap();
    let error = Vault::open(journal, Arc::new(other)).unwrap_err();
    assert!(matches!(error, VaultError::Locked { number: 1, .. }));
    assert!(error.hint().unwrap().contains("keys folder"));
}

#[test]
fn nothing_secret_is_shown() {
    let vault = Scratch::new();
    vault.set("a", "hunter2");
    let value = vault.value("a", None);
    assert!(!format!("{value:?} {:?}", vault.vault).contains("hunter2"));
    assert!(!format!("{:?}", vault.vault.history(&named("a"))).contains("hunter2"));
    assert!(!format!("{:?}", vault.facts()).contains("hunter2"));
}
