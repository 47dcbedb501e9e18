//! JSON as strictly as both sides of the gateway can agree on.
//!
//! The engine reads with Go's `encoding/json`: fields are found whatever their case, the last of two equal
//! ones wins or is merged into the first, and what follows the value is not looked at. Here all of this
//! is refused, so that there is one reading of a body; what is forwarded is [`Value::emit`], not what came.
//!
//! Refused: keys that stand twice, or that Go would fold together (ASCII case, `ſ` for `s`, the Kelvin
//! sign for `k`); anything after the value; more than [`DEPTH`] levels; whole numbers of more than 64 bits
//! and fractions that cannot be written so that they read the same; NUL in a text; lone surrogates, bytes
//! that are no UTF-8, and more bytes than the limit. `1.0` and `1e3` are fractions here as they are for Go,
//! which does not take them for a whole number.
//!
//! **What an attacker controls:** every byte. Memory and time are linear in them, and they are limited.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::error::{BodyError, shown};

/// How deep objects and arrays may lie within each other. The API's own deepest is 9.
pub const DEPTH: usize = 32;

/// Fractions are below it: the API's only one is a ratio.
const MOST: f64 = 1e15;

/// A value that was read strictly. Objects keep the order of their keys.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number within `i64` or `u64`.
    Number(i128),
    /// A finite number with a fraction or an exponent, as it is written.
    Fraction(String),
    /// A text without NUL.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object; no two keys are the same for Go.
    Object(Vec<(String, Value)>),
}

/// Reads one value that takes up all of `bytes`.
pub fn read(bytes: &[u8], limit: usize) -> Result<Value, BodyError> {
    if bytes.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let fault = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { depth: 0, fault: &fault }.deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    value.map_err(|error| {
        // Ours says more; the reader's own text is not repeated, for it may quote what it found.
        fault.take().unwrap_or(BodyError::Malformed { line: error.line(), column: error.column() })
    })
}

/// A key as Go's `encoding/json` compares it with the name of a field.
pub fn folded(key: &str) -> String {
    key.chars().map(fold).collect()
}

/// Whether Go takes the two for the same field.
pub(super) fn same_field(one: &str, other: &str) -> bool {
    one.chars().map(fold).eq(other.chars().map(fold))
}

fn fold(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

impl Value {
    /// The value as compact JSON: what is forwarded.
    pub fn emit(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Fraction(fraction) => out.push_str(fraction),
            Self::Text(text) => write_text(text, out),
            Self::List(list) => {
                out.push('[');
                for (place, value) in list.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => {
                members.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The member of an object, which is put there where it is not.
    pub(super) fn entry(&mut self, key: &str, default: Self) -> Option<&mut Self> {
        if let Self::Object(members) = self
            && !members.iter().any(|(name, _)| name == key)
        {
            members.push((key.to_owned(), default));
        }
        self.get_mut(key)
    }

    /// The object under a key, which is made where there is none, or null.
    pub(super) fn object(&mut self, key: &str) -> Option<&mut Self> {
        let there = self.entry(key, Self::Null)?;
        if *there == Self::Null {
            *there = Self::Object(Vec::new());
        }
        Some(there)
    }

    pub(super) fn set(&mut self, key: &str, value: Self) {
        if let Some(there) = self.entry(key, Self::Null) {
            *there = value;
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Self::Object(members) = self {
            members.retain(|(name, _)| name != key);
        }
    }

    /// The text under a key; empty, as for Go, where there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Self::as_text).unwrap_or_default()
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Self::Flag(true)))
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Self::Number(number)) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> &[Self] {
        match self.get(key) {
            Some(Self::List(list)) => list,
            _ => &[],
        }
    }

    pub(super) fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.list(key).iter().filter_map(Self::as_text)
    }

    pub(super) fn members(&self, key: &str) -> &[(String, Self)] {
        self.get(key).map_or(&[], Self::as_members)
    }

    pub(super) fn as_members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The shape only: any text may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Flag(flag) => write!(formatter, "{flag}"),
            Self::Number(_) | Self::Fraction(_) => formatter.write_str("<number>"),
            Self::Text(_) => formatter.write_str("<text>"),
            Self::List(list) => formatter.debug_list().entries(list).finish(),
            Self::Object(members) => formatter
                .debug_map()
                .entries(members.iter().map(|(key, value)| (key, value)))
                .finish(),
        }
    }
}

/// Whether we and Go, which rounds as the standard says, take `text` for this number.
fn reads_as(text: &str, number: f64) -> bool {
    let same = |read: f64| read.to_bits() == number.to_bits();
    text.parse().is_ok_and(same) && serde_json::from_str(text).is_ok_and(same)
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => {
                let code = u32::from(character);
                out.push_str(&format!("\\u{code:04x}"));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Reads one value; what it refuses it leaves in `fault`, for an error of serde has no place for it.
#[derive(Clone, Copy)]
struct Seed<'f> {
    depth: usize,
    fault: &'f RefCell<Option<BodyError>>,
}

impl Seed<'_> {
    fn refuse<E: serde::de::Error>(&self, fault: BodyError) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEPTH {
            return Err(self.refuse(BodyError::TooDeep { limit: DEPTH }));
        }
        Ok(Self { depth, fault: self.fault })
    }

    fn checked<E: serde::de::Error>(&self, text: &str) -> Result<String, E> {
        if text.contains('\0') {
            return Err(self.refuse(BodyError::Nul));
        }
        Ok(text.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        // A whole number of more than 64 bits comes as a fraction too, and Go takes it for none.
        let written = serde_json::Number::from_f64(number).map(|number| number.to_string());
        written
            .filter(|text| number.abs() < MOST && reads_as(text, number))
            .map(Value::Fraction)
            .ok_or_else(|| self.refuse(BodyError::Number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(self.checked(text)?))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(inner)? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut seen: HashMap<String, String> = HashMap::new();
        while let Some(key) = items.next_key::<String>()? {
            let key = inner.checked(&key)?;
            if let Some(first) = seen.insert(folded(&key), key.clone()) {
                let fault = if first == key {
                    BodyError::DuplicateKey { key: shown(&key) }
                } else {
                    BodyError::KeysCollide { first: shown(&first), second: shown(&key) }
                };
                return Err(A::Error::custom(inner.refuse::<A::Error>(fault)));
            }
            members.push((key, items.next_value_seed(inner)?));
        }
        Ok(Value::Object(members))
    }
}
