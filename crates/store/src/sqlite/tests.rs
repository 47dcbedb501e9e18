use std::sync::Arc;

use sealock_core::SystemClock;

use super::*;
use crate::testing::contract_suite;
use crate::{KeyRange, Operation, StoreError, Transaction};

#[test]
fn keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract_suite(|clock| {
        count.set(count.get() + 1);
        let path = folder.path().join(format!("{}.db", count.get()));
        Arc::new(SqliteStore::open(&path, clock).unwrap())
    });
}

#[test]
fn survives_closing_and_keeps_counting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let open = || SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    let first = open().commit(&Transaction::new().put("a", "1")).unwrap();
    let store = open();
    assert_eq!(store.get(b"a").unwrap().unwrap().value, b"1");
    assert!(store.commit(&Transaction::new().put("a", "2")).unwrap() > first);
}

/// The page limit stands for a full disk: SQLite reports both alike.
#[test]
fn a_full_disk_is_said_to_be_full_and_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    let limit = |pages: i64| {
        let set = "PRAGMA max_page_count = ";
        store.writer.lock().query_row(&format!("{set}{pages}"), [], |_| Ok(())).unwrap();
    };
    store.commit(&Transaction::new().put("before", "1")).unwrap();
    limit(20);
    let fill: Vec<_> =
        (0..200).map(|n| Transaction::new().put(format!("k{n}"), vec![1; 1000])).collect();
    let error = store.commit_many(&fill).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("room"));
    assert_eq!(store.range(&KeyRange::prefix(b""), 1000).unwrap().len(), 1);
    store.commit(&Transaction::new().put("before", "2")).unwrap();
    limit(10_000);
    assert!(store.commit_many(&fill).unwrap().iter().all(Result::is_ok));
}

/// Long values lie apart from their keys; none may be left behind or mixed up.
#[test]
fn long_values_come_and_go_with_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(sealock_core::ManualClock::new(sealock_core::Timestamp::from_secs(1)));
    let store = SqliteStore::open(&folder.path().join("state.db"), clock.clone()).unwrap();
    let kept = || -> i64 {
        let writer = store.writer.lock();
        writer.query_row("SELECT count(*) FROM large", [], |row| row.get(0)).unwrap()
    };
    let long = |byte: u8| vec![byte; 5_000];
    let put = |key: &str, value: Vec<u8>| {
        store.commit(&Transaction::new().put(key, value)).unwrap();
    };
    put("a", long(1));
    put("b", long(2));
    assert_eq!(kept(), 2);
    put("a", long(3));
    assert_eq!(kept(), 2);
    put("b", vec![4]);
    assert_eq!(kept(), 1);
    put("b", long(5));
    let found = store.range(&KeyRange::prefix(b""), 9).unwrap();
    assert_eq!((&found[0].1.value, &found[1].1.value), (&long(3), &long(5)));
    store.commit(&Transaction::new().delete("a")).unwrap();
    assert_eq!(kept(), 1);
    let lease = Operation::Put {
        key: b"b".to_vec(),
        value: long(6),
        expires: Some(sealock_core::Timestamp::from_secs(5)),
    };
    store.commit(&Transaction::new().with(lease)).unwrap();
    assert_eq!((kept(), store.get(b"b").unwrap().unwrap().value), (1, long(6)));
    clock.set(sealock_core::Timestamp::from_secs(5));
    assert_eq!((store.sweep().unwrap(), kept()), (1, 0));
}

/// A writer that holds its transaction open must not keep readers waiting.
#[test]
fn readers_do_not_wait_for_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    store.commit(&Transaction::new().put("a", "1")).unwrap();
    let writer = store.writer.lock();
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE entry SET value = x'32'").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(store.get(b"a").unwrap().unwrap().value, b"1"));
        }
    });
    writer.execute_batch("ROLLBACK").unwrap();
}

/// What durable means here; nothing short of a power cut would show the difference.
#[test]
fn every_commit_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("db"), Arc::new(SystemClock)).unwrap();
    let writer = store.writer.lock();
    let synchronous: i64 = writer.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    let mode: String = writer.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!((synchronous, mode.as_str()), (2, "wal"));
}

#[test]
fn another_process_that_does_not_let_go_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let open = || SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    let (store, other) = (open(), open());
    store.writer.lock().busy_timeout(std::time::Duration::from_millis(20)).unwrap();
    let holding = other.writer.lock();
    holding.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(&Transaction::new().put("a", "1")).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    assert!(error.hint().is_some());
    holding.execute_batch("ROLLBACK").unwrap();
    store.commit(&Transaction::new().put("a", "1")).unwrap();
}

/// The log is moved into the file while commits go on, and begins again instead of growing for ever.
#[test]
fn the_log_is_moved_and_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    let log = || std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    let mut longest = 0;
    for round in 0..30_u8 {
        let batch: Vec<_> = (0..1000_u32)
            .map(|n| Transaction::new().put(n.to_be_bytes(), vec![round; 4000]))
            .collect();
        store.commit_many(&batch).unwrap();
        longest = longest.max(log());
    }
    // 120 MB were written; 32 MiB is where moving begins, and it never waits for long.
    assert!(longest < 90 << 20, "{longest}");
    let moved = std::fs::metadata(&path).unwrap().len();
    assert!(moved > 3 << 20, "{moved}");
    assert_eq!(store.get(&999_u32.to_be_bytes()).unwrap().unwrap().value, vec![29; 4000]);
}

/// What a kill leaves that comes while the tables of a new file are written: the first page says how many there
/// are, the others are missing, and SQLite's rollback journal (file format, section 3) says that the file was
/// empty before.
#[test]
fn killed_while_the_tables_are_made_it_makes_them_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(SqliteStore::open(&path, Arc::new(SystemClock)).unwrap());
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 4096, "more than one page");
    std::fs::write(&path, &whole[..4096]).unwrap();
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("state.db{ending}")));
    }
    let mut journal = vec![0_u8; 512];
    journal[..8].copy_from_slice(&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    // No records, any nonce, no pages before; sectors of 512 bytes, pages of 4096.
    journal[12..16].copy_from_slice(&7_u32.to_be_bytes());
    journal[20..24].copy_from_slice(&512_u32.to_be_bytes());
    journal[24..28].copy_from_slice(&4096_u32.to_be_bytes());
    std::fs::write(folder.path().join("state.db-journal"), journal).unwrap();
    let store = SqliteStore::open(&path, Arc::new(SystemClock)).unwrap();
    assert!(store.get(b"anything").unwrap().is_none());
}
