//! Why settings are refused.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why settings are refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// `file:line:column`.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// There is no such setting.
    #[error("{place}: there is no setting `{key}`")]
    UnknownKey {
        /// `file:line`, a variable, or `flag`.
        place: String,
        /// As it was written.
        key: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// The setting cannot have this value.
    #[error("{place}: `{key}` {reason}")]
    BadValue {
        /// `file:line`, a variable, or `flag`.
        place: String,
        /// The setting.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownKey { suggestion: Some(suggestion), .. } => {
                format!("did you mean `{suggestion}`?")
            }
            Self::UnknownKey { .. } | Self::BadValue { .. } => {
                "docs/reference/settings.md has all settings, with what they may be".to_owned()
            }
            Self::Read { .. } => "name a readable file with --config FILE".to_owned(),
            Self::Syntax { .. } => "the file is TOML: [section], then name = value".to_owned(),
        }
    }
}
