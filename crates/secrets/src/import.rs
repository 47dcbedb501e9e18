//! Backups: into the vault.
//!
//! A backup is taken in by whole secrets. Up to [`VALUES`] values and [`BYTES`] bytes that is one commit, all
//! or nothing; beyond that it is several, each of whole secrets and with their events. Stopped in between,
//! the secrets of the commits before are there; importing again, with [`OnExisting::Skip`] or
//! [`OnExisting::Replace`], does the rest and nothing twice.

use sealock_core::audit::{Actor, Event, Fact};
use sealock_store::{Change, Transaction};

use crate::backup::{Archive, ArchivedSecret, ArchivedVersion};
use crate::draft::Draft;
use crate::error::VaultError;
use crate::keys::VaultKey;
use crate::record::Meta;
use crate::set::written;
use crate::vault::{ATTEMPTS, Vault, conflict};

/// How many values go in one commit, unless one secret alone has more.
const VALUES: usize = 1000;
/// How many bytes of values go in one commit, unless one secret alone has more.
const BYTES: u64 = 16 << 20;

/// What happens to a secret of the backup that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExisting {
    /// It stays as it is.
    Skip,
    /// It gets the backup's newest version as a new one, unless that is what it has. Where the newest
    /// version is not in the backup (it was deleted), or has expired, the secret stays as it is: an older
    /// value must not come back that way.
    Replace,
    /// Nothing is imported at all.
    Fail,
}

/// How much was imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many secrets are new or have a new version.
    pub secrets: u64,
    /// How many versions were written.
    pub values: u64,
    /// How many secrets of the backup stayed as they were.
    pub skipped: u64,
}

/// A part of an import, as one change.
#[derive(Default)]
struct Portion {
    change: Change,
    done: Imported,
}

impl Vault {
    /// Takes in the secrets of a backup. A new secret gets the versions of the backup under their numbers,
    /// with their times and writers; those that are not in it (they were deleted, had expired or were
    /// purged) count as purged. Where a secret of that name was purged here, the versions are numbered on.
    pub fn import(
        &self,
        archive: &Archive<'_>,
        on_existing: OnExisting,
        actor: &Actor,
    ) -> Result<Imported, VaultError> {
        let secrets = archive.secrets();
        if on_existing == OnExisting::Fail {
            for secret in secrets {
                self.must_be_new(secret)?;
            }
        }
        let mut done = Imported::default();
        let portions = portions(secrets);
        for (index, portion) in portions.iter().enumerate() {
            let last = index + 1 == portions.len();
            done = self.import_some(portion, on_existing, actor, done, last)?;
        }
        Ok(done)
    }

    fn must_be_new(&self, secret: &ArchivedSecret<'_>) -> Result<(), VaultError> {
        match self.version_of(&secret.name)? {
            None => Ok(()),
            Some(_) => Err(VaultError::Exists(secret.name.clone())),
        }
    }

