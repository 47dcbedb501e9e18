//! The `filters` parameter: which of the objects a list, an event stream or a prune is about.
//!
//! Two forms of JSON are in use, `{"label":["a=b"]}` and `{"label":{"a=b":true}}`. Both are read strictly and
//! written in the second, which every engine since API 1.22 reads. All values under `label` have to match,
//! so that a label which is added makes the set smaller and never larger.
//!
//! **What an attacker controls:** the whole text. A key that comes twice is refused, since the engine keeps
//! the last and another reader might keep the first; so is a `false`, which the engine takes for `true`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// The label that says who made a container, network or volume.
pub const OWNER_LABEL: &str = "sealock.owner";
/// The label that says who made an image. It is another one, because containers inherit it.
pub const IMAGE_OWNER_LABEL: &str = "sealock.image-owner";

/// Bytes of the JSON.
const MAXIMUM_TEXT: usize = 16 * 1024;
/// Keys, and values of one key.
const MAXIMUM_VALUES: usize = 256;
/// Characters of what is wrong with the JSON.
const SHOWN: usize = 160;
/// Bytes of a key.
const MAXIMUM_KEY: usize = 64;
const LABEL: &str = "label";

/// Why filters are refused.
#[derive(Debug, Error)]
pub enum FiltersError {
    /// More than is read.
    #[error("filters are longer than {MAXIMUM_TEXT} bytes")]
    TooLong,
    /// Not JSON of one of the two forms, or with something twice.
    #[error(r#"filters are not of the form {{"label":["a=b"]}}: {0}"#)]
    Malformed(String),
    /// A label filter that is about somebody else's objects.
    #[error("the filters ask for what somebody else has made")]
    OtherOwner,
}

/// Filters, by key; no key is without values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Reads either form.
    pub fn parse(text: &str) -> Result<Self, FiltersError> {
        if text.len() > MAXIMUM_TEXT {
            return Err(FiltersError::TooLong);
        }
        serde_json::from_str(text).map_err(|error| {
            // It may quote the text (escaped), which can be long.
            FiltersError::Malformed(error.to_string().chars().take(SHOWN).collect())
        })
    }

    /// Whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a key, in their order.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The same, and only what has the label `key` with the value `value`.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        self.0.entry(LABEL.to_owned()).or_default().insert(format!("{key}={value}"));
        self
    }

    /// The same, and only what `owner` has made, as `key` says: [`OWNER_LABEL`] or [`IMAGE_OWNER_LABEL`].
    ///
    /// Another value for that label is refused and not merely added to: for a swarm's objects the engine puts
    /// the labels into a map, where one of the two would replace the other.
    pub fn owned_by(mut self, key: &str, owner: &str) -> Result<Self, FiltersError> {
        if let Some(labels) = self.0.get_mut(LABEL) {
            let is_other = |label: &String| {
                let (given, value) = label.split_once('=').unwrap_or((label, owner));
                given == key && value != owner
            };
            if labels.iter().any(is_other) {
                return Err(FiltersError::OtherOwner);
            }
            labels.remove(key);
        }
        Ok(self.with_label(key, owner))
    }
}

/// The one form in which filters are forwarded.
impl fmt::Display for Filters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form: BTreeMap<&str, BTreeMap<&str, bool>> = self
            .0
            .iter()
            .map(|(key, values)| (&**key, values.iter().map(|value| (&**value, true)).collect()))
            .collect();
        formatter.write_str(&serde_json::to_string(&form).map_err(|_| fmt::Error)?)
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Filters;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of filters")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Filters, M::Error> {
        let mut filters = BTreeMap::new();
        let mut form = None;
        while let Some(key) = map.next_key::<String>()? {
            let of_words = |byte: u8| byte.is_ascii_graphic();
            if key.is_empty() || key.len() > MAXIMUM_KEY || !key.bytes().all(of_words) {
                return Err(M::Error::custom("a key is malformed"));
            }
            let Values { form: this, values } = map.next_value()?;
            // The engine reads the whole in one form or the other.
            if *form.get_or_insert(this) != this {
                return Err(M::Error::custom("two forms are mixed"));
            }
            if filters.insert(key, values).is_some() {
                return Err(M::Error::custom("a key comes twice"));
            }
            if filters.len() > MAXIMUM_VALUES {
                return Err(M::Error::custom("there are too many keys"));
            }
        }
        filters.retain(|_, values: &mut BTreeSet<String>| !values.is_empty());
        Ok(Filters(filters))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    List,
    Map,
}

struct Values {
    form: Form,
    values: BTreeSet<String>,
}

impl Values {
    fn add<E: serde::de::Error>(&mut self, value: String) -> Result<bool, E> {
        if value.chars().any(char::is_control) {
            return Err(E::custom("a value has a control character"));
        }
        let is_new = self.values.insert(value);
        if self.values.len() > MAXIMUM_VALUES {
            return Err(E::custom("there are too many values"));
        }
        Ok(is_new)
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = Values;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of texts")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Values, S::Error> {
        let mut values = Values { form: Form::List, values: BTreeSet::new() };
        while let Some(value) = list.next_element()? {
            // The engine makes a set of it; twice is as good as once.
            values.add(value)?;
        }
        Ok(values)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Values, M::Error> {
        let mut values = Values { form: Form::Map, values: BTreeSet::new() };
        while let Some((value, holds)) = map.next_entry::<String, bool>()? {
            if !holds {
                return Err(M::Error::custom("a value is false, which the engine takes for true"));
            }
            if !values.add(value)? {
                return Err(M::Error::custom("a value comes twice"));
            }
        }
        Ok(values)
    }
}

/// The entry for fuzzing: what is read is read again from what is written, and an owner narrows it.
pub fn fuzz(data: &[u8]) {
    let Ok(filters) = Filters::parse(&String::from_utf8_lossy(data)) else {
        return;
    };
    let again = Filters::parse(&filters.to_string());
    assert!(again.is_ok_and(|again| again == filters), "another reading of what was written");
    let owner = "spiffe://host.sealock/human/fuzz";
    let Ok(owned) = filters.clone().owned_by(OWNER_LABEL, owner) else { return };
    let label = format!("{OWNER_LABEL}={owner}");
    assert!(owned.values(LABEL).any(|value| value == label), "the owner is not in it");
    for (key, values) in &filters.0 {
        let is_left = |value: &String| {
            owned.values(key).any(|left| left == value) || (key == LABEL && value == OWNER_LABEL)
        };
        assert!(values.iter().all(is_left), "a filter was lost");
    }
}

#[cfg(test)]
mod tests;
