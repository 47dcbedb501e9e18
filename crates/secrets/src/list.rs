//! What secrets there are: from their records and the rows of their versions, without opening a value.

use sealock_core::SecretName;
use sealock_store::Versioned;

use crate::error::{Part, VaultError};
use crate::info::{Current, Page, SecretInfo, VersionInfo};
use crate::marks::MAX_ROWS;
use crate::place;
use crate::record::Record;
use crate::vault::{Vault, changed};

/// The longest page of a list.
pub const MAX_PAGE: usize = 10_000;

impl Vault {
    /// The secrets by name: all of them, or `path` itself and those below it. At most `limit` (and
    /// [`MAX_PAGE`]), those after `after`.
    ///
    /// A secret whose record is not the vault's own is listed as changed.
    pub fn list(
        &self,
        path: Option<&SecretName>,
        after: Option<&SecretName>,
        limit: usize,
    ) -> Result<Page, VaultError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut rows = self.records(path, after, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let now = self.now();
        let mut secrets = Vec::with_capacity(rows.len());
        for (name, entry) in rows {
            secrets.push(match self.settled_record(&name, &entry) {
                Ok(Some(record)) => SecretInfo::new(name, &record, now),
                Ok(None) => continue,
                Err(VaultError::Changed { .. }) => SecretInfo::changed(name),
                Err(error) => return Err(error),
            });
        }
        let next = if more { secrets.last().map(|secret| secret.name.clone()) } else { None };
        Ok(Page { secrets, next })
    }

    /// Up to `limit` records as they are stored. Entries that have no secret's name are none of ours.
    pub(crate) fn records(
        &self,
        path: Option<&SecretName>,
        after: Option<&SecretName>,
        limit: usize,
    ) -> Result<Vec<(SecretName, Versioned)>, VaultError> {
        let mut found = Vec::new();
        if let Some(path) = path.filter(|path| after.is_none_or(|after| after < *path)) {
            let entry = self.store().get(&place::secret(path))?;
            found.extend(entry.map(|entry| (path.clone(), entry)));
        }
        let mut range = path.map_or_else(place::secrets, place::below);
        if let Some(after) = after.map(place::secret).filter(|after| *after >= range.start) {
            range = range.after(&after);
        }
        // Other entries must not make a page look like the last one.
        let whole = range.clone();
        loop {
            let wanted = limit.saturating_sub(found.len());
            let rows = self.store().range(&range, wanted)?;
            let full = rows.len() == wanted;
            if let Some((place, _)) = rows.last() {
                range = whole.clone().after(place);
            }
            let named = |(place, row): (Vec<u8>, _)| Some((place::name_of(&place)?, row));
            found.extend(rows.into_iter().filter_map(named));
            if !full || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// The record in a row, or what is in its place now.
    fn settled_record(
        &self,
        name: &SecretName,
        entry: &Versioned,
    ) -> Result<Option<Record>, VaultError> {
        match self.opened(name, &entry.value) {
            // The key may have gone since the row was read.
            Err(VaultError::Changed { .. }) => {
                Ok(self.settled(name, || self.view(name))?.map(|view| view.record))
            }
            opened => opened.map(|(record, _)| Some(record)),
        }
    }

    /// All versions of a secret that are not forgotten, oldest first: every one that can be read or had
    /// back, and the latest that were purged.
    pub fn history(&self, name: &SecretName) -> Result<Vec<VersionInfo>, VaultError> {
        self.settled(name, || {
            let record = self.known(name)?.record;
            let rows = self.version_rows(name, &record)?;
            let now = self.now();
            rows.into_iter()
                .map(|(number, row)| {
                    let row = self.opened_version(name, &record, number, &row)?;
                    Ok(VersionInfo::new(number, row.meta, row.mark, now))
                })
                .collect()
        })
    }

    /// The rows of all versions, which must be those that `record` says there are.
    pub(crate) fn version_rows(
        &self,
        name: &SecretName,
        record: &Record,
    ) -> Result<Vec<(u64, Vec<u8>)>, VaultError> {
        let limit = usize::try_from(MAX_ROWS + 1).unwrap_or(usize::MAX);
        let mut rows = self.store().range(&place::versions(name), limit)?.into_iter();
        let mut found = Vec::with_capacity(rows.len());
        for (version, _) in record.marks.each() {
            match rows.next() {
                Some((place, entry)) if place == place::version(name, version) => {
                    found.push((version, entry.value));
                }
                _ => return Err(changed(name, Part::Version(version))),
            }
        }
        match rows.next() {
            Some(_) => Err(changed(name, Part::Record)),
            None => Ok(found),
        }
    }

    /// The newest version of a secret; `None` when there is no such secret. For those who wait for another
    /// one: nothing is opened and nobody is told.
    pub fn version_of(&self, name: &SecretName) -> Result<Option<Current>, VaultError> {
        let view = self.settled(name, || self.view(name))?;
        Ok(view.map(|view| Current::new(&view.record, self.now())))
    }
}
