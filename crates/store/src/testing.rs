//! The contract suite that every [`Store`] passes: `contract_suite(open)` panics where one does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sealock_core::{Clock, ManualClock, Timestamp};

use crate::{
    Condition, KeyRange, Operation, Revision, Sequence, Store, StoreError, Transaction, WatchEvent,
};

/// Long enough for any machine; nothing waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the whole contract. `open` gives a new, empty store that expires by the given clock.
pub fn contract_suite(open: impl Fn(Arc<dyn Clock>) -> Arc<dyn Store>) {
    let cases: [fn(&dyn Store, &ManualClock); 10] = [
        entries_come_back,
        conditions_decide,
        transactions_stand_alone,
        sequences_see_what_went_before,
        ranges_are_ordered,
        pages_meet,
        entries_expire,
        watches_see_commits_in_order,
        slow_watches_are_told,
        bad_keys_are_refused,
    ];
    for case in cases {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
        let store = open(Arc::<ManualClock>::clone(&clock));
        case(store.as_ref(), &clock);
    }
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
    no_update_is_lost(&open(Arc::<ManualClock>::clone(&clock)));
    readers_see_whole_commits(&open(clock));
}

fn value(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    store.get(key.as_bytes()).unwrap().map(|entry| entry.value)
}

fn version(store: &dyn Store, key: &str) -> u64 {
    store.get(key.as_bytes()).unwrap().unwrap().version
}

fn keys(store: &dyn Store, range: &KeyRange, limit: usize) -> Vec<String> {
    let found = store.range(range, limit).unwrap();
    found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

fn entries_come_back(store: &dyn Store, _: &ManualClock) {
    assert_eq!(store.get(b"a").unwrap(), None);
    let first = store.commit(&Transaction::new().put("a", "1").put("b", "")).unwrap();
    assert_eq!(value(store, "a").unwrap(), b"1");
    assert_eq!(value(store, "b").unwrap(), b"");
    assert_eq!(version(store, "a"), first.0);
    let second = store.commit(&Transaction::new().put("a", vec![0, 255]).delete("b")).unwrap();
    assert!(second > first);
    assert_eq!(value(store, "a").unwrap(), [0, 255]);
    assert_eq!(value(store, "b"), None);
    store.commit(&Transaction::new().delete("b")).unwrap();
    // Operations are done in order.
    store.commit(&Transaction::new().put("c", "1").put("c", "2").delete("a")).unwrap();
    assert_eq!(value(store, "c").unwrap(), b"2");
    assert_eq!(value(store, "a"), None);
}

fn conditions_decide(store: &dyn Store, _: &ManualClock) {
    let refused = |transaction: Transaction| match store.commit(&transaction) {
        Err(StoreError::Conflict(conflict)) => conflict.found,
        other => panic!("{other:?}"),
    };
    let created = store.commit(&Transaction::new().create("a", "1")).unwrap().0;
    assert_eq!(refused(Transaction::new().create("a", "2")), Some(created));
    assert_eq!(refused(Transaction::new().replace("a", created + 1, "2")), Some(created));
    assert_eq!(refused(Transaction::new().replace("b", created, "2")), None);
    assert_eq!(refused(Transaction::new().when(Condition::Present(b"b".to_vec()))), None);
    // One failed condition, also the last one, and nothing is done.
    let mixed = Transaction::new().put("c", "1").when(Condition::Present(b"a".to_vec()));
    assert_eq!(refused(mixed.create("a", "3")), Some(created));
    assert_eq!(value(store, "c"), None);
    assert_eq!(value(store, "a").unwrap(), b"1");
    // A version does not come back when the entry does.
    store.commit(&Transaction::new().delete("a")).unwrap();
    store.commit(&Transaction::new().create("a", "1")).unwrap();
    assert!(version(store, "a") > created);
    refused(Transaction::new().replace("a", created, "x"));
    store.commit(&Transaction::new().replace("a", version(store, "a"), "4")).unwrap();
    assert_eq!(value(store, "a").unwrap(), b"4");
}

fn transactions_stand_alone(store: &dyn Store, _: &ManualClock) {
    let outcomes = store
        .commit_many(&[
            Transaction::new().create("a", "1").put("x", "1"),
            Transaction::new().create("a", "2").put("y", "2"),
            Transaction::new().create("b", "3"),
            Transaction::new().when(Condition::Absent(b"b".to_vec())).delete("a"),
        ])
        .unwrap();
    let fine: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, false, true, false]);
    assert_eq!(keys(store, &KeyRange::prefix(b""), 10), ["a", "b", "x"]);
    assert_eq!(version(store, "a"), version(store, "x"));
    assert!(version(store, "b") > version(store, "a"));
    assert!(store.commit_many(&[]).unwrap().is_empty());
}

