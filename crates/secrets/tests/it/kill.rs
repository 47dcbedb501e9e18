//! SIGKILL at any moment, while secrets are set, a backup is imported and the vault key is rotated: what was
//! answered is there, everything opens, and what was begun can be brought to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sealock_core::audit::Fact;
use sealock_secrets::OnExisting;
use sealock_secrets::backup::Archive;
use sealock_store::KeyRange;

use crate::common::{Place, Scratch, actor, named, text, wanted};

const FOLDER: &str = "SEALOCK_TEST_VAULT_KILL_FOLDER";
const ROUNDS: usize = 8;
/// Several commits' worth; so a kill is in the middle of a rotation or of the import most of the time.
const IMPORTED: usize = 2500;

fn say(line: &str) {
    // In one write, and with a line of its own: the test harness writes too.
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

fn backup(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("backup")).unwrap()
}

/// Not a test of its own: the process that gets killed.
#[test]
#[ignore = "started by the test below"]
fn victim() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let vault = Place::at(folder.into()).open();
    let bytes = backup(vault.place.path());
    say("ready");
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let vault = &vault;
            scope.spawn(move || {
                for n in 0_u64.. {
                    let name = format!("own/{thread}/{}", n % 20);
                    let value = format!("{}-{thread}-{n}", std::process::id());
                    let version = vault.set(&name, &value);
                    say(&format!("set {name} {version} {value}"));
                    if n % 7 == 0 {
                        vault.purge(&name, None);
                        say(&format!("purged {name} {version}"));
                    }
                }
            });
        }
        scope.spawn(|| {
            let archive = Archive::read(&bytes).unwrap();
            vault.vault.import(&archive, OnExisting::Skip, &actor()).unwrap();
            say("imported");
        });
        scope.spawn(|| {
            loop {
                say(&format!("rotated {}", vault.vault.rotate_key(&actor()).unwrap().key));
            }
        });
    });
}

fn start(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill::victim", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the victims have said, by name and version.
#[derive(Default)]
struct Said {
    set: BTreeMap<(String, u64), String>,
    rotated: usize,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["set", name, version, value] => {
                let key = (name.to_owned(), version.parse().unwrap());
                let before = self.set.insert(key, value.to_owned());
                assert_eq!(before, None, "{name} version {version} twice");
            }
            ["purged", name, version] => {
                let last: u64 = version.parse().unwrap();
                self.set.retain(|(of, number), _| of != name || *number > last);
            }
            ["rotated", _] => self.rotated += 1,
            _ => {}
        }
    }
}

fn keys(vault: &Scratch) -> usize {
    vault.store().range(&KeyRange::prefix(b"vault/key/"), 10).unwrap().len()
}

/// Everything that is there opens, and what was answered is there. A purge that was not answered may have
/// been done.
fn check(vault: &Scratch, said: &Said) {
    let facts = vault.facts();
    let purged: BTreeSet<&str> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::SecretPurged { secret, .. } => Some(secret.as_str()),
            _ => None,
        })
        .collect();
    let set: Vec<_> = said.set.iter().collect();
    let all: Vec<_> = set.iter().map(|((name, version), _)| wanted(name, Some(*version))).collect();
    for (((name, _), value), found) in set.iter().zip(vault.vault.read(&all).unwrap()) {
        match found {
            Ok(found) => assert_eq!(text(&found), **value),
            Err(error) => {
                assert!(purged.contains(name.as_str()) && !error.is_tampering(), "{name}: {error}");
            }
        }
    }
    let listed = vault.vault.list(None, None, 10_000).unwrap().secrets;
    let all: Vec<_> = listed.iter().map(|secret| wanted(secret.name.as_str(), None)).collect();
    for (secret, found) in listed.iter().zip(vault.vault.read(&all).unwrap()) {
        vault.vault.history(&secret.name).unwrap();
        let found = text(&found.unwrap());
        if secret.name.is_within(&named("many")) {
            assert_eq!(found, format!("value {}", secret.name.last_segment()));
        }
    }
    vault.journal.verify(&|_: &str, _: &[u8], _: &[u8]| Ok(()), None).unwrap();
}

#[test]
fn whatever_is_killed_heals() {
    let place = Place::new();
    let other = Scratch::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let other = &other;
            scope.spawn(move || {
                for n in (thread..IMPORTED).step_by(8) {
                    other.set(&format!("many/{n}"), &format!("value {n}"));
                }
            });
        }
    });
    let mut bytes = Vec::new();
    other.vault.export(None, &[], &actor(), &mut bytes).unwrap();
    std::fs::write(place.path().join("backup"), &bytes).unwrap();
    let mut said = Said::default();
    let mut vault = place.open();
    for round in 0..ROUNDS {
        let Scratch { vault: open, journal, place } = vault;
        drop((open, journal));
        let mut victim = start(&place);
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut heard = 0;
        for line in lines.map_while(Result::ok) {
            said.hear(&line);
            heard += usize::from(line.starts_with("set "));
            if heard == 1 + 6 * round {
                victim.kill().unwrap();
            }
        }
        victim.wait().unwrap();
        vault = place.open();
        check(&vault, &said);
        if round % 2 == 0 {
            vault.vault.finish_rotation(&actor()).unwrap();
            assert_eq!(keys(&vault), 1);
            check(&vault, &said);
        }
    }
    let archive = Archive::read(&bytes).unwrap();
    let imported = vault.vault.import(&archive, OnExisting::Skip, &actor()).unwrap();
    assert_eq!(imported.secrets + imported.skipped, IMPORTED as u64);
    vault.vault.finish_rotation(&actor()).unwrap();
    assert_eq!(keys(&vault), 1);
    check(&vault, &said);
    let page = vault.vault.list(Some(&named("many")), None, 10_000).unwrap();
    assert_eq!(page.secrets.len(), IMPORTED);
}
