//! Out of one vault and into another.

use std::io::{self, Write};

use sealock_core::Timestamp;
use sealock_core::audit::Fact;
use sealock_secrets::backup::Archive;
use sealock_secrets::{Imported, OnExisting, VaultError, VersionState};

use crate::common::{Scratch, actor, named};

fn export(vault: &Scratch, path: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let path = path.map(named);
    vault.vault.export(path.as_ref(), &["age1x".into()], &actor(), &mut bytes).unwrap();
    bytes
}

fn import(vault: &Scratch, bytes: &[u8], existing: OnExisting) -> Result<Imported, VaultError> {
    vault.vault.import(&Archive::read(bytes)?, existing, &actor())
}

fn counts(secrets: u64, values: u64, skipped: u64) -> Imported {
    Imported { secrets, values, skipped }
}

#[test]
fn another_host_has_the_same_afterwards() {
    let here = Scratch::new();
    here.set("prod/db", "one");
    here.set("prod/db", "two");
    here.set("prod/db", &"long".repeat(3000));
    here.delete("prod/db", Some(1));
    here.set_for("ttl", "short", 60);
    here.set_for("ttl", "longer", 6000);
    here.set("only/deleted", "x");
    here.delete("only/deleted", None);
    here.set("newest/deleted", "old");
    here.set("newest/deleted", "new");
    here.delete("newest/deleted", None);
    here.place.clock.set(Timestamp::from_secs(1_700_000_100));
    let bytes = export(&here, None);
    let there = Scratch::new();
    there.place.clock.set(Timestamp::from_secs(1_700_000_200));
    assert_eq!(import(&there, &bytes, OnExisting::Fail).unwrap(), counts(3, 4, 0));
    let there = there.reopen();
    there.place.clock.set(Timestamp::from_secs(1_700_000_200));
    assert_eq!(there.read("prod/db").unwrap(), "long".repeat(3000));
    assert_eq!(there.read_version("prod/db", 2).unwrap(), "two");
    assert!(matches!(there.read_version("prod/db", 1), Err(VaultError::Purged { .. })));
    assert_eq!(there.states("prod/db"), "2 live, 3 live");
    assert_eq!(there.vault.history(&named("prod/db")).unwrap(), {
        let mut here = here.vault.history(&named("prod/db")).unwrap();
        here.remove(0);
        here
    });
    let ttl = there.vault.version_of(&named("ttl")).unwrap().unwrap();
    assert_eq!((ttl.version, ttl.expires), (2, Some(Timestamp::from_secs(1_700_006_000))));
    assert_eq!(there.states("ttl"), "2 live");
    // The newest was deleted: no older one stands in its place.
    assert!(matches!(there.read("newest/deleted"), Err(VaultError::Purged { version: 2, .. })));
    assert_eq!(there.read_version("newest/deleted", 1).unwrap(), "old");
    assert_eq!(there.set("newest/deleted", "x"), 3);
    assert!(matches!(there.read("only/deleted"), Err(VaultError::NotFound(_))));
    assert_eq!(there.set("prod/db", "x"), 4);
}

#[test]
fn both_are_told_of() {
    let here = Scratch::new();
    here.set("a", "1");
    here.set("a", "2");
    here.set("b", "3");
    let bytes = export(&here, None);
    let recipients = vec!["age1x".to_owned()];
    let told = Fact::VaultExported { secrets: 2, values: 3, recipients };
    assert_eq!(here.facts().pop(), Some(told));
    let there = Scratch::new();
    import(&there, &bytes, OnExisting::Skip).unwrap();
    let facts = there.facts();
    let written = facts.iter().filter(|fact| matches!(fact, Fact::SecretWritten { .. })).count();
    assert_eq!(written, 3);
    assert_eq!(facts.last(), Some(&Fact::VaultImported { secrets: 2, values: 3 }));
    assert_eq!(import(&there, &bytes, OnExisting::Skip).unwrap(), counts(0, 0, 2));
    assert_eq!(there.facts().len(), facts.len() + 1);
    assert_eq!(there.facts().pop(), Some(Fact::VaultImported { secrets: 0, values: 0 }));
    // An empty vault makes an empty backup.
    let empty = Scratch::new();
    assert_eq!(import(&there, &export(&empty, None), OnExisting::Fail).unwrap(), counts(0, 0, 0));
}

#[test]
fn a_path_can_be_exported_alone() {
    let here = Scratch::new();
    for name in ["dev/db", "prod", "prod/db", "production"] {
        here.set(name, "x");
    }
    let bytes = export(&here, Some("prod"));
    let archive = Archive::read(&bytes).unwrap();
    let names: Vec<_> = archive.secrets().iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["prod", "prod/db"]);
}

