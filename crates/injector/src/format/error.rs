//! Why a file could not be written. No message has a value in it.

use std::fmt;

use thiserror::Error;

use super::template::TemplateError;
use crate::Format;

/// The longest key of a YAML mapping that readers have to take without a `?` before it.
const LONGEST_YAML_KEY: usize = 1024;
const LONGEST_JSON_KEY: usize = 2 << 20;

/// Why a file could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The alias cannot be a name in this format.
    #[error("{alias:?} cannot be a name in a {format} file: {rule}")]
    Alias {
        /// The alias.
        alias: String,
        /// The format.
        format: &'static str,
        /// What it has to be like.
        rule: AliasRule,
    },
    /// The value is not UTF-8.
    #[error("the value of {alias:?} is not UTF-8, and a {format} file holds only text")]
    NotText {
        /// Whose value.
        alias: String,
        /// The format.
        format: &'static str,
    },
    /// The value has a NUL byte.
    #[error("the value of {alias:?} has a NUL byte, and a {format} file cannot hold one")]
    Nul {
        /// Whose value.
        alias: String,
        /// The format.
        format: &'static str,
    },
    /// The value has `${…}`, which readers of dotenv files replace within any quotes.
    #[error("the value of {alias:?} has ${{…}}, which readers of dotenv files replace")]
    Expanded {
        /// Whose value.
        alias: String,
    },
    /// A `$` that needs single quotes, beside something that cannot stand in single quotes.
    #[error(
        "the value of {alias:?} has a dollar sign beside what single quotes cannot hold in a dotenv file"
    )]
    Quotes {
        /// Whose value.
        alias: String,
    },
    /// Two secrets have this alias.
    #[error("there are two secrets called {alias:?} in one file")]
    Twice {
        /// The alias.
        alias: String,
    },
    /// A raw file holds exactly one secret.
    #[error("a raw file holds one secret, not {count}")]
    NotOne {
        /// How many there are.
        count: usize,
    },
    /// The format is `template`, but there is none.
    #[error("the format is template, but there is no template")]
    NoTemplate,
    /// A raw file with a template.
    #[error("a raw file has no template")]
    RawTemplate,
    /// The template cannot be read or filled in.
    #[error("cannot fill in the template")]
    Template(#[source] TemplateError),
}

impl FormatError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Expanded { .. } | Self::Quotes { .. } => {
                Some("the formats `bash` and `json` can hold it")
            }
            Self::NotText { .. } | Self::Nul { .. } => Some(
                "a file of its own with the format `raw` holds any bytes, a template with `b64enc` holds them as base64",
            ),
            Self::Alias { .. } => Some("the key under `secrets` is the name; it can be any other"),
            Self::Template(error) => error.hint(),
            Self::Twice { .. } | Self::NotOne { .. } | Self::NoTemplate | Self::RawTemplate => None,
        }
    }
}

/// What an alias has to be like in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasRule {
    /// What a shell takes for the name of a variable.
    Variable,
    /// As a variable's name, and dots.
    Property,
    /// Printable characters.
    Printable,
    /// Neither control characters nor quotes nor backslashes.
    Plain,
    /// Not that long.
    Length(usize),
}

impl fmt::Display for AliasRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => {
                formatter.write_str("letters, digits and underscores, no digit first")
            }
            Self::Property => {
                formatter.write_str("letters, digits, underscores and dots, no digit or dot first")
            }
            Self::Printable => formatter.write_str("printable characters only"),
            Self::Plain => formatter.write_str("no control characters, quotes or backslashes"),
            Self::Length(most) => write!(formatter, "at most {most} bytes"),
        }
    }
}

/// The rules are Summon's.
pub(super) fn check_alias(format: Format, alias: &str) -> Result<(), FormatError> {
    let broken = match format {
        Format::Yaml if alias.len() > LONGEST_YAML_KEY => Some(AliasRule::Length(LONGEST_YAML_KEY)),
        Format::Yaml => (!alias.chars().all(is_yaml)).then_some(AliasRule::Printable),
        Format::Json if alias.len() > LONGEST_JSON_KEY => Some(AliasRule::Length(LONGEST_JSON_KEY)),
        Format::Json => (!alias.chars().all(is_plain)).then_some(AliasRule::Plain),
        Format::Dotenv | Format::Bash => (!is_variable(alias, "_")).then_some(AliasRule::Variable),
        Format::Properties => (!is_variable(alias, "_.")).then_some(AliasRule::Property),
        Format::Template | Format::Raw => None,
    };
    match broken {
        None => Ok(()),
        Some(rule) => {
            let alias = alias.chars().take(80).collect();
            Err(FormatError::Alias { alias, format: super::name(format), rule })
        }
    }
}

/// YAML 1.2, section 5.1.
fn is_yaml(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..
    )
}

fn is_plain(character: char) -> bool {
    !matches!(character, '\0'..='\x1f' | '\x7f' | '"' | '\\')
}

fn is_variable(alias: &str, beside: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    alias.starts_with(letter)
        && alias.chars().all(|c| c.is_ascii_alphanumeric() || beside.contains(c))
}
