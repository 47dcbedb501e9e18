//! An import that stops between its commits.

use super::*;
use crate::testing::{Scratch, actor, named};

#[test]
fn one_that_stopped_is_done_again_without_doing_anything_twice() {
    let other = Scratch::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let other = &other;
            scope.spawn(move || {
                for n in (thread..2400).step_by(8) {
                    other.set(&format!("s/{:04}", n / 2), &format!("value {n}"));
                }
            });
        }
    });
    let mut bytes = Vec::new();
    other.vault.export(None, &[], &actor(), &mut bytes).unwrap();
    let archive = Archive::read(&bytes).unwrap();
    let portions = portions(archive.secrets());
    assert_eq!(portions.iter().map(|some| some.len()).collect::<Vec<_>>(), [500, 500, 200]);
    for existing in [OnExisting::Skip, OnExisting::Replace] {
        let vault = Scratch::new();
        let done = Imported::default();
        let done = vault.vault.import_some(portions[0], existing, &actor(), done, false).unwrap();
        assert_eq!((done.secrets, done.values), (500, 1000));
        let vault = vault.reopen();
        assert!(vault.read("s/0499").is_ok() && vault.read("s/0500").is_err());
        let refused = vault.vault.import(&archive, OnExisting::Fail, &actor()).unwrap_err();
        assert!(matches!(refused, VaultError::Exists(_)));
        let done = vault.vault.import(&archive, existing, &actor()).unwrap();
        assert_eq!((done.secrets, done.values, done.skipped), (700, 1400, 500));
        for n in 0..1200 {
            assert_eq!(vault.vault.history(&named(&format!("s/{n:04}"))).unwrap().len(), 2);
        }
    }
}

#[test]
fn a_long_secret_goes_alone() {
    let secret = |name: &str, bytes: &[u32]| ArchivedSecret {
        name: named(name),
        newest: 100,
        versions: bytes.iter().map(|bytes| ArchivedVersion::of_length(*bytes)).collect(),
    };
    const MIB: u32 = 1 << 20;
    let secrets = [
        secret("a", &[1]),
        secret("b", &[MIB; 17]),
        secret("c", &[MIB; 8]),
        secret("d", &[MIB; 8]),
        secret("e", &[1]),
    ];
    let names = |some: &[ArchivedSecret<'_>]| -> String {
        some.iter().map(|secret| secret.name.as_str()).collect()
    };
    let found: Vec<_> = portions(&secrets).into_iter().map(names).collect();
    assert_eq!(found, ["a", "b", "cd", "e"]);
    assert_eq!(portions(&[]).len(), 1, "for the event");
}
