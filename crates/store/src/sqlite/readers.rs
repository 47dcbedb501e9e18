//! The reading connections: as many as there are readers at once, some of them kept.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::open;
use crate::error::StoreError;

/// How many idle connections are kept; each holds a few megabytes of cache at most.
const KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Opens the first reader at once, so that a store which cannot be read is refused when it is opened.
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
        let first = open::reader(path)?;
        Ok(Self { path: path.to_owned(), idle: Mutex::new(vec![first]) })
    }

    /// Runs `read` on a connection that nobody else uses meanwhile.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::reader(&self.path)?,
        };
        let outcome = read(&connection);
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        outcome
    }
}
