//! Committing: what is there afterwards, alone and among others, and when the store fails.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};

use super::*;

#[test]
fn changes_and_events_come_together() {
    let (_folder, store, journal) = scratch();
    let change = Change {
        transaction: Transaction::new().create("a", "1"),
        events: vec![event("one"), event("two")],
    };
    let committed = journal.commit_blocking(change.clone()).unwrap();
    assert_eq!(committed.records, 1..3);
    assert_eq!(store.get(b"a").unwrap().unwrap().version, committed.revision.0);
    conflict(journal.commit_blocking(change));
    let silent = Change { transaction: Transaction::new().put("b", "1"), events: Vec::new() };
    assert!(journal.commit_blocking(silent).unwrap().records.is_empty());
    assert_eq!(journal.commit_blocking(Change::event(event("three"))).unwrap().records, 3..4);
    journal.commit_blocking(Change::default()).unwrap();
    let tail = journal.tail(1, 10).unwrap();
    assert_eq!(tail.iter().map(reason).collect::<Vec<_>>(), ["two", "three"]);
    assert_eq!(journal.tail(0, 1).unwrap().len(), 1);
    assert_eq!(journal.last_seq(), 3);
    assert_eq!(journal.verify(&no_signatures, None).unwrap().records, 3);
}

#[test]
fn one_batch_holds_many_and_each_stands_alone() {
    let (_folder, store, journal) = scratch();
    let changes = (0..500).map(|n| creating(&format!("k{}", n / 2)));
    let outcomes = block_on(join_all(changes.map(|change| journal.commit(change))));
    let fine = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(fine, 250, "of each pair exactly one");
    let mut records: Vec<u64> =
        outcomes.into_iter().flatten().flat_map(|committed| committed.records).collect();
    records.sort_unstable();
    assert_eq!(records, (1..251).collect::<Vec<_>>());
    assert_eq!(journal.verify(&no_signatures, None).unwrap().records, 250);
    for record in journal.tail(0, 1000).unwrap() {
        assert!(store.get(reason(&record).as_bytes()).unwrap().is_some());
    }
}

#[test]
fn a_conflict_leaves_no_trace_between_others() {
    let (_folder, store, journal) = scratch();
    journal.commit_blocking(creating("taken")).unwrap();
    let changes = ["a", "taken", "b", "taken", "c"].map(creating);
    let outcomes = block_on(join_all(changes.into_iter().map(|change| journal.commit(change))));
    let fine: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, false, true, false, true]);
    let tail = journal.tail(0, 100).unwrap();
    assert_eq!(tail.iter().map(reason).collect::<Vec<_>>(), ["taken", "a", "b", "c"]);
    assert!(store.get(b"c").unwrap().is_some());
    journal.verify(&no_signatures, None).unwrap();
}

#[test]
fn an_endless_event_fails_alone() {
    let (_folder, store, journal) = scratch();
    let mut endless = creating("endless");
    endless.events.push(event(&"x".repeat(2 << 20)));
    let changes = [creating("a"), endless, creating("b")];
    let outcomes = block_on(join_all(changes.into_iter().map(|change| journal.commit(change))));
    let fine: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, false, true]);
    assert!(matches!(outcomes[1], Err(JournalError::Event { .. })));
    assert!(store.get(b"endless").unwrap().is_none());
    assert_eq!(journal.verify(&no_signatures, None).unwrap().records, 2);
}

#[test]
fn a_failed_commit_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let moody = Moody::new(sqlite(&folder));
    let journal = open(&(Arc::<Moody>::clone(&moody) as Arc<dyn Store>));
    journal.commit_blocking(creating("before")).unwrap();
    moody.full.store(true, Ordering::SeqCst);
    let changes = (0..50).map(|n| creating(&format!("k{n}")));
    for outcome in block_on(join_all(changes.map(|change| journal.commit(change)))) {
        let Err(JournalError::Commit(cause)) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(*cause, StoreError::Full { .. }));
    }
    assert!(matches!(journal.checkpoint(), Err(JournalError::Commit(_))));
    assert_eq!(journal.last_seq(), 1);
    moody.full.store(false, Ordering::SeqCst);
    assert_eq!(journal.commit_blocking(creating("k7")).unwrap().records, 2..3);
    assert_eq!(journal.verify(&no_signatures, None).unwrap().records, 2);
}

#[test]
fn an_engine_may_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let moody = Moody::new(sqlite(&folder));
    moody.restarts.store(3, Ordering::SeqCst);
    let journal = open(&(Arc::<Moody>::clone(&moody) as Arc<dyn Store>));
    let mac = Mac::new(b"key");
    journal.set_signer(mac.clone());
    let changes = ["a", "b", "a", "c"].map(creating);
    let outcomes = block_on(join_all(changes.into_iter().map(|change| journal.commit(change))));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    journal.checkpoint().unwrap();
    let report = journal.verify(&*mac, None).unwrap();
    assert_eq!((report.records, report.checkpoints, report.signed_through), (4, 1, 3));
}