#[test]
fn what_is_there_already_is_skipped_replaced_or_refused() {
    let here = Scratch::new();
    here.set("a", "a from backup");
    here.set("b", "b from backup");
    here.set("c", "c from backup");
    here.set("d", "old d");
    here.set("d", "new d");
    here.delete("d", None);
    let bytes = export(&here, None);
    let there = || {
        let there = Scratch::new();
        there.set("b", "own b");
        there.set("c", "c from backup");
        there.set("d", "own d");
        there
    };
    let refused = there();
    let error = import(&refused, &bytes, OnExisting::Fail).unwrap_err();
    assert_eq!(error.to_string(), "there is a secret b already");
    assert!(error.hint().unwrap().contains("--on-existing"));
    assert!(matches!(refused.read("a"), Err(VaultError::NotFound(_))), "nothing was imported");

    let skipped = there();
    assert_eq!(import(&skipped, &bytes, OnExisting::Skip).unwrap(), counts(1, 1, 3));
    assert_eq!(skipped.read("a").unwrap(), "a from backup");
    assert_eq!(skipped.read("b").unwrap(), "own b");

    let replaced = there();
    assert_eq!(import(&replaced, &bytes, OnExisting::Replace).unwrap(), counts(2, 2, 2));
    assert_eq!(replaced.read("b").unwrap(), "b from backup");
    assert_eq!(replaced.read_version("b", 1).unwrap(), "own b");
    assert_eq!(replaced.states("c"), "1 live", "it had that value");
    assert_eq!(replaced.read("d").unwrap(), "own d", "no older value comes back");
    // Again changes nothing.
    assert_eq!(import(&replaced, &bytes, OnExisting::Replace).unwrap(), counts(0, 0, 4));
    // What is deleted here gets the value again.
    replaced.delete("b", None);
    assert_eq!(import(&replaced, &bytes, OnExisting::Replace).unwrap(), counts(1, 1, 3));
    assert_eq!(replaced.states("b"), "1 live, 2 deleted, 3 live");
}

#[test]
fn numbers_that_were_used_here_are_not_used_again() {
    let here = Scratch::new();
    for value in ["one", "two", "three"] {
        here.set("a", value);
        here.set("b", value);
    }
    here.delete("a", Some(2));
    here.delete("b", Some(3));
    let bytes = export(&here, None);
    for name in ["a", "b"] {
        here.purge(name, None);
    }
    assert_eq!(import(&here, &bytes, OnExisting::Skip).unwrap(), counts(2, 4, 0));
    assert_eq!(here.states("a"), "4 live, 5 live");
    assert_eq!(here.read_version("a", 4).unwrap(), "one");
    assert_eq!(here.read("a").unwrap(), "three");
    assert_eq!(here.states("b"), "4 live, 5 live");
    assert!(matches!(here.read("b"), Err(VaultError::Purged { version: 6, .. })));
}

#[test]
fn what_has_expired_meanwhile_is_imported_as_expired() {
    let here = Scratch::new();
    here.set_for("a", "x", 60);
    let bytes = export(&here, None);
    let there = Scratch::new();
    there.set("b", "x");
    there.place.clock.set(Timestamp::from_secs(1_800_000_000));
    import(&there, &bytes, OnExisting::Fail).unwrap();
    assert!(matches!(there.read("a"), Err(VaultError::Expired { version: 1, .. })));
    // And takes no other one's place.
    there.set("a", "own");
    assert_eq!(import(&there, &bytes, OnExisting::Replace).unwrap(), counts(0, 0, 1));
    assert_eq!(there.vault.version_of(&named("a")).unwrap().unwrap().state, VersionState::Live);
}

/// More than goes in one commit.
#[test]
fn a_large_backup_is_imported_whole() {
    let here = Scratch::new();
    for n in 0..40 {
        here.set(&format!("long/{n}"), &n.to_string().repeat(400_000));
    }
    for n in 0..1200 {
        here.set(&format!("many/{}", n % 600), &n.to_string());
    }
    let bytes = export(&here, None);
    let there = Scratch::new();
    there.set("long/7", "own");
    assert_eq!(import(&there, &bytes, OnExisting::Skip).unwrap(), counts(639, 1239, 1));
    assert_eq!(there.read("long/39").unwrap(), "39".repeat(400_000));
    assert_eq!(there.read("long/7").unwrap(), "own");
    assert_eq!(there.read_version("many/599", 1).unwrap(), "599");
    let imported =
        there.facts().into_iter().filter(|fact| matches!(fact, Fact::VaultImported { .. }));
    assert_eq!(imported.collect::<Vec<_>>(), [Fact::VaultImported { secrets: 639, values: 1239 }]);
}

struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let here = Scratch::new();
    here.set("a", "x");
    let whole = export(&here, None).len();
    for room in [0, 10, whole / 2, whole - 1] {
        let error = here.vault.export(None, &[], &actor(), &mut Full(room)).unwrap_err();
        assert!(matches!(error, VaultError::Sink(_)), "{room}: {error}");
    }
}
