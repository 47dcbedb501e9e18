//! Files that are cut, overwritten, foreign or out of reach: one clear error each, and no panic.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sealock_core::SystemClock;
use sealock_store::{KeyRange, SqliteStore, Store, StoreError, Transaction};
use tempfile::TempDir;

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Arc::new(SystemClock))
}

/// A closed store of some hundred pages.
fn filled() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).unwrap();
    let transactions: Vec<_> = (0..500)
        .map(|n| {
            Transaction::new()
                .put(format!("short/{n:04}"), "x".repeat(100))
                .put(format!("long/{n:04}"), "y".repeat(900))
        })
        .collect();
    store.commit_many(&transactions).unwrap();
    drop(store);
    assert!(!folder.path().join("state.db-wal").exists(), "closing leaves one file");
    (folder, path)
}

/// Reads and writes everywhere; gives back the first error.
fn use_all(store: &SqliteStore) -> Result<(), StoreError> {
    store.range(&KeyRange::prefix(b""), usize::MAX)?;
    for n in 0..500 {
        store.get(format!("long/{n:04}").as_bytes())?;
    }
    let writes: Vec<_> = (0..500)
        .step_by(25)
        .map(|n| Transaction::new().put(format!("short/{n:04}"), "z".repeat(400)))
        .collect();
    store.commit_many(&writes)?;
    store.sweep().map(|_| ())
}

fn hinted(error: &StoreError) -> bool {
    error.hint().is_some_and(|hint| !hint.is_empty())
}

#[test]
fn the_file_is_its_owners() {
    let (_folder, path) = filled();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let store = open(&path).unwrap();
    store.commit(&Transaction::new().put("a", "")).unwrap();
    let log = path.with_extension("db-wal");
    assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn deleted_values_do_not_lie_on_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = open(&path).unwrap();
    let value = |number: u8| vec![number ^ 0xa5; 300];
    for number in 0..40 {
        store.commit(&Transaction::new().put([number], value(number))).unwrap();
    }
    store.commit(&Transaction::new().delete([7])).unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    let holds = |value: &[u8]| bytes.windows(200).any(|window| window == &value[..200]);
    assert!(holds(&value(8)));
    assert!(!holds(&value(7)));
}

#[test]
fn a_cut_file_is_found_when_it_is_opened() {
    let (_folder, path) = filled();
    let whole = fs::metadata(&path).unwrap().len();
    for length in [whole - 1, whole - 4096, whole / 2 + 100, 4096, 600] {
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{length}: {error:?}");
        assert!(hinted(&error));
    }
    for length in [400, 1] {
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{length}: {error:?}");
    }
}

#[test]
fn foreign_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let foreign: [Vec<u8>; 3] =
        [b"# notes\n".repeat(300), vec![0; 8192], b"SQLite format 3\0".repeat(512)];
    for bytes in foreign {
        fs::write(&path, &bytes).unwrap();
        let error = open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Foreign { .. } | StoreError::Corrupt { .. }),
            "{error:?}"
        );
        assert!(hinted(&error));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE entry (key, value); INSERT INTO entry VALUES (1, 2)")
        .unwrap();
    drop(other);
    let bytes = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn another_layout_is_refused() {
    let (_folder, path) = filled();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    drop(connection);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Layout { found: 7, supported: 1, .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("newer"));
}

/// Whatever page is overwritten with whatever: an error or right answers, and no panic.
#[test]
fn garbage_in_any_page_is_an_error() {
    let (_folder, path) = filled();
    let whole = fs::read(&path).unwrap();
    let mut found = 0;
    let pages = whole.len() / 4096;
    for (page, fill) in (0..pages).zip([0x00, 0xff, 0x0d].into_iter().cycle()) {
        fs::write(&path, &whole).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[fill; 4096], u64::try_from(page).unwrap() * 4096).unwrap();
        drop(file);
        match open(&path).and_then(|store| use_all(&store)) {
            Ok(()) => {}
            Err(StoreError::Corrupt { .. } | StoreError::Foreign { .. }) => found += 1,
            Err(other) => panic!("page {page}, {fill}: {other:?}"),
        }
        for suffix in ["db-wal", "db-shm"] {
            let _ = fs::remove_file(path.with_extension(suffix));
        }
    }
    assert!(found * 2 > pages, "{found} of {pages}");
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/state.db");
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("missing/state.db") && hinted(&error));
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "a folder is no store: {error:?}");
}

/// Where the tests below find the folder that they may only read.
const READ_ONLY: &str = "SEALOCK_STORE_READ_ONLY_TEST_STATE";

#[test]
#[ignore = "started by `what_cannot_be_written_is_said_to_be_so`, as a user who is not root"]
fn reader() {
    let Some(folder) = std::env::var_os(READ_ONLY) else { return };
    let folder = Path::new(&folder);
    let error = open(&folder.join("new.db")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(hinted(&error));
    let error = open(&folder.join("state.db")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. } | StoreError::ReadOnly { .. }), "{error:?}");
    assert!(hinted(&error));
    let error = open(&folder.join("secret.db")).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

/// Modes mean nothing to root, so the attempt is made by another process as user 65534.
#[test]
fn what_cannot_be_written_is_said_to_be_so() {
    let (folder, path) = filled();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::copy(&path, folder.path().join("secret.db")).unwrap();
    mode(&folder.path().join("secret.db"), 0o000);
    mode(&path, 0o444);
    let program = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    mode(&program, 0o755);
    mode(folder.path(), 0o555);
    let mut command = Command::new(&program);
    if fs::metadata(&path).unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = command
        .args(["--exact", "reader", "--ignored"])
        .env(READ_ONLY, folder.path())
        .output()
        .unwrap();
    mode(folder.path(), 0o755);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
