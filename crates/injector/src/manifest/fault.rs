//! What is wrong with one tag, or with one entry of `summon.files`.

use thiserror::Error;

/// What is wrong with a tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TagFault {
    /// A word that means nothing.
    #[error("unknown tag `{word}`")]
    Unknown {
        /// The word, without a value that it may have.
        word: String,
    },
    /// A word twice, or two that exclude each other.
    #[error("`{second}` cannot stand beside `{first}` in a tag")]
    Conflict {
        /// The first.
        first: &'static str,
        /// The second.
        second: &'static str,
    },
    /// A word that only makes sense with `var`.
    #[error("`{word}` in a tag needs `var`")]
    NeedsVar {
        /// The word.
        word: &'static str,
    },
    /// A word whose value has no quotes, or more behind them.
    #[error("the value of `{word}` in a tag is not in single quotes")]
    Quotes {
        /// The word.
        word: &'static str,
    },
    /// Not a provider's name.
    #[error("a provider's name has letters, digits, `-`, `_` and `.`, at most 64")]
    Provider,
    /// A tag on a key, a section or a setting.
    #[error("there can be no tag here")]
    NotHere,
}

/// What is wrong with an entry of `summon.files` or `sealock.files`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileFault {
    /// Not a list.
    #[error("{key} must be a sequence/array")]
    NotAList {
        /// `summon.files` or `sealock.files`.
        key: String,
    },
    /// Not a map.
    #[error("an entry of {key} must be a mapping")]
    EntryNotAMapping {
        /// `summon.files` or `sealock.files`.
        key: String,
    },
    /// A setting that does not exist (here).
    #[error("{key:?} is not a setting of a file")]
    UnknownSetting {
        /// What stood there.
        key: String,
        /// What could stand there.
        known: &'static [&'static str],
    },
    /// A setting with a value of another kind.
    #[error("`{setting}` of a file must be {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Two settings that exclude each other.
    #[error("`{second}` of a file cannot stand beside `{first}`")]
    Conflict {
        /// The first.
        first: &'static str,
        /// The second.
        second: &'static str,
    },
    /// No path.
    #[error("file config is missing required 'path' field")]
    NoPath,
    /// A path that ends with a slash.
    #[error("provided filepath {path:?} must contain a filename")]
    NoFileName {
        /// The path.
        path: String,
    },
    /// A last part that no file system takes.
    #[error("the filename of a file's path must not be longer than 255 characters")]
    LongFileName,
    /// The path of an earlier entry.
    #[error("the path {path:?} already exists in line {line}")]
    SamePath {
        /// The path.
        path: String,
        /// Where it stood first.
        line: usize,
    },
    /// No secrets.
    #[error("no secrets defined")]
    NoSecrets,
    /// Secrets that are not a map.
    #[error("expected mapping node for secrets")]
    SecretsNotAMapping,
    /// A name that no file should hold.
    #[error("{name:?} cannot be the alias of a secret")]
    Alias {
        /// The name.
        name: String,
    },
    /// More or fewer than one for `raw`.
    #[error("a file of format `raw` has one secret, not {count}")]
    RawCount {
        /// How many there are.
        count: usize,
    },
    /// A format that does not exist.
    #[error(
        "unable to process file {path:?} into file format {format:?}: unrecognized standard file format, {format:?}"
    )]
    UnknownFormat {
        /// The path.
        path: String,
        /// What stood there.
        format: String,
        /// What could stand there.
        known: &'static str,
    },
    /// `format: template` alone.
    #[error(
        "file config for path {path:?} specifies format \"template\" but no template content was provided"
    )]
    NoTemplate {
        /// The path.
        path: String,
    },
    /// `600`, which is decimal: Summon would make the file with the mode 0130.
    #[error("`permissions` of a file are octal, with a leading 0")]
    DecimalPermissions,
}

impl TagFault {
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unknown { .. } => {
                "known are var, file, str, int, bool, float, default='…', default-on-error='…', provider=NAME, \
                 joined by `:`"
            }
            Self::Quotes { .. } => {
                "write default='…'; spaces and other special characters as %20 and the like"
            }
            Self::Provider => "a provider is named without its folder",
            Self::NeedsVar { .. } => {
                "write !var:… in front of a path, or leave it out in front of a literal"
            }
            Self::Conflict { .. } | Self::NotHere => return None,
        };
        Some(hint.to_owned())
    }
}

impl FileFault {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownSetting { known, .. } => Some(format!("known are {}", known.join(", "))),
            Self::UnknownFormat { known, .. } => Some(format!("known are {known}")),
            Self::DecimalPermissions => {
                Some("write 0600 for what only its owner may read".to_owned())
            }
            Self::NoTemplate { .. } => Some("put the text under `template`".to_owned()),
            Self::NoFileName { .. } => {
                Some("name the file itself, or use `prefix` for a folder of secrets".to_owned())
            }
            Self::NoSecrets => {
                Some("put `secrets` with at least one alias into the entry".to_owned())
            }
            _ => None,
        }
    }
}
