//! The orders of one commit, as the sequence of transactions that the store is given: a guard on the end
//! of the chain, each change with its records, a checkpoint where one is due, the new end of the chain.

use std::sync::Arc;

use sealock_core::Timestamp;
use sealock_core::audit::{Chain, Event};

use super::answer::Reply;
use super::read::Head;
use super::{Change, CheckpointSigner, Committed, JournalError, checkpoint, keys};
use crate::transaction::{Condition, Conflict, Operation, Revision, Sequence, Transaction};

/// The longest record. An event is something a person may read.
const LONGEST_LINE: usize = 1 << 20;

#[derive(Debug)]
pub(super) enum Order {
    Change { change: Box<Change>, reply: Reply<Result<Committed, JournalError>> },
    Checkpoint { reply: Reply<Result<Committed, JournalError>> },
}

/// Which transaction of a batch comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Compares the head with what this journal believes.
    Guard,
    /// A caller's change and its records.
    Change(usize),
    /// The checkpoint, where one is due.
    Checkpoint,
    /// The head, where the chain has moved.
    Head,
    Done,
    /// The head was moved by another process: nothing is applied.
    Forked,
}

struct Row {
    change: Change,
    reply: Reply<Result<Committed, JournalError>>,
    /// How many operations are the caller's; the records come after them.
    own: usize,
    outcome: Option<Result<Committed, JournalError>>,
}

/// The orders that go into one commit.
pub(super) struct Batch {
    pub(super) base: Head,
    rows: Vec<Row>,
    pub(super) demanded: Vec<Reply<Result<Committed, JournalError>>>,
    pub(super) signer: Option<(Arc<dyn CheckpointSigner>, Timestamp)>,
    pub(super) stage: Stage,
    pub(super) chain: Chain,
    /// The chain before the transaction that was given last.
    before: Chain,
    /// The journal's own transaction, while one is given.
    own: Transaction,
    checkpoint: Option<Result<Committed, JournalError>>,
    /// The revision that wrote the head.
    pub(super) moved: Option<Revision>,
}

impl Batch {
    pub(super) fn new(orders: Vec<Order>, base: Head) -> Self {
        let mut rows = Vec::with_capacity(orders.len());
        let mut demanded = Vec::new();
        for order in orders {
            match order {
                Order::Change { change, reply } => {
                    let own = change.transaction.operations.len();
                    rows.push(Row { change: *change, reply, own, outcome: None });
                }
                Order::Checkpoint { reply } => demanded.push(reply),
            }
        }
        Self {
            base,
            rows,
            demanded,
            signer: None,
            stage: Stage::Guard,
            chain: base.chain,
            before: base.chain,
            own: Transaction::new(),
            checkpoint: None,
            moved: None,
        }
    }

    pub(super) fn events(&self) -> u64 {
        self.rows.iter().map(|row| row.change.events.len() as u64).sum()
    }

    pub(super) fn fail(&mut self, error: &JournalError) {
        for row in &mut self.rows {
            row.outcome = Some(Err(error.clone()));
        }
        self.checkpoint = Some(Err(error.clone()));
    }

    pub(super) fn answer(self) {
        for row in self.rows {
            row.reply.give(row.outcome.unwrap_or(Err(JournalError::Closed)));
        }
        for reply in self.demanded {
            reply.give(self.checkpoint.clone().unwrap_or(Err(JournalError::NoSigner)));
        }
    }

    fn guard(&self) -> Transaction {
        let key = keys::HEAD.to_vec();
        Transaction::new().when(match self.base.version {
            Some(version) => Condition::Version { key, version },
            None => Condition::Absent(key),
        })
    }

    /// Gives the row's events their places; false when one cannot be written.
    fn chain_row(&mut self, index: usize) -> bool {
        let Some(row) = self.rows.get_mut(index) else { return false };
        row.change.transaction.operations.truncate(row.own);
        for event in &row.change.events {
            match chained(&mut self.chain, event.clone()) {
                Ok(operation) => row.change.transaction.operations.push(operation),
                Err(error) => {
                    self.chain = self.before;
                    row.outcome = Some(Err(error));
                    return false;
                }
            }
        }
        true
    }

