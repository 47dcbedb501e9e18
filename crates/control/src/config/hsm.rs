//! The HSM in which keys of the CA may be: `[hsm]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_hsm::{TokenName, token_name};

use super::file::Value;

/// A signature may take so long.
const DEADLINES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);
/// No module needs more variables.
const MOST_VARIABLES: usize = 16;
/// What would have the loader or the C library do something else, in the process that has the PIN.
const FORBIDDEN: &[&str] =
    &["LD_", "GLIBC_", "MALLOC_", "GCONV_PATH", "LOCPATH", "NLSPATH", "TMPDIR", "RES_OPTIONS"];

/// The HSM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HsmSettings {
    /// The PKCS#11 module; without one there is no HSM.
    pub module: Option<PathBuf>,
    /// Which token.
    pub token: TokenName,
    /// The file with the PIN; otherwise the systemd credential.
    pub pin_file: Option<PathBuf>,
    /// How long a signature may take.
    pub deadline: Duration,
    /// The environment of the process that loads the module.
    pub environment: Vec<(String, String)>,
}

impl Default for HsmSettings {
    fn default() -> Self {
        Self {
            module: None,
            token: TokenName::default(),
            pin_file: None,
            deadline: Duration::from_secs(5),
            environment: Vec::new(),
        }
    }
}

impl HsmSettings {
    /// Paths in the file are relative to it.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        if let Some(path) = self.pin_file.as_mut().filter(|path| path.is_relative()) {
            *path = folder.join(&path);
        }
    }

    pub(super) fn set_module(&mut self, value: &Value) -> Result<(), String> {
        let path = PathBuf::from(value.text()?);
        if !path.is_absolute() {
            return Err("must be an absolute path".to_owned());
        }
        self.module = Some(path);
        Ok(())
    }

    pub(super) fn set_token(&mut self, value: &Value) -> Result<(), String> {
        self.token =
            token_name(value.text()?).map_err(|error| format!("names no token: {error}"))?;
        Ok(())
    }

    pub(super) fn set_deadline(&mut self, deadline: Duration) -> Result<(), String> {
        if !DEADLINES.contains(&deadline) {
            return Err("must be 1s to 1m".to_owned());
        }
        self.deadline = deadline;
        Ok(())
    }

    pub(super) fn set_environment(&mut self, value: &Value) -> Result<(), String> {
        let mut variables = Vec::new();
        for item in value.list()? {
            let (name, value) = item.split_once('=').unwrap_or_default();
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let good = !name.is_empty()
                && name.bytes().all(letter)
                && !name.starts_with(|first: char| first.is_ascii_digit())
                && !value.contains(char::is_control);
            if !good {
                return Err(format!("has `{item}`, which is not NAME=VALUE"));
            }
            if FORBIDDEN.iter().any(|begin| name.starts_with(begin)) {
                return Err(format!("has {name}, which is not the module's"));
            }
            if variables.iter().any(|(known, _)| known == name) {
                return Err(format!("has {name} twice"));
            }
            variables.push((name.to_owned(), value.to_owned()));
        }
        if variables.len() > MOST_VARIABLES {
            return Err(format!("has more than {MOST_VARIABLES} variables"));
        }
        self.environment = variables;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_module_is_given() {
        let set = |items: &[&str]| {
            let mut settings = HsmSettings::default();
            let list = Value::List(items.iter().map(|item| (*item).to_owned()).collect());
            settings.set_environment(&list).map(|()| settings.environment)
        };
        assert_eq!(
            set(&["SOFTHSM2_CONF=/etc/softhsm2.conf"]),
            Ok(vec![("SOFTHSM2_CONF".into(), "/etc/softhsm2.conf".into())])
        );
        for bad in [
            "LD_PRELOAD=/tmp/x.so",
            "LD_LIBRARY_PATH=/tmp",
            "GLIBC_TUNABLES=x",
            "GCONV_PATH=/tmp",
            "A B=1",
            "=1",
            "1A=1",
            "A",
            "A=\n",
        ] {
            assert!(set(&[bad]).is_err(), "{bad}");
        }
        assert!(set(&["A=1", "A=2"]).unwrap_err().contains("twice"));
        let text = |text: &str| Value::Text(text.to_owned());
        let mut settings = HsmSettings::default();
        assert!(settings.set_module(&text("lib.so")).is_err());
        let pin = settings.set_token(&text("pkcs11:token=a?pin-value=1234")).unwrap_err();
        assert!(pin.contains("PIN") && !pin.contains("1234"), "{pin}");
        assert!(settings.set_deadline(Duration::from_secs(61)).is_err());
        assert_eq!(settings, HsmSettings::default(), "what is refused leaves nothing behind");
    }
}
