//! The reading connections: a few, opened when they are needed and kept.
//!
//! When all of them are in use a reader waits. Opening another takes longer than most reads: SQLite parses
//! the schema and prepares each statement anew.

use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::open;
use crate::error::StoreError;

/// The most readers at once; each holds a few megabytes of cache at most. More than there are processors
/// on small machines, so that a long read does not hold up the others.
const MOST: usize = 8;

#[derive(Debug)]
struct Pool {
    idle: Vec<Connection>,
    /// How many more may be opened.
    unopened: usize,
}

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    freed: Condvar,
}

/// A connection in use; goes back when it is dropped.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    /// Opens the first reader at once, so that a store which cannot be read is refused when it is opened.
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
        let idle = vec![open::reader(path)?];
        let pool = Mutex::new(Pool { idle, unopened: MOST - 1 });
        Ok(Self { path: path.to_owned(), pool, freed: Condvar::new() })
    }

    /// Runs `read` on a connection that nobody else uses meanwhile. It must not itself read the store.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut lent = self.lend();
        let connection = match &mut lent.connection {
            Some(connection) => connection,
            unopened => unopened.insert(open::reader(&self.path)?),
        };
        read(connection)
    }

    fn lend(&self) -> Lent<'_> {
        let mut pool = self.pool.lock();
        loop {
            let connection = pool.idle.pop();
            if connection.is_none() {
                if pool.unopened == 0 {
                    self.freed.wait(&mut pool);
                    continue;
                }
                pool.unopened -= 1;
            }
            return Lent { readers: self, connection };
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        match self.connection.take() {
            Some(connection) => pool.idle.push(connection),
            None => pool.unopened += 1,
        }
        drop(pool);
        self.readers.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn many_readers_take_turns_with_a_few_connections() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        drop(open::writer(&path).unwrap());
        let readers = Readers::new(&path).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 * MOST {
                scope.spawn(|| {
                    for _ in 0..50 {
                        readers.with(|_| Ok(())).unwrap();
                    }
                });
            }
        });
        let pool = readers.pool.lock();
        assert_eq!(pool.idle.len() + pool.unopened, MOST, "all came back");
    }

    #[test]
    fn a_reader_that_cannot_be_opened_leaves_its_place_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        drop(open::writer(&path).unwrap());
        let readers = Readers::new(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let first = readers.lend();
        for _ in 0..2 * MOST {
            assert!(readers.with(|_| Ok(())).is_err());
        }
        drop(first);
        assert!(readers.with(|_| Ok(())).is_ok());
    }
}
