//! Reading the chain: its end, its last records, and all of it as it is stored.

use std::io::Write;
use std::sync::Arc;

use sealock_core::audit::{Chain, ChainHash, Record};

use super::subscription::Subscription;
use super::{Journal, JournalError, keys};
use crate::error::StoreError;
use crate::transaction::KeyRange;
use crate::{Store, Versioned};

/// How many records are read at a time.
pub(super) const PAGE: usize = 500;

/// The end of the chain and the version of the entry that says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) chain: Chain,
    /// `None` before the first record.
    pub(super) version: Option<u64>,
}

pub(super) fn failed(error: StoreError) -> JournalError {
    JournalError::Read(Arc::new(error))
}

pub(super) fn head(store: &dyn Store) -> Result<Head, JournalError> {
    Ok(ends(store)?.0)
}

/// The end of the chain and the number of its last checkpoint (0 for none), of one moment.
pub(super) fn ends(store: &dyn Store) -> Result<(Head, u64), JournalError> {
    let mut head = Head { chain: Chain::default(), version: None };
    let mut checkpoint = 0;
    let own = KeyRange::between(keys::OWN, keys::RECORDS);
    for (key, entry) in store.range(&own, 3).map_err(failed)? {
        if key == keys::HEAD {
            head.chain = keys::head_chain(&entry.value)
                .ok_or_else(|| damaged("the entry that names it cannot be read"))?;
            head.version = Some(entry.version);
        } else if key == keys::CHECKPOINT {
            checkpoint = keys::number(&entry.value).ok_or_else(|| {
                damaged("the entry that names its last checkpoint cannot be read")
            })?;
        } else {
            return Err(damaged("there is an entry that is not the journal's"));
        }
    }
    Ok((head, checkpoint))
}

/// That the last record is the one that the head names.
pub(super) fn check_end(store: &dyn Store, chain: &Chain) -> Result<(), JournalError> {
    let range = KeyRange::prefix(keys::RECORDS).descending();
    let last = store.range(&range, 1).map_err(failed)?;
    let Some((key, entry)) = last.first() else {
        return if chain.seq() == 0 { Ok(()) } else { Err(damaged("all records are missing")) };
    };
    let Some(seq) = keys::seq_of(key) else { return Err(damaged("a record has no number")) };
    if seq != chain.seq() {
        let text = format!("the last record is {seq} and should be {}", chain.seq());
        return Err(damaged(&text));
    }
    if ChainHash::of(&entry.value) != chain.head() {
        return Err(damaged(&format!("record {seq} was changed")));
    }
    Ok(())
}

pub(super) fn damaged(detail: &str) -> JournalError {
    JournalError::Damaged { detail: detail.to_owned() }
}

/// Up to `limit` stored records after number `seq`.
pub(super) fn lines(
    store: &dyn Store,
    seq: u64,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Versioned)>, JournalError> {
    store.range(&KeyRange::prefix(keys::RECORDS).after(&keys::record(seq)), limit).map_err(failed)
}

/// Up to `limit` records after number `seq`, parsed.
pub(super) fn records(
    store: &dyn Store,
    seq: u64,
    limit: usize,
) -> Result<Vec<Record>, JournalError> {
    let lines = lines(store, seq, limit)?;
    lines.into_iter().map(|(key, entry)| parse(&key, &entry.value)).collect()
}

fn parse(key: &[u8], line: &[u8]) -> Result<Record, JournalError> {
    serde_json::from_slice(line).map_err(|error| {
        let seq = keys::seq_of(key).unwrap_or_default();
        sealock_core::audit::ChainError::Unreadable { seq, detail: error.to_string() }.into()
    })
}

impl Journal {
    /// The number of the last record that is on disk; 0 when there is none.
    pub fn last_seq(&self) -> u64 {
        self.shared.bell.seq()
    }

    /// Up to `limit` records after number `after` (0 for the first), in order. The chain is not checked;
    /// [`Journal::verify`] does that.
    pub fn tail(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        records(self.store().as_ref(), after, limit)
    }

    /// Writes the stored lines after number `after` to `out`, byte for byte, each with a line end, and
    /// says how many there were.
    pub fn export(&self, after: u64, out: &mut dyn Write) -> Result<u64, JournalError> {
        let unwritten = |error| JournalError::Export(Arc::new(error));
        let (mut at, mut count) = (after, 0);
        loop {
            let page = lines(self.store().as_ref(), at, PAGE)?;
            for (key, entry) in &page {
                at = keys::seq_of(key).ok_or_else(|| damaged("a record has no number"))?;
                out.write_all(&entry.value).map_err(unwritten)?;
                out.write_all(b"\n").map_err(unwritten)?;
                count += 1;
            }
            if page.len() < PAGE {
                out.flush().map_err(unwritten)?;
                return Ok(count);
            }
        }
    }

    /// The records after number `after`, those to come included.
    pub fn subscribe(&self, after: u64) -> Subscription {
        Subscription::new(Arc::clone(self.store()), Arc::clone(&self.shared.bell), after)
    }
}
