//! Somebody writes to the store. What the vault gives out is what was set, or an error that names the secret.

use std::collections::BTreeMap;

use sealock_secrets::{Part, Vault, VaultError, VersionState};
use sealock_store::{KeyRange, Transaction};

use crate::common::{Scratch, actor, named, secret, wanted};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn record(name: &str) -> Vec<u8> {
    format!("vault/secret/{name}").into_bytes()
}

fn version(name: &str, number: u64) -> Vec<u8> {
    [format!("vault/version/{name}\0").as_bytes(), &number.to_be_bytes()].concat()
}

fn value(name: &str, number: u64) -> Vec<u8> {
    [format!("vault/value/{name}\0").as_bytes(), &number.to_be_bytes()].concat()
}

/// Everything of the vault.
fn rows(vault: &Scratch) -> Rows {
    let rows = vault.store().range(&KeyRange::prefix(b"vault/"), usize::MAX).unwrap();
    rows.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

fn put(vault: &Scratch, key: &[u8], value: &[u8]) {
    vault.store().commit(&Transaction::new().put(key, value)).unwrap();
}

fn remove(vault: &Scratch, key: &[u8]) {
    vault.store().commit(&Transaction::new().delete(key)).unwrap();
}

/// Makes the store's rows the given ones.
fn restore(vault: &Scratch, old: &Rows) {
    let mut transaction = Transaction::new();
    for key in rows(vault).keys().filter(|key| !old.contains_key(*key)) {
        transaction = transaction.delete(key.clone());
    }
    for (key, value) in old {
        transaction = transaction.put(key.clone(), value.clone());
    }
    vault.store().commit(&transaction).unwrap();
}

fn long(text: &str) -> String {
    text.repeat(5000)
}

#[track_caller]
fn changed(vault: &Scratch, name: &str, version: Option<u64>) -> Part {
    match vault.value(name, version) {
        Err(error @ VaultError::Changed { .. }) => {
            let text = error.to_string();
            let start = format!("the secret {name} was changed in the store: ");
            assert!(text.starts_with(&start), "{text}");
            assert!(error.is_tampering() && error.hint().unwrap().contains("restore"));
            let VaultError::Changed { part, .. } = error else { unreachable!() };
            part
        }
        other => panic!("{name} {version:?}: {other:?}"),
    }
}

/// Two secrets with two versions each; the values of one are short, those of the other long.
fn two() -> Scratch {
    let vault = Scratch::new();
    for (name, one, two) in [("a", "a one", "a two"), ("b", "b one", "b two")] {
        vault.set(name, one);
        vault.set(name, two);
    }
    for (name, one, two) in [("long/a", "a1", "a2"), ("long/b", "b1", "b2")] {
        vault.set(name, &long(one));
        vault.set(name, &long(two));
    }
    vault
}

#[test]
fn swapped_and_moved_rows_are_found() {
    let vault = two();
    let whole = rows(&vault);
    let swaps = [
        (version("a", 1), version("a", 2)),
        (version("a", 2), version("b", 2)),
        (version("long/a", 1), version("long/a", 2)),
        (version("long/a", 2), version("long/b", 2)),
        (value("long/a", 1), value("long/a", 2)),
        (value("long/a", 2), value("long/b", 2)),
        (record("a"), record("b")),
        (record("long/a"), record("a")),
    ];
    for (one, other) in &swaps {
        put(&vault, one, &whole[other]);
        put(&vault, other, &whole[one]);
        let mut found = 0;
        for name in ["a", "b", "long/a", "long/b"] {
            for number in [1, 2] {
                match vault.read_version(name, number) {
                    Ok(text) => {
                        let (prefix, short) = name.rsplit_once('/').unwrap_or(("", name));
                        let right = match (prefix, number) {
                            ("", 1) => format!("{short} one"),
                            ("", _) => format!("{short} two"),
                            _ => long(&format!("{short}{number}")),
                        };
                        assert_eq!(text, right, "a wrong value");
                    }
                    Err(VaultError::Changed { .. }) => found += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(found >= 2, "{one:?} and {other:?}: {found}");
        restore(&vault, &whole);
    }
    // One version put in the place of another, alone.
    put(&vault, &version("a", 2), &whole[&version("a", 1)]);
    assert_eq!(changed(&vault, "a", None), Part::Version(2));
    put(&vault, &value("long/a", 2), &whole[&value("long/a", 1)]);
    assert_eq!(changed(&vault, "long/a", None), Part::Value(2));
    // Under a name that there was none of.
    put(&vault, &record("c"), &whole[&record("a")]);
    put(&vault, &version("c", 1), &whole[&version("a", 1)]);
    put(&vault, &version("c", 2), &whole[&version("a", 2)]);
    assert_eq!(changed(&vault, "c", Some(1)), Part::Record);
}

#[test]
fn every_changed_byte_and_every_cut_is_found() {
    let vault = Scratch::new();
    vault.set("a", "short");
    vault.set_for("b", &long("x"), 60);
    let whole = rows(&vault);
    for (name, keys) in [
        ("a", vec![record("a"), version("a", 1)]),
        ("b", vec![record("b"), version("b", 1), value("b", 1)]),
    ] {
        for key in keys {
            let row = &whole[&key];
            let step = 1 + row.len() / 150;
            for at in (0..row.len()).step_by(step) {
                let mut bad = row.clone();
                bad[at] ^= 1 << (at % 8);
                put(&vault, &key, &bad);
                changed(&vault, name, None);
                put(&vault, &key, &row[..at]);
                changed(&vault, name, None);
            }
            put(&vault, &key, &[&row[..], &[0]].concat());
            changed(&vault, name, None);
            put(&vault, &key, row);
            assert!(vault.read(name).is_ok());
        }
    }
}

#[test]
fn a_missing_row_is_found() {
    let vault = two();
    let whole = rows(&vault);
    remove(&vault, &version("a", 2));
    assert_eq!(changed(&vault, "a", None), Part::Version(2));
    assert!(vault.vault.history(&named("a")).unwrap_err().is_tampering());
    assert_eq!(vault.read_version("a", 1).unwrap(), "a one");
    remove(&vault, &value("long/a", 1));
    assert_eq!(changed(&vault, "long/a", Some(1)), Part::Value(1));
    assert!(vault.read("long/a").is_ok());
    restore(&vault, &whole);
    // The key of them all.
    let key = whole.keys().find(|key| key.starts_with(b"vault/key/")).unwrap();
    remove(&vault, key);
    let error = Vault::open(vault.journal.clone(), vault.place.keyring()).unwrap_err();
    assert!(matches!(error, VaultError::KeyMissing));
    assert!(error.is_tampering());
}

#[test]
fn an_old_record_does_not_bring_back_an_old_value() {
    let vault = Scratch::new();
    vault.set("a", "old");
    let old = rows(&vault);
    vault.set("a", "new");
    put(&vault, &record("a"), &old[&record("a")]);
    // The row of version 2 is there and the record does not know it.
    assert_eq!(changed(&vault, "a", None), Part::Record);
    let error = vault.vault.set(&named("a"), &secret("x"), None, &actor()).unwrap_err();
    assert!(matches!(error, VaultError::Changed { part: Part::Version(2), .. }), "{error}");
    assert!(vault.vault.history(&named("a")).unwrap_err().is_tampering());
}

#[test]
fn an_old_row_does_not_bring_back_what_was_deleted() {
    let vault = two();
    let live = rows(&vault);
    vault.delete("a", None);
    let deleted = rows(&vault);
    put(&vault, &record("a"), &live[&record("a")]);
    assert_eq!(changed(&vault, "a", None), Part::Version(2));
    restore(&vault, &deleted);
    put(&vault, &version("a", 2), &live[&version("a", 2)]);
    assert!(matches!(vault.read("a"), Err(VaultError::Deleted { .. })));
    assert!(vault.vault.history(&named("a")).unwrap_err().is_tampering());
    assert!(vault.vault.undelete(&named("a"), None, &actor()).unwrap_err().is_tampering());
    // The same for what was purged.
    vault.purge("long/a", Some(1));
    put(&vault, &record("long/a"), &live[&record("long/a")]);
    assert_eq!(changed(&vault, "long/a", Some(1)), Part::Version(1));
    put(&vault, &version("long/a", 1), &live[&version("long/a", 1)]);
    assert_eq!(changed(&vault, "long/a", Some(1)), Part::Value(1));
}

#[test]
fn rows_of_a_purged_secret_are_none_of_its_namesake() {
    let vault = Scratch::new();
    vault.set("a", "old");
    let old = rows(&vault);
    vault.purge("a", None);
    // Even where somebody makes the numbers begin anew.
    remove(&vault, b"vault/gone/a");
    vault.set("a", "new");
    put(&vault, &version("a", 1), &old[&version("a", 1)]);
    assert_eq!(changed(&vault, "a", None), Part::Version(1));
    // And where the numbers went on, the old row is one too many.
    let vault = Scratch::new();
    vault.set("a", "old");
    let old = rows(&vault);
    vault.purge("a", None);
    vault.set("a", "new");
    put(&vault, &version("a", 1), &old[&version("a", 1)]);
    assert_eq!(vault.read("a").unwrap(), "new");
    assert!(matches!(vault.read_version("a", 1), Err(VaultError::Purged { .. })));
    assert!(vault.vault.history(&named("a")).unwrap_err().is_tampering());
}

#[test]
fn what_was_changed_does_not_stand_in_the_way_of_others() {
    let vault = two();
    put(&vault, &record("a"), b"junk");
    let read =
        vault.vault.read(&[wanted("b", None), wanted("a", None), wanted("b", Some(1))]).unwrap();
    assert!(read[0].is_ok() && read[1].is_err() && read[2].is_ok());
    let listed = vault.vault.list(None, None, 10).unwrap().secrets;
    let states: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.state)).collect();
    let live = VersionState::Live;
    let expected = [("a", VersionState::Changed), ("b", live), ("long/a", live), ("long/b", live)];
    assert_eq!(states, expected);
    assert!(vault.vault.version_of(&named("a")).unwrap_err().is_tampering());
    assert!(vault.vault.set(&named("a"), &secret("x"), None, &actor()).unwrap_err().is_tampering());
    assert_eq!(vault.set("b", "b three"), 3);
}

#[test]
fn what_was_changed_can_be_purged_and_set_anew() {
    let vault = two();
    put(&vault, &record("a"), b"junk");
    remove(&vault, &record("long/a"));
    for name in ["a", "long/a"] {
        let error = vault.vault.set(&named(name), &secret("x"), None, &actor()).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("`sealock secret purge {name}`")), "{hint}");
        vault.purge(name, None);
        assert_eq!(vault.set(name, "again"), 3);
        assert_eq!(vault.read(name).unwrap(), "again");
    }
    // One bad version can be purged alone, and leaves no history.
    put(&vault, &version("b", 1), b"junk");
    assert_eq!(changed(&vault, "b", Some(1)), Part::Version(1));
    vault.purge("b", Some(1));
    assert_eq!(vault.states("b"), "2 live");
    assert_eq!(vault.read("b").unwrap(), "b two");
}

