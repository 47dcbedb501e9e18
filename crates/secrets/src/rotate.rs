//! A new vault key.
//!
//! First the new key is made; from then on everything new lies under it. Then, some secrets in each
//! commit, records are proved and the keys of versions wrapped anew; the values stay as they are. At the end
//! the old key goes. Stopped anywhere in between, both keys are there and everything can be read; the next
//! rotation, or [`Vault::finish_rotation`], does the rest.

use sealock_core::SecretName;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Condition, Transaction};

use crate::error::VaultError;
use crate::keys::VaultKey;
use crate::place;
use crate::record::VersionRow;
use crate::remove::rewrite;
use crate::vault::{ATTEMPTS, Vault, View};

/// How many rows go in one commit, about; a secret's go together.
const ROWS: usize = 512;
/// How many records are read at a time.
const RECORDS: usize = 256;

/// What a rotation has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The number of the new key.
    pub key: u32,
    /// How many values lie under it.
    pub values: u64,
}

/// How far a rotation has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last secret that was moved.
    after: Option<SecretName>,
    /// How many values lie under the new key, of the secrets up to there.
    values: u64,
}

/// One commit of a rotation.
struct Step {
    transaction: Transaction,
    progress: Progress,
    done: bool,
}

impl Vault {
    /// Makes a new vault key and puts everything under it. Secrets can be read and set meanwhile. One that
    /// was changed in the store stops it, with both keys there: it has to be restored or purged first.
    pub fn rotate_key(&self, actor: &Actor) -> Result<Rotated, VaultError> {
        let _rotating = self.rotating.lock();
        let key = self.begin_rotation(actor)?;
        self.move_all(&key, actor)
    }

    /// Does the rest of a rotation that was interrupted; `None` when there is none. For the start of a
    /// daemon.
    pub fn finish_rotation(&self, actor: &Actor) -> Result<Option<Rotated>, VaultError> {
        let _rotating = self.rotating.lock();
        self.keys.load()?;
        if self.keys.numbers().len() < 2 {
            return Ok(None);
        }
        let key = self.keys.newest_or_first(actor)?;
        self.move_all(&key, actor).map(Some)
    }

    /// Makes the new key.
    pub(crate) fn begin_rotation(
        &self,
        actor: &Actor,
    ) -> Result<std::sync::Arc<VaultKey>, VaultError> {
        // Another process may have made one since.
        self.keys.load()?;
        let key = self.keys.newest_or_first(actor)?;
        self.keys.make_next(&key)
    }

    fn move_all(&self, key: &VaultKey, actor: &Actor) -> Result<Rotated, VaultError> {
        let mut progress = Some(Progress::default());
        let mut values = 0;
        while let Some(from) = progress {
            (progress, values) = self.move_some(key, &from)?;
        }
        self.end_rotation(key, values, actor)?;
        Ok(Rotated { key: key.number, values })
    }

    /// Moves some secrets, in one commit. Gives where to go on, and how many values there were so far.
    pub(crate) fn move_some(
        &self,
        key: &VaultKey,
        from: &Progress,
    ) -> Result<(Option<Progress>, u64), VaultError> {
        let _alone = self.changing.write();
        for _ in 0..ATTEMPTS {
            let mut step = self.step(key, from)?;
            let values = step.progress.values;
            let conflict = match step.transaction.operations.is_empty() {
                true => None,
                false => {
                    step.transaction = key.guard(step.transaction);
                    let change = Change { transaction: step.transaction, events: Vec::new() };
                    self.commit("the rotation of the vault key".into(), change)?
                }
            };
            match conflict {
                None => return Ok((if step.done { None } else { Some(step.progress) }, values)),
                Some(_) => self.still_newest(key)?,
            }
        }
        Err(superseded())
    }

    /// Another process may have begun a rotation of its own, which does this one's work too.
    fn still_newest(&self, key: &VaultKey) -> Result<(), VaultError> {
        self.keys.load()?;
        match self.keys.newest() {
            Some(newest) if newest.number == key.number => Ok(()),
            _ => Err(superseded()),
        }
    }

    fn step(&self, key: &VaultKey, from: &Progress) -> Result<Step, VaultError> {
        let records = self.records(None, from.after.as_ref(), RECORDS)?;
        let progress = Progress { after: from.after.clone(), values: from.values };
        let mut step = Step { transaction: Transaction::new(), progress, done: records.is_empty() };
        for (name, _) in records {
            if let Some((transaction, values)) = self.settled(&name, || self.moved(&name, key))? {
                step.transaction.conditions.extend(transaction.conditions);
                step.transaction.operations.extend(transaction.operations);
                step.progress.values += values;
            }
            step.progress.after = Some(name);
            if step.transaction.operations.len() >= ROWS {
                break;
            }
        }
        Ok(step)
    }

    /// What puts one secret under `key`, and how many values it has. The record is written whenever a row
    /// is, as with every change.
    fn moved(
        &self,
        name: &SecretName,
        key: &VaultKey,
    ) -> Result<Option<(Transaction, u64)>, VaultError> {
        let Some(View { record, revision, key: under }) = self.view(name)? else {
            return Ok(None);
        };
        let mut old = Vec::new();
        for (version, row) in self.version_rows(name, &record)? {
            let opened = self.opened_version(name, &record, version, &row)?;
            if VersionRow::key_number(&row) != Some(key.number) {
                old.push((version, opened));
            }
        }
        let values = record.marks.kept();
        if old.is_empty() && under == key.number {
            return Ok(Some((Transaction::new(), values)));
        }
        let rows: Vec<_> = old.iter().map(|(version, row)| (*version, row)).collect();
        Ok(Some((rewrite(name, &record, revision, key, &rows)?, values)))
    }

    /// Removes the keys before `key`.
    pub(crate) fn end_rotation(
        &self,
        key: &VaultKey,
        values: u64,
        actor: &Actor,
    ) -> Result<(), VaultError> {
        let mut transaction = key.guard(Transaction::new());
        for number in self.keys.numbers().into_iter().filter(|number| *number < key.number) {
            let place = place::key(number);
            transaction = transaction.when(Condition::Present(place.clone())).delete(place);
        }
        let fact = Fact::VaultKeyRotated { key: key.number.into(), values };
        let change = Change::new(transaction, actor.event(self.now(), fact));
        let conflict = self.commit("the rotation of the vault key".into(), change)?;
        self.keys.load()?;
        // Where another process has just removed them, it has also told of it.
        match conflict {
            Some(_) if self.keys.numbers() != [key.number] => Err(superseded()),
            _ => Ok(()),
        }
    }
}

fn superseded() -> VaultError {
    VaultError::Conflict("the vault key".into())
}

#[cfg(test)]
mod tests;
