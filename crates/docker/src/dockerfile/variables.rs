//! `$NAME` in the name of an image: of the build arguments that are declared before the first `FROM`.

use std::collections::BTreeMap;

use super::error::Fault;
use super::words::words;

/// What the caller gives for arguments; `None` where the file's own value stands.
pub type BuildArguments = BTreeMap<String, Option<String>>;

/// Bytes of a name with its variables filled in.
const LONGEST: usize = 4096;

/// The arguments that are declared so far. One whose value cannot be read here is known without it.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Result<String, Fault>>);

impl Variables {
    /// What an `ARG` declares.
    pub(super) fn declare(&mut self, rest: &str, given: &BuildArguments) {
        for word in words(rest) {
            let (name, own) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            let value = match (given.get(&name), own) {
                (Some(Some(given)), _) if given.len() <= LONGEST => Ok(given.clone()),
                (Some(Some(_)), _) => Err(Fault::ImageName),
                (_, Some(own)) => self.expand(&own),
                (_, None) => Ok(String::new()),
            };
            self.0.insert(name, value);
        }
    }

    /// A word with its variables filled in. Quotes around the whole of it go; others, escapes and what else shells
    /// know is refused.
    pub(super) fn expand(&self, word: &str) -> Result<String, Fault> {
        let word = match word.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'"') => &word[1..word.len() - 1],
            [b'\'', inner @ .., b'\''] if !inner.contains(&b'$') => &word[1..word.len() - 1],
            _ => word,
        };
        if word.contains(['"', '\'', '\\', '`']) {
            return Err(Fault::ImageName);
        }
        let mut out = String::new();
        let mut rest = word;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (value, left) = match after.strip_prefix('{') {
                Some(braced) => {
                    let (inner, left) = braced.split_once('}').ok_or(Fault::ImageName)?;
                    (self.braced(inner)?, left)
                }
                None => {
                    let end = after.find(|c: char| !is_name_part(c)).unwrap_or(after.len());
                    let (name, left) = after.split_at_checked(end).ok_or(Fault::ImageName)?;
                    (self.value(name)?, left)
                }
            };
            out.push_str(&value);
            if out.len() > LONGEST {
                return Err(Fault::ImageName);
            }
            rest = left;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What stands between braces.
    fn braced(&self, inner: &str) -> Result<String, Fault> {
        let end = inner.find(|c: char| !is_name_part(c)).unwrap_or(inner.len());
        let (name, operation) = inner.split_at_checked(end).ok_or(Fault::ImageName)?;
        let value = self.value(name)?;
        if operation.is_empty() {
            return Ok(value);
        }
        let (is_default, word) = match (operation.strip_prefix(":-"), operation.strip_prefix(":+"))
        {
            (Some(word), _) => (true, word),
            (_, Some(word)) => (false, word),
            _ => return Err(Fault::ImageName),
        };
        if word.contains('$') {
            return Err(Fault::ImageName);
        }
        Ok(match (is_default, value.is_empty()) {
            (true, true) | (false, false) => word.to_owned(),
            (true, false) => value,
            (false, true) => String::new(),
        })
    }

    fn value(&self, name: &str) -> Result<String, Fault> {
        let starts = name.starts_with(|c: char| is_name_part(c) && !c.is_ascii_digit());
        if !starts {
            return Err(Fault::ImageName);
        }
        self.0.get(name).cloned().unwrap_or_else(|| Ok(String::new()))
    }
}

const fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
