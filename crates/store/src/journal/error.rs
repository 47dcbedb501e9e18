//! What can go wrong with the journal.

use std::sync::Arc;

use sealock_core::audit::ChainError;
use thiserror::Error;

use crate::error::StoreError;
use crate::transaction::{Conflict, show_key};

/// Why a change was not committed, or the audit chain not read.
#[derive(Debug, Clone, Error)]
pub enum JournalError {
    /// A condition of the change did not hold; neither it nor its events are there.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store could not commit; nothing of the change is there. Several callers may hear of the same
    /// failure.
    #[error("cannot commit to the journal")]
    Commit(#[source] Arc<StoreError>),
    /// The store could not be read.
    #[error("cannot read the audit chain")]
    Read(#[source] Arc<StoreError>),
    /// A key or value of the change is out of bounds.
    #[error("the change cannot be stored")]
    Size(#[source] Arc<StoreError>),
    /// A change wanted to write where only the journal may.
    #[error("the key {} belongs to the journal", show_key(.key))]
    Reserved {
        /// The key.
        key: Vec<u8>,
    },
    /// An event could not be written as JSON.
    #[error("an audit event cannot be written: {detail}")]
    Event {
        /// What the serializer said.
        detail: String,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// The writer's thread could not be started.
    #[error("cannot start the journal's thread")]
    Thread(#[source] Arc<std::io::Error>),
    /// Another process kept moving the end of the chain.
    #[error("another process is writing to the audit chain")]
    Contended,
    /// A checkpoint was asked for and no signer was given.
    #[error("the audit chain has no signer")]
    NoSigner,
    /// The signer failed.
    #[error("cannot sign a checkpoint of the audit chain: {detail}")]
    Sign {
        /// What the signer said.
        detail: String,
    },
    /// The end of the chain is not what the store says it is.
    #[error("the audit chain is damaged at its end: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// A record does not follow from the one before.
    #[error("the audit chain does not hold")]
    Chain(#[from] ChainError),
    /// The output of an export failed.
    #[error("cannot write the export")]
    Export(#[source] Arc<std::io::Error>),
}

impl JournalError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Commit(cause) | Self::Read(cause) => cause.hint(),
            Self::Contended => Some("stop the other process that uses this state folder".into()),
            Self::Damaged { .. } | Self::Chain(_) => {
                Some("run `sealock audit verify`; restore the state folder from a backup".into())
            }
            _ => None,
        }
    }
}