/// Writes how many transactions before it were applied, until it has seen a conflict.
#[derive(Default)]
struct Counting {
    applied: usize,
    conflicts: usize,
    next: Transaction,
}

impl Sequence for Counting {
    fn restart(&mut self) {
        *self = Self::default();
    }

    fn next(&mut self) -> Option<&Transaction> {
        let key = format!("key{}", self.applied % 3);
        self.next = Transaction::new().create(key, self.applied.to_string());
        (self.conflicts == 0).then_some(&self.next)
    }

    fn outcome(&mut self, outcome: Result<Revision, crate::Conflict>) {
        match outcome {
            Ok(_) => self.applied += 1,
            Err(_) => self.conflicts += 1,
        }
    }
}

fn sequences_see_what_went_before(store: &dyn Store, _: &ManualClock) {
    let mut counting = Counting::default();
    store.commit_sequence(&mut counting).unwrap();
    assert_eq!((counting.applied, counting.conflicts), (3, 1));
    assert_eq!(value(store, "key2").unwrap(), b"2");
}

fn ranges_are_ordered(store: &dyn Store, _: &ManualClock) {
    let mut all = Transaction::new();
    for key in ["b/2", "a", "b/1", "b", "b0", "b/\u{7f}", "c"] {
        all = all.put(key, key);
    }
    store.commit(&all).unwrap();
    let prefix = KeyRange::prefix(b"b/");
    assert_eq!(keys(store, &prefix, 10), ["b/1", "b/2", "b/\u{7f}"]);
    assert_eq!(keys(store, &prefix.clone().descending(), 2), ["b/\u{7f}", "b/2"]);
    assert_eq!(keys(store, &prefix, 0), [""; 0]);
    assert_eq!(keys(store, &KeyRange::between(b"a", b"b/1"), 10), ["a", "b"]);
    assert_eq!(keys(store, &KeyRange::between(b"b", b"a"), 10), [""; 0]);
    assert_eq!(keys(store, &KeyRange::prefix(b"").descending(), 1), ["c"]);
    let bytes: Vec<Vec<u8>> = vec![vec![255, 255], vec![255, 255, 0], vec![254], vec![255]];
    for key in &bytes {
        store.commit(&Transaction::new().put(key.clone(), "")).unwrap();
    }
    let found = store.range(&KeyRange::prefix(&[255]), 10).unwrap();
    let found: Vec<Vec<u8>> = found.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, [vec![255], vec![255, 255], vec![255, 255, 0]]);
}

fn pages_meet(store: &dyn Store, _: &ManualClock) {
    let transactions: Vec<_> =
        (0..100).map(|n| Transaction::new().put(format!("p/{n:03}"), "x")).collect();
    store.commit_many(&transactions).unwrap();
    for whole in [KeyRange::prefix(b"p/"), KeyRange::prefix(b"p/").descending()] {
        let (mut range, mut seen) = (whole.clone(), Vec::new());
        loop {
            let page = keys(store, &range, 7);
            let Some(last) = page.last() else { break };
            range = whole.clone().after(last.as_bytes());
            seen.extend(page);
        }
        assert_eq!(seen, keys(store, &whole, 1000));
        assert_eq!(seen.len(), 100);
    }
}

fn entries_expire(store: &dyn Store, clock: &ManualClock) {
    let lease = |key: &str, seconds| Operation::Put {
        key: key.into(),
        value: b"x".to_vec(),
        expires: Some(Timestamp::from_secs(seconds)),
    };
    let leases = Transaction::new().with(lease("a", 1_010)).with(lease("b", 1_020)).put("c", "");
    store.commit(&leases).unwrap();
    clock.set(Timestamp::from_secs(1_009));
    assert_eq!(keys(store, &KeyRange::prefix(b""), 9), ["a", "b", "c"]);
    assert_eq!(store.sweep().unwrap(), 0);
    clock.set(Timestamp::from_secs(1_010));
    assert_eq!(keys(store, &KeyRange::prefix(b""), 9), ["b", "c"]);
    assert_eq!(keys(store, &KeyRange::prefix(b""), 1), ["b"]);
    assert_eq!(value(store, "a"), None);
    let old = Transaction::new().when(Condition::Present(b"a".to_vec())).put("d", "");
    assert!(matches!(store.commit(&old), Err(StoreError::Conflict(_))));
    // What has expired does not stand in the way of a new one, and a new one is not swept.
    store.commit(&Transaction::new().create("a", "new")).unwrap();
    let watch = store.watch(b"").unwrap();
    clock.set(Timestamp::from_secs(5_000));
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(watch.next_within(PATIENCE), Some(WatchEvent::Deleted { key: b"b".to_vec() }));
    assert_eq!(keys(store, &KeyRange::prefix(b""), 9), ["a", "c"]);
    assert_eq!(store.sweep().unwrap(), 0);
}

