//! What a store is asked to do: ranges, conditions, operations, and what comes of them.

use std::fmt;

use sealock_core::Timestamp;
use thiserror::Error;

use crate::error::StoreError;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 1024;
/// The longest value, in bytes: room for a CRL of some millions of entries.
pub const MAX_VALUE: usize = 128 << 20;

/// A value and the revision at which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Vec<u8>,
    /// The number of the [`Revision`] that wrote them. Never the same for two writes, also not when the
    /// entry was deleted in between.
    pub version: u64,
}

/// The number of a committed transaction: each is greater than all before it, for ever. One that does
/// nothing has the number of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A range of keys in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to it.
    pub start: Vec<u8>,
    /// The first key after it that does not; `None` goes to the end of the store.
    pub end: Option<Vec<u8>>,
    /// Greatest key first.
    pub descending: bool,
}

impl KeyRange {
    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let end = if end.is_empty() { None } else { Some(end) };
        Self { start: prefix.to_vec(), end, descending: false }
    }

    /// From `start` (included) to `end` (excluded).
    pub fn between(start: &[u8], end: &[u8]) -> Self {
        Self { start: start.to_vec(), end: Some(end.to_vec()), descending: false }
    }

    /// The same keys from the other end.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// The same range without the keys up to and including `key`: for reading on where a page ended.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        if self.descending {
            self.end = Some(key.to_vec());
        } else {
            self.start = key.to_vec();
            self.start.push(0);
        }
        self
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_ref().is_none_or(|end| key < end.as_slice())
    }
}

/// What must hold before a transaction is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No (unexpired) entry has this key.
    Absent(Vec<u8>),
    /// An (unexpired) entry has this key.
    Present(Vec<u8>),
    /// The entry is the one that was read: same key, same version.
    Version {
        /// The key.
        key: Vec<u8>,
        /// [`Versioned::version`] as read.
        version: u64,
    },
}

impl Condition {
    /// The key it looks at.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::Version { key, .. } => key,
        }
    }

    /// Whether it holds where the unexpired entry has this version.
    pub fn holds(&self, found: Option<u64>) -> bool {
        match self {
            Self::Absent(_) => found.is_none(),
            Self::Present(_) => found.is_some(),
            Self::Version { version, .. } => found == Some(*version),
        }
    }
}

/// What a transaction does.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes an entry, over one that is there.
    Put {
        /// The key; not empty.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
        /// From when on the entry is as good as deleted.
        expires: Option<Timestamp>,
    },
    /// Removes an entry; no error when there is none.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

impl Operation {
    /// A [`Operation::Put`] that does not expire.
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into(), expires: None }
    }

    /// A [`Operation::Delete`].
    pub fn delete(key: impl Into<Vec<u8>>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// The key it writes.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Shows the length of a value and not the value: it may be personal, and it is long.
impl fmt::Debug for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, expires } => {
                write!(formatter, "Put({}, {} bytes", show_key(key), value.len())?;
                if let Some(expires) = expires {
                    write!(formatter, ", until {expires}")?;
                }
                formatter.write_str(")")
            }
            Self::Delete { key } => write!(formatter, "Delete({})", show_key(key)),
        }
    }
}

/// Conditions that must all hold, and operations that are then all done, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All of them are checked before anything is done.
    pub conditions: Vec<Condition>,
    /// Done in order.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// Nothing, unconditionally.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more condition.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// With one more operation.
    #[must_use]
    pub fn with(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Writes an entry that must not exist yet.
    #[must_use]
    pub fn create(self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        let key = key.into();
        self.when(Condition::Absent(key.clone())).with(Operation::put(key, value))
    }

    /// Writes an entry that must still be the one that was read.
    #[must_use]
    pub fn replace(self, key: impl Into<Vec<u8>>, version: u64, value: impl Into<Vec<u8>>) -> Self {
        let key = key.into();
        self.when(Condition::Version { key: key.clone(), version }).with(Operation::put(key, value))
    }

    /// Writes an entry whatever is there.
    #[must_use]
    pub fn put(self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.with(Operation::put(key, value))
    }

    /// That every key is 1 to [`MAX_KEY`] bytes long and every value at most [`MAX_VALUE`].
    pub fn check_sizes(&self) -> Result<(), StoreError> {
        let conditions = self.conditions.iter().map(|condition| (condition.key().len(), 0));
        let operations = self.operations.iter().map(|operation| match operation {
            Operation::Put { key, value, .. } => (key.len(), value.len()),
            Operation::Delete { key } => (key.len(), 0),
        });
        let out_of_bounds =
            |&(key, value): &(usize, usize)| key == 0 || key > MAX_KEY || value > MAX_VALUE;
        match conditions.chain(operations).find(out_of_bounds) {
            Some((key, value)) => Err(StoreError::Size { key, value }),
            None => Ok(()),
        }
    }

    /// Removes an entry.
    #[must_use]
    pub fn delete(self, key: impl Into<Vec<u8>>) -> Self {
        self.with(Operation::delete(key))
    }
}

