//! The parameters of a query: which there are, of what kind, and what they say.
//!
//! **What an attacker controls:** all of them. One that the operation does not have is refused, since it might
//! mean something to an engine of another age; one that comes twice is refused, since the engine takes the first
//! and another reader the last. An empty one counts as absent and is not forwarded.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use super::image_name::{ImageName, ImageNameError};
use super::object::{ObjectError, Reference};
use super::ps;
use crate::filters::{Filters, FiltersError};

/// Values of one parameter that may come more than once.
const MAXIMUM_VALUES: usize = 512;

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As the engine's `BoolValue` reads it: anything but nothing, `0`, `no`, `false` and `none` is true.
    Bool,
    /// The same, and true where it is absent.
    BoolTrue,
    /// As Go's `strconv.ParseBool` reads it, which knows a few words only.
    StrictBool,
    /// A number of 64 bits.
    Int,
    /// A text in one line.
    Text,
    /// A text that may have line ends.
    Lines,
    /// JSON of any shape, with no key twice in an object.
    Json,
    /// [`Filters`].
    Filters,
    /// Texts in one line each; may come more than once.
    Texts,
    /// Texts that may have line ends; may come more than once.
    ManyLines,
    /// JSON, more than once.
    Jsons,
    /// Options of `ps` that choose columns and nothing else.
    Ps,
    /// A name or id.
    Reference,
    /// The name or id of a container that the operation reads.
    Container,
    /// The name that a container is to have. One leading slash, as some clients send it, is dropped.
    NewContainer,
    /// The image to be pulled; without tag and digest all tags of it.
    Pulled,
    /// The repository that an image is to be in, with [`Kind::Tag`] beside it.
    NewRepository,
    /// A tag, or a digest where the name beside it is [`Kind::Pulled`].
    Tag,
    /// Names that an image is to have; may come more than once.
    NewImages,
    /// Images that are read; may come more than once.
    Images,
    /// The plugin to be fetched.
    RemotePlugin,
    /// The name that a plugin is to have.
    NewPlugin,
    /// Sent by well-known clients and read by no engine; not forwarded.
    Ignored,
}

/// What a parameter says, in the form in which it is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    /// Forwarded as `true` or `false`.
    StrictBool(bool),
    Int(i64),
    Text(String),
    Texts(Vec<String>),
    Filters(Filters),
}

impl Value {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text or texts.
    pub(super) fn as_texts(&self) -> &[String] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Texts(texts) => texts,
            _ => &[],
        }
    }
}