    /// The checkpoint's transaction; nothing when none is due or it could not be signed.
    fn chain_checkpoint(&mut self) -> Option<Transaction> {
        let (signer, at) = self.signer.as_ref()?;
        let made = checkpoint::event(signer.as_ref(), &self.chain, *at)
            .and_then(|event| chained(&mut self.chain, event));
        match made {
            Ok(record) => {
                let number = self.chain.seq().to_be_bytes();
                Some(Transaction::new().with(record).put(keys::CHECKPOINT, number))
            }
            Err(error) => {
                self.chain = self.before;
                tracing::warn!(%error, "a checkpoint of the audit chain was not signed");
                self.checkpoint = Some(Err(error));
                None
            }
        }
    }

    fn committed(&self, revision: Revision) -> Committed {
        Committed { revision, records: self.before.seq() + 1..self.chain.seq() + 1 }
    }

    fn has_moved(&self) -> bool {
        self.chain.seq() != self.base.chain.seq()
    }
}

/// The record of `event` at the end of `chain`, as what writes it.
fn chained(chain: &mut Chain, event: Event) -> Result<Operation, JournalError> {
    let line =
        chain.append(event).map_err(|error| JournalError::Event { detail: error.to_string() })?;
    if line.len() > LONGEST_LINE {
        return Err(JournalError::Event { detail: format!("it has {} bytes", line.len()) });
    }
    Ok(Operation::put(keys::record(chain.seq()), line))
}

impl Sequence for Batch {
    fn restart(&mut self) {
        self.stage = Stage::Guard;
        self.chain = self.base.chain;
        self.checkpoint = None;
        self.moved = None;
        for row in &mut self.rows {
            row.outcome = None;
        }
    }

    fn next(&mut self) -> Option<&Transaction> {
        loop {
            self.before = self.chain;
            let stage = self.stage;
            match stage {
                Stage::Guard => {
                    self.own = self.guard();
                    return Some(&self.own);
                }
                Stage::Change(index) if index >= self.rows.len() => self.stage = Stage::Checkpoint,
                Stage::Change(index) => {
                    if self.chain_row(index) {
                        return self.rows.get(index).map(|row| &row.change.transaction);
                    }
                    self.stage = Stage::Change(index + 1);
                }
                Stage::Checkpoint => match self.chain_checkpoint() {
                    Some(transaction) => {
                        self.own = transaction;
                        return Some(&self.own);
                    }
                    None => self.stage = Stage::Head,
                },
                Stage::Head if self.has_moved() => {
                    self.own = Transaction::new().put(keys::HEAD, keys::head_value(&self.chain));
                    return Some(&self.own);
                }
                Stage::Head => self.stage = Stage::Done,
                Stage::Done | Stage::Forked => return None,
            }
        }
    }

    fn outcome(&mut self, outcome: Result<Revision, Conflict>) {
        match self.stage {
            Stage::Guard => {
                self.stage = if outcome.is_ok() { Stage::Change(0) } else { Stage::Forked };
            }
            Stage::Change(index) => {
                let outcome = outcome.map(|revision| self.committed(revision));
                if outcome.is_err() {
                    self.chain = self.before;
                }
                if let Some(row) = self.rows.get_mut(index) {
                    row.outcome = Some(outcome.map_err(JournalError::Conflict));
                }
                self.stage = Stage::Change(index + 1);
            }
            Stage::Checkpoint => {
                let outcome = outcome.map(|revision| self.committed(revision));
                self.checkpoint = Some(outcome.map_err(JournalError::Conflict));
                self.stage = Stage::Head;
            }
            Stage::Head => {
                self.moved = outcome.ok();
                self.stage = Stage::Done;
            }
            Stage::Done | Stage::Forked => {}
        }
    }
}
