//! Which certificate was published where. It is written down before a directory is asked, so that what may be in one is
//! known also when this process ends in between; and crossed out when it has been taken out.

use sealock_authority::Serial;
use sealock_store::{Change, KeyRange, Transaction};

use super::{Service, convert};
use crate::command::PublishedAt;
use crate::error::{ErrorCode, ServiceError};

/// Of every record's key; serial, place and entry follow.
const PREFIX: &str = "control/published/";
/// A certificate is in no more entries than this.
const MOST_PLACES: usize = 1000;
/// Read at once.
const PAGE: usize = 1000;

/// A serial and where it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedRecord {
    pub(crate) serial: String,
    pub(crate) at: PublishedAt,
}

/// Directory and entry.
pub(super) fn place(at: &PublishedAt) -> String {
    // A directory of the settings stays the same one when its URL changes.
    let place = at.directory.as_deref().map_or_else(|| at.url.clone(), |name| format!("={name}"));
    format!("{place}\0{}", at.dn)
}

fn key(serial: &str, at: &PublishedAt) -> Vec<u8> {
    format!("{PREFIX}{serial}/{}", digest(at)).into_bytes()
}

/// Stands for directory and entry in a key: an entry's name can be longer than one.
pub(super) fn digest(at: &PublishedAt) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, place(at).as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

fn serial_of(key: &[u8]) -> Option<String> {
    let rest = std::str::from_utf8(key.get(PREFIX.len()..)?).ok()?;
    rest.split_once('/').map(|(serial, _)| serial.to_owned())
}

impl Service {
    /// Writes down that a certificate may be in an entry from now on. Blocking.
    pub(super) fn note_published(
        &self,
        serial: Serial,
        at: &PublishedAt,
    ) -> Result<(), ServiceError> {
        let value =
            serde_json::to_vec(at).map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let key = key(&serial.to_string(), at);
        let store = self.journal.store();
        let there = store.get(&key).map_err(|error| convert::store_error(&error))?;
        if there.is_some_and(|there| there.value == value) {
            return Ok(());
        }
        self.write_published(Transaction::new().put(key, value))
    }

    /// The event is that of the publication itself, which follows. Blocking.
    pub(super) fn write_published(&self, transaction: Transaction) -> Result<(), ServiceError> {
        let change = Change { transaction, events: Vec::new() };
        let written = self.journal.commit_blocking(change);
        written.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// Crosses certificates out that are no longer in an entry, or that nobody remembers. Blocking.
    pub(super) fn forget_published(
        &self,
        serials: &[String],
        at: &PublishedAt,
    ) -> Result<(), ServiceError> {
        self.write_published(Self::cross_out(serials, at))
    }

    /// Crosses out certificates that are no longer in an entry.
    pub(super) fn cross_out(serials: &[String], at: &PublishedAt) -> Transaction {
        let out = |all: Transaction, serial: &String| all.delete(key(serial, at));
        serials.iter().fold(Transaction::new(), out)
    }

    /// Where a certificate may be. Blocking.
    pub(super) fn published_at(&self, serial: Serial) -> Result<Vec<PublishedAt>, ServiceError> {
        let range = KeyRange::prefix(format!("{PREFIX}{serial}/").as_bytes());
        let found = self.journal.store().range(&range, MOST_PLACES);
        let found = found.map_err(|error| convert::store_error(&error))?;
        // What cannot be read is not worth keeping a revocation from being told.
        Ok(found
            .iter()
            .filter_map(|(_, entry)| serde_json::from_slice(&entry.value).ok())
            .collect())
    }

    /// Everything that was published and not taken out yet. Blocking.
    pub(crate) fn all_published(&self) -> Result<Vec<PublishedRecord>, ServiceError> {
        let mut range = KeyRange::prefix(PREFIX.as_bytes());
        let mut all = Vec::new();
        loop {
            let page = self.journal.store().range(&range, PAGE);
            let page = page.map_err(|error| convert::store_error(&error))?;
            for (key, entry) in &page {
                let at = serde_json::from_slice(&entry.value).ok();
                if let (Some(serial), Some(at)) = (serial_of(key), at) {
                    all.push(PublishedRecord { serial, at });
                }
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => range = range.after(key),
                _ => return Ok(all),
            }
        }
    }
}
