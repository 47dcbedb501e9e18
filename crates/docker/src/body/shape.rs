//! What the API knows: the fields of an object, spelled as the API has them, each with its type.
//!
//! [`Shape::check`] holds a value against it, and after it the value can be read without surprise:
//! every known field is of its type, `null` (which is "absent" for Go) is gone, and a text where the API
//! also takes a text for a list is a list. What the shape does not know is named, never passed over.

use super::error::{BodyError, shown};
use super::json::{Value, same_field};

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Left as it is; whoever reads it takes it for a risk as a whole.
    Anything,
    Flag,
    /// Within `i64`.
    Whole,
    /// Within `u64`.
    Natural,
    /// Whole or not.
    Ratio,
    Text,
    Texts,
    /// Go's `strslice`: a text stands for a list of one.
    TextOrTexts,
    Wholes,
    /// A list of lists of texts.
    TextLists,
    /// Keys of anybody's choice, texts as values.
    TextMap,
    /// Keys of anybody's choice, `{}` as values: a set.
    Set,
    Object(&'static Shape),
    Objects(&'static Shape),
    /// Keys of anybody's choice, objects as values.
    ObjectMap(&'static Shape),
    /// Keys of anybody's choice, lists of objects as values.
    ObjectListMap(&'static Shape),
}

/// The fields of an object.
#[derive(Debug)]
pub(super) struct Shape(pub(super) &'static [(&'static str, Kind)]);

impl Shape {
    /// Checks and tidies `value`, which stands at `path`; paths of unknown fields go to `unknown`.
    pub(super) fn check(
        &self,
        value: &mut Value,
        path: &str,
        unknown: &mut Vec<String>,
    ) -> Result<(), BodyError> {
        let Value::Object(members) = value else {
            return Err(BodyError::wrong_type(name_of(path), "an object"));
        };
        members.retain(|(_, value)| *value != Value::Null);
        for (key, value) in members {
            let path = joined(path, key);
            match self.find(key) {
                Some((name, kind)) if name == key => kind.check(value, &path, unknown)?,
                Some((right, _)) => {
                    return Err(BodyError::Misspelt { path: shown(&path), right });
                }
                None => unknown.push(shown(&path)),
            }
        }
        Ok(())
    }

    /// The field that Go would take `key` for.
    pub(super) fn find(&self, key: &str) -> Option<(&'static str, Kind)> {
        self.0.iter().find(|(name, _)| same_field(name, key)).copied()
    }
}

impl Kind {
    fn check(
        self,
        value: &mut Value,
        path: &str,
        unknown: &mut Vec<String>,
    ) -> Result<(), BodyError> {
        let fits = match (self, &mut *value) {
            (Self::Anything, _)
            | (Self::Flag, Value::Flag(_))
            | (Self::Text, Value::Text(_))
            | (Self::Ratio, Value::Number(_) | Value::Fraction(_)) => true,
            (Self::Whole, Value::Number(number)) => i64::try_from(*number).is_ok(),
            (Self::Natural, Value::Number(number)) => u64::try_from(*number).is_ok(),
            (Self::Texts | Self::TextOrTexts, Value::List(list)) => list.iter().all(is_text),
            (Self::TextOrTexts, Value::Text(text)) => {
                *value = Value::List(vec![Value::Text(std::mem::take(text))]);
                true
            }
            (Self::Wholes, Value::List(list)) => {
                list.iter().all(|one| matches!(one, Value::Number(_)))
            }
            (Self::TextLists, Value::List(lists)) => lists
                .iter()
                .all(|list| matches!(list, Value::List(list) if list.iter().all(is_text))),
            (Self::TextMap, Value::Object(members)) => {
                members.iter().all(|(_, value)| is_text(value))
            }
            (Self::Set, Value::Object(members)) => empty_members(members),
            (Self::Object(shape), value) => return shape.check(value, path, unknown),
            (Self::Objects(shape), Value::List(list)) => return each(shape, list, path, unknown),
            (Self::ObjectMap(shape), Value::Object(members)) => {
                for (key, value) in members {
                    if *value == Value::Null {
                        *value = Value::Object(Vec::new());
                    }
                    shape.check(value, &joined(path, key), unknown)?;
                }
                true
            }
            (Self::ObjectListMap(shape), Value::Object(members)) => {
                for (key, value) in members {
                    if *value == Value::Null {
                        *value = Value::List(Vec::new());
                    }
                    let path = joined(path, key);
                    let Value::List(list) = value else {
                        return Err(BodyError::wrong_type(&path, "a list of objects"));
                    };
                    each(shape, list, &path, unknown)?;
                }
                true
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(BodyError::wrong_type(path, self.expected())) }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Anything => "anything",
            Self::Flag => "true or false",
            Self::Whole => "a whole number of 64 bits",
            Self::Natural => "a whole number of 64 bits, not negative",
            Self::Ratio => "a number",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
            Self::TextOrTexts => "a text or a list of texts",
            Self::Wholes => "a list of whole numbers",
            Self::TextLists => "a list of lists of texts",
            Self::TextMap => "an object of texts",
            Self::Set => "an object of empty objects",
            Self::Object(_) => "an object",
            Self::Objects(_) => "a list of objects",
            Self::ObjectMap(_) => "an object of objects",
            Self::ObjectListMap(_) => "an object of lists of objects",
        }
    }
}

fn each(
    shape: &Shape,
    list: &mut [Value],
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), BodyError> {
    for (place, value) in list.iter_mut().enumerate() {
        shape.check(value, &format!("{path}[{place}]"), unknown)?;
    }
    Ok(())
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_))
}

/// Whether all are `{}` or `null`, which is the same and is made `{}`.
fn empty_members(members: &mut [(String, Value)]) -> bool {
    members.iter_mut().all(|(_, value)| {
        let empty =
            *value == Value::Null || matches!(value, Value::Object(inner) if inner.is_empty());
        *value = Value::Object(Vec::new());
        empty
    })
}

pub(super) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn name_of(path: &str) -> &str {
    if path.is_empty() { "(the body)" } else { path }
}
