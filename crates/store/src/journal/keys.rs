//! Where the journal keeps what in the store.

use sealock_core::audit::{Chain, ChainHash};

/// Everything of the journal's own; callers' transactions may not write below it.
pub(super) const OWN: &[u8] = b"audit/";
/// The end of the chain: the last number (8 bytes, big-endian) and that record's hash (32 bytes).
pub(super) const HEAD: &[u8] = b"audit/head";
/// The number of the last record that is a signed checkpoint (8 bytes, big-endian).
pub(super) const CHECKPOINT: &[u8] = b"audit/checkpoint";
/// Below this the records, by number.
pub(super) const RECORDS: &[u8] = b"audit/record/";

pub(super) fn record(seq: u64) -> Vec<u8> {
    let mut key = RECORDS.to_vec();
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// The number in a record's key.
pub(super) fn seq_of(key: &[u8]) -> Option<u64> {
    number(key.strip_prefix(RECORDS)?)
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn head_value(chain: &Chain) -> Vec<u8> {
    let mut value = chain.seq().to_be_bytes().to_vec();
    value.extend_from_slice(chain.head().as_bytes());
    value
}

pub(super) fn head_chain(value: &[u8]) -> Option<Chain> {
    let (seq, hash) = value.split_at_checked(8)?;
    Some(Chain::resume(number(seq)?, ChainHash::from_bytes(hash.try_into().ok()?)))
}
