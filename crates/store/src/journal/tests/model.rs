//! The journal against a model of it: a map, a list of events, and changes applied one after the other.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Condition, Operation};

#[derive(Debug, Clone)]
enum Step {
    /// Submitted together, so that they may share a commit.
    Together(Vec<Change>),
    Checkpoint,
    Reopen,
    /// The next commits fail, then no more.
    Fail(Vec<Change>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    (0_u8..4).prop_map(|n| vec![b'k', n])
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        key().prop_map(Condition::Absent),
        key().prop_map(Condition::Present),
        (key(), 0_u64..12).prop_map(|(key, version)| Condition::Version { key, version }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (key(), 0_usize..400).prop_map(|(key, length)| Operation::put(key, vec![7; length])),
        key().prop_map(Operation::delete),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    (vec(condition(), 0..2), vec(operation(), 0..3), vec("[a-z]{0,9}", 0..3)).prop_map(
        |(conditions, operations, reasons)| Change {
            transaction: Transaction { conditions, operations },
            events: reasons.iter().map(|reason| event(reason)).collect(),
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(change(), 1..8).prop_map(Step::Together),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        1 => vec(change(), 1..4).prop_map(Step::Fail),
    ]
}

/// What should be there.
#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<Vec<u8>, Versioned>,
    /// The reasons of the events in their order; `None` for a checkpoint.
    records: Vec<Option<String>>,
}

impl Model {
    /// Whether `change` would be applied now.
    fn allows(&self, change: &Change) -> bool {
        change.transaction.conditions.iter().all(|condition| {
            condition.holds(self.entries.get(condition.key()).map(|entry| entry.version))
        })
    }

    fn apply(&mut self, change: &Change, committed: &Committed) {
        for operation in &change.transaction.operations {
            match operation {
                Operation::Put { key, value, .. } => {
                    let version = committed.revision.0;
                    self.entries.insert(key.clone(), Versioned { value: value.clone(), version });
                }
                Operation::Delete { key } => {
                    self.entries.remove(key);
                }
            }
        }
        let next = self.records.len() as u64 + 1;
        assert_eq!(committed.records, next..next + change.events.len() as u64);
        for event in &change.events {
            let Fact::Denied { reason } = &event.fact else { panic!("{event:?}") };
            self.records.push(Some(reason.clone()));
        }
    }

    fn compare(&self, journal: &Journal, mac: &Mac) {
        let stored = journal.store().range(&KeyRange::prefix(b"k"), usize::MAX).unwrap();
        let expected: Vec<_> =
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        assert_eq!(stored, expected);
        let report = journal.verify(mac, None).unwrap();
        assert_eq!(report.records, self.records.len() as u64);
        let reasons = journal.tail(0, usize::MAX).unwrap().into_iter().map(|record| {
            match record.event.fact {
                Fact::Denied { reason } => Some(reason),
                _ => None,
            }
        });
        assert_eq!(reasons.collect::<Vec<_>>(), self.records);
    }
}

fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let mac = Mac::new(b"key");
    let moody = Moody::new(sqlite(&folder));
    let store: Arc<dyn Store> = Arc::<Moody>::clone(&moody);
    let mut journal = open(&store);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Together(changes) => {
                let submitted = changes.iter().map(|change| journal.commit(change.clone()));
                let outcomes = block_on(join_all(submitted));
                // `join_all` polls in order, so that is the order in which they were queued.
                for (change, outcome) in changes.iter().zip(outcomes) {
                    assert_eq!(outcome.is_ok(), model.allows(change), "{change:?}: {outcome:?}");
                    match outcome {
                        Ok(committed) => model.apply(change, &committed),
                        Err(error) => drop(conflict::<()>(Err(error))),
                    }
                }
            }
            Step::Checkpoint => {
                journal.set_signer(mac.clone());
                journal.checkpoint().unwrap();
                model.records.push(None);
            }
            Step::Reopen => {
                let before = journal.last_seq();
                drop(journal);
                journal = open(&store);
                if journal.last_seq() > before {
                    model.records.push(None);
                }
            }
            Step::Fail(changes) => {
                moody.full.store(true, Ordering::SeqCst);
                let submitted = changes.into_iter().map(|change| journal.commit(change));
                for outcome in block_on(join_all(submitted)) {
                    assert!(matches!(outcome, Err(JournalError::Commit(_))), "{outcome:?}");
                }
                moody.full.store(false, Ordering::SeqCst);
            }
        }
        model.compare(&journal, &mac);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_does_what_the_model_does(steps in vec(step(), 1..10)) {
        run(steps);
    }
}
