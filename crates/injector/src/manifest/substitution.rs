//! `$name` in values, and `-D name=value` on the command line.

use std::collections::BTreeMap;

use super::error::ManifestError;

/// Bytes that one value may have after substitution.
const MOST_BYTES: usize = 1 << 20;

/// Why a value has no substitute.
pub(super) enum Failed {
    Undeclared(String),
    TooLong,
}

/// Puts in the value of each `$name`, and `$` for `$$`. Any other `$` stays. What is put in is not looked at again.
///
/// Of several undeclared names, the error has the last, as Summon's does.
pub(super) fn apply(text: &str, values: &BTreeMap<String, String>) -> Result<String, Failed> {
    let mut out = String::with_capacity(text.len());
    let mut undeclared = None;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let length = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, after) = after.split_at(length);
        match values.get(name) {
            _ if name.is_empty() => out.push('$'),
            Some(value) => out.push_str(value),
            None => undeclared = Some(name.to_owned()),
        }
        if out.len() > MOST_BYTES {
            return Err(Failed::TooLong);
        }
        rest = after;
    }
    out.push_str(rest);
    match undeclared {
        Some(name) => Err(Failed::Undeclared(name)),
        None if out.len() > MOST_BYTES => Err(Failed::TooLong),
        None => Ok(out),
    }
}

/// Takes `-D name=value` apart; the value may hold `=`.
pub fn substitution(text: &str) -> Result<(String, String), ManifestError> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(ManifestError::SubstitutionFormat { text: text.to_owned() }),
    }
}
