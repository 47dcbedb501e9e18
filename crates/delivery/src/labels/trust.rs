//! A trust bundle as labels ask for it.

use sealock_core::SecretName;
use sealock_transfer::landing::Owner;

use super::{ContainerPath, Kind, LabelError, LabelName, Reload, TrustFormat, error, value};

/// The settings, as they stand in a label after the bundle's name.
pub(super) const SETTINGS: [&str; 6] = ["path", "owner", "mode", "reload", "format", "password"];
/// Where its file is that has no `.path`.
const FOLDER: &str = "/run/sealock/trust";

/// One file of trusted roots that the labels of a container ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRequest {
    /// Its name within the container.
    pub name: LabelName,
    /// The file inside the container.
    pub path: ContainerPath,
    /// Who owns the file; `None` is the container's root.
    pub owner: Option<Owner>,
    /// Its mode. What is in it is everybody's, who may write it is not.
    pub mode: u32,
    /// How the service is told of new content.
    pub reload: Option<Reload>,
    /// What it is a file of.
    pub format: TrustFormat,
    /// The secret that is the password, of formats that have one; by default it is the one that Java's own has.
    pub password: Option<SecretName>,
}

impl TrustRequest {
    /// With every setting at its default.
    pub(super) fn new(name: LabelName) -> Self {
        let path = ContainerPath::in_folder(FOLDER, &name);
        let format = TrustFormat::Pem;
        Self { name, path, owner: None, mode: 0o444, reload: None, format, password: None }
    }

    pub(super) fn apply(&mut self, setting: &str, text: &str) -> Result<(), LabelError> {
        match setting {
            "path" => self.path = text.parse()?,
            "owner" => self.owner = Some(value::owner(text)?),
            "mode" => self.mode = value::mode(text)?,
            "format" => self.format = text.parse()?,
            "password" => self.password = Some(value::password(text)?),
            "reload" => self.reload = Some(text.parse()?),
            other => return Err(error::unknown_setting(Kind::Trust, other)),
        }
        Ok(())
    }

    /// What is asked for; or why it cannot be.
    pub(super) fn finish(self) -> Result<Self, LabelError> {
        match (&self.password, self.format) {
            (Some(_), TrustFormat::Pem) => Err(LabelError::PasswordWithoutStore),
            _ => Ok(self),
        }
    }
}
