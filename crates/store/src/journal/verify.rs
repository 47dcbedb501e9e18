//! Finding any change to the chain: an altered, missing, added or reordered record, a cut end, a chain
//! computed anew below a signed checkpoint.
//!
//! What cannot be found from the store alone: a cut back to just after a checkpoint, with the entries
//! that name the end and the last checkpoint set back too. An [`Anchor`] kept elsewhere finds that.

use data_encoding::BASE64;
use sealock_core::audit::{Chain, ChainError, ChainHash, Fact, Record};
use thiserror::Error;

use super::read::{self, PAGE};
use super::{Journal, JournalError, checkpoint_message, keys};
use crate::Store;

/// Says whether a checkpoint's signature is good and its signer is one to be trusted.
pub trait SignatureCheck {
    /// `message` is [`checkpoint_message`]'s; the error says why not.
    fn check(&self, certificate_pem: &str, message: &[u8], signature: &[u8]) -> Result<(), String>;
}

impl<F: Fn(&str, &[u8], &[u8]) -> Result<(), String>> SignatureCheck for F {
    fn check(&self, certificate_pem: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        self(certificate_pem, message, signature)
    }
}

/// An end of the chain that was seen before and kept outside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The number of the record that was the last.
    pub seq: u64,
    /// Its hash.
    pub head: ChainHash,
}

/// What was seen of a chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many records there are; also the number of the last.
    pub records: u64,
    /// The hash of the last record.
    pub head: ChainHash,
    /// How many signed checkpoints were good.
    pub checkpoints: u64,
    /// Up to which record (included) a signature covers the chain; 0 for none.
    pub signed_through: u64,
}

/// Where a chain does not hold.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A record is changed, missing or out of order.
    #[error("the audit chain does not hold")]
    Chain(#[from] ChainError),
    /// A record is stored under another number.
    #[error("an entry that is no record stands after record {after}")]
    Misplaced {
        /// The last good record.
        after: u64,
    },
    /// The last record is not the one that it should be.
    #[error("record {seq} was changed: its hash is not the one that the end of the chain names")]
    Head {
        /// The last record.
        seq: u64,
    },
    /// Records at the end are missing.
    #[error("the audit chain was cut: it ends with record {found} and should go to {expected}")]
    Truncated {
        /// The last record there is.
        found: u64,
        /// The last record there should be.
        expected: u64,
    },
    /// There are records after the end.
    #[error("the audit chain should end with record {expected} and goes to {found}")]
    Beyond {
        /// The last record there is.
        found: u64,
        /// The last record there should be.
        expected: u64,
    },
    /// A checkpoint names another chain.
    #[error("record {record} is a checkpoint of another chain")]
    Checkpoint {
        /// The checkpoint's number.
        record: u64,
    },
    /// A checkpoint's signature is not good.
    #[error("the checkpoint in record {record} has no good signature: {detail}")]
    Signature {
        /// The checkpoint's number.
        record: u64,
        /// Why.
        detail: String,
    },
    /// The last checkpoint is not where it should be.
    #[error("the last checkpoint is record {found} and should be record {expected}")]
    LastCheckpoint {
        /// The last one there is.
        found: u64,
        /// What the store says.
        expected: u64,
    },
    /// The chain is not the one that was seen before.
    #[error("record {seq} is not the one that was seen before")]
    Anchor {
        /// The anchor's record.
        seq: u64,
    },
    /// The chain could not be read.
    #[error("cannot read the audit chain")]
    Read(#[source] JournalError),
}

/// Checks a chain line by line; for chains that are not in a store, such as exported ones.
pub struct Verifier<'a> {
    chain: Chain,
    signatures: &'a dyn SignatureCheck,
    anchor: Option<Anchor>,
    checkpoints: u64,
    /// The record that is the last checkpoint.
    last_checkpoint: u64,
}