fn watches_see_commits_in_order(store: &dyn Store, _: &ManualClock) {
    store.commit(&Transaction::new().put("w/0", "before")).unwrap();
    let watch = store.watch(b"w/").unwrap();
    store.commit(&Transaction::new().put("w/1", "one").put("v", "")).unwrap();
    let _ = store.commit(&Transaction::new().create("w/1", "conflict")).unwrap_err();
    store.commit(&Transaction::new().delete("w/0").delete("w/none").put("w/1", "two")).unwrap();
    let put = |text: &str, entry: &mut Vec<String>| entry.push(text.to_owned());
    let mut seen = Vec::new();
    for _ in 0..3 {
        match watch.next_within(PATIENCE).unwrap() {
            WatchEvent::Put { key, entry } => {
                assert_eq!(key, b"w/1");
                put(&String::from_utf8(entry.value).unwrap(), &mut seen);
            }
            WatchEvent::Deleted { key } => {
                assert_eq!(key, b"w/0");
                put("deleted", &mut seen);
            }
            WatchEvent::Missed => panic!("nothing was missed"),
        }
    }
    assert_eq!(seen, ["one", "deleted", "two"]);
    assert_eq!(watch.next_within(Duration::ZERO), None);
}

fn slow_watches_are_told(store: &dyn Store, _: &ManualClock) {
    let watch = store.watch(b"").unwrap();
    let transactions: Vec<_> =
        (0..5_000).map(|n| Transaction::new().put("k", n.to_string())).collect();
    store.commit_many(&transactions).unwrap();
    let mut missed = false;
    let mut last = None;
    while let Some(event) = watch.next_within(Duration::from_millis(200)) {
        match event {
            WatchEvent::Missed => missed = true,
            WatchEvent::Put { entry, .. } => last = Some(entry.value),
            WatchEvent::Deleted { .. } => panic!("nothing was deleted"),
        }
    }
    assert!(missed, "a watch holds a bounded number of events");
    assert_eq!(last, Some(b"4999".to_vec()), "what comes after the loss is heard");
}

fn bad_keys_are_refused(store: &dyn Store, _: &ManualClock) {
    for key in [Vec::new(), vec![1; 4096]] {
        let outcome = store.commit(&Transaction::new().put("good", "").put(key, ""));
        assert!(matches!(outcome, Err(StoreError::Size { .. })), "{outcome:?}");
    }
    assert_eq!(value(store, "good"), None);
}

fn no_update_is_lost(store: &Arc<dyn Store>) {
    const THREADS: usize = 8;
    const EACH: usize = 50;
    store.commit(&Transaction::new().create("counter", "0")).unwrap();
    let conflicts = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut done = 0;
                while done < EACH {
                    let entry = store.get(b"counter").unwrap().unwrap();
                    let count: usize = String::from_utf8(entry.value).unwrap().parse().unwrap();
                    let next = (count + 1).to_string();
                    let swap = Transaction::new().replace("counter", entry.version, next);
                    match store.commit(&swap) {
                        Ok(_) => done += 1,
                        Err(StoreError::Conflict(_)) => {
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(value(store.as_ref(), "counter").unwrap(), (THREADS * EACH).to_string().as_bytes());
}

fn readers_see_whole_commits(store: &Arc<dyn Store>) {
    let write = |n: usize| Transaction::new().put("t/a", n.to_string()).put("t/b", n.to_string());
    store.commit(&write(0)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..300 {
                store.commit(&write(n)).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut before = 0;
                loop {
                    let both = store.range(&KeyRange::prefix(b"t/"), 2).unwrap();
                    assert_eq!(both[0].1, both[1].1, "a commit was seen in part");
                    assert!(both[0].1.version >= before, "a reader went back");
                    before = both[0].1.version;
                    if both[0].1.value == b"299" {
                        break;
                    }
                }
            });
        }
    });
}
