//! A secret as labels ask for it.

use sealock_core::SecretName;
use sealock_transfer::landing::Owner;

use super::{ContainerPath, Kind, LabelError, LabelName, Reload, error, value};

/// The settings, as they stand in a label after the secret's name.
pub(super) const SETTINGS: [&str; 6] = ["ref", "path", "owner", "mode", "reload", "on-disk"];
/// Where its file is that has no `.path`.
const FOLDER: &str = "/run/sealock/secrets";

/// One secret that the labels of a container ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRequest {
    /// Its name within the container.
    pub name: LabelName,
    /// Which secret of the vault.
    pub secret: SecretName,
    /// The file inside the container.
    pub path: ContainerPath,
    /// Who owns the file; `None` is the container's root.
    pub owner: Option<Owner>,
    /// Its mode.
    pub mode: u32,
    /// How the service is told of a new value.
    pub reload: Option<Reload>,
    /// Whether the file may be on a disk; otherwise it must be on a file system in memory.
    pub on_disk: bool,
}

/// A secret whose labels are still being read.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    name: LabelName,
    secret: Option<SecretName>,
    path: ContainerPath,
    owner: Option<Owner>,
    mode: u32,
    reload: Option<Reload>,
    on_disk: bool,
}

impl Draft {
    /// With every setting at its default.
    pub(super) fn new(name: LabelName) -> Self {
        let path = ContainerPath::in_folder(FOLDER, &name);
        Self { name, secret: None, path, owner: None, mode: 0o400, reload: None, on_disk: false }
    }

    pub(super) fn apply(&mut self, setting: &str, text: &str) -> Result<(), LabelError> {
        match setting {
            "ref" if text.is_empty() => return Err(LabelError::Empty),
            "ref" => self.secret = Some(text.parse()?),
            "path" => self.path = text.parse()?,
            "owner" => self.owner = Some(value::owner(text)?),
            "mode" => self.mode = value::mode(text)?,
            "reload" => self.reload = Some(text.parse()?),
            "on-disk" => self.on_disk = value::allowed(text)?,
            other => return Err(error::unknown_setting(Kind::Secret, other)),
        }
        Ok(())
    }

    /// What is asked for. Which secret that is has no default: the name within the container is the
    /// container's, that in the vault is everybody's.
    pub(super) fn finish(self) -> Result<SecretRequest, LabelError> {
        let Self { name, secret, path, owner, mode, reload, on_disk } = self;
        let secret = secret.ok_or(LabelError::NoRef)?;
        Ok(SecretRequest { name, secret, path, owner, mode, reload, on_disk })
    }
}