impl std::fmt::Debug for Verifier<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Verifier").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl<'a> Verifier<'a> {
    /// At the first record.
    pub fn new(signatures: &'a dyn SignatureCheck, anchor: Option<Anchor>) -> Self {
        let chain = Chain::default();
        Self { chain, signatures, anchor, checkpoints: 0, last_checkpoint: 0 }
    }

    /// The next line, without its line end.
    pub fn line(&mut self, line: &[u8]) -> Result<Record, VerifyError> {
        let before = self.chain;
        let record = self.chain.check(line)?;
        if let Some(anchor) = self.anchor
            && anchor.seq == record.seq
            && anchor.head != self.chain.head()
        {
            return Err(VerifyError::Anchor { seq: anchor.seq });
        }
        if let Fact::Checkpoint { seq, head, signature, signer } = &record.event.fact {
            if *seq != before.seq() || ChainHash::from_hex(head) != Some(before.head()) {
                return Err(VerifyError::Checkpoint { record: record.seq });
            }
            let refused = |detail| VerifyError::Signature { record: record.seq, detail };
            let signature =
                BASE64.decode(signature.as_bytes()).map_err(|error| refused(error.to_string()))?;
            let message = checkpoint_message(*seq, before.head());
            self.signatures.check(signer, &message, &signature).map_err(refused)?;
            self.checkpoints += 1;
            self.last_checkpoint = record.seq;
        }
        Ok(record)
    }

    /// After the last line.
    pub fn finish(self) -> Result<VerifyReport, VerifyError> {
        let found = self.chain.seq();
        if let Some(anchor) = self.anchor
            && anchor.seq > found
        {
            return Err(VerifyError::Truncated { found, expected: anchor.seq });
        }
        Ok(VerifyReport {
            records: found,
            head: self.chain.head(),
            checkpoints: self.checkpoints,
            signed_through: self.last_checkpoint.saturating_sub(1),
        })
    }

    /// Reads the store's records up to number `last`.
    fn read_through(&mut self, store: &dyn Store, last: u64) -> Result<(), VerifyError> {
        loop {
            let after = self.chain.seq();
            let limit = PAGE.min(usize::try_from(last - after).unwrap_or(PAGE));
            let page = read::lines(store, after, limit).map_err(VerifyError::Read)?;
            if page.is_empty() {
                return Ok(());
            }
            for (key, entry) in &page {
                let after = self.chain.seq();
                let seq = keys::seq_of(key).ok_or(VerifyError::Misplaced { after })?;
                if seq != after + 1 {
                    return Err(ChainError::Gap { expected: after + 1, found: seq }.into());
                }
                self.line(&entry.value)?;
            }
        }
    }
}

/// That nothing stands after the end. A record that does was committed meanwhile, or it is foreign.
fn refuse_beyond(store: &dyn Store, end: u64) -> Result<(), VerifyError> {
    let next = read::lines(store, end, 1).map_err(VerifyError::Read)?;
    let Some((key, _)) = next.first() else { return Ok(()) };
    let found = keys::seq_of(key).ok_or(VerifyError::Misplaced { after: end })?;
    let expected = read::head(store).map_err(VerifyError::Read)?.chain.seq();
    if found > expected { Err(VerifyError::Beyond { found, expected }) } else { Ok(()) }
}

/// Walks the whole chain of `store` as it is now, while others may write to it. Works also where
/// [`Journal::open`] refuses.
pub fn verify_store(
    store: &dyn Store,
    signatures: &dyn SignatureCheck,
    anchor: Option<Anchor>,
) -> Result<VerifyReport, VerifyError> {
    let mut verifier = Verifier::new(signatures, anchor);
    let (head, checkpoint) = read::ends(store).map_err(VerifyError::Read)?;
    let expected = head.chain.seq();
    verifier.read_through(store, expected)?;
    let found = verifier.chain.seq();
    if found < expected {
        return Err(VerifyError::Truncated { found, expected });
    }
    refuse_beyond(store, expected)?;
    if verifier.chain != head.chain {
        return Err(VerifyError::Head { seq: found });
    }
    if verifier.last_checkpoint != checkpoint {
        let found = verifier.last_checkpoint;
        return Err(VerifyError::LastCheckpoint { found, expected: checkpoint });
    }
    verifier.finish()
}

impl Journal {
    /// [`verify_store`] for this journal's store.
    pub fn verify(
        &self,
        signatures: &dyn SignatureCheck,
        anchor: Option<Anchor>,
    ) -> Result<VerifyReport, VerifyError> {
        verify_store(self.store().as_ref(), signatures, anchor)
    }
}
