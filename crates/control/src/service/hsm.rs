//! The HSM that the settings name, as the authority sees it; where its PIN comes from; `ca migrate-key` and
//! `ca retry-pin`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealock_authority::{
    DeviceError, DeviceKeyId, DevicePublic, IssuerKind, KeyAt, KeyDevice, KeyParts, KeyType,
    KeyWhere, LeftKey, MigrateTo,
};
use sealock_core::{SecretBytes, Timestamp};
use sealock_hsm::{Device, DeviceSettings, HsmError, Kind, Logins, Parts, PinSource};
use sealock_store::Change;
use zeroize::Zeroizing;

use super::hsm_logins::{Record, forgotten};
use super::{Service, convert, issuers};
use crate::caller::{Caller, Door};
use crate::command::{Alarm, KeyHome, Reply, RotateWhat, Todo};
use crate::config::HsmSettings;
use crate::error::{ErrorCode, ServiceError};
use crate::secret_file::read_secret;

/// The name of the systemd credential with the PIN.
pub(crate) const PIN_CREDENTIAL: &str = "sealock-hsm-pin";

/// The HSM.
#[derive(Debug)]
pub(super) struct Hsm(Device);

impl Hsm {
    /// The one that the settings name. Nothing is asked of it yet.
    pub(super) fn of(
        settings: &HsmSettings,
        credentials: Option<&str>,
        logins: Arc<dyn Logins>,
    ) -> Result<Option<Arc<Self>>, ServiceError> {
        let Some(module) = settings.module.clone() else { return Ok(None) };
        let device = DeviceSettings {
            module,
            token: settings.token.clone(),
            deadline: settings.deadline,
            environment: settings.environment.clone(),
        };
        let made = Device::new(device, pin(settings.pin_file.clone(), credentials), logins);
        let made = made.map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        Ok(Some(Arc::new(Self(made))))
    }

    /// Asks whether it is there.
    pub(super) fn is_there(&self) -> Result<(), DeviceError> {
        self.token().map(|_| ())
    }

    /// That it does not work now.
    pub(super) fn alarm(&self) -> Option<Alarm> {
        let trouble = self.0.trouble()?;
        let since = trouble.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Some(Alarm {
            alarm: "hsm".to_owned(),
            subject: "HSM".to_owned(),
            reason: sealock_core::policy::plain(&told(&trouble.error)),
            hint: Some(trouble.error.hint().to_owned()),
            since: Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        })
    }
}

/// The PIN is read anew each time the token is opened: it may have been corrected.
fn pin(file: Option<PathBuf>, credentials: Option<&str>) -> PinSource {
    let credential = credentials.map(|folder| Path::new(folder).join(PIN_CREDENTIAL));
    Arc::new(move || match (&file, &credential) {
        (Some(path), _) => read_secret(path, false),
        (None, Some(path)) => read_secret(path, true),
        (None, None) => Err("the settings name no file, and systemd has given none".to_owned()),
    })
}

