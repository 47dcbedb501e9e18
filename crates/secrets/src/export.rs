//! Backups: out of the vault.

use std::io::Write;

use sealock_core::SecretName;
use sealock_core::audit::{Actor, Fact};
use sealock_store::Change;

use crate::backup::{MAX_ARCHIVE, MAX_VALUES, Writer, line_length};
use crate::error::VaultError;
use crate::info::VersionState;
use crate::record::Meta;
use crate::vault::Vault;

/// How many records are read at a time.
const RECORDS: usize = 256;
/// More than the first and the last line have together.
const FRAME: u64 = 1024;

/// How much was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// How many secrets.
    pub secrets: u64,
    /// How many values of theirs.
    pub values: u64,
}

/// What goes into a backup: all of one secret.
struct Planned {
    name: SecretName,
    newest: u64,
    versions: Vec<(u64, Meta)>,
}

impl Vault {
    /// Writes every version that can be read of every secret (or of `path` and those below it) into
    /// `sink`, in the plain form that [`crate::backup`] describes: `sink` has to seal it. `recipients` are
    /// those that it is sealed to, for the event, which is on disk before the first byte is written.
    ///
    /// A secret that was changed in the store stops it: a backup without it would look whole. One that
    /// is deleted or purged meanwhile is left out.
    pub fn export(
        &self,
        path: Option<&SecretName>,
        recipients: &[String],
        actor: &Actor,
        sink: &mut dyn Write,
    ) -> Result<Exported, VaultError> {
        let (planned, mut exported) = self.planned(path)?;
        let Exported { secrets, values } = exported;
        let fact = Fact::VaultExported { secrets, values, recipients: recipients.to_vec() };
        let created = self.now();
        self.journal
            .commit_blocking(Change::event(actor.event(created, fact)))
            .map_err(|source| VaultError::Commit { what: "the export".into(), source })?;
        exported = Exported { secrets: 0, values: 0 };
        let mut writer = Writer::begin(sink, created).map_err(VaultError::Sink)?;
        for Planned { name, newest, versions } in planned {
            let before = exported.values;
            for (version, meta) in versions {
                let Some(value) = gone_is_none(self.value_of(&name, Some(version)))? else {
                    continue;
                };
                writer
                    .version(&name, newest, version, &meta, &value.value)
                    .map_err(VaultError::Sink)?;
                exported.values += 1;
            }
            exported.secrets += u64::from(exported.values > before);
        }
        writer.finish().map_err(VaultError::Sink)?;
        Ok(exported)
    }

    fn planned(&self, path: Option<&SecretName>) -> Result<(Vec<Planned>, Exported), VaultError> {
        let (mut planned, mut after, mut length) = (Vec::new(), None, FRAME);
        let mut total = Exported { secrets: 0, values: 0 };
        loop {
            let records = self.records(path, after.as_ref(), RECORDS)?;
            let Some((last, _)) = records.last() else { return Ok((planned, total)) };
            after = Some(last.clone());
            for (name, _) in records {
                let Some(secret) = gone_is_none(self.plan_one(&name))? else { continue };
                for (version, meta) in &secret.versions {
                    length += line_length(&name, secret.newest, *version, meta)
                        .map_err(VaultError::Sink)?;
                }
                total.values += secret.versions.len() as u64;
                if length > MAX_ARCHIVE || total.values > MAX_VALUES {
                    return Err(VaultError::ArchiveTooBig { bytes: length });
                }
                if !secret.versions.is_empty() {
                    total.secrets += 1;
                    planned.push(secret);
                }
            }
        }
    }

    fn plan_one(&self, name: &SecretName) -> Result<Planned, VaultError> {
        self.settled(name, || {
            let record = self.known(name)?.record;
            let now = self.now();
            let mut versions = Vec::new();
            for (number, row) in self.version_rows(name, &record)? {
                let row = self.opened_version(name, &record, number, &row)?;
                if VersionState::of(row.mark, row.meta.expires, now) == VersionState::Live {
                    versions.push((number, row.meta));
                }
            }
            Ok(Planned { name: name.clone(), newest: record.marks.last(), versions })
        })
    }
}

/// What somebody has removed since it was seen is not missed.
fn gone_is_none<T>(outcome: Result<T, VaultError>) -> Result<Option<T>, VaultError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(
            VaultError::NotFound(_)
            | VaultError::VersionNotFound { .. }
            | VaultError::Deleted { .. }
            | VaultError::Expired { .. }
            | VaultError::Purged { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}
