//! How values are written into files.
//!
//! Each format is written for the program that reads it: what is read back is the value, byte for byte, or there is
//! an error that names the secret. Nothing is cut, replaced or expanded in silence.
//!
//! | format | read by | values it can hold |
//! | --- | --- | --- |
//! | `yaml` | YAML 1.1 and 1.2 | UTF-8 |
//! | `json` | any JSON parser | UTF-8 |
//! | `dotenv` | python-dotenv; others, where they agree | UTF-8 without NUL, `${…}`, or a `$` beside a `'` |
//! | `properties` | `java.util.Properties`, as ISO 8859-1 or UTF-8 | UTF-8 |
//! | `bash` | any POSIX shell | all but NUL |
//! | `template` | whoever the template is for | all |
//! | `raw` | | all |
//!
//! For ordinary values the bytes are those that Summon writes: lines in the order of the aliases, no line end after
//! the last one.
//!
//! **What an attacker controls:** the values, whoever may write a secret; aliases and templates, whoever writes
//! `secrets.yml`.

mod bash;
mod dotenv;
mod env_file;
mod error;
mod json;
mod properties;
pub(crate) mod quote;
pub mod template;
#[cfg(test)]
mod tests;
mod yaml;

use sealock_core::SecretBytes;

use crate::Format;
use crate::buffer::Buffer;

pub use env_file::{DockerEnvFile, EnvFileError, docker_env_file, env_file};
pub use error::{AliasRule, FormatError};

/// Whose behaviour is asked for, where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As Summon: a template prints `<no value>` for what is not there, and `properties` have quotes around each
    /// value, which Java takes for a part of it.
    Summon,
    /// What is not there is an error, and Java reads the value itself.
    Strict,
}

/// A secret as the writers see it.
#[derive(Clone, Copy)]
pub(crate) struct Secret<'a> {
    pub(crate) alias: &'a str,
    pub(crate) value: &'a [u8],
}

impl<'a> Secret<'a> {
    /// The value as text, in a format that has no other.
    fn text(&self, format: Format) -> Result<&'a str, FormatError> {
        std::str::from_utf8(self.value).map_err(|_| FormatError::NotText {
            alias: self.alias.to_owned(),
            format: name(format),
        })
    }
}

/// Whether such a file can be made at all, as far as that can be told before a secret is fetched: the aliases, and
/// the form of the template.
///
/// # Errors
/// As [`render`].
pub fn check(format: Format, template: Option<&str>, aliases: &[&str]) -> Result<(), FormatError> {
    if format == Format::Raw && aliases.len() != 1 {
        return Err(FormatError::NotOne { count: aliases.len() });
    }
    for alias in aliases {
        error::check_alias(format, alias)?;
    }
    match own_template(format, template)? {
        Some(text) => template::Template::parse(text).map(|_| ()).map_err(FormatError::Template),
        None => Ok(()),
    }
}

/// What is to be in the file.
///
/// A template takes the place of the format's own layout, as with Summon, also beside another `format`.
///
/// # Errors
/// An alias or a value that the format cannot hold, two secrets of one alias, or what is wrong with the template.
pub fn render(
    format: Format,
    template: Option<&str>,
    secrets: &[(String, SecretBytes)],
    dialect: Dialect,
) -> Result<SecretBytes, FormatError> {
    let secrets = sorted(secrets)?;
    let aliases: Vec<&str> = secrets.iter().map(|secret| secret.alias).collect();
    check(format, template, &aliases)?;
    if let Some(text) = own_template(format, template)? {
        return template::Template::parse(text)
            .and_then(|template| template.render_sorted(&secrets, dialect))
            .map_err(FormatError::Template);
    }
    // Room for some escapes, so that it seldom has to grow.
    let size = |secret: &Secret<'_>| secret.alias.len() + secret.value.len() + 16;
    let sum: usize = secrets.iter().map(size).sum();
    let mut out = Buffer::with_capacity(sum + sum / 8);
    match format {
        Format::Yaml => yaml::write(&secrets, &mut out)?,
        Format::Json => json::write(&secrets, &mut out)?,
        Format::Dotenv => dotenv::write(&secrets, &mut out)?,
        Format::Properties => properties::write(&secrets, dialect, &mut out)?,
        Format::Bash => bash::write(&secrets, &mut out)?,
        // `check` has seen that there is one; a template has been rendered above.
        Format::Raw | Format::Template => secrets.iter().for_each(|one| out.extend(one.value)),
    }
    Ok(out.into_secret())
}

/// The template that takes the place of the format's own layout.
fn own_template(format: Format, template: Option<&str>) -> Result<Option<&str>, FormatError> {
    match template.filter(|text| !text.is_empty()) {
        None if format == Format::Template => Err(FormatError::NoTemplate),
        Some(_) if format == Format::Raw => Err(FormatError::RawTemplate),
        text => Ok(text),
    }
}

fn sorted(secrets: &[(String, SecretBytes)]) -> Result<Vec<Secret<'_>>, FormatError> {
    let mut secrets: Vec<Secret<'_>> =
        secrets.iter().map(|(alias, value)| Secret { alias, value: value.expose() }).collect();
    secrets.sort_by_key(|secret| secret.alias);
    let twice = secrets.windows(2).find_map(|pair| match pair {
        [first, second] if first.alias == second.alias => Some(first.alias.to_owned()),
        _ => None,
    });
    twice.map_or(Ok(secrets), |alias| Err(FormatError::Twice { alias }))
}

/// Lines between which there is one line end, and none after the last.
fn lines(
    secrets: &[Secret<'_>],
    out: &mut Buffer,
    mut line: impl FnMut(&Secret<'_>, &mut Buffer) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    for (index, secret) in secrets.iter().enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        line(secret, out)?;
    }
    Ok(())
}

/// What the format is called in `secrets.yml`.
fn name(format: Format) -> &'static str {
    match format {
        Format::Yaml => "yaml",
        Format::Json => "json",
        Format::Dotenv => "dotenv",
        Format::Properties => "properties",
        Format::Bash => "bash",
        Format::Template => "template",
        Format::Raw => "raw",
    }
}
