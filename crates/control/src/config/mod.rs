//! The settings: `sealock.toml` < environment (`SEALOCK_…`) < flags.
//!
//! Every setting is one line in [`keys`]; its key in the file is `section.name`, its variable
//! `SEALOCK_SECTION_NAME`. An unknown key in the file is an error with a suggestion. The environment is
//! read in one place, [`Environment::of_process`], and handed in from there.

mod acme;
mod directories;
mod environment;
mod error;
mod file;
mod hsm;
mod keys;
mod problems;
mod profiles;
mod revocation;
mod schema;
mod services;
mod settings;
mod shape;
mod suggest;
#[cfg(test)]
mod tests;
mod upstreams;

use std::path::{Path, PathBuf};

pub use acme::{AcmeProfile, AcmeSettings};
pub use directories::{Directories, DirectorySettings};
pub use environment::Environment;
pub use error::ConfigError;
pub use hsm::HsmSettings;
pub use keys::{KEYS, Key};
pub use problems::Problem;
pub use profiles::Profiles;
pub use revocation::RevocationSettings;
pub use schema::{TABLES, Table, schema};
pub use services::{ServiceSettings, Services};
pub use settings::{
    ApiSettings, AuthoritySettings, EngineSettings, GatewaySettings, Listen, PolicySettings,
    Settings, WatchSettings, Workload,
};
pub use shape::Field;
pub use upstreams::{UpstreamKind, UpstreamSettings, Upstreams};

use crate::command::SettingInForce;
use file::Value;

/// What was given on the command line, by key: (`api.listen`, `127.0.0.1:0`).
pub type Flags = Vec<(&'static str, String)>;

/// The settings in force, and where each comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The typed settings.
    pub settings: Settings,
    /// The file that was read.
    pub file: Option<PathBuf>,
    in_force: Vec<SettingInForce>,
}

impl Config {
    /// Reads the file that was named (which must exist), else the standard one where there is one:
    /// `/etc/sealock/sealock.toml` for root, `$XDG_CONFIG_HOME/sealock/sealock.toml` for others.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let file = match file {
            Some(path) => Some(path.to_owned()),
            None => standard_file(environment).filter(|path| path.exists()),
        };
        let text = match &file {
            Some(path) => Some((path.clone(), file::read(path)?)),
            None => None,
        };
        let mut config = Self::from_parts(text.as_ref(), environment, flags)?;
        config.file = file;
        Ok(config)
    }

    /// The same from a text that was read already.
    pub fn from_parts(
        file: Option<&(PathBuf, String)>,
        environment: &Environment,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut config = Self { settings: Settings::default(), file: None, in_force: Vec::new() };
        if let Some((path, text)) = file {
            for entry in file::entries(path, text)? {
                let source = format!("{}:{}", path.display(), entry.line);
                config.set(
                    &entry.key,
                    &entry.value,
                    source,
                    file.map(|(path, _)| path.as_path()),
                )?;
            }
        }
        for key in KEYS {
            if let Some(text) = environment.get(&key.variable()) {
                config.set(key.name, &Value::Text(text.to_owned()), key.variable(), None)?;
            }
        }
        for (key, text) in flags {
            config.set(key, &Value::Text(text.clone()), "flag".to_owned(), None)?;
        }
        // Each is good by itself; only now it is known whether they are together.
        let bad = |key: &str, reason: String| ConfigError::BadValue {
            place: file
                .map_or_else(|| "settings".to_owned(), |(path, _)| path.display().to_string()),
            key: key.to_owned(),
            reason: sealock_core::policy::plain(&reason),
        };
        services::check(&config.settings.services).map_err(|reason| bad("services", reason))?;
        directories::check(&config.settings.directories)
            .map_err(|reason| bad("directory", reason))?;
        let Settings { profiles, acme, .. } = &mut config.settings;
        profiles.resolve().map_err(|reason| bad("profiles", reason))?;
        acme.resolve(profiles).map_err(|reason| bad("acme.profiles", reason))?;
        upstreams::check(&config.settings.upstreams).map_err(|reason| bad("upstream", reason))?;
        Ok(config)
    }

    /// Every setting as it is in force.
    pub fn in_force(&self) -> Vec<SettingInForce> {
        let mut all: Vec<SettingInForce> = KEYS
            .iter()
            .filter(|key| !self.in_force.iter().any(|set| set.key == key.name))
            .map(|key| SettingInForce {
                key: key.name.to_owned(),
                value: key.default.to_owned(),
                source: "default".to_owned(),
            })
            .chain(self.in_force.iter().cloned())
            .collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    fn set(
        &mut self,
        key: &str,
        value: &Value,
        source: String,
        file: Option<&Path>,
    ) -> Result<(), ConfigError> {
        let applied = match key.split_once('.') {
            Some(("groups", group)) => settings::set_group(&mut self.settings, group, value),
            Some(("limits", key)) => settings::set_limit(&mut self.settings, key, value),
            Some(("acme", profile)) if profile.starts_with("profiles.") => {
                let name = profile.strip_prefix("profiles.").unwrap_or(profile);
                acme::set_profile(&mut self.settings.acme, name, value)
            }
            Some(("profiles", key)) => self.settings.profiles.set(key, value),
            Some(("services", key)) => services::set(&mut self.settings.services, key, value),
            Some(("directory", key)) => {
                directories::set(&mut self.settings.directories, key, value)
            }
            Some(("upstream", key)) => upstreams::set(&mut self.settings.upstreams, key, value),
            _ => match KEYS.iter().find(|known| known.name == key) {
                Some(known) => (known.apply)(&mut self.settings, value),
                None => {
                    let known = KEYS.iter().map(|known| known.name);
                    return Err(ConfigError::UnknownKey {
                        place: source,
                        key: sealock_core::policy::plain(key),
                        suggestion: suggest::nearest(key, known.chain(["groups.admin"])),
                    });
                }
            },
        };
        applied.map_err(|reason| ConfigError::BadValue {
            place: source.clone(),
            key: key.to_owned(),
            reason: sealock_core::policy::plain(&reason),
        })?;
        // Paths in the file are relative to the file.
        let file = file.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
        if let Some(folder) = file.as_deref().and_then(Path::parent) {
            self.settings.resolve_paths(folder);
        }
        self.in_force.retain(|set| set.key != key);
        let value = sealock_core::policy::plain(&value.to_string());
        self.in_force.push(SettingInForce { key: key.to_owned(), value, source });
        Ok(())
    }
}

fn standard_file(environment: &Environment) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some("/etc/sealock/sealock.toml".into());
    }
    let absolute =
        |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder =
        absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("sealock/sealock.toml"))
}
