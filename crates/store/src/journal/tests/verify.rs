//! Verifying: every alteration of what is stored is found, and signed checkpoints mean something.

use sealock_core::audit::{Chain, ChainHash};

use super::*;

/// The store with one entry replaced, removed or added.
#[derive(Debug)]
struct Altered {
    inner: Arc<dyn Store>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Store for Altered {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let range = KeyRange::prefix(key);
        Ok(self.range(&range, usize::MAX)?.into_iter().find(|found| found.0 == key).map(|f| f.1))
    }

    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
        let forwards = KeyRange { descending: false, ..range.clone() };
        let mut entries = self.inner.range(&forwards, usize::MAX)?;
        entries.retain(|(key, _)| *key != self.key);
        if let Some(value) = self.value.clone().filter(|_| range.contains(&self.key)) {
            entries.push((self.key.clone(), Versioned { value, version: 1 }));
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        if range.descending {
            entries.reverse();
        }
        entries.truncate(limit);
        Ok(entries)
    }

    fn commit_sequence(&self, _: &mut dyn Sequence) -> Result<(), StoreError> {
        panic!("verifying does not write")
    }

    fn watch(&self, prefix: &[u8]) -> Result<Watch, StoreError> {
        self.inner.watch(prefix)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep()
    }
}

fn everything(store: &dyn Store) -> Vec<(Vec<u8>, Versioned)> {
    store.range(&KeyRange::prefix(keys::OWN), usize::MAX).unwrap()
}

fn alter(store: &Arc<dyn Store>, key: &[u8], value: Option<&[u8]>) -> Altered {
    let (inner, value) = (Arc::clone(store), value.map(<[u8]>::to_vec));
    Altered { inner, key: key.to_vec(), value }
}

/// Six records, the third and the sixth of them checkpoints.
fn signed() -> (TempDir, Arc<dyn Store>, Arc<Mac>) {
    let (folder, store, journal) = scratch();
    let mac = Mac::new(b"key");
    assert!(matches!(journal.checkpoint(), Err(JournalError::NoSigner)));
    journal.set_signer(mac.clone());
    for names in [["a", "b"], ["c", "d"]] {
        for name in names {
            journal.commit_blocking(creating(name)).unwrap();
        }
        journal.checkpoint().unwrap();
    }
    drop(journal);
    (folder, store, mac)
}

#[test]
fn a_whole_chain_verifies() {
    let (_folder, store, mac) = signed();
    let report = verify_store(store.as_ref(), &*mac, None).unwrap();
    assert_eq!((report.records, report.checkpoints, report.signed_through), (6, 2, 5));
    let anchor = Anchor { seq: report.records, head: report.head };
    verify_store(store.as_ref(), &*mac, Some(anchor)).unwrap();
}

#[test]
fn every_flipped_byte_is_found() {
    let (_folder, store, mac) = signed();
    let entries = everything(store.as_ref());
    assert_eq!(entries.len(), 6 + 2);
    let mut flips = 0;
    for (key, entry) in entries {
        verify_store(&alter(&store, &key, Some(&entry.value)), &*mac, None).unwrap();
        for index in 0..entry.value.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut value = entry.value.clone();
                value[index] ^= mask;
                let altered = alter(&store, &key, Some(&value));
                let outcome = verify_store(&altered, &*mac, None);
                assert!(outcome.is_err(), "byte {index} of {:?}", key.escape_ascii().to_string());
                flips += 1;
            }
        }
    }
    assert!(flips > 3_000, "{flips}");
}

#[test]
fn missing_moved_and_added_records_are_found() {
    let (_folder, store, mac) = signed();
    let verify = |altered: &Altered| verify_store(altered, &*mac, None).unwrap_err();
    for (key, _) in everything(store.as_ref()) {
        verify(&alter(&store, &key, None));
    }
    assert!(matches!(
        verify(&alter(&store, &keys::record(2), None)),
        VerifyError::Chain(sealock_core::audit::ChainError::Gap { expected: 2, found: 3 })
    ));
    assert!(matches!(
        verify(&alter(&store, &keys::record(6), None)),
        VerifyError::Truncated { found: 5, expected: 6 }
    ));
    let third = store.get(&keys::record(3)).unwrap().unwrap().value;
    verify(&alter(&store, &keys::record(4), Some(&third)));
    verify(&alter(&store, &keys::record(7), Some(&third)));
    let mut odd = keys::record(6);
    odd.push(0);
    assert!(matches!(
        verify(&alter(&store, &odd, Some(&third))),
        VerifyError::Misplaced { after: 6 }
    ));
}

/// Who can write to the store can compute a chain anew; what they cannot do is sign it.
#[test]
fn a_chain_computed_anew_has_no_good_checkpoint() {
    let (_folder, store, mac) = signed();
    let mut chain = Chain::default();
    let mut forged = Transaction::new();
    let mut head = chain;
    for line in everything(store.as_ref()).into_iter().filter(|e| e.0.starts_with(keys::RECORDS)) {
        let record: sealock_core::audit::Record = serde_json::from_slice(&line.1.value).unwrap();
        let mut event = record.event;
        event.who = event.who.replace("uid:0", "uid:7");
        let line = head.append(event).unwrap();
        forged = forged.put(keys::record(head.seq()), line.clone());
        chain.check(&line).unwrap();
    }
    store.commit(&forged.put(keys::HEAD, keys::head_value(&head))).unwrap();
    let outcome = verify_store(store.as_ref(), &*mac, None);
    assert!(matches!(outcome, Err(VerifyError::Checkpoint { record: 3 })), "{outcome:?}");
    // The chain by itself holds, so nothing but the checkpoint shows it.
    open(&store);
}

