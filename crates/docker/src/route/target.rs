//! The request target as bytes, split and decoded exactly once.
//!
//! **What an attacker controls:** every byte. The alphabet of a path is that of the names which may stand in
//! it, so that there is no second spelling of a path: what needs no escape may have none.

use std::borrow::Cow;

use thiserror::Error;

/// Bytes of a target. Build arguments and long filters fit; a flood does not.
pub const MAXIMUM_TARGET: usize = 32 * 1024;

/// Why a target is refused before any route is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// More than [`MAXIMUM_TARGET`].
    #[error("the request target is longer than {MAXIMUM_TARGET} bytes")]
    TooLong,
    /// Absolute form, authority form or `*`.
    #[error("the request target is not a path that begins with a slash")]
    NotOriginForm,
    /// A byte that may not stand there.
    #[error("the request target has the byte {0:#04x} in its {1}, which may not stand there")]
    Byte(u8, &'static str),
    /// `%` without two hexadecimal digits after it.
    #[error("the request target has a broken percent-escape")]
    Escape,
    /// A letter, digit or other byte of the path that needs no escape, or that may not be in a name.
    #[error("the path has an escape for the byte {0:#04x}; a path has only one spelling here")]
    Encoded(u8),
    /// `//`, or a slash at the end.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`
    #[error("the path has a segment of dots")]
    Dots,
    /// Decoded, the query is not text.
    #[error("the query is not UTF-8 once decoded")]
    NotText,
    /// The name of a parameter has a byte that no parameter's name has.
    #[error("the name of a query parameter is malformed")]
    Key,
}

/// A target, taken apart.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The path's segments, decoded; none is empty or of dots only.
    pub(super) segments: Vec<Cow<'a, str>>,
    /// The query's parameters in their order, decoded.
    pub(super) pairs: Vec<(&'a str, String)>,
}

impl<'a> Target<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, TargetError> {
        if bytes.len() > MAXIMUM_TARGET {
            return Err(TargetError::TooLong);
        }
        if bytes.first() != Some(&b'/') {
            return Err(TargetError::NotOriginForm);
        }
        let (path, query) = match bytes.iter().position(|byte| *byte == b'?') {
            Some(at) => bytes.split_at(at),
            None => (bytes, &[][..]),
        };
        Ok(Self {
            segments: segments(text(path, "path", in_path)?)?,
            pairs: pairs(text(query, "query", in_query)?)?,
        })
    }
}

/// `bytes` as text, if each may stand there.
fn text<'a>(
    bytes: &'a [u8],
    part: &'static str,
    allowed: fn(u8) -> bool,
) -> Result<&'a str, TargetError> {
    if let Some(byte) = bytes.iter().find(|byte| !allowed(**byte)) {
        return Err(TargetError::Byte(*byte, part));
    }
    std::str::from_utf8(bytes).map_err(|_| TargetError::NotText)
}

/// What RFC 3986 (2.3) calls unreserved: an escape of it means the same as itself.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in the path besides: image names have `:` and `@`. Some clients escape these two.
fn is_of_names(byte: u8) -> bool {
    matches!(byte, b':' | b'@')
}

fn in_path(byte: u8) -> bool {
    is_unreserved(byte) || is_of_names(byte) || matches!(byte, b'/' | b'%')
}

/// `;` parts parameters for older engines and is an error for newer ones; `#` begins a fragment.
fn in_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b';' | b'#')
}

fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, TargetError> {
    let path = path.strip_prefix('/').ok_or(TargetError::NotOriginForm)?;
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    match raw {
        "" => return Err(TargetError::EmptySegment),
        "." | ".." => return Err(TargetError::Dots),
        plain if !plain.contains('%') => return Ok(Cow::Borrowed(plain)),
        _ => {}
    }
    let decoded = decode(raw, false, |byte| match is_of_names(byte) {
        true => Ok(()),
        false => Err(TargetError::Encoded(byte)),
    })?;
    Ok(Cow::Owned(decoded))
}

fn pairs(query: &str) -> Result<Vec<(&str, String)>, TargetError> {
    let query = query.strip_prefix('?').unwrap_or_default();
    // The engine passes over empty ones, and some clients leave an `&` at the end.
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn pair(raw: &str) -> Result<(&str, String), TargetError> {
    let (key, value) = raw.split_once('=').unwrap_or((raw, ""));
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if key.is_empty() || !key.bytes().all(is_word) {
        return Err(TargetError::Key);
    }
    Ok((key, decode(value, true, |_| Ok(()))?))
}

/// Decodes once; `check` sees each byte that was escaped. In a query `+` is a space.
fn decode(
    raw: &str,
    is_query: bool,
    check: impl Fn(u8) -> Result<(), TargetError>,
) -> Result<String, TargetError> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let high = rest.next().and_then(digit).ok_or(TargetError::Escape)?;
                let low = rest.next().and_then(digit).ok_or(TargetError::Escape)?;
                let byte = high << 4 | low;
                check(byte)?;
                byte
            }
            b'+' if is_query => b' ',
            other => other,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).map_err(|_| TargetError::NotText)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Writes the value of a query parameter.
pub(super) fn encode_value(value: &str, target: &mut String) {
    for byte in value.bytes() {
        if is_unreserved(byte) || matches!(byte, b'/' | b':' | b'@' | b',') {
            target.push(char::from(byte));
        } else {
            target.push('%');
            target.push(hex(byte >> 4));
            target.push(hex(byte & 15));
        }
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}
