//! Which certificate of another authority was published where. The record is what makes a certificate ours in an entry: of
//! what was imported before, nothing else is remembered.

use std::time::Duration;

use sealock_authority::imported::Held;
use sealock_core::{ImportedName, Timestamp};
use sealock_store::{KeyRange, Transaction};
use serde::{Deserialize, Serialize};

use super::published::{digest, place};
use super::{Service, convert};
use crate::command::PublishedAt;
use crate::error::{ErrorCode, ServiceError};

/// Of every record's key; name, fingerprint and place follow.
const PREFIX: &str = "control/published-imported/";
/// Read at once.
const PAGE: usize = 1000;
/// For so long after its end an entry may still have a certificate that could not be taken out of it. As for our own.
const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// A certificate and where it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportedRecord {
    /// What it is called here.
    pub(crate) name: ImportedName,
    /// Hex SHA-256.
    pub(crate) fingerprint: String,
    pub(crate) serial: String,
    pub(crate) not_after: Timestamp,
    pub(crate) at: PublishedAt,
    /// Whether a label has asked for it: what follows it is then published when a label asks for that, and policy permits it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) label: bool,
    /// Whether it was forgotten: then nothing follows it, also where there is something of that name again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forgotten: bool,
}

/// Why what was published is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Another one was imported.
    Replaced,
    Expired,
    Forgotten,
}

impl Over {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Forgotten => "forgotten",
        }
    }
}

impl ImportedRecord {
    pub(super) fn of(name: &ImportedName, held: &Held, at: &PublishedAt, label: bool) -> Self {
        Self {
            name: name.clone(),
            fingerprint: held.fingerprint.clone(),
            serial: held.serial.clone(),
            not_after: held.not_after,
            at: at.clone(),
            label,
            forgotten: false,
        }
    }

    /// What is wrong with it, when this is what is held of its name.
    pub(super) fn over(&self, held: Option<&Held>, now: Timestamp) -> Option<Over> {
        match held {
            _ if self.forgotten => Some(Over::Forgotten),
            None => Some(Over::Forgotten),
            Some(_) if now > self.not_after => Some(Over::Expired),
            Some(held) => (held.fingerprint != self.fingerprint).then_some(Over::Replaced),
        }
    }

    /// So old that it need not be remembered.
    pub(super) fn is_ancient(&self, now: Timestamp) -> bool {
        now > self.not_after.plus(KEPT)
    }

    fn key(&self) -> Vec<u8> {
        format!("{PREFIX}{}/{}/{}", self.name, self.fingerprint, digest(&self.at)).into_bytes()
    }
}

impl Service {
    /// Writes down that it may be there from now on. Blocking.
    pub(super) fn note_imported(&self, record: &ImportedRecord) -> Result<(), ServiceError> {
        let key = record.key();
        let found = self.journal.store().get(&key).map_err(|error| convert::store_error(&error))?;
        let before = found.and_then(|found| serde_json::from_slice(&found.value).ok());
        let before: Option<ImportedRecord> = before;
        // What a command has asked for is not a label's alone, whoever comes after it.
        let by_command = before.as_ref().is_some_and(|before| !before.label && !before.forgotten);
        let record = ImportedRecord { label: record.label && !by_command, ..record.clone() };
        if before.as_ref() == Some(&record) {
            return Ok(());
        }
        self.write_published(put(Transaction::new(), &record)?)
    }

    /// Crosses them out. Blocking.
    pub(super) fn cross_out_imported(records: &[ImportedRecord]) -> Transaction {
        let out = |all: Transaction, record: &ImportedRecord| all.delete(record.key());
        records.iter().fold(Transaction::new(), out)
    }

    /// What of this name was published and not taken out yet. Blocking.
    pub(super) fn imported_published(
        &self,
        name: &ImportedName,
    ) -> Result<Vec<ImportedRecord>, ServiceError> {
        self.imported_records(&format!("{PREFIX}{name}/"))
    }

    /// The same in one entry. Blocking.
    pub(super) fn imported_published_at(
        &self,
        name: &ImportedName,
        at: &PublishedAt,
    ) -> Result<Vec<ImportedRecord>, ServiceError> {
        let mut found = self.imported_published(name)?;
        found.retain(|record| place(&record.at) == place(at));
        Ok(found)
    }

    /// Everything. Blocking.
    pub(super) fn all_imported_published(&self) -> Result<Vec<ImportedRecord>, ServiceError> {
        self.imported_records(PREFIX)
    }

    /// Nothing follows what is forgotten. Blocking.
    pub(super) fn mark_forgotten(&self, name: &ImportedName) -> Result<(), ServiceError> {
        let records = self.imported_published(name)?;
        let mut transaction = Transaction::new();
        for record in records.into_iter().filter(|record| !record.forgotten) {
            transaction = put(transaction, &ImportedRecord { forgotten: true, ..record })?;
        }
        match transaction.operations.is_empty() {
            true => Ok(()),
            false => self.write_published(transaction),
        }
    }

    fn imported_records(&self, prefix: &str) -> Result<Vec<ImportedRecord>, ServiceError> {
        let mut range = KeyRange::prefix(prefix.as_bytes());
        let mut all = Vec::new();
        loop {
            let page = self.journal.store().range(&range, PAGE);
            let page = page.map_err(|error| convert::store_error(&error))?;
            let read = page.iter().filter_map(|(_, it)| serde_json::from_slice(&it.value).ok());
            all.extend(read);
            match page.last() {
                Some((key, _)) if page.len() == PAGE => range = range.after(key),
                _ => return Ok(all),
            }
        }
    }
}

fn put(transaction: Transaction, record: &ImportedRecord) -> Result<Transaction, ServiceError> {
    let value =
        serde_json::to_vec(record).map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
    Ok(transaction.put(record.key(), value))
}
