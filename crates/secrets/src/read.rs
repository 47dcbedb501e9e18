//! Reading values: any number of them in one commit of their events.

use sealock_core::audit::Fact;
use sealock_core::{SecretBytes, SecretName};
use sealock_store::{Change, Transaction};

use crate::error::{Part, VaultError};
use crate::info::{SecretValue, Wanted};
use crate::marks::Mark;
use crate::place;
use crate::record::{Record, Subject, VersionRow};
use crate::vault::{Vault, changed};

impl Vault {
    /// Reads values. The answers are in the order of what is wanted, and one that fails does not keep the
    /// others from being read. Before any value is given out, an event for each is on disk; all in one
    /// commit, which concurrent calls share. Where that fails, nothing is given out.
    ///
    /// What could not be read leaves no event: nothing was.
    pub fn read(
        &self,
        wanted: &[Wanted],
    ) -> Result<Vec<Result<SecretValue, VaultError>>, VaultError> {
        let read: Vec<_> = wanted.iter().map(|one| self.value_of(&one.name, one.version)).collect();
        let now = self.now();
        let events: Vec<_> = wanted
            .iter()
            .zip(&read)
            .filter_map(|(one, value)| {
                let version = value.as_ref().ok()?.version;
                let fact = Fact::SecretRead { secret: one.name.to_string(), version };
                Some(one.actor.event(now, fact))
            })
            .collect();
        if !events.is_empty() {
            let change = Change { transaction: Transaction::new(), events };
            self.journal
                .commit_blocking(change)
                .map_err(|source| VaultError::Commit { what: "the reading".into(), source })?;
        }
        Ok(read)
    }

    /// A value, without an event: for this crate's own use.
    pub(crate) fn value_of(
        &self,
        name: &SecretName,
        version: Option<u64>,
    ) -> Result<SecretValue, VaultError> {
        self.settled(name, || {
            let record = self.known(name)?.record;
            let newest = record.marks.last();
            let number = version.unwrap_or(newest);
            let mark = record.marks.of(number).ok_or_else(|| VaultError::VersionNotFound {
                name: name.clone(),
                version: number,
                newest,
            })?;
            if mark != Mark::Live {
                return Err(not_live(name, number, mark, newest));
            }
            let row = match number == newest {
                true => self.newest_version(name, &record, number)?,
                false => self.version(name, &record, number)?,
            };
            match row.meta.expires {
                Some(at) if self.now() >= at => {
                    Err(VaultError::Expired { name: name.clone(), version: number, at })
                }
                _ => self.value_in(name, &record, number, &row),
            }
        })
    }

    /// The row of the newest version. That there is none after it shows that the record is not an old one
    /// that somebody has put back.
    fn newest_version(
        &self,
        name: &SecretName,
        record: &Record,
        number: u64,
    ) -> Result<VersionRow, VaultError> {
        let mut range = place::versions(name);
        range.start = place::version(name, number);
        let rows = self.store().range(&range, 2)?;
        let entry = match &rows[..] {
            [(place, entry)] if *place == range.start => entry,
            [(place, _), ..] if *place == range.start => return Err(changed(name, Part::Record)),
            _ => return Err(changed(name, Part::Version(number))),
        };
        let row = self.opened_version(name, record, number, &entry.value)?;
        let fits = (row.meta.created, row.meta.expires) == (record.created, record.expires);
        if fits { Ok(row) } else { Err(changed(name, Part::Record)) }
    }

    fn value_in(
        &self,
        name: &SecretName,
        record: &Record,
        number: u64,
        row: &VersionRow,
    ) -> Result<SecretValue, VaultError> {
        let subject = Subject { name, id: &record.id, version: number };
        let value = match &row.body {
            Some(body) => row.value(subject, body),
            None => self
                .store()
                .get(&place::value(name, number))?
                .and_then(|entry| row.value(subject, &entry.value)),
        };
        let value = value.ok_or_else(|| changed(name, Part::Value(number)))?;
        Ok(SecretValue {
            version: number,
            created: row.meta.created,
            expires: row.meta.expires,
            value: SecretBytes::from(value),
        })
    }
}

fn not_live(name: &SecretName, version: u64, mark: Mark, newest: u64) -> VaultError {
    let name = name.clone();
    match mark {
        Mark::Deleted => VaultError::Deleted { name, version, newest: version == newest },
        _ => VaultError::Purged { name, version },
    }
}
