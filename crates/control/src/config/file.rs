//! `sealock.toml` as a flat list of keys and values with their lines.

use std::fmt;
use std::path::Path;

use sealock_docker::gateway::Most;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use crate::state::read_small;

/// A settings file is not longer than this.
const LONGEST: u64 = 1 << 20;

/// A value, whatever it came from: variables and flags are always text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Truth(bool),
    /// A list of texts.
    List(Vec<String>),
}

impl Value {
    /// As text, where it is one.
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err("must be text in quotes".to_owned()),
        }
    }

    /// As a list: a text is split at commas.
    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        match self {
            Self::List(items) => Ok(items.clone()),
            Self::Text(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(parts.map(str::to_owned).collect())
            }
            _ => Err("must be a list of texts".to_owned()),
        }
    }

    /// As a number from 1 on, or `off`.
    pub(super) fn most(&self) -> Result<Most, String> {
        match self {
            Self::Text(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }

    /// As true or false.
    pub(super) fn truth(&self) -> Result<bool, String> {
        match self {
            Self::Truth(truth) => Ok(*truth),
            Self::Text(text) if text == "true" || text == "on" => Ok(true),
            Self::Text(text) if text == "false" || text == "off" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Number(number) => number.fmt(formatter),
            Self::Truth(truth) => truth.fmt(formatter),
            Self::List(items) => formatter.write_str(&items.join(", ")),
        }
    }
}

/// One setting in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) line: usize,
}

pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = read_small(path, LONGEST).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| failed(std::io::Error::other("it is not UTF-8")))
}

pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let before = text.get(..text.floor_char_boundary(offset)).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ConfigError::Syntax {
            place: format!("{}:{}:{column}", path.display(), line_of(text, offset)),
            message: sealock_core::policy::plain(error.message()),
        }
    })?;
    let mut entries = Vec::new();
    flatten(path, text, "", table.get_ref(), &mut entries)?;
    Ok(entries)
}

fn flatten(
    path: &Path,
    text: &str,
    prefix: &str,
    table: &DeTable<'_>,
    entries: &mut Vec<Entry>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        let line = line_of(text, name.span().start);
        let bad = |reason: &str| ConfigError::BadValue {
            place: format!("{}:{line}", path.display()),
            key: sealock_core::policy::plain(&key),
            reason: reason.to_owned(),
        };
        let value = match value.get_ref() {
            DeValue::Table(inner) => {
                flatten(path, text, &key, inner, entries)?;
                continue;
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                Value::Number(number.map_err(|_| bad("is not a number that fits"))?)
            }
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    _ => Err(bad("must be a list of texts")),
                });
                Value::List(texts.collect::<Result<_, _>>()?)
            }
            DeValue::Float(_) | DeValue::Datetime(_) => {
                return Err(bad("must be text, a whole number, true, false or a list of texts"));
            }
        };
        entries.push(Entry { key, value, line });
    }
    Ok(())
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or_default();
    before.matches('\n').count() + 1
}
