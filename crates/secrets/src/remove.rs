//! Deleting, which can be taken back, and purging, which cannot.

use sealock_core::SecretName;
use sealock_core::audit::{Actor, Event, Fact};
use sealock_store::{Change, Condition, KeyRange, Transaction};

use crate::error::VaultError;
use crate::info::VersionInfo;
use crate::keys::VaultKey;
use crate::marks::{MAX_VERSION, Mark};
use crate::place;
use crate::record::{Record, Subject, VersionRow};
use crate::vault::{Plan, Vault, View, unchanged};

impl Vault {
    /// Makes a version (`None` for the newest) unreadable; [`Vault::undelete`] takes that back. To delete
    /// again what is deleted changes nothing and leaves no event.
    pub fn delete(
        &self,
        name: &SecretName,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<VersionInfo, VaultError> {
        self.mark(name, version, Mark::Deleted, actor)
    }

    /// Takes a deletion back. A version that is not deleted stays as it is.
    pub fn undelete(
        &self,
        name: &SecretName,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<VersionInfo, VaultError> {
        self.mark(name, version, Mark::Live, actor)
    }

    /// The mark is in the record and in the version's row, so that putting back one of them as it was
    /// before is found out.
    fn mark(
        &self,
        name: &SecretName,
        version: Option<u64>,
        to: Mark,
        actor: &Actor,
    ) -> Result<VersionInfo, VaultError> {
        self.must_be_used(name)?;
        self.change(name, actor, |key| {
            let View { mut record, revision, .. } = self.known(name)?;
            let (number, mark) = chosen(name, &record, version)?;
            let mut row = self.version(name, &record, number)?;
            let now = self.now();
            if mark == to {
                return Ok(Plan::Nothing(VersionInfo::new(number, row.meta, mark, now)));
            }
            row.mark = to;
            record.marks.set(number, to);
            let transaction = rewrite(name, &record, revision, key, &[(number, &row)])?;
            let secret = name.to_string();
            let event = actor.event(
                now,
                match to {
                    Mark::Deleted => Fact::SecretDeleted { secret, version: number },
                    _ => Fact::SecretUndeleted { secret, version: number },
                },
            );
            let info = VersionInfo::new(number, row.meta, to, now);
            Ok(Plan::Change(Change::new(transaction, event), info))
        })
    }

    /// Destroys a version, or with `None` the whole secret. The last version that has a value takes the
    /// secret with it. A whole secret can be purged also when its rows were changed in the store.
    ///
    /// What is destroyed is gone from the store. An older copy of the store still has it, under the vault
    /// key of that time: who has to be sure rotates that key afterwards and makes away with such copies.
    pub fn purge(
        &self,
        name: &SecretName,
        version: Option<u64>,
        actor: &Actor,
    ) -> Result<(), VaultError> {
        self.must_be_used(name)?;
        self.change(name, actor, |key| {
            let Some(version) = version else { return self.purge_secret(name, actor) };
            let View { mut record, revision, .. } = self.known(name)?;
            let (number, _) = chosen(name, &record, Some(version))?;
            if record.marks.kept() == 1 {
                return self.purge_secret(name, actor);
            }
            // A row that cannot be opened leaves no history.
            let row = match self.version(name, &record, number) {
                Ok(row) => Some(row.purged()),
                Err(VaultError::Changed { .. }) => None,
                Err(error) => return Err(error),
            };
            record.marks.set(number, row.as_ref().map_or(Mark::Forgotten, |row| row.mark));
            let rows: Vec<_> = row.iter().map(|row| (number, row)).collect();
            let mut transaction = rewrite(name, &record, revision, key, &rows)?;
            if row.is_none() {
                transaction = transaction.delete(place::version(name, number));
            }
            let transaction = transaction.delete(place::value(name, number));
            Ok(Plan::Change(Change::new(transaction, self.purged(name, number, actor)), ()))
        })
    }

    /// All that is stored below the name, whatever it is, also without a record. Only the number that it
    /// had got to stays.
    fn purge_secret(&self, name: &SecretName, actor: &Actor) -> Result<Plan<()>, VaultError> {
        let mut last = 0;
        let mut transaction = Transaction::new();
        let mut found = false;
        match self.store().get(&place::secret(name))? {
            Some(entry) => {
                let read = Record::read(&entry.value);
                last = read.map_or(0, |(_, record, _)| record.marks.last());
                transaction = unchanged(transaction, name, entry.version);
                found = true;
            }
            None => transaction = transaction.when(Condition::Absent(place::secret(name))),
        }
        if let Some(gone) = self.store().get(&place::gone(name))? {
            last = last.max(gone.value.try_into().map_or(0, u64::from_be_bytes));
        }
        for range in [place::versions(name), place::values(name)] {
            for place in self.places(&range)? {
                last = last.max(place::number_of(&place).unwrap_or_default());
                transaction = transaction.delete(place);
                found = true;
            }
        }
        if !found {
            return Err(VaultError::NotFound(name.clone()));
        }
        let last = last.min(MAX_VERSION - 1);
        let transaction =
            transaction.delete(place::secret(name)).put(place::gone(name), last.to_be_bytes());
        Ok(Plan::Change(Change::new(transaction, self.purged(name, 0, actor)), ()))
    }

    /// Where there is no key yet there is no secret, and none is made for the sake of finding that out.
    fn must_be_used(&self, name: &SecretName) -> Result<(), VaultError> {
        if self.keys.newest().is_none() {
            self.keys.load()?;
        }
        match self.keys.newest() {
            Some(_) => Ok(()),
            None => Err(VaultError::NotFound(name.clone())),
        }
    }

    fn purged(&self, name: &SecretName, version: u64, actor: &Actor) -> Event {
        actor.event(self.now(), Fact::SecretPurged { secret: name.to_string(), version })
    }

    /// The keys of a range, read a few values at a time: they may be long.
    fn places(&self, range: &KeyRange) -> Result<Vec<Vec<u8>>, VaultError> {
        const AT_ONCE: usize = 16;
        let mut places: Vec<Vec<u8>> = Vec::new();
        let mut rest = range.clone();
        loop {
            let page = self.store().range(&rest, AT_ONCE)?;
            let full = page.len() == AT_ONCE;
            places.extend(page.into_iter().map(|(place, _)| place));
            match places.last() {
                Some(last) if full => rest = range.clone().after(last),
                _ => return Ok(places),
            }
        }
    }
}

/// A version that has a value.
fn chosen(
    name: &SecretName,
    record: &Record,
    version: Option<u64>,
) -> Result<(u64, Mark), VaultError> {
    let newest = record.marks.last();
    let version = version.unwrap_or(newest);
    let name = name.clone();
    match record.marks.of(version) {
        Some(mark) if mark.is_kept() => Ok((version, mark)),
        Some(_) => Err(VaultError::Purged { name, version }),
        None => Err(VaultError::VersionNotFound { name, version, newest }),
    }
}

/// Writes a record and some rows of versions anew, under `key`.
pub(crate) fn rewrite(
    name: &SecretName,
    record: &Record,
    revision: u64,
    key: &VaultKey,
    rows: &[(u64, &VersionRow)],
) -> Result<Transaction, VaultError> {
    let mut transaction = unchanged(Transaction::new(), name, revision);
    for (version, row) in rows {
        let subject = Subject { name, id: &record.id, version: *version };
        transaction = transaction.put(place::version(name, *version), row.seal(subject, key)?);
    }
    Ok(transaction.put(place::secret(name), record.seal(name, key)?))
}
