//! The vault as a whole: opened when a command first needs it, its key, its backups.

use std::io::Write as _;
use std::sync::Arc;

use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::{SecretBytes, SecretName};
use sealock_delivery::envelope::{Encoding, Recipients, seal};
use sealock_secrets::backup::Archive;
use sealock_secrets::{Exported, OnExisting as TakeIn, Vault, VaultError};

use super::Service;
use super::convert::vault_error;
use crate::caller::Caller;
use crate::command::{OnExisting, Reply, SecretBlob, VaultBackup, VaultImported};
use crate::error::{ErrorCode, ServiceError};

impl Service {
    /// The vault, opened now if it was not. Blocking; may ask for a passphrase.
    pub(crate) fn vault(&self) -> Result<Arc<Vault>, ServiceError> {
        if let Some(vault) = self.vault.get() {
            return Ok(Arc::clone(vault));
        }
        let _making = self.making.lock();
        if let Some(vault) = self.vault.get() {
            return Ok(Arc::clone(vault));
        }
        if !self.is_initialised()? {
            let missing = sealock_authority::AuthorityError::Missing;
            return Err(super::convert::authority_error(&missing));
        }
        let keyring = self.keyring()?;
        let vault =
            Vault::open(Arc::clone(&self.journal), keyring).map_err(|error| vault_error(&error))?;
        Ok(Arc::clone(self.vault.get_or_init(|| vault)))
    }

    /// Does the rest of a rotation that was interrupted; for the start of a daemon.
    pub(crate) fn heal_vault(&self) -> Result<(), ServiceError> {
        match self.vault()?.finish_rotation(&Actor::daemon("start")) {
            Ok(_) => Ok(()),
            Err(error) => Err(vault_error(&error)),
        }
    }

    fn may_manage(
        &self,
        caller: &Caller,
        request: &str,
        operation: &str,
    ) -> Result<Actor, ServiceError> {
        let context = [("operation", operation.into())];
        self.authorize(caller, request, Action::VaultManage, Resource::Vault, &context)
            .map(|granted| granted.actor)
    }

    pub(super) fn vault_rotate_key(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        let actor = self.may_manage(caller, request, "rotate-key")?;
        let rotated = self.vault()?.rotate_key(&actor).map_err(|error| vault_error(&error))?;
        Ok(Reply::VaultKey { key: rotated.key.into(), values: rotated.values })
    }

    /// Sealed here, so that what leaves this process is not readable.
    pub(super) fn vault_export(
        &self,
        caller: &Caller,
        request: &str,
        recipients: &[String],
        path: Option<&str>,
    ) -> Result<Reply, ServiceError> {
        let mut to = Recipients::default();
        for text in recipients {
            let parsed = Recipients::parse(text).map_err(|error| {
                ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint())
            })?;
            to.extend(parsed);
        }
        if to.is_empty() {
            let text = "nobody could open the backup: no recipient was named";
            return Err(ServiceError::new(ErrorCode::Usage, text).hint("name one with --to age1…"));
        }
        let path =
            path.map(str::parse).transpose().map_err(|error: sealock_core::SecretNameError| {
                ServiceError::of(ErrorCode::Usage, &error)
            })?;
        let actor = self.may_manage(caller, request, "export")?;
        let (exported, sealed) = self.sealed(path.as_ref(), recipients, &to, &actor)?;
        Ok(Reply::VaultExported(Box::new(VaultBackup {
            secrets: exported.secrets,
            values: exported.values,
            sealed: SecretBlob::from(SecretBytes::new(sealed)),
        })))
    }

    /// The plain form goes through a pipe, so that it is nowhere as a whole.
    fn sealed(
        &self,
        path: Option<&SecretName>,
        names: &[String],
        recipients: &Recipients,
        actor: &Actor,
    ) -> Result<(Exported, Vec<u8>), ServiceError> {
        let vault = self.vault()?;
        let failed = |error: &std::io::Error| {
            ServiceError::new(ErrorCode::Failed, "cannot seal the backup").caused_by(error)
        };
        let (plain, mut sink) = std::io::pipe().map_err(|error| failed(&error))?;
        std::thread::scope(|scope| {
            let write = scope.spawn(move || {
                let mut buffered = std::io::BufWriter::new(&mut sink);
                let exported = vault.export(path, names, actor, &mut buffered)?;
                buffered.flush().map_err(VaultError::Sink)?;
                Ok::<_, VaultError>(exported)
            });
            let mut sealed = Vec::new();
            let done = seal(recipients, plain, &mut sealed, Encoding::Binary);
            let exported = write.join().map_err(|_| {
                ServiceError::new(ErrorCode::Fault, "the export ended unexpectedly")
            })?;
            let exported = exported.map_err(|error| vault_error(&error))?;
            done.map_err(|error| {
                ServiceError::of(ErrorCode::Failed, &error).maybe_hint(error.hint())
            })?;
            Ok((exported, sealed))
        })
    }

    pub(super) fn vault_import(
        &self,
        caller: &Caller,
        request: &str,
        backup: SecretBlob,
        on_existing: OnExisting,
    ) -> Result<Reply, ServiceError> {
        let actor = self.may_manage(caller, request, "import")?;
        let on_existing = match on_existing {
            OnExisting::Fail => TakeIn::Fail,
            OnExisting::Skip => TakeIn::Skip,
            OnExisting::Replace => TakeIn::Replace,
        };
        let backup = backup.into_bytes();
        let vault = self.vault()?;
        let taken = Archive::read(backup.expose())
            .map_err(VaultError::from)
            .and_then(|archive| vault.import(&archive, on_existing, &actor))
            .map_err(|error| vault_error(&error))?;
        Ok(Reply::VaultImported(VaultImported {
            secrets: taken.secrets,
            values: taken.values,
            skipped: taken.skipped,
        }))
    }
}
