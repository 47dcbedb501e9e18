//! One JSON object: keys sorted, no spaces.
//!
//! Summon quotes as Go does, whose `\a`, `\v`, `\xNN` and `\UNNNNNNNN` no JSON parser takes.

use super::quote::{is_printable, unicode_escapes};
use super::{FormatError, Secret};
use crate::Format;
use crate::buffer::Buffer;

pub(super) fn write(secrets: &[Secret<'_>], out: &mut Buffer) -> Result<(), FormatError> {
    out.push(b'{');
    for (index, secret) in secrets.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let value = secret.text(Format::Json)?;
        quoted(secret.alias, out);
        out.push(b':');
        quoted(value, out);
    }
    out.push(b'}');
    Ok(())
}

fn quoted(text: &str, out: &mut Buffer) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            '\x08' => out.extend(b"\\b"),
            '\x0c' => out.extend(b"\\f"),
            '\n' => out.extend(b"\\n"),
            '\r' => out.extend(b"\\r"),
            '\t' => out.extend(b"\\t"),
            other if is_printable(other) => out.push_char(other),
            other => unicode_escapes(other, out),
        }
    }
    out.push(b'"');
}
