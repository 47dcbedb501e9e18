//! New versions of a secret, as the transaction that writes them.

use sealock_core::SecretName;
use sealock_store::{Condition, Operation, Transaction};

use crate::MAX_KEPT;
use crate::error::{Part, VaultError};
use crate::keys::VaultKey;
use crate::marks::{MAX_ROWS, MAX_VERSION, Mark, Marks};
use crate::place;
use crate::record::{Meta, Record, Subject, VersionRow};
use crate::seal;
use crate::vault::{Vault, changed, unchanged};

/// A secret to which versions are being added.
pub(crate) struct Draft<'a> {
    name: &'a SecretName,
    key: &'a VaultKey,
    record: Record,
    transaction: Transaction,
}

impl Vault {
    /// Begins from what is there. A secret that is new goes on with the numbers after those that one of
    /// its name had before it was purged.
    pub(crate) fn draft<'a>(
        &self,
        name: &'a SecretName,
        key: &'a VaultKey,
    ) -> Result<Draft<'a>, VaultError> {
        if let Some(view) = self.view(name)? {
            let transaction = unchanged(Transaction::new(), name, view.revision);
            return Ok(Draft { name, key, record: view.record, transaction });
        }
        let mut marks = Marks::default();
        let place = place::gone(name);
        let mut transaction = Transaction::new().when(Condition::Absent(place::secret(name)));
        if let Some(gone) = self.store().get(&place)? {
            let last = gone.value.as_slice().try_into().map(u64::from_be_bytes);
            let last = last.ok().filter(|last| *last < MAX_VERSION);
            marks.skip_to(last.ok_or_else(|| changed(name, Part::Record))? + 1);
            let same = Condition::Version { key: place.clone(), version: gone.version };
            transaction = transaction.when(same).delete(place);
        } else {
            transaction = transaction.when(Condition::Absent(place));
        }
        let (id, created) = (*seal::random()?, self.now());
        let record = Record { id, created, expires: None, marks };
        Ok(Draft { name, key, record, transaction })
    }
}

impl Draft<'_> {
    /// The number of the newest version.
    pub(crate) fn last(&self) -> u64 {
        self.record.marks.last()
    }

    /// Passes over numbers, so that the next version has at least this one.
    pub(crate) fn skip_to(&mut self, version: u64) {
        self.record.marks.skip_to(version);
    }

    /// Adds a version; gives its number.
    pub(crate) fn add(&mut self, meta: Meta, value: &[u8]) -> Result<u64, VaultError> {
        let marks = &mut self.record.marks;
        if marks.kept() >= MAX_KEPT || marks.last() >= MAX_VERSION {
            return Err(VaultError::TooManyVersions(self.name.clone()));
        }
        marks.push(Mark::Live);
        let version = marks.last();
        let forgotten = if marks.rows() > MAX_ROWS { marks.first(Mark::Purged) } else { None };
        let mut transaction = std::mem::take(&mut self.transaction);
        if let Some(oldest) = forgotten {
            marks.set(oldest, Mark::Forgotten);
            transaction = transaction.delete(place::version(self.name, oldest));
        }
        (self.record.created, self.record.expires) = (meta.created, meta.expires);
        let subject = Subject { name: self.name, id: &self.record.id, version };
        let (row, apart) = VersionRow::new(subject, meta, value)?;
        let place = place::version(self.name, version);
        transaction = transaction.create(place, row.seal(subject, self.key)?);
        if let Some(sealed) = apart {
            transaction = transaction.create(place::value(self.name, version), sealed);
        }
        self.transaction = transaction;
        Ok(version)
    }

    /// The transaction that adds them all.
    pub(crate) fn finish(self) -> Result<Transaction, VaultError> {
        let row = self.record.seal(self.name, self.key)?;
        Ok(self.transaction.with(Operation::put(place::secret(self.name), row)))
    }
}