#[test]
fn foreign_entries_hide_nothing() {
    let vault = Scratch::new();
    for name in ["a", "m", "z"] {
        vault.set(name, "x");
    }
    for n in 0..50 {
        put(&vault, format!("vault/secret/b b{n}").as_bytes(), b"junk");
        put(&vault, format!("vault/key/junk{n}").as_bytes(), b"junk");
    }
    for page in 1..5 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let found = vault.vault.list(None, after.as_ref(), page).unwrap();
            seen.extend(found.secrets.into_iter().map(|one| one.name.to_string()));
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "m", "z"]);
    }
    let vault = vault.reopen();
    vault.vault.rotate_key(&actor()).unwrap();
    assert_eq!(vault.read("m").unwrap(), "x");
}

#[test]
fn a_rotation_and_an_export_stop_at_what_was_changed() {
    let vault = two();
    put(&vault, &version("b", 1), b"junk");
    let error = vault.vault.rotate_key(&actor()).unwrap_err();
    assert!(error.to_string().starts_with("the secret b was changed"), "{error}");
    let mut sink = Vec::new();
    let error = vault.vault.export(None, &[], &actor(), &mut sink).unwrap_err();
    assert!(error.to_string().starts_with("the secret b was changed"), "{error}");
    assert!(sink.is_empty());
    // Everything else can be read, set, and the bad one be purged; then the rotation comes to its end.
    assert_eq!(vault.read("b").unwrap(), "b two");
    assert_eq!(vault.set("b", "b three"), 3);
    let vault = vault.reopen();
    vault.purge("b", Some(1));
    let done = vault.vault.finish_rotation(&actor()).unwrap().unwrap();
    assert_eq!((done.key, done.values), (2, 8));
    assert_eq!(vault.vault.finish_rotation(&actor()).unwrap(), None);
    assert_eq!(vault.read("a").unwrap(), "a two");
}

/// The limit that the documentation names: not a promise, and known to be none.
#[test]
fn a_secret_rolled_back_as_a_whole_is_not_noticed_by_the_vault() {
    let vault = Scratch::new();
    vault.set("a", "old");
    let old = rows(&vault);
    vault.set("a", "new");
    restore(&vault, &old);
    assert_eq!(vault.read("a").unwrap(), "old");
    remove(&vault, &record("a"));
    assert!(matches!(vault.read("a"), Err(VaultError::NotFound(_))));
}