/// Two processes on one state folder: two handles to one file stand for them here.
#[test]
fn two_journals_do_not_fork_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let journals = [open(&sqlite(&folder)), open(&sqlite(&folder))];
    thread::scope(|scope| {
        for (name, journal) in ["left", "right"].into_iter().zip(&journals) {
            scope.spawn(move || {
                for n in 0..40 {
                    journal.commit_blocking(creating(&format!("{name}{n}"))).unwrap();
                }
            });
        }
    });
    for journal in &journals {
        assert_eq!(journal.verify(&no_signatures, None).unwrap().records, 80);
    }
}

#[test]
fn closing_commits_what_is_queued() {
    let (_folder, store, journal) = scratch();
    let mut pending: Vec<_> =
        (0..20).map(|n| Box::pin(journal.commit(creating(&format!("k{n}"))))).collect();
    let mut context = Context::from_waker(Waker::noop());
    for future in &mut pending {
        let _ = future.as_mut().poll(&mut context);
    }
    drop(pending);
    drop(journal);
    assert_eq!(store.range(&KeyRange::prefix(b"k"), 100).unwrap().len(), 20);
    assert_eq!(open(&store).last_seq(), 20);
}

#[test]
fn the_journals_own_entries_are_out_of_reach() {
    let (_folder, _store, journal) = scratch();
    for key in ["audit/head", "audit/record/x", "audit/"] {
        let change = Change { transaction: Transaction::new().delete(key), events: Vec::new() };
        let outcome = journal.commit_blocking(change);
        assert!(matches!(outcome, Err(JournalError::Reserved { .. })), "{outcome:?}");
    }
    let fact = Fact::Checkpoint {
        seq: 0,
        head: String::new(),
        signature: String::new(),
        signer: String::new(),
    };
    let forged = Change::event(Event { fact, ..event("") });
    assert!(matches!(journal.commit_blocking(forged), Err(JournalError::Reserved { .. })));
    let empty = Change { transaction: Transaction::new().put("", ""), events: Vec::new() };
    assert!(matches!(journal.commit_blocking(empty), Err(JournalError::Size(_))));
}

#[test]
fn the_queue_is_bounded_and_lets_everybody_through() {
    let queue = Arc::new(Queue::new(2));
    let sum = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (1..=100).for_each(|n| queue.push_blocking(n).unwrap()));
            scope.spawn(|| (1..=100).for_each(|n| block_on(queue.push(n)).unwrap()));
        }
        let mut taken = Vec::new();
        while taken.len() < 600 {
            let some = queue.take(10).unwrap();
            assert!(some.len() <= 2);
            taken.extend(some);
        }
        taken.iter().sum::<u64>()
    });
    assert_eq!(sum, 6 * 5050);
    queue.close();
    assert_eq!(queue.push_blocking(1), Err(Closed));
    assert_eq!(block_on(queue.push(1)), Err(Closed));
    assert_eq!(queue.take(1), None);
}

#[test]
fn subscribers_hear_everything_in_order() {
    let (_folder, _store, journal) = scratch();
    journal.commit_blocking(creating("k0")).unwrap();
    let mut waiting = journal.subscribe(0);
    let mut polling = journal.subscribe(1);
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(&mut polling).poll_next(&mut context).is_pending());
    let heard = thread::scope(|scope| {
        let writing = Arc::clone(&journal);
        scope.spawn(move || {
            for n in 1..30 {
                writing.commit_blocking(creating(&format!("k{n}"))).unwrap();
            }
        });
        let heard = scope.spawn(move || block_on(polling.take(29).collect::<Vec<_>>()));
        for n in 1..=30 {
            let record = waiting.next_within(Duration::from_secs(30)).unwrap().unwrap();
            assert_eq!(record.seq, n);
        }
        heard.join().unwrap()
    });
    let heard: Vec<u64> = heard.into_iter().map(|record| record.unwrap().seq).collect();
    assert_eq!(heard, (2..=30).collect::<Vec<_>>());
    assert!(waiting.next_within(Duration::ZERO).is_none());
    drop(journal);
    assert!(block_on(waiting.next()).is_none(), "it ends with the journal");
}

#[test]
fn exports_are_the_stored_bytes() {
    let (_folder, store, journal) = scratch();
    for _ in 0..11 {
        let events = vec![event("one of many"); 99];
        journal.commit_blocking(Change { events, ..Change::default() }).unwrap();
    }
    let mut out = Vec::new();
    let count = journal.export(0, &mut out).unwrap();
    assert_eq!(count, 1_089);
    let lines: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
    let stored = store.range(&KeyRange::prefix(keys::RECORDS), usize::MAX).unwrap();
    assert_eq!(lines.len(), stored.len());
    let mut verifier = Verifier::new(&no_signatures, None);
    for (line, (_, entry)) in lines.iter().zip(&stored) {
        assert_eq!(line.strip_suffix(b"\n").unwrap(), entry.value);
        verifier.line(&entry.value).unwrap();
    }
    assert_eq!(verifier.finish().unwrap(), journal.verify(&no_signatures, None).unwrap());
    let mut rest = Vec::new();
    assert_eq!(journal.export(1_080, &mut rest).unwrap(), 9);
    assert!(out.ends_with(&rest));
}
