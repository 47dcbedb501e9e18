//! What a request is about, as it names it.

use std::fmt;

use thiserror::Error;

use super::image_name::{ImageName, ImageNameError};

/// Bytes of a name.
const MAXIMUM_NAME: usize = 255;
/// Of an exec, which the engine finds by its whole id only.
const EXEC_ID: usize = 64;

/// Why a text names no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ObjectError {
    /// Too long.
    #[error("a name is longer than {MAXIMUM_NAME} bytes")]
    TooLong,
    /// Not of the characters that names have; a leading slash is none of them.
    #[error(
        "a name is not of letters, digits, `_`, `.` and `-` with a letter or digit first; an id is small hexadecimal digits"
    )]
    Malformed,
    /// Not 64 hexadecimal digits.
    #[error("the id of an exec is 64 hexadecimal digits")]
    ExecId,
    /// Not the name of an image or plugin.
    #[error(transparent)]
    Image(#[from] ImageNameError),
}

/// A name or id, or the prefix of an id: letters, digits, `_`, `.` and `-`, with a letter or digit first.
///
/// Names of other kinds (a network's may have spaces) can be had by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

impl Reference {
    /// Reads a name or id.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        if text.len() > MAXIMUM_NAME {
            return Err(ObjectError::TooLong);
        }
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest =
            bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        // No name has one character only, but the prefix of an id may.
        let is_digit = matches!(text.as_bytes(), [b'0'..=b'9' | b'a'..=b'f']);
        if !first || !rest || (text.len() == 1 && !is_digit) {
            return Err(ObjectError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Something that a request names and that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// By name, id or the prefix of an id.
    Container(Reference),
    /// A checkpoint of a container.
    Checkpoint {
        /// Whose.
        container: Reference,
        /// Its name.
        name: Reference,
    },
    /// By its id of 64 digits.
    Exec(Reference),
    /// By name, id or the prefix of an id.
    Image(ImageName),
    /// By name, id or the prefix of an id.
    Network(Reference),
    /// By name.
    Volume(Reference),
    /// By name, id or the prefix of an id.
    Plugin(ImageName),
    /// By id, host name or `self`.
    Node(Reference),
    /// By id or name.
    Service(Reference),
    /// By id.
    Task(Reference),
    /// By id or name.
    Secret(Reference),
    /// By id or name.
    Config(Reference),
}

impl Object {
    /// The kind, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Container(_) => "container",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Exec(_) => "exec",
            Self::Image(_) => "image",
            Self::Network(_) => "network",
            Self::Volume(_) => "volume",
            Self::Plugin(_) => "plugin",
            Self::Node(_) => "node",
            Self::Service(_) => "service",
            Self::Task(_) => "task",
            Self::Secret(_) => "secret",
            Self::Config(_) => "config",
        }
    }

    /// The name or id, as it is forwarded.
    pub fn name(&self) -> String {
        match self {
            Self::Checkpoint { name, .. } => name.to_string(),
            Self::Image(name) | Self::Plugin(name) => name.to_string(),
            Self::Container(name)
            | Self::Exec(name)
            | Self::Network(name)
            | Self::Volume(name)
            | Self::Node(name)
            | Self::Service(name)
            | Self::Task(name)
            | Self::Secret(name)
            | Self::Config(name) => name.to_string(),
        }
    }
}

/// The objects of a path whose placeholders were filled with `names`, and the names as they are forwarded.
pub(super) fn of_path(
    pattern: &str,
    names: &[String],
    tag: Option<&str>,
) -> Result<(Option<Object>, Vec<String>), ObjectError> {
    let mut placeholders = pattern.split('/').filter(|part| part.starts_with('{'));
    let (Some(placeholder), Some(name)) = (placeholders.next(), names.first()) else {
        return Ok((None, Vec::new()));
    };
    let object = match placeholder {
        "{image}" => Object::Image(ImageName::parse(name)?.or_latest()),
        "{images}" => Object::Image(ImageName::parse(name)?),
        "{repository}" => return pushed(name, tag),
        "{distribution}" => Object::Image(ImageName::parse_named(name)?.or_latest()),
        "{plugin}" => Object::Plugin(ImageName::parse(name)?.or_latest()),
        "{exec}" => Object::Exec(exec_id(name)?),
        other => by_reference(other, Reference::parse(name)?, names.get(1))?,
    };
    let mut written = vec![object.name()];
    if let Object::Checkpoint { container, name } = &object {
        written = vec![container.to_string(), name.to_string()];
    }
    Ok((Some(object), written))
}

/// A repository whose tag is given apart. The path is forwarded without it: the engine puts them together.
fn pushed(name: &str, tag: Option<&str>) -> Result<(Option<Object>, Vec<String>), ObjectError> {
    let named = ImageName::parse_named(name)?;
    let named = named.without_digest()?;
    let written = named.to_string();
    let object = match tag {
        Some(tag) => named.with_tag(tag).and_then(ImageName::without_digest),
        None => Ok(named),
    };
    Ok((Some(Object::Image(object?)), vec![written]))
}

fn by_reference(
    placeholder: &str,
    reference: Reference,
    second: Option<&String>,
) -> Result<Object, ObjectError> {
    Ok(match (placeholder, second) {
        ("{container}", Some(name)) => {
            Object::Checkpoint { container: reference, name: Reference::parse(name)? }
        }
        ("{container}", None) => Object::Container(reference),
        ("{network}", _) => Object::Network(reference),
        ("{volume}", _) => Object::Volume(reference),
        ("{node}", _) => Object::Node(reference),
        ("{service}", _) => Object::Service(reference),
        ("{task}", _) => Object::Task(reference),
        ("{secret}", _) => Object::Secret(reference),
        ("{config}", _) => Object::Config(reference),
        // A placeholder that the table does not have; a test walks them all.
        _ => return Err(ObjectError::Malformed),
    })
}

fn exec_id(text: &str) -> Result<Reference, ObjectError> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == EXEC_ID && text.bytes().all(is_hex) {
        Ok(Reference(text.to_owned()))
    } else {
        Err(ObjectError::ExecId)
    }
}
