//! New values.

use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{SecretBytes, SecretName, Timestamp};
use sealock_store::Change;

use crate::MAX_VALUE;
use crate::error::VaultError;
use crate::info::VersionInfo;
use crate::marks::Mark;
use crate::record::Meta;
use crate::vault::{Plan, Vault};

impl Vault {
    /// Gives a secret a new value, which becomes its newest version; the secret is made if there is none.
    /// After `ttl` that version cannot be read. Durable, with its event, when this returns.
    pub fn set(
        &self,
        name: &SecretName,
        value: &SecretBytes,
        ttl: Option<Duration>,
        actor: &Actor,
    ) -> Result<VersionInfo, VaultError> {
        let bytes = length(name, value.len())?;
        self.change(name, actor, |key| {
            let created = self.now();
            let expires = ttl.map(|span| created.plus(span));
            let meta = Meta { created, expires, bytes, by: actor.who.clone() };
            let mut draft = self.draft(name, key)?;
            let version = draft.add(meta.clone(), value.expose())?;
            let event = actor.event(created, written(name, version, &meta));
            let info = VersionInfo::new(version, meta, Mark::Live, created);
            Ok(Plan::Change(Change::new(draft.finish()?, event), info))
        })
    }
}

/// The length of a value, where it may have that.
pub(crate) fn length(name: &SecretName, bytes: usize) -> Result<u32, VaultError> {
    let too_big = || VaultError::TooBig { name: name.clone(), bytes };
    let fits = if bytes <= MAX_VALUE { u32::try_from(bytes).ok() } else { None };
    fits.ok_or_else(too_big)
}

/// The event of a new version.
pub(crate) fn written(name: &SecretName, version: u64, meta: &Meta) -> Fact {
    Fact::SecretWritten {
        secret: name.to_string(),
        version,
        bytes: meta.bytes.into(),
        expires: meta.expires.map_or_else(|| "never".into(), Timestamp::to_rfc3339),
    }
}