#[test]
fn another_signer_is_not_believed() {
    let (_folder, store, _) = signed();
    let outcome = verify_store(store.as_ref(), &*Mac::new(b"other"), None);
    assert!(matches!(outcome, Err(VerifyError::Signature { record: 3, .. })), "{outcome:?}");
}

#[test]
fn an_anchor_finds_a_chain_that_was_cut_cleanly() {
    let (_folder, store, mac) = signed();
    let before = verify_store(store.as_ref(), &*mac, None).unwrap();
    let anchor = Anchor { seq: before.records, head: before.head };
    let line = store.get(&keys::record(3)).unwrap().unwrap().value;
    let mut cut = Transaction::new()
        .put(keys::HEAD, keys::head_value(&Chain::resume(3, ChainHash::of(&line))))
        .put(keys::CHECKPOINT, 3_u64.to_be_bytes());
    for seq in 4..=6 {
        cut = cut.delete(keys::record(seq));
    }
    store.commit(&cut).unwrap();
    verify_store(store.as_ref(), &*mac, None).unwrap();
    let outcome = verify_store(store.as_ref(), &*mac, Some(anchor));
    assert!(matches!(outcome, Err(VerifyError::Truncated { found: 3, expected: 6 })));
    // The same number of records again, but others.
    let journal = open(&store);
    journal.set_signer(mac.clone());
    for name in ["x", "y", "z"] {
        journal.commit_blocking(creating(name)).unwrap();
    }
    let outcome = journal.verify(&*mac, Some(anchor));
    assert!(matches!(outcome, Err(VerifyError::Anchor { seq: 6 })), "{outcome:?}");
}

#[test]
fn a_damaged_end_is_not_continued() {
    let (_folder, store, _) = signed();
    let line = store.get(&keys::record(6)).unwrap().unwrap().value;
    let mut changed = line.clone();
    changed[20] ^= 1;
    let extra = keys::record(7);
    let cases: [(&[u8], Option<&[u8]>); 5] = [
        (&keys::record(6), None),
        (&keys::record(6), Some(&changed)),
        (&extra, Some(&line)),
        (keys::HEAD, None),
        (keys::HEAD, Some(b"short")),
    ];
    for (key, value) in cases {
        let altered: Arc<dyn Store> = Arc::new(alter(&store, key, value));
        let outcome = Journal::open(altered, Arc::new(SystemClock));
        assert!(matches!(outcome, Err(JournalError::Damaged { .. })), "{outcome:?}");
    }
}

#[test]
fn checkpoints_come_by_themselves() {
    let (_folder, store, journal) = scratch();
    let mac = Mac::new(b"key");
    journal.set_signer(mac.clone());
    let many = Change { events: vec![event("e"); 600], ..Change::default() };
    journal.commit_blocking(many.clone()).unwrap();
    assert_eq!(journal.verify(&*mac, None).unwrap().checkpoints, 0);
    journal.commit_blocking(many).unwrap();
    let report = journal.verify(&*mac, None).unwrap();
    assert_eq!((report.checkpoints, report.signed_through), (1, 1_200));
    journal.commit_blocking(creating("last")).unwrap();
    drop(journal);
    let report = verify_store(store.as_ref(), &*mac, None).unwrap();
    assert_eq!((report.checkpoints, report.signed_through, report.records), (2, 1_202, 1_203));
    // Nothing new, nothing signed.
    let journal = open(&store);
    journal.set_signer(mac.clone());
    drop(journal);
    assert_eq!(verify_store(store.as_ref(), &*mac, None).unwrap(), report);
}

#[test]
fn a_failing_signer_does_not_stop_the_journal() {
    #[derive(Debug)]
    struct Locked;
    impl CheckpointSigner for Locked {
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, String> {
            Err("the key is locked".into())
        }
        fn certificate_pem(&self) -> String {
            String::new()
        }
    }
    let (_folder, _store, journal) = scratch();
    journal.set_signer(Arc::new(Locked));
    let many = Change { events: vec![event("e"); 1_500], ..Change::default() };
    journal.commit_blocking(many).unwrap();
    let outcome = journal.checkpoint();
    assert!(matches!(outcome, Err(JournalError::Sign { .. })), "{outcome:?}");
    assert_eq!(journal.verify(&no_signatures, None).unwrap().records, 1_500);
}

#[test]
fn verifying_goes_on_while_others_commit() {
    let (_folder, _store, journal) = scratch();
    let mac = Mac::new(b"key");
    journal.set_signer(mac.clone());
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                let events = vec![event("e"); 40];
                journal.commit_blocking(Change { events, ..creating(&n.to_string()) }).unwrap();
            }
        });
        loop {
            let report = journal.verify(&*mac, None).unwrap();
            if report.records > 60 * 40 {
                break;
            }
        }
    });
}
