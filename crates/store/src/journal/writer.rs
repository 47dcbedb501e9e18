//! The writer's thread: takes what waits, commits it in one go, answers.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use sealock_core::Timestamp;

use super::batch::{Batch, Order, Stage};
use super::read::{self, Head};
use super::{CheckpointSigner, JournalError, Shared};
use crate::transaction::Revision;

/// The most changes in one commit.
const AT_ONCE: usize = 1024;
/// After so many records a checkpoint is signed.
const CHECKPOINT_EVERY: u64 = 1000;
/// How often a commit is tried anew when another process has moved the chain.
const TRIES: usize = 16;

pub(super) fn start(
    shared: Arc<Shared>,
    head: Head,
    checkpointed: u64,
) -> io::Result<JoinHandle<()>> {
    let mut writer = Writer { shared, head, checkpointed };
    std::thread::Builder::new().name("journal".into()).spawn(move || {
        let _hang_up = HangUp(Arc::clone(&writer.shared));
        writer.run();
    })
}

struct Writer {
    shared: Arc<Shared>,
    head: Head,
    /// The number of the last record after which a checkpoint was signed or tried.
    checkpointed: u64,
}

impl Writer {
    fn run(&mut self) {
        while let Some(orders) = self.shared.queue.take(AT_ONCE) {
            self.serve(orders);
        }
        let unsigned = self.head.chain.seq() > self.checkpointed;
        if unsigned && self.shared.signer.lock().is_some() {
            let (reply, answer) = super::answer::pair();
            self.serve(vec![Order::Checkpoint { reply }]);
            if let Some(Err(error)) = answer.wait() {
                tracing::warn!(%error, "the last checkpoint of the audit chain was not signed");
            }
        }
    }

    fn serve(&mut self, orders: Vec<Order>) {
        let mut batch = Batch::new(orders, self.head);
        batch.signer = self.signer_if_due(&batch);
        if let Err(error) = self.commit(&mut batch) {
            batch.fail(&error);
        }
        batch.answer();
    }

    fn signer_if_due(&self, batch: &Batch) -> Option<(Arc<dyn CheckpointSigner>, Timestamp)> {
        let unsigned = self.head.chain.seq() + batch.events() - self.checkpointed;
        if batch.demanded.is_empty() && unsigned < CHECKPOINT_EVERY {
            return None;
        }
        let signer = self.shared.signer.lock().clone()?;
        Some((signer, self.shared.clock.now()))
    }

    /// Commits the batch; after an error nothing of it is stored and the chain stands where it stood.
    fn commit(&mut self, batch: &mut Batch) -> Result<(), JournalError> {
        for _ in 0..TRIES {
            let committed = self.shared.store.commit_sequence(batch);
            if let Err(error) = committed {
                // What stands is asked of the store, not of memory.
                self.head = read::head(self.shared.store.as_ref()).unwrap_or(self.head);
                return Err(JournalError::Commit(Arc::new(error)));
            }
            if batch.stage != Stage::Forked {
                self.moved(batch);
                return Ok(());
            }
            self.head = read::head(self.shared.store.as_ref())?;
            batch.base = self.head;
        }
        Err(JournalError::Contended)
    }

    /// After a commit: where the chain ends now.
    fn moved(&mut self, batch: &Batch) {
        let seq = batch.chain.seq();
        if batch.signer.is_some() {
            self.checkpointed = seq;
        }
        if let Some(Revision(version)) = batch.moved {
            self.head = Head { chain: batch.chain, version: Some(version) };
            self.shared.bell.ring(seq);
        }
    }
}

/// Whatever ends the thread, nobody is left waiting.
struct HangUp(Arc<Shared>);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.queue.close();
        while self.0.queue.take(AT_ONCE).is_some() {}
    }
}
