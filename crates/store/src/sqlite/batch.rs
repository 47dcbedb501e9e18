//! Applying transactions within one SQL transaction.

use rusqlite::{OptionalExtension, Transaction as SqlTransaction, params};
use sealock_core::Timestamp;

use super::{COUNT, REVISION};
use crate::transaction::{Condition, Conflict, Operation, Revision, Transaction};
use crate::watch::WatchEvent;

/// Values beyond this length lie in a table of their own: the tree of keys stays small and dense, and
/// long values are appended one after the other instead of being spread over it.
const INLINE: usize = 128;

const STATE: &str = "SELECT version, large, expires FROM entry WHERE key = ?1";
const INSERT: &str = "INSERT INTO entry (key, value, large, version, expires) \
                      VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO NOTHING";
const UPDATE: &str = "UPDATE entry SET value = ?2, large = ?3, version = ?4, expires = ?5 \
                      WHERE key = ?1";
const LAST_LARGE: &str = "SELECT coalesce(max(id), 0) FROM large";
const INSERT_LARGE: &str = "INSERT INTO large (id, value) VALUES (?1, ?2)";
const DELETE: &str = "DELETE FROM entry WHERE key = ?1";
const DELETE_LARGE: &str = "DELETE FROM large WHERE id = ?1";

/// What is stored under a key, expired or not.
struct State {
    version: u64,
    large: Option<i64>,
    expires: Option<i64>,
}

/// One SQL transaction and what was applied within it so far.
pub(super) struct Batch<'a> {
    sql: &'a SqlTransaction<'a>,
    now: Timestamp,
    before: i64,
    revision: i64,
    /// Entries written or deleted, and the bytes of long values.
    entries: u64,
    bytes: u64,
    last_large: i64,
    news: Option<&'a mut Vec<WatchEvent>>,
}

impl<'a> Batch<'a> {
    pub(super) fn begin(
        sql: &'a SqlTransaction<'a>,
        now: Timestamp,
        news: Option<&'a mut Vec<WatchEvent>>,
    ) -> rusqlite::Result<Self> {
        let before = sql.prepare_cached(REVISION)?.query_row([], |row| row.get(0))?;
        let last_large = sql.prepare_cached(LAST_LARGE)?.query_row([], |row| row.get(0))?;
        Ok(Self { sql, now, before, revision: before, entries: 0, bytes: 0, last_large, news })
    }

    pub(super) fn apply(
        &mut self,
        transaction: &Transaction,
    ) -> rusqlite::Result<Result<Revision, Conflict>> {
        for condition in &transaction.conditions {
            let found = self.version_of(condition.key())?;
            if !condition.holds(found) {
                return Ok(Err(Conflict { condition: Condition::clone(condition), found }));
            }
        }
        if transaction.operations.is_empty() {
            return Ok(Ok(Revision(self.revision.cast_unsigned())));
        }
        self.revision += 1;
        for operation in &transaction.operations {
            match operation {
                Operation::Put { key, value, expires } => self.put(key, value, *expires)?,
                Operation::Delete { key } => self.delete(key)?,
            }
        }
        Ok(Ok(Revision(self.revision.cast_unsigned())))
    }

    /// Writes down how far the revisions went; says about how many pages were written.
    pub(super) fn finish(self) -> rusqlite::Result<u64> {
        if self.revision != self.before {
            self.sql.prepare_cached(COUNT)?.execute([self.revision])?;
        }
        Ok(self.entries + self.bytes / 4096)
    }

    fn state(&self, key: &[u8]) -> rusqlite::Result<Option<State>> {
        let row = |row: &rusqlite::Row<'_>| {
            let version: i64 = row.get(0)?;
            let (large, expires) = (row.get(1)?, row.get(2)?);
            Ok(State { version: version.cast_unsigned(), large, expires })
        };
        self.sql.prepare_cached(STATE)?.query_row([key], row).optional()
    }

    fn version_of(&self, key: &[u8]) -> rusqlite::Result<Option<u64>> {
        let now = self.now.as_millis();
        let state = self.state(key)?.filter(|state| state.expires.is_none_or(|at| at > now));
        Ok(state.map(|state| state.version))
    }

    fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> rusqlite::Result<()> {
        self.entries += 1;
        let large = if value.len() > INLINE { Some(self.append_large(value)?) } else { None };
        let inline = large.is_none().then_some(value);
        let until = expires.map(Timestamp::as_millis);
        let row = params![key, inline, large, self.revision, until];
        // Most entries are new, and for them this is one descent instead of two.
        if self.sql.prepare_cached(INSERT)?.execute(row)? == 0 {
            let old = self.state(key)?.and_then(|state| state.large);
            self.delete_large(old)?;
            self.sql.prepare_cached(UPDATE)?.execute(row)?;
        }
        if let Some(news) = &mut self.news {
            let version = self.revision.cast_unsigned();
            let entry = crate::Versioned { value: value.to_vec(), version };
            news.push(WatchEvent::Put { key: key.to_vec(), entry });
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &[u8]) -> rusqlite::Result<()> {
        let Some(state) = self.state(key)? else { return Ok(()) };
        self.entries += 1;
        self.delete_large(state.large)?;
        self.sql.prepare_cached(DELETE)?.execute([key])?;
        if let Some(news) = &mut self.news {
            news.push(WatchEvent::Deleted { key: key.to_vec() });
        }
        Ok(())
    }

    fn append_large(&mut self, value: &[u8]) -> rusqlite::Result<i64> {
        self.bytes += value.len() as u64;
        self.last_large += 1;
        self.sql.prepare_cached(INSERT_LARGE)?.execute(params![self.last_large, value])?;
        Ok(self.last_large)
    }

    fn delete_large(&self, large: Option<i64>) -> rusqlite::Result<()> {
        if let Some(id) = large {
            self.sql.prepare_cached(DELETE_LARGE)?.execute([id])?;
        }
        Ok(())
    }
}
