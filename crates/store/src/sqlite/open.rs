//! Making, recognising and configuring the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::opening;
use crate::error::StoreError;

/// `SLCK`: says in the file's header whose it is.
const APPLICATION: i64 = 0x534C_434B;
/// The layout below. Another number is refused, never guessed at.
const LAYOUT: i64 = 1;

/// Short values lie beside their keys, so that reading them is one descent; long ones in `large`, which
/// only grows at its end. The index holds only what expires.
const SCHEMA: &str = "
    CREATE TABLE entry (
        key     BLOB    NOT NULL PRIMARY KEY,
        value   BLOB,
        large   INTEGER,
        version INTEGER NOT NULL,
        expires INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE large (id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL;
    CREATE TABLE counter (revision INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
";

/// How long to wait for another process's commit.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| opening(path, error);
    match create_private(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(StoreError::Open { path: path.to_owned(), source: error.into() });
        }
    }
    refuse_short(path)?;
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | common_flags())
            .map_err(failed)?;
    configure(&connection).map_err(failed)?;
    if is_empty(&connection).map_err(failed)? {
        connection.pragma_update(None, "page_size", 4096).map_err(failed)?;
        lay_out(&mut connection).map_err(failed)?;
    }
    recognise(path, &connection)?;
    // Deleted entries are written over within their page: a sealed key that was taken away shall not lie
    // on in the file. FAST costs no extra writes.
    connection
        .execute_batch(
            "PRAGMA secure_delete = FAST; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA cache_size = -131072;
             PRAGMA wal_autocheckpoint = 65536; PRAGMA journal_size_limit = 134217728;",
        )
        .map_err(failed)?;
    Ok(connection)
}

pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| opening(path, error);
    // Not read-only: a reader must be able to set up the shared memory of the WAL.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | common_flags();
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192;")
        .map_err(failed)?;
    Ok(connection)
}

/// For moving the log into the file, beside the writer.
pub(super) fn checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| opening(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | common_flags();
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;")
        .map_err(failed)?;
    Ok(connection)
}

/// Makes an empty file that only its owner can read, durably, if nothing is there.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.sync_all()?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Every connection is used by one thread at a time, so SQLite need not lock it.
fn common_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// No memory map: with one, an I/O error would be a signal that kills the process.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Without this SQLite prepares a range read anew whenever its limit is bound: five times the work.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;",
    )
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(pragma(connection, "page_count")? == 0)
}

/// In one transaction, so that a kill leaves an empty file or a whole one.
fn lay_out(connection: &mut Connection) -> rusqlite::Result<()> {
    let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if pragma(&sql, "application_id")? != 0 {
        return Ok(()); // Another process was faster.
    }
    sql.execute_batch(SCHEMA)?;
    sql.pragma_update(None, "application_id", APPLICATION)?;
    sql.pragma_update(None, "user_version", LAYOUT)?;
    sql.commit()
}

fn recognise(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| opening(path, error);
    if pragma(connection, "application_id").map_err(failed)? != APPLICATION {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let found = pragma(connection, "user_version").map_err(failed)?;
    if found != LAYOUT {
        let path = path.to_owned();
        return Err(StoreError::Layout { path, found, supported: LAYOUT });
    }
    connection.query_row("SELECT revision FROM counter", [], |row| row.get::<_, i64>(0)).map_err(
        |error| StoreError::Corrupt { path: path.to_owned(), detail: error.to_string() },
    )?;
    Ok(())
}

/// A file that is shorter than its header says was cut off. With a log beside it that may be right (a
/// checkpoint was interrupted and will be done again, or the making of the tables and will be undone), and
/// SQLite finds out by itself.
fn refuse_short(path: &Path) -> Result<(), StoreError> {
    let failed =
        |error: io::Error| StoreError::Open { path: path.to_owned(), source: error.into() };
    for ending in ["-wal", "-journal"] {
        let mut log = path.as_os_str().to_owned();
        log.push(ending);
        if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            return Ok(());
        }
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut header = [0_u8; 32];
    if length == 0 {
        return Ok(());
    }
    if length < 512 || io::Read::read_exact(&mut &file, &mut header).is_err() {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    // File format section 1.3: page size at offset 16 (1 stands for 65,536), page count at 28.
    let [.., a, b, c, d] = header;
    let pages = u64::from(u32::from_be_bytes([a, b, c, d]));
    let page = match (header[16], header[17]) {
        (0, 1) => 65_536,
        (high, low) => u64::from(u16::from_be_bytes([high, low])),
    };
    if header.starts_with(b"SQLite format 3\0") && length < pages * page {
        let detail = format!("it has {length} bytes and should have {}", pages * page);
        return Err(StoreError::Corrupt { path: path.to_owned(), detail });
    }
    Ok(())
}