    /// One commit. `before` is what was done before it; with the last one goes the event of the whole.
    fn import_some(
        &self,
        secrets: &[ArchivedSecret<'_>],
        on_existing: OnExisting,
        actor: &Actor,
        before: Imported,
        last: bool,
    ) -> Result<Imported, VaultError> {
        let _alone = self.changing.write();
        for _ in 0..ATTEMPTS {
            let key = self.keys.newest_or_first(actor)?;
            let Portion { mut change, mut done } =
                self.portion(secrets, &key, on_existing, actor)?;
            done.secrets += before.secrets;
            done.values += before.values;
            done.skipped += before.skipped;
            if last {
                let Imported { secrets, values, .. } = done;
                let fact = Fact::VaultImported { secrets, values };
                change.events.push(actor.event(self.now(), fact));
            }
            if change.events.is_empty() {
                return Ok(done);
            }
            change.transaction = key.guard(change.transaction);
            let Some(conflict) = self.commit("the import".into(), change)? else { return Ok(done) };
            for secret in secrets {
                self.after(&secret.name, &conflict)?;
            }
        }
        Err(secrets
            .first()
            .map_or_else(|| VaultError::Conflict("the vault".into()), |one| conflict(&one.name)))
    }

    fn portion(
        &self,
        secrets: &[ArchivedSecret<'_>],
        key: &VaultKey,
        on_existing: OnExisting,
        actor: &Actor,
    ) -> Result<Portion, VaultError> {
        let mut portion = Portion::default();
        for secret in secrets {
            let taken =
                self.settled(&secret.name, || self.taken(secret, key, on_existing, actor))?;
            let Some((transaction, events)) = taken else {
                portion.done.skipped += 1;
                continue;
            };
            portion.done.secrets += 1;
            portion.done.values += events.len() as u64;
            portion.change.transaction.conditions.extend(transaction.conditions);
            portion.change.transaction.operations.extend(transaction.operations);
            portion.change.events.extend(events);
        }
        Ok(portion)
    }

    /// What takes in one secret; `None` where it stays as it is.
    fn taken(
        &self,
        secret: &ArchivedSecret<'_>,
        key: &VaultKey,
        on_existing: OnExisting,
        actor: &Actor,
    ) -> Result<Option<(Transaction, Vec<Event>)>, VaultError> {
        let exists = self.view(&secret.name)?.is_some();
        let mut draft = self.draft(&secret.name, key)?;
        let mut events = Vec::new();
        match on_existing {
            _ if !exists => self.restore(secret, &mut draft, actor, &mut events)?,
            OnExisting::Skip => return Ok(None),
            OnExisting::Fail => return Err(VaultError::Exists(secret.name.clone())),
            OnExisting::Replace => {
                let Some(version) = self.replacement(secret)? else { return Ok(None) };
                let meta = Meta { created: self.now(), by: actor.who.clone(), ..version.meta() };
                self.add(secret, version, meta, &mut draft, actor, &mut events)?;
            }
        }
        Ok(Some((draft.finish()?, events)))
    }

    /// All versions of a secret that is not here.
    fn restore(
        &self,
        secret: &ArchivedSecret<'_>,
        draft: &mut Draft<'_>,
        actor: &Actor,
        events: &mut Vec<Event>,
    ) -> Result<(), VaultError> {
        // Numbers that were used here for other values are not used again.
        let same_numbers = draft.last() == 0;
        for version in &secret.versions {
            if same_numbers {
                draft.skip_to(version.version);
            }
            self.add(secret, version, version.meta(), draft, actor, events)?;
        }
        // Where the newest version is not in the backup, an older one must not stand in its place.
        let newest_is_here =
            secret.versions.last().is_some_and(|last| last.version == secret.newest);
        if same_numbers {
            draft.skip_to(secret.newest + 1);
        } else if !newest_is_here {
            draft.skip_to(draft.last() + 2);
        }
        Ok(())
    }

    fn add(
        &self,
        secret: &ArchivedSecret<'_>,
        version: &ArchivedVersion<'_>,
        meta: Meta,
        draft: &mut Draft<'_>,
        actor: &Actor,
        events: &mut Vec<Event>,
    ) -> Result<(), VaultError> {
        let number = draft.add(meta.clone(), version.value().expose())?;
        events.push(actor.event(self.now(), written(&secret.name, number, &meta)));
        Ok(())
    }

    /// The version that takes the place of what is there.
    fn replacement<'s, 'a>(
        &self,
        secret: &'s ArchivedSecret<'a>,
    ) -> Result<Option<&'s ArchivedVersion<'a>>, VaultError> {
        let now = self.now();
        let usable = |version: &&ArchivedVersion<'_>| {
            version.version == secret.newest && version.expires.is_none_or(|end| now < end)
        };
        let Some(version) = secret.versions.last().filter(usable) else { return Ok(None) };
        match self.value_of(&secret.name, None) {
            Ok(value) => {
                let same = value.expires == version.expires && value.value == version.value();
                Ok(if same { None } else { Some(version) })
            }
            Err(
                VaultError::Deleted { .. } | VaultError::Expired { .. } | VaultError::Purged { .. },
            ) => Ok(Some(version)),
            Err(error) => Err(error),
        }
    }
}

/// The secrets by what goes in one commit; at least one such part, for the event of the whole.
fn portions<'s, 'a>(secrets: &'s [ArchivedSecret<'a>]) -> Vec<&'s [ArchivedSecret<'a>]> {
    let mut portions = Vec::new();
    let (mut start, mut values, mut bytes) = (0, 0, 0);
    for (index, secret) in secrets.iter().enumerate() {
        let own: u64 = secret.versions.iter().map(ArchivedVersion::bytes).sum();
        values += secret.versions.len();
        bytes += own;
        if index > start && (values > VALUES || bytes > BYTES) {
            portions.extend(secrets.get(start..index));
            (start, values, bytes) = (index, secret.versions.len(), own);
        }
    }
    portions.extend(secrets.get(start..));
    portions
}

#[cfg(test)]
mod tests;
