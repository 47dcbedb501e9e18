//! The journal: a state change and its audit events in one durable commit, many callers at once.
//!
//! # The way of a change
//!
//! A caller submits a [`Change`] and waits. One thread takes all that are waiting, gives each event its
//! place in the audit chain, writes everything in one commit of the store, and answers each caller. A
//! change whose conditions fail leaves nothing: no state, no events, no gap in the chain. When the
//! commit itself fails, every caller of it hears so and the chain stands where it stood.
//!
//! # Invariants
//!
//! - The entry `audit/head` names the last record and its hash. Every commit first compares it with
//!   what this journal believes, so a second process cannot fork the chain.
//! - Records are numbered from 1 without gaps, stored as the exact lines that were hashed.
//! - A change that was answered is on disk. One whose caller went away is committed all the same.

mod answer;
mod batch;
mod checkpoint;
mod error;
mod keys;
mod queue;
mod read;
mod subscription;
mod verify;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use sealock_core::Clock;
use sealock_core::audit::{Event, Fact};

use crate::Store;
use crate::transaction::{Revision, Transaction};
use answer::Answer;
use batch::Order;
pub use checkpoint::{CheckpointSigner, checkpoint_message};
pub use error::JournalError;
use queue::{Closed, Queue};
use subscription::Bell;
pub use subscription::Subscription;
pub use verify::{Anchor, SignatureCheck, Verifier, VerifyError, VerifyReport, verify_store};

/// How many changes may wait; submitters beyond that wait for room.
const QUEUE: usize = 4096;

/// A state change and the events that tell of it.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What is done; may be empty where there is only something to tell.
    pub transaction: Transaction,
    /// What is told, in order.
    pub events: Vec<Event>,
}

impl Change {
    /// A change with one event.
    pub fn new(transaction: Transaction, event: Event) -> Self {
        Self { transaction, events: vec![event] }
    }

    /// An event without a change of state.
    pub fn event(event: Event) -> Self {
        Self::new(Transaction::new(), event)
    }
}

/// A change that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision at which it was applied; the version of every entry that it wrote.
    pub revision: Revision,
    /// The numbers of its records; empty where the change had no events.
    pub records: Range<u64>,
}

/// State of the journal that its thread shares.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    queue: Queue<Order>,
    signer: Mutex<Option<Arc<dyn CheckpointSigner>>>,
    bell: Arc<Bell>,
}

/// The only way by which the planes change state.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal of `store` and starts its thread. Refused when the end of the chain is not
    /// what the store says it is: going on from there would hide the damage.
    pub fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, JournalError> {
        let (head, checkpoint) = read::ends(store.as_ref())?;
        read::check_end(store.as_ref(), &head.chain)?;
        let shared = Arc::new(Shared {
            store,
            clock,
            queue: Queue::new(QUEUE),
            signer: Mutex::new(None),
            bell: Arc::new(Bell::new(head.chain.seq())),
        });
        let writer = writer::start(Arc::clone(&shared), head, checkpoint)
            .map_err(|error| JournalError::Thread(Arc::new(error)))?;
        Ok(Arc::new(Self { shared, writer: Some(writer) }))
    }

    /// The store below, for reads. State that has an audit event is written through the journal.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// The clock given at opening.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Commits `change`; durable when this resolves. Any executor can poll it, none of its threads is
    /// blocked. Dropped before it resolves, the change may or may not be committed.
    pub async fn commit(&self, change: Change) -> Result<Committed, JournalError> {
        check(&change)?;
        let (reply, answer) = answer::pair();
        let order = Order::Change { change: Box::new(change), reply };
        self.shared.queue.push(order).await.map_err(|Closed| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }

    /// [`Journal::commit`] for callers that have a thread to wait on.
    pub fn commit_blocking(&self, change: Change) -> Result<Committed, JournalError> {
        check(&change)?;
        let (reply, answer) = answer::pair();
        self.submit(Order::Change { change: Box::new(change), reply }, answer)
    }

    /// Who signs checkpoints from now on: every 1,000 records, on demand, and when the journal closes.
    pub fn set_signer(&self, signer: Arc<dyn CheckpointSigner>) {
        *self.shared.signer.lock() = Some(signer);
    }

    /// Signs the end of the chain as it is now, as a record of its own.
    pub fn checkpoint(&self) -> Result<Committed, JournalError> {
        let (reply, answer) = answer::pair();
        self.submit(Order::Checkpoint { reply }, answer)
    }

    fn submit(
        &self,
        order: Order,
        answer: Answer<Result<Committed, JournalError>>,
    ) -> Result<Committed, JournalError> {
        self.shared.queue.push_blocking(order).map_err(|Closed| JournalError::Closed)?;
        answer.wait().unwrap_or(Err(JournalError::Closed))
    }
}

/// Commits what is queued, signs a last checkpoint where there is a signer, and ends the thread.
impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.queue.close();
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
        self.shared.bell.close();
    }
}

/// Refuses here what would otherwise fail a whole batch.
fn check(change: &Change) -> Result<(), JournalError> {
    change.transaction.check_sizes().map_err(|error| JournalError::Size(Arc::new(error)))?;
    if change.events.iter().any(|event| matches!(event.fact, Fact::Checkpoint { .. })) {
        return Err(JournalError::Reserved { key: keys::CHECKPOINT.to_vec() });
    }
    let mut keys = change.transaction.operations.iter().map(crate::transaction::Operation::key);
    match keys.find(|key| key.starts_with(keys::OWN)) {
        Some(key) => Err(JournalError::Reserved { key: key.to_vec() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
