//! SIGKILL at any moment: whatever was answered is there, whatever is there is whole, the chain holds.
//!
//! The test starts itself again as the victim, which commits from several threads and prints what was
//! answered; then it kills it and looks at what is on disk.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sealock_core::audit::{Event, Fact};
use sealock_core::{Clock, SecretBytes, SystemClock, Timestamp};
use sealock_store::{
    Change, Journal, KeyRange, Keyring, NewProtection, Protection, SqliteStore, Transaction,
};

/// Where the victim finds its state; without it the victim's test does nothing.
const STATE: &str = "SEALOCK_STORE_KILL_TEST_STATE";
const THREADS: usize = 4;

fn open(state: &Path) -> Arc<Journal> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqliteStore::open(&state.join("state.db"), Arc::clone(&clock)).unwrap();
    Journal::open(Arc::new(store), clock).unwrap()
}

fn event(name: &str) -> Event {
    Event {
        at: Timestamp::from_secs(1),
        who: "uid:0".into(),
        request: name.into(),
        decision: None,
        fact: Fact::Denied { reason: name.into() },
    }
}

/// Two entries, one of them long, and two events.
fn change(name: &str) -> Change {
    let transaction = Transaction::new()
        .create(format!("short/{name}"), "x")
        .create(format!("long/{name}"), vec![b'x'; 700]);
    Change { transaction, events: vec![event(name), event(name)] }
}