/// An error with its cause.
fn told(error: &HsmError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn failed(error: HsmError) -> DeviceError {
    DeviceError {
        message: sealock_core::policy::plain(&told(&error)),
        hint: error.hint().to_owned(),
        may_pass: error.may_pass(),
    }
}

const fn kind(kind: KeyType) -> Kind {
    match kind {
        KeyType::P256 => Kind::P256,
        KeyType::P384 => Kind::P384,
        KeyType::Ed25519 => Kind::Ed25519,
        KeyType::Rsa3072 => Kind::Rsa,
    }
}

impl KeyDevice for Hsm {
    fn token(&self) -> Result<String, DeviceError> {
        self.0.token().map(|token| token.serial).map_err(failed)
    }

    fn generate(
        &self,
        key: KeyType,
        id: &DeviceKeyId,
        label: &str,
    ) -> Result<DevicePublic, DeviceError> {
        let made = self.0.generate(kind(key), id.as_bytes(), label).map_err(failed)?;
        Ok(DevicePublic { value: made.value, exponent: made.exponent })
    }

    fn import(
        &self,
        key: &KeyParts,
        id: &DeviceKeyId,
        label: &str,
        extractable: bool,
    ) -> Result<(), DeviceError> {
        let part = |part: &SecretBytes| Zeroizing::new(part.expose().to_vec());
        let parts = Parts { kind: kind(key.kind), parts: key.parts.iter().map(part).collect() };
        self.0.import(parts, id.as_bytes(), label, extractable).map_err(failed)
    }

    fn sign(&self, key: &KeyAt, of: KeyType, data: Vec<u8>) -> Result<Vec<u8>, DeviceError> {
        self.0.sign(&key.token, key.id.as_bytes(), kind(of), data).map_err(failed)
    }

    fn export(&self, key: &KeyAt, of: KeyType, public: &[u8]) -> Result<KeyParts, DeviceError> {
        let out = self.0.export(&key.token, key.id.as_bytes(), kind(of), public).map_err(failed)?;
        let parts = out.parts.into_iter().map(SecretBytes::from).collect();
        Ok(KeyParts { kind: of, parts })
    }

    fn holds(&self, key: &KeyAt) -> Result<bool, DeviceError> {
        self.0.count(&key.token, key.id.as_bytes()).map(|count| count > 0).map_err(failed)
    }

    fn remove(&self, key: &KeyAt) -> Result<(), DeviceError> {
        self.0.remove(&key.token, key.id.as_bytes()).map(|_| ()).map_err(failed)
    }
}

impl Service {
    /// The HSM that the settings name.
    pub(super) fn hsm(&self) -> Result<Option<Arc<Hsm>>, ServiceError> {
        if let Some(known) = self.hsm.get() {
            return Ok(known.clone());
        }
        let credentials = self.opening.environment.get("CREDENTIALS_DIRECTORY");
        let record = Record::new(Arc::clone(&self.journal), Arc::clone(&self.keyring));
        let made = Hsm::of(&self.opening.config.settings.hsm, credentials, Arc::new(record))?;
        Ok(self.hsm.get_or_init(|| made).clone())
    }

    /// The same as the authority has it.
    pub(super) fn key_device(&self) -> Result<Option<Arc<dyn KeyDevice>>, ServiceError> {
        Ok(self.hsm()?.map(|hsm| hsm as Arc<dyn KeyDevice>))
    }

    /// Asks the HSM whether it is there, where a key that is used now is in it. Blocking.
    pub(crate) fn try_hsm(&self) -> Result<(), ServiceError> {
        let Some(authority) = self.opened_authority() else { return Ok(()) };
        let active = authority.ca_info().issuers.into_iter().filter(|issuer| issuer.active);
        let others = authority.issuers().into_iter();
        let wheres = active.map(|issuer| issuer.key_where);
        let mut wheres = wheres.chain(others.filter_map(|one| Some(one.held?.key_where)));
        if !wheres.any(|place| matches!(place, KeyWhere::Device(_))) {
            return Ok(());
        }
        match self.hsm()? {
            Some(hsm) => hsm.is_there().map_err(|error| convert::device_error(&error)),
            None => Ok(()),
        }
    }

    /// That the HSM does not work now, as far as it was asked.
    pub(super) fn hsm_alarm(&self) -> Option<Alarm> {
        self.hsm.get()?.as_ref()?.alarm()
    }

    /// Keys of ours that are in the HSM, or may be, and are not used there.
    pub(super) fn hsm_todos(&self) -> Result<Vec<Todo>, ServiceError> {
        let left = self.authority()?.left_in_device();
        let left = left.map_err(|error| convert::authority_error(&error))?;
        let todo = |left: LeftKey| {
            let kind = left.what.split(' ').next().unwrap_or_default();
            Todo {
                kind: "hsm-key".to_owned(),
                hint: format!(
                    "`sealock ca migrate-key {kind} --to hsm` ends the move; where this is a copy of another state, leave it alone"
                ),
                text: format!(
                    "a copy of its key may be in the HSM under the id {}, from a move that was cut short",
                    left.at.id
                ),
                name: left.what,
                since: left.since,
            }
        };
        Ok(left.into_iter().map(todo).collect())
    }

    pub(super) fn ca_migrate_key(
        &self,
        caller: &Caller,
        request: &str,
        whose: (Option<RotateWhat>, Option<&str>),
        to: KeyHome,
        extractable: bool,
    ) -> Result<Reply, ServiceError> {
        self.by_own_door(caller, request, "ca migrate-key")?;
        let actor = self.manage(caller, request, "migrate-key")?;
        let to = match (to, extractable) {
            (KeyHome::Hsm, extractable) => MigrateTo::Device { extractable },
            (KeyHome::Store, false) => MigrateTo::Store,
            (KeyHome::Store, true) => {
                return Err(ServiceError::new(
                    ErrorCode::Usage,
                    "whether a key may leave the HSM is said when it goes there",
                ));
            }
        };
        let authority = self.authority()?;
        let moved = match whose {
            (Some(RotateWhat::Root), None) => authority.migrate_key(IssuerKind::Root, to, &actor),
            (Some(RotateWhat::Intermediate), None) => {
                authority.migrate_key(IssuerKind::Intermediate, to, &actor)
            }
            (None, Some(issuer)) => {
                let issuer = issuers::parse_name(issuer)?;
                let kind = IssuerKind::Intermediate;
                match issuer.is_own() {
                    true => authority.migrate_key(kind, to, &actor),
                    false => authority.migrate_issuer_key(&issuer, to, &actor),
                }
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(ServiceError::new(ErrorCode::Usage, "one key is moved at a time")
                    .hint("say root, intermediate, or --issuer NAME"));
            }
        };
        moved.map_err(|error| convert::authority_error(&error))?;
        Ok(Reply::Ca(Box::new(convert::ca_report(&authority.ca_info()))))
    }

    /// Forgets what the HSM has said to its PIN, or has not said, and tries it once.
    pub(super) fn ca_retry_pin(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.by_own_door(caller, request, "ca retry-pin")?;
        self.manage(caller, request, "retry-pin")?;
        // Opens the keyring, too.
        self.authority()?;
        let hsm = self.hsm()?.ok_or_else(|| {
            ServiceError::new(ErrorCode::Usage, "the settings name no HSM")
                .hint("set hsm.module and hsm.token")
        })?;
        let change = Change { transaction: forgotten(), events: Vec::new() };
        self.journal.commit_blocking(change).map_err(|error| convert::journal_error(&error))?;
        hsm.is_there().map_err(|error| convert::device_error(&error))?;
        Ok(Reply::Done)
    }

    /// Whatever the rules are: they may be older than these operations.
    pub(super) fn by_own_door(
        &self,
        caller: &Caller,
        request: &str,
        what: &str,
    ) -> Result<(), ServiceError> {
        if matches!(caller.door, Door::Socket | Door::Process) {
            return Ok(());
        }
        let reason = "the keys of the CA are seen to by the host's own doors only";
        self.refused_without_policy(caller, request, reason)?;
        Err(ServiceError::new(ErrorCode::Denied, reason)
            .in_request(request)
            .hint(format!("run `sealock {what}` on the host")))
    }
}