/// Why a parameter is refused.
#[derive(Debug, Error)]
pub enum ParameterError {
    /// The operation has none of that name.
    #[error("it is not known for this operation")]
    Unknown,
    /// More than once.
    #[error("it comes twice")]
    Repeated,
    /// More often than is read.
    #[error("it comes more than {MAXIMUM_VALUES} times")]
    TooMany,
    /// Without it the operation cannot be.
    #[error("it is missing")]
    Missing,
    /// Without the other it has no meaning.
    #[error("it needs `{0}` beside it")]
    Alone(&'static str),
    /// Empty, where the engine would not take it as absent.
    #[error("it is empty")]
    Empty,
    /// No number of 64 bits.
    #[error("it is not a number")]
    Number,
    /// Neither true nor false.
    #[error("it is neither true nor false")]
    Bool,
    /// NUL or another control character.
    #[error("it has a control character")]
    Control,
    /// Options of `ps` that do more than choose columns.
    #[error(
        "it has options of ps that are not taken here; `-ef`, `aux` and `-o` with plain columns are"
    )]
    Ps,
    /// Not JSON, or a key comes twice.
    #[error("it is not JSON with each key once")]
    Json,
    /// No filters.
    #[error(transparent)]
    Filters(#[from] FiltersError),
    /// No image.
    #[error(transparent)]
    Image(#[from] ImageNameError),
    /// No name or id.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Kind {
    /// Whether the engine reads all values of it.
    pub(super) fn is_many(self) -> bool {
        use Kind::{Images, Jsons, ManyLines, NewImages, Texts};
        matches!(self, Texts | ManyLines | Jsons | NewImages | Images)
    }

    /// Reads what came under one name. `None` where it counts as absent.
    pub(super) fn read(self, values: Vec<String>) -> Result<Option<Value>, ParameterError> {
        if self == Self::Ignored {
            return Ok(None);
        }
        if self.is_many() {
            return self.read_many(values);
        }
        let mut values = values.into_iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(ParameterError::Repeated);
        }
        if value.is_empty() {
            // For some of these the engine tells absence from emptiness, and not every release alike.
            return if self == Self::BoolTrue { Err(ParameterError::Empty) } else { Ok(None) };
        }
        self.read_one(value).map(Some)
    }

    fn read_many(self, values: Vec<String>) -> Result<Option<Value>, ParameterError> {
        if values.len() > MAXIMUM_VALUES {
            return Err(ParameterError::TooMany);
        }
        let mut read = Vec::with_capacity(values.len());
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            read.push(match self {
                Self::ManyLines => lines(value)?,
                Self::Jsons => json(value)?,
                Self::NewImages => new_image(&value)?.to_string(),
                Self::Images => ImageName::parse(&value)?.to_string(),
                _ => line(value)?,
            });
        }
        Ok(if read.is_empty() { None } else { Some(Value::Texts(read)) })
    }

    fn read_one(self, value: String) -> Result<Value, ParameterError> {
        Ok(match self {
            Self::Bool | Self::BoolTrue => Value::Bool(is_true(&line(value)?)),
            Self::StrictBool => Value::StrictBool(strictly_true(&value)?),
            Self::Int => Value::Int(number(&value)?),
            Self::Lines => Value::Text(lines(value)?),
            Self::Json => Value::Text(json(value)?),
            Self::Filters => Value::Filters(Filters::parse(&value)?),
            Self::Reference | Self::Container => {
                Value::Text(Reference::parse(&value)?.as_str().to_owned())
            }
            Self::NewContainer => {
                let name = value.strip_prefix('/').unwrap_or(&value);
                Value::Text(Reference::parse(name)?.as_str().to_owned())
            }
            Self::Ps => Value::Text(ps::options(&value).ok_or(ParameterError::Ps)?),
            Self::RemotePlugin | Self::NewPlugin => {
                Value::Text(ImageName::parse_named(&value)?.or_latest().to_string())
            }
            _ => Value::Text(line(value)?),
        })
    }
}

/// A name that is given to an image.
pub(super) fn new_image(text: &str) -> Result<ImageName, ImageNameError> {
    Ok(ImageName::parse_named(text)?.without_digest()?.or_latest())
}

fn is_true(value: &str) -> bool {
    let word = value.trim().to_lowercase();
    !matches!(word.as_str(), "" | "0" | "no" | "false" | "none")
}

fn strictly_true(value: &str) -> Result<bool, ParameterError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ParameterError::Bool),
    }
}

fn number(value: &str) -> Result<i64, ParameterError> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParameterError::Number);
    }
    value.parse().map_err(|_| ParameterError::Number)
}

fn line(value: String) -> Result<String, ParameterError> {
    if value.chars().any(char::is_control) { Err(ParameterError::Control) } else { Ok(value) }
}

fn lines(value: String) -> Result<String, ParameterError> {
    let is_bad =
        |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    if value.chars().any(is_bad) { Err(ParameterError::Control) } else { Ok(value) }
}

/// The JSON as it came, once it is known that there is one way only to read it.
fn json(value: String) -> Result<String, ParameterError> {
    let value = lines(value)?;
    let mut deserializer = serde_json::Deserializer::from_str(&value);
    Once.deserialize(&mut deserializer).map_err(|_| ParameterError::Json)?;
    deserializer.end().map_err(|_| ParameterError::Json)?;
    Ok(value)
}

/// Walks JSON and finds keys that come twice.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element_seed(Once)?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(M::Error::custom("a key comes twice"));
            }
            map.next_value_seed(Once)?;
        }
        Ok(())
    }
}