#[test]
#[ignore = "started by the other tests of this file, as what they kill"]
fn victim() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let state = Path::new(&state);
    Keyring::create(&state.join("keys"), &NewProtection::File).unwrap();
    let journal = open(state);
    let start = journal.last_seq();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("{start}-{thread}-{n}");
                    let committed = journal.commit_blocking(change(&name)).unwrap();
                    let line = format!("answered {} {name}\n", committed.records.start);
                    if std::io::stderr().write_all(line.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn start(state: &Path) -> Child {
    start_of("victim", state)
}

fn start_of(victim: &str, state: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", victim, "--ignored", "--nocapture", "--test-threads=1"])
        .env(STATE, state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % limit
}

/// Kills the victim after `answers` and gives back all that it had answered by then.
fn kill_after(state: &Path, answers: usize) -> Vec<(u64, String)> {
    kill_of("victim", state, answers)
}

fn kill_of(victim: &str, state: &Path, answers: usize) -> Vec<(u64, String)> {
    let mut victim = start_of(victim, state);
    let mut answered = Vec::new();
    for line in BufReader::new(victim.stderr.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        if let Some(answer) = line.strip_prefix("answered ") {
            let (seq, name) = answer.split_once(' ').unwrap();
            answered.push((seq.parse().unwrap(), name.to_owned()));
        }
        if answered.len() == answers {
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(answered.len() >= answers, "the victim ended before it was killed");
    answered
}

/// Everything whole, and the names that are there.
fn inspect(state: &Path) -> BTreeSet<String> {
    let journal = open(state);
    let report = journal.verify(&|_: &str, _: &[u8], _: &[u8]| Ok(()), None).unwrap();
    let records = journal.tail(0, usize::MAX).unwrap();
    assert_eq!(records.len() as u64, report.records);
    let mut names = BTreeSet::new();
    for pair in records.chunks(2) {
        assert_eq!(pair[0].event.request, pair[1].event.request, "the events of one change");
        assert!(names.insert(pair[0].event.request.clone()), "a change was applied twice");
    }
    for table in ["short/", "long/"] {
        let entries = journal.store().range(&KeyRange::prefix(table.as_bytes()), usize::MAX);
        let stored = entries.unwrap().into_iter().map(|(key, _)| {
            String::from_utf8(key).unwrap().strip_prefix(table).unwrap().to_owned()
        });
        assert_eq!(stored.collect::<BTreeSet<_>>(), names, "state and events differ");
    }
    names
}

#[test]
fn what_was_answered_is_there() {
    let state = tempfile::tempdir().unwrap();
    let mut all = BTreeSet::new();
    for _ in 0..15 {
        let answers = 1 + usize::try_from(below(200)).unwrap();
        let answered = kill_after(state.path(), answers);
        let there = inspect(state.path());
        let journal = open(state.path());
        for (seq, name) in &answered {
            assert!(there.contains(name), "{name} was answered and is lost");
            let record = journal.tail(seq - 1, 1).unwrap().remove(0);
            assert_eq!((record.seq, &record.event.request), (*seq, name));
        }
        assert!(there.is_superset(&all), "what was there before is lost");
        // Each thread can have had one change that was committed and not yet answered.
        assert!(there.len() <= all.len() + answered.len() + THREADS);
        all = there;
    }
}

#[test]
fn a_kill_while_everything_is_made_is_healed() {
    for _ in 0..15 {
        let state = tempfile::tempdir().unwrap();
        let mut victim = start(state.path());
        thread::sleep(Duration::from_millis(below(60)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let keys = state.path().join("keys");
        Keyring::create(&keys, &NewProtection::File).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["wrapping.key"]);
        inspect(state.path());
    }
}

const PASSPHRASES: [&str; 2] = ["passphrase one", "passphrase two"];

fn passphrase(number: usize) -> Option<SecretBytes> {
    PASSPHRASES.get(number).map(|text| SecretBytes::new((*text).into()))
}

/// Puts one key under one passphrase, another, none, and so on, and says each time what holds.
#[test]
#[ignore = "started by the test below, as what it kills"]
fn protecting_victim() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let keys = Path::new(&state).join("keys");
    let mut now = (0..3)
        .find(|now| {
            Keyring::open(&keys, passphrase(*now).as_ref())
                .is_ok_and(|it| (*now == 2) == (it.protection() == Protection::File))
        })
        .unwrap();
    let keyring = Keyring::open(&keys, passphrase(now).as_ref()).unwrap();
    loop {
        let next = (now + 1) % 3;
        let (old, new) = (passphrase(now), passphrase(next));
        let new = match &new {
            Some(new) => NewProtection::Passphrase(new),
            None => NewProtection::File,
        };
        let prepared = keyring.protect(&keys, old.as_ref(), &new).unwrap();
        if std::io::stderr().write_all(b"answered 0 prepared\n").is_err() {
            return;
        }
        prepared.put().unwrap();
        now = next;
        if std::io::stderr().write_all(b"answered 0 put\n").is_err() {
            return;
        }
    }
}

/// The old protection or the new one holds, and never neither; the key stays the same, and nothing lies beside it.
#[test]
fn a_key_whose_protection_is_changed_survives_every_kill() {
    let state = tempfile::tempdir().unwrap();
    let keys = state.path().join("keys");
    let sealed = Keyring::create(&keys, &NewProtection::File).unwrap().seal("a", b"x").unwrap();
    for answers in [1, 2, 3, 4, 5, 6, 1, 3, 5] {
        kill_of("protecting_victim", state.path(), answers);
        let opened = [None, passphrase(0), passphrase(1)]
            .into_iter()
            .find_map(|passphrase| Keyring::open(&keys, passphrase.as_ref()).ok());
        let opened = opened.unwrap();
        assert_eq!(opened.open_sealed("a", &sealed).unwrap().expose(), b"x");
        let names: Vec<_> =
            std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["wrapping.key"]);
    }
}

/// What a power cut leaves of a log that was not yet written whole: any cut, and garbage after it, is a
/// shorter history and never a broken one.
#[test]
fn a_log_cut_anywhere_is_a_shorter_history() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(state.path());
    for n in 0..40 {
        journal.commit_blocking(change(&format!("0-0-{n}"))).unwrap();
    }
    let read = |name: &str| std::fs::read(state.path().join(name)).unwrap();
    let (file, log) = (read("state.db"), read("state.db-wal"));
    let mut lengths = BTreeSet::new();
    for _ in 0..60 {
        let cut = usize::try_from(below(log.len() as u64)).unwrap();
        let copy = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(copy.path().join(name), bytes).unwrap();
        };
        write("state.db", &file);
        let torn = [&log[..cut], &vec![0xa5; usize::try_from(below(9000)).unwrap()]].concat();
        write("state.db-wal", &torn);
        let names = inspect(copy.path());
        let first: BTreeSet<_> = (0..names.len()).map(|n| format!("0-0-{n}")).collect();
        assert_eq!(names, first, "what is there is what was committed first");
        lengths.insert(names.len());
    }
    assert!(lengths.len() > 10, "the cuts made a difference: {lengths:?}");
}
