//! Signed checkpoints: records that name an earlier end of the chain with a signature over it.
//!
//! The chain alone shows accidental damage; somebody who can write to the store could compute it anew
//! from any record on. They cannot make the checkpoints anew.

use std::fmt::Debug;

use data_encoding::BASE64;
use sealock_core::Timestamp;
use sealock_core::audit::{Chain, ChainHash, Event, Fact};

use super::JournalError;

/// Signs the end of the audit chain; the authority is one.
pub trait CheckpointSigner: Send + Sync + Debug {
    /// A signature over `message`, in a form that the certificate's key type decides.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;

    /// The signer's certificate; recorded with each checkpoint so that anybody can check it later.
    fn certificate_pem(&self) -> String;
}

/// What a checkpoint's signature is over: text, so that it can be checked with `openssl` by hand.
pub fn checkpoint_message(seq: u64, head: ChainHash) -> Vec<u8> {
    format!("sealock audit checkpoint v1\n{seq}\n{}\n", head.to_hex()).into_bytes()
}

/// The record that holds a checkpoint of `chain` as it is.
pub(super) fn event(
    signer: &dyn CheckpointSigner,
    chain: &Chain,
    at: Timestamp,
) -> Result<Event, JournalError> {
    let signature = signer
        .sign(&checkpoint_message(chain.seq(), chain.head()))
        .map_err(|detail| JournalError::Sign { detail })?;
    let fact = Fact::Checkpoint {
        seq: chain.seq(),
        head: chain.head().to_hex(),
        signature: BASE64.encode(&signature),
        signer: signer.certificate_pem(),
    };
    Ok(Event { at, who: "sealock".into(), request: "checkpoint".into(), decision: None, fact })
}
