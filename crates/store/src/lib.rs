//! State that survives: ordered keys and values ([`Store`]), the one durable commit that holds a state
//! change together with its audit events ([`Journal`]), and the wrapping key for secret material
//! ([`Keyring`]).
//!
//! # Invariants
//!
//! - A commit that was answered is on disk; one that was not answered is there wholly or not at all.
//! - A change and its audit events are one transaction: neither is ever there without the other.
//! - The audit chain has one head. It is itself an entry that is compared before it is moved, so two
//!   processes cannot fork the chain.
//! - Nothing secret reaches a [`Store`] unless it went through [`Keyring::seal`] first.
//!
//! # What an attacker controls
//!
//! Somebody who reads a backup of the state folder sees every entry; the secret ones are sealed.
//! Somebody who writes to it can remove or change entries: sealed ones then fail to open (also when two
//! are swapped), and the audit chain no longer verifies against its signed checkpoints.

mod error;
pub mod journal;
pub mod keyring;
mod sqlite;
mod transaction;
mod watch;

#[cfg(any(test, feature = "testing"))]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it is test code, compiled for tests only"
)]
pub mod testing;

use std::fmt::Debug;

pub use error::{BoxedError, StoreError};
pub use journal::{Change, Committed, Journal, JournalError};
pub use keyring::{Keyring, KeyringError, NewProtection, Prepared, Protection};
pub use sqlite::SqliteStore;
pub use transaction::{
    Condition, Conflict, KeyRange, MAX_KEY, MAX_VALUE, Operation, Revision, Sequence, Transaction,
    Versioned,
};
pub use watch::{Watch, WatchEvent};

/// Ordered keys and values with compare-and-swap transactions, range reads, expiry and watch.
///
/// Every method may be called from any thread and blocks only for the disk; call [`Store::commit`] and
/// its like off an async runtime's threads, or use [`Journal::commit`], which does that.
pub trait Store: Send + Sync + Debug {
    /// The entry at `key`, unless it has expired.
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError>;

    /// At most `limit` unexpired entries of `range`, in its order, all of one moment.
    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError>;

    /// Applies the transactions that `sequence` gives, each seeing the ones before it, in one durable
    /// commit. Each stands or falls by its own conditions. After an error none of them was applied.
    fn commit_sequence(&self, sequence: &mut dyn Sequence) -> Result<(), StoreError>;

    /// What is committed from now on to keys that begin with `prefix`, through this handle.
    fn watch(&self, prefix: &[u8]) -> Result<Watch, StoreError>;

    /// Removes what has expired and says how many entries that were. Expired entries are invisible
    /// before that; this only gives back the room and tells the watches.
    fn sweep(&self) -> Result<u64, StoreError>;

    /// [`Store::commit_sequence`] for transactions that are all known before.
    fn commit_many(
        &self,
        transactions: &[Transaction],
    ) -> Result<Vec<Result<Revision, Conflict>>, StoreError> {
        let mut sequence = transaction::Listed::new(transactions);
        self.commit_sequence(&mut sequence)?;
        Ok(sequence.into_outcomes())
    }

    /// One transaction, durable when this returns. A failed condition is [`StoreError::Conflict`].
    fn commit(&self, transaction: &Transaction) -> Result<Revision, StoreError> {
        let outcomes = self.commit_many(std::slice::from_ref(transaction))?;
        match outcomes.into_iter().next() {
            Some(outcome) => outcome.map_err(StoreError::Conflict),
            None => Err(StoreError::NoOutcome),
        }
    }
}
