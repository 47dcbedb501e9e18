//! A rotation that stops between its commits.

use super::*;
use crate::testing::{Scratch, actor, named};

const SECRETS: usize = 600;

fn filled() -> Scratch {
    let vault = Scratch::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let vault = &vault;
            scope.spawn(move || {
                for n in (thread..SECRETS).step_by(8) {
                    vault.set(&format!("s/{n:03}"), &format!("value {n}"));
                }
            });
        }
    });
    vault
}

fn check(vault: &Scratch) {
    for n in 0..SECRETS {
        let info = vault.vault.history(&named(&format!("s/{n:03}"))).unwrap().remove(0);
        assert_eq!(info.bytes as usize, format!("value {n}").len());
    }
    for n in [0, SECRETS / 2, SECRETS - 1] {
        assert_eq!(vault.read(&format!("s/{n:03}")).unwrap(), format!("value {n}"));
    }
}

#[test]
fn one_that_stopped_anywhere_goes_on_where_it_was() {
    let mut vault = filled();
    let mut newest = 1;
    for commits in 0..5 {
        let key = vault.vault.begin_rotation(&actor()).unwrap();
        newest += 1;
        assert_eq!(key.number, newest);
        let mut progress = Some(Progress::default());
        for _ in 0..commits {
            if let Some(from) = progress {
                progress = vault.vault.move_some(&key, &from).unwrap().0;
            }
        }
        assert_eq!(progress.is_none(), commits == 4, "three commits, and a look at the end");
        vault = vault.reopen();
        check(&vault);
        // Both kinds of secret are changed and come out right, moved or not.
        for name in ["s/000", "s/599"] {
            vault.set(name, "another");
            vault.vault.delete(&named(name), None, &actor()).unwrap();
            vault.vault.purge(&named(name), None, &actor()).unwrap();
        }
        assert_eq!(vault.vault.keys.numbers(), [newest - 1, newest]);
        match commits % 2 {
            0 => {
                let done = vault.vault.finish_rotation(&actor()).unwrap().unwrap();
                assert_eq!((done.key, done.values), (newest, SECRETS as u64 - 2));
            }
            _ => {
                newest += 1;
                let done = vault.vault.rotate_key(&actor()).unwrap();
                assert_eq!((done.key, done.values), (newest, SECRETS as u64 - 2));
            }
        }
        assert_eq!(vault.vault.keys.numbers(), [newest]);
        vault = vault.reopen();
        assert_eq!(vault.vault.finish_rotation(&actor()).unwrap(), None);
        for (name, n) in [("s/000", 0), ("s/599", 599)] {
            vault.set(name, &format!("value {n}"));
        }
        check(&vault);
    }
}

/// Two rotations that stopped, one after the other: three keys.
#[test]
fn even_two_that_stopped_are_brought_to_an_end() {
    let vault = filled();
    for _ in 0..2 {
        let key = vault.vault.begin_rotation(&actor()).unwrap();
        vault.vault.move_some(&key, &Progress::default()).unwrap();
    }
    let vault = vault.reopen();
    assert_eq!(vault.vault.keys.numbers(), [1, 2, 3]);
    check(&vault);
    let done = vault.vault.finish_rotation(&actor()).unwrap().unwrap();
    assert_eq!((done.key, done.values), (3, SECRETS as u64));
    check(&vault.reopen());
}