/// A condition did not hold; nothing of its transaction was done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the entry {} is not as expected: {}", show_key(.condition.key()), difference(.condition, *.found))]
pub struct Conflict {
    /// The first condition that did not hold.
    pub condition: Condition,
    /// The version that the entry has, if it is there.
    pub found: Option<u64>,
}

fn difference(condition: &Condition, found: Option<u64>) -> &'static str {
    match (condition, found) {
        (Condition::Absent(_), _) => "it exists already",
        (_, None) => "it does not exist",
        (_, Some(_)) => "it was changed in the meantime",
    }
}

/// A key as text where it is text, else with escapes; at most 120 bytes of it.
pub(crate) fn show_key(key: &[u8]) -> String {
    format!("`{}`", key.get(..120).unwrap_or(key).escape_ascii())
}

/// Transactions that are made one after the other, each when the outcome of the one before is known.
///
/// The audit chain needs this: what a record says of its predecessor depends on whether the change
/// before it was applied.
pub trait Sequence {
    /// Called before the first transaction, and again whenever the store has to begin anew; whatever
    /// was heard of outcomes before is void.
    fn restart(&mut self);

    /// The next transaction; `None` ends the sequence and commits it.
    fn next(&mut self) -> Option<&Transaction>;

    /// What became of the transaction last given. It is durable only when the whole sequence is.
    fn outcome(&mut self, outcome: Result<Revision, Conflict>);
}

/// A [`Sequence`] of transactions known before.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    transactions: &'a [Transaction],
    outcomes: Vec<Result<Revision, Conflict>>,
}

impl<'a> Listed<'a> {
    pub(crate) fn new(transactions: &'a [Transaction]) -> Self {
        Self { transactions, outcomes: Vec::with_capacity(transactions.len()) }
    }

    pub(crate) fn into_outcomes(self) -> Vec<Result<Revision, Conflict>> {
        self.outcomes
    }
}

impl Sequence for Listed<'_> {
    fn restart(&mut self) {
        self.outcomes.clear();
    }

    fn next(&mut self) -> Option<&Transaction> {
        self.transactions.get(self.outcomes.len())
    }

    fn outcome(&mut self, outcome: Result<Revision, Conflict>) {
        self.outcomes.push(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(KeyRange::prefix(b"a/").end, Some(b"a0".to_vec()));
        assert_eq!(KeyRange::prefix(b"a\xff\xff").end, Some(b"b".to_vec()));
        assert_eq!(KeyRange::prefix(b"\xff").end, None);
        assert_eq!(KeyRange::prefix(b"").end, None);
        assert!(KeyRange::prefix(b"a").contains(b"a\xff\xff"));
        assert!(!KeyRange::prefix(b"a").contains(b"b"));
    }

    #[test]
    fn pages_follow_without_gap_or_repeat() {
        let range = KeyRange::prefix(b"a").after(b"ab");
        assert!(!range.contains(b"ab") && range.contains(b"ab\0"));
        let range = KeyRange::prefix(b"a").descending().after(b"ab");
        assert!(!range.contains(b"ab") && range.contains(b"aa\xff") && range.contains(b"a"));
    }

    #[test]
    fn debug_does_not_show_values() {
        let text = format!("{:?}", Transaction::new().put(b"k".to_vec(), b"hunter2".to_vec()));
        assert!(text.contains("7 bytes") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn conflicts_say_what_differs() {
        let conflict = Conflict { condition: Condition::Absent(b"a/b".to_vec()), found: Some(3) };
        assert_eq!(conflict.to_string(), "the entry `a/b` is not as expected: it exists already");
    }
}
