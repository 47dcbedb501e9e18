//! What a round of the watcher leaves: entries of the store and audit events, in one durable commit.

use std::collections::BTreeMap;

use sealock_core::Timestamp;
use sealock_core::audit::{Event, Fact};
use sealock_store::{Change, Operation, Transaction};

/// Collected until the round's end.
#[derive(Debug, Default)]
pub(super) struct Effects {
    operations: BTreeMap<Vec<u8>, Operation>,
    events: Vec<Event>,
}

impl Effects {
    /// The last operation on a key counts.
    pub(super) fn write(&mut self, operation: impl IntoIterator<Item = Operation>) {
        for one in operation {
            self.operations.insert(one.key().to_vec(), one);
        }
    }

    pub(super) fn tell(&mut self, at: Timestamp, request: &str, fact: Fact) {
        let (who, request) = ("sealock".to_owned(), request.to_owned());
        self.events.push(Event { at, who, request, decision: None, fact });
    }

    /// Adds what came later.
    pub(super) fn append(&mut self, later: Self) {
        self.operations.extend(later.operations);
        self.events.extend(later.events);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.events.is_empty()
    }

    pub(super) fn change(&self) -> Change {
        let operations = self.operations.values().cloned().collect();
        let transaction = Transaction { conditions: Vec::new(), operations };
        Change { transaction, events: self.events.clone() }
    }
}
