//! Files of `NAME=value` lines: what `@SUMMONENVFILE` becomes, and what `docker --env-file` reads.

use sealock_core::SecretBytes;
use thiserror::Error;

use super::quote;
use crate::buffer::Buffer;

/// Docker's client reads lines into a buffer of 64 KiB, and fails on a longer one.
const LONGEST_DOCKER_LINE: usize = 60 * 1024;

/// Why a variable cannot stand in such a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvFileError {
    /// No environment can hold a NUL byte.
    #[error("the value of {name:?} has a NUL byte, and no variable can hold one")]
    Nul {
        /// The variable.
        name: String,
    },
    /// Docker's client takes only UTF-8.
    #[error("the value of {name:?} is not UTF-8, and docker takes no other")]
    NotText {
        /// The variable.
        name: String,
    },
    /// A name that would be read as something else.
    #[error("{name:?} cannot be a name in an env file")]
    Name {
        /// The name.
        name: String,
    },
}

/// The content of a file for `@SUMMONENVFILE`: sorted lines, as Summon writes them. A value with white space, a quote
/// or a backslash is quoted as Go does, all others stand there as they are.
///
/// # Errors
/// A NUL byte, or a name with a line end or `=`.
pub fn env_file(variables: &[(String, SecretBytes)]) -> Result<SecretBytes, EnvFileError> {
    let mut out = Buffer::with_capacity(room(variables));
    for (name, value) in in_order(variables) {
        if name.is_empty() || name.contains(['=', '\n', '\r', '\0']) {
            return Err(EnvFileError::Name { name: name.clone() });
        }
        let value = without_nul(name, value)?;
        out.extend(name.as_bytes());
        out.push(b'=');
        if value.iter().any(|byte| b" \t\n\r\"'\\".contains(byte)) {
            quote::quoted(value, &mut out);
        } else {
            out.extend(value);
        }
        out.push(b'\n');
    }
    if variables.is_empty() {
        out.push(b'\n');
    }
    Ok(out.into_secret())
}

/// A file for `docker run --env-file`, and what has to come with it.
#[derive(Debug)]
pub struct DockerEnvFile {
    /// The content of the file.
    pub content: SecretBytes,
    /// The variables whose lines have only a name: docker takes their values from its own environment, so they have
    /// to be in the environment of the command that reads the file.
    pub from_environment: Vec<String>,
}

/// The content of a file for `docker run --env-file`.
///
/// Docker takes the rest of a line for the value as it is: there are no quotes, and no way to write a line end. But a
/// line with a name alone says that the value is the one in docker's own environment, and that may have lines. So
/// what cannot stand in a line is taken from there.
///
/// # Errors
/// What docker cannot hand on: a NUL byte, a value that is not UTF-8; a name that its reader takes for something else.
pub fn docker_env_file(variables: &[(String, SecretBytes)]) -> Result<DockerEnvFile, EnvFileError> {
    let mut out = Buffer::with_capacity(room(variables));
    let mut from_environment = Vec::new();
    for (name, value) in in_order(variables) {
        let odd = |c: char| c == '=' || c == '\0' || c.is_whitespace();
        if name.is_empty() || name.contains(odd) || name.starts_with(['#', '\u{feff}']) {
            return Err(EnvFileError::Name { name: name.clone() });
        }
        let value = without_nul(name, value)?;
        if std::str::from_utf8(value).is_err() {
            return Err(EnvFileError::NotText { name: name.clone() });
        }
        out.extend(name.as_bytes());
        let long = name.len() + value.len() > LONGEST_DOCKER_LINE;
        // The reader takes a carriage return before the line end for a part of that.
        if long || value.contains(&b'\n') || value.ends_with(b"\r") {
            from_environment.push(name.clone());
        } else {
            out.push(b'=');
            out.extend(value);
        }
        out.push(b'\n');
    }
    Ok(DockerEnvFile { content: out.into_secret(), from_environment })
}

/// Ordered as the lines are: `A1=` before `A=`.
fn in_order(variables: &[(String, SecretBytes)]) -> Vec<&(String, SecretBytes)> {
    let mut ordered: Vec<&(String, SecretBytes)> = variables.iter().collect();
    ordered.sort_by_cached_key(|(name, _)| format!("{name}="));
    ordered
}

fn without_nul<'a>(name: &str, value: &'a SecretBytes) -> Result<&'a [u8], EnvFileError> {
    let value = value.expose();
    if value.contains(&0) { Err(EnvFileError::Nul { name: name.to_owned() }) } else { Ok(value) }
}

fn room(variables: &[(String, SecretBytes)]) -> usize {
    variables.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>() * 9 / 8
}
