//! The embedded [`Store`]: one SQLite file in WAL mode, every commit durable when it returns.
//!
//! One connection writes, behind a lock; a few others read, and a reader never waits for the writer. A
//! thread of the store's own moves the log into the file.
//! Watches see what is committed through this handle; a second process's commits are visible to reads
//! at once, but not to watches.

mod batch;
mod checkpoint;
mod fault;
mod open;
mod readers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row};
use rusqlite::{TransactionBehavior, params};
use sealock_core::Clock;

use crate::Store;
use crate::error::StoreError;
use crate::transaction::{KeyRange, Sequence, Versioned};
use crate::watch::{Watch, WatchEvent, Watches};
use batch::Batch;
use checkpoint::Checkpointer;
use fault::{reading, writing};
use readers::Readers;

/// How many expired entries go in one commit of a sweep, so that other writers get their turn.
const SWEEP_AT_ONCE: i64 = 1000;

const GET: &str = "SELECT coalesce(large.value, entry.value), version FROM entry \
                   LEFT JOIN large ON large.id = entry.large \
                   WHERE key = ?1 AND (expires IS NULL OR expires > ?2)";
const EXPIRED: &str = "SELECT key FROM entry WHERE expires <= ?1 LIMIT ?2";
const REVISION: &str = "SELECT revision FROM counter";
const COUNT: &str = "UPDATE counter SET revision = ?1";

/// A store in one SQLite file (and its `-wal` and `-shm` beside it).
pub struct SqliteStore {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    // Dropped in this order, so that the writer is the last and leaves one whole file.
    checkpointer: Checkpointer,
    readers: Readers,
    watches: Watches,
    writer: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens the store in `path`, or makes it there (readable by its owner only) when there is none.
    /// The folder must exist. `clock` decides what has expired.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = std::path::absolute(path)
            .map_err(|source| StoreError::Open { path: path.to_owned(), source: source.into() })?;
        let writer = Arc::new(Mutex::new(open::writer(&path)?));
        let readers = Readers::new(&path)?;
        let checkpointer = Checkpointer::start(&path, Arc::clone(&writer))?;
        Ok(Self { path, clock, writer, checkpointer, readers, watches: Watches::default() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn run(
        &self,
        connection: &mut Connection,
        sequence: &mut dyn Sequence,
        news: Option<&mut Vec<WatchEvent>>,
    ) -> Result<(), StoreError> {
        let failed = |error| writing(&self.path, error);
        let sql = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let sql = sql.map_err(failed)?;
        let mut batch = Batch::begin(&sql, self.clock.now(), news).map_err(failed)?;
        sequence.restart();
        while let Some(transaction) = sequence.next() {
            transaction.check_sizes()?;
            let outcome = batch.apply(transaction).map_err(failed)?;
            sequence.outcome(outcome);
        }
        let pages = batch.finish().map_err(failed)?;
        if pages > 0 {
            sql.commit().map_err(failed)?;
            self.checkpointer.wrote(pages);
        }
        Ok(())
    }

    fn sweep_some(&self) -> Result<u64, StoreError> {
        let failed = |error| writing(&self.path, error);
        let now = self.clock.now().as_millis();
        let mut connection = self.writer.lock();
        let sql =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let keys: Vec<Vec<u8>> = sql
            .prepare_cached(EXPIRED)
            .and_then(|mut expired| {
                expired.query_map([now, SWEEP_AT_ONCE], |row| row.get(0))?.collect()
            })
            .map_err(failed)?;
        let mut events = Vec::new();
        let mut batch = Batch::begin(&sql, self.clock.now(), Some(&mut events)).map_err(failed)?;
        for key in &keys {
            batch.delete(key).map_err(failed)?;
        }
        let pages = batch.finish().map_err(failed)?;
        sql.commit().map_err(failed)?;
        self.checkpointer.wrote(pages);
        self.watches.publish(&events);
        Ok(keys.len() as u64)
    }
}

impl Store for SqliteStore {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let now = self.clock.now().as_millis();
        self.readers.with(|connection| {
            connection
                .prepare_cached(GET)
                .and_then(|mut get| get.query_row(params![key, now], versioned).optional())
                .map_err(|error| reading(&self.path, error))
        })
    }

    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
        let now = self.clock.now().as_millis();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = range_query(range.end.is_some(), range.descending);
        let end = range.end.as_deref().unwrap_or_default();
        self.readers.with(|connection| {
            connection
                .prepare_cached(&sql)
                .and_then(|mut query| {
                    let row = |row: &Row<'_>| {
                        let entry = Versioned { value: row.get(1)?, version: version(row, 2)? };
                        Ok((row.get(0)?, entry))
                    };
                    query.query_map(params![range.start, now, limit, end], row)?.collect()
                })
                .map_err(|error| reading(&self.path, error))
        })
    }

    fn commit_sequence(&self, sequence: &mut dyn Sequence) -> Result<(), StoreError> {
        let mut connection = self.writer.lock();
        if !self.watches.any() {
            return self.run(&mut connection, sequence, None);
        }
        let mut news = Vec::new();
        self.run(&mut connection, sequence, Some(&mut news))?;
        // Still under the writer's lock, so that watches see commits in their order.
        self.watches.publish(&news);
        Ok(())
    }

    fn watch(&self, prefix: &[u8]) -> Result<Watch, StoreError> {
        Ok(self.watches.add(prefix))
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let count = self.sweep_some()?;
            total += count;
            if count < SWEEP_AT_ONCE.unsigned_abs() {
                return Ok(total);
            }
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// `?4` is there in every form, so that all take the same parameters.
fn range_query(has_end: bool, descending: bool) -> String {
    let end = if has_end { "key < ?4" } else { "?4 IS NOT NULL" };
    let order = if descending { "DESC" } else { "ASC" };
    format!(
        "SELECT key, coalesce(large.value, entry.value), version \
         FROM entry LEFT JOIN large ON large.id = entry.large \
         WHERE key >= ?1 AND {end} AND (expires IS NULL OR expires > ?2) ORDER BY key {order} LIMIT ?3"
    )
}

fn versioned(row: &Row<'_>) -> rusqlite::Result<Versioned> {
    Ok(Versioned { value: row.get(0)?, version: version(row, 1)? })
}

fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

#[cfg(test)]
mod tests;
