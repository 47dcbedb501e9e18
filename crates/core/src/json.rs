//! JSON with one reading only.
//!
//! For what is signed, and for what decides: two readers must not see two things in one text. serde_json does the
//! lexing; here names that stand twice, deep nesting and large objects are refused, at any place in the text. Numbers
//! other than whole ones from 0 to 2^53 keep no value: nothing of ours may be one, and others do not matter to us.
//!
//! **What an attacker controls:** every byte. Memory and time are bounded by the number of bytes, which the caller
//! limits.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// How deep objects and arrays may lie within each other; the outermost object is the first level.
pub const DEPTH: usize = 8;

/// How many members one object may have.
pub const MEMBERS: usize = 64;

/// The largest whole number that every JSON reader takes for the same one.
pub const MAXIMUM_NUMBER: u64 = 1 << 53;

/// Why a text was refused as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonFault {
    /// No JSON, no object, or something after it.
    #[error("it is not one JSON object")]
    Syntax,
    /// A name stands twice in one object.
    #[error("a name stands twice in one object")]
    Duplicate,
    /// More than eight levels.
    #[error("it has more than {DEPTH} levels")]
    Deep,
    /// More than 64 members in one object.
    #[error("an object has more than {MEMBERS} members")]
    Large,
}

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number from 0 to [`MAXIMUM_NUMBER`].
    Number(u64),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Object(Members),
    /// `true` or `false`.
    Bool(bool),
    /// `null`, or a number that is not a whole one from 0 to [`MAXIMUM_NUMBER`].
    Other,
}

/// What is in an object. No two names are the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Members(Vec<(String, Value)>);

impl Members {
    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// The names of what is still there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// Reads one object that takes up all of `bytes`. The caller has limited their number.
pub fn read(bytes: &[u8]) -> Result<Members, JsonFault> {
    let fault = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { level: 0, fault: &fault }.deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    match value {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(JsonFault::Syntax),
        Err(_) => Err(fault.take().unwrap_or(JsonFault::Syntax)),
    }
}

/// Reads a value at its level. `fault` says more than the reader's own error, which could quote the text.
#[derive(Clone, Copy)]
struct Seed<'a> {
    level: usize,
    fault: &'a Cell<Option<JsonFault>>,
}

impl Seed<'_> {
    fn refuse<E: serde::de::Error>(self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.level >= DEPTH {
            return Err(self.refuse(JsonFault::Deep));
        }
        Ok(Self { level: self.level + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(if number <= MAXIMUM_NUMBER { Value::Number(number) } else { Value::Other })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(below)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.len() == MEMBERS {
                return Err(self.refuse(JsonFault::Large));
            }
            // Few enough to be compared one by one.
            if members.iter().any(|(other, _)| *other == name) {
                return Err(self.refuse(JsonFault::Duplicate));
            }
            members.push((name, access.next_value_seed(below)?));
        }
        Ok(Value::Object(Members(members)))
    }
}

#[cfg(test)]
mod tests;
