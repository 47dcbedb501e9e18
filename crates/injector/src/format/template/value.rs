//! What an expression can be.

use std::rc::Rc;

use sealock_core::SecretBytes;

use crate::format::Secret;

/// A value; cheap to clone. It has no `Debug`: most are secrets.
#[derive(Clone)]
pub(super) enum Value<'e> {
    /// Go's invalid value: `nil`, what a map does not have, and fields of that.
    Nothing,
    /// A pointer to no secret: what `index` finds for an alias that is not there.
    NoSecret,
    Bool(bool),
    Int(i64),
    /// What `index` takes out of a text.
    Byte(u8),
    Float(f64),
    Text(Text<'e>),
    Secret(Secret<'e>),
    /// `.SecretsArray`, or a slice of it.
    List(&'e [Secret<'e>]),
    /// `.SecretsMap`.
    Map,
    /// What `.` is at first.
    Data,
}

/// Bytes, as Go's strings are.
#[derive(Clone)]
pub(super) enum Text<'e> {
    Borrowed(&'e [u8]),
    Made(Rc<SecretBytes>),
}

impl Text<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Made(bytes) => bytes.expose(),
        }
    }
}

impl Value<'_> {
    /// Whether `if` takes it for true; `secrets` is how many there are.
    pub(super) fn is_true(&self, secrets: usize) -> bool {
        match self {
            Self::Nothing | Self::NoSecret => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.bytes().is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map => secrets > 0,
            Self::Secret(_) | Self::Data => true,
        }
    }

    /// How a message calls its kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nil",
            Self::NoSecret => "a secret that is not there",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a number",
            Self::Byte(_) => "a byte",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::Secret(_) => "a secret",
            Self::List(_) => "a list of secrets",
            Self::Map => "the map of secrets",
            Self::Data => "the whole of the data",
        }
    }
}
