//! Moving committed pages from the log (WAL) into the file, beside the writer instead of in its way.
//!
//! SQLite would do this within whichever commit finds the log too long, and that commit, with everybody
//! who waits behind it, would take some hundred milliseconds. Here a thread does most of it while
//! commits go on, and then holds the writer back only for what was committed meanwhile; after that the
//! log begins again at its start and does not grow.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::open;
use crate::error::StoreError;

/// After about so many pages were written: 32 MiB of log.
const AFTER_PAGES: u64 = 8192;
/// So many frames are left for when the writer is held back, some milliseconds' worth.
const FEW: i64 = 1024;
/// How often the rest is tried to be made that small. Beyond that the writer is simply faster.
const PASSES: usize = 3;

#[derive(Debug, Default)]
struct State {
    /// Pages written since the last checkpoint, roughly.
    pages: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path, writer: Arc<Mutex<Connection>>) -> Result<Self, StoreError> {
        let beside = open::checkpointer(path)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || theirs.run(&beside, &writer))
            .map_err(|error: io::Error| StoreError::Open {
                path: path.to_owned(),
                source: error.into(),
            })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Says that a commit wrote about so many pages.
    pub(super) fn wrote(&self, pages: u64) {
        let mut state = self.shared.state.lock();
        state.pages += pages;
        if state.pages >= AFTER_PAGES {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's checkpoint thread panicked");
        }
    }
}

impl Shared {
    fn run(&self, beside: &Connection, writer: &Mutex<Connection>) {
        loop {
            let mut state = self.state.lock();
            while state.pages < AFTER_PAGES && !state.closed {
                self.changed.wait(&mut state);
            }
            if state.closed {
                return;
            }
            state.pages = 0;
            drop(state);
            if let Err(error) = checkpoint(beside, writer) {
                // Nothing is lost: the log stays, and SQLite tries by itself when it gets much longer.
                tracing::warn!(%error, "the store's log could not be moved into its file");
            }
        }
    }
}

fn checkpoint(beside: &Connection, writer: &Mutex<Connection>) -> rusqlite::Result<()> {
    for _ in 0..PASSES {
        let before = pass(beside)?;
        if log_length(beside)? - before < FEW {
            break;
        }
    }
    pass(&writer.lock()).map(drop)
}

/// Moves all frames that no reader is in the way of; says how many there are moved now.
fn pass(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))
}

fn log_length(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
}
