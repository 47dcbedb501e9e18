//! `"alias": "value"` lines: one YAML mapping.
//!
//! Go's escapes are escapes of YAML too, with the same meaning, as long as the value is UTF-8. (`\xNN` is a byte in
//! Go and a character in YAML, so that a value of other bytes would be read as something else.)

use super::{FormatError, Secret, lines, quote};
use crate::Format;
use crate::buffer::Buffer;

pub(super) fn write(secrets: &[Secret<'_>], out: &mut Buffer) -> Result<(), FormatError> {
    lines(secrets, out, |secret, out| {
        let value = secret.text(Format::Yaml)?;
        quote::quoted(secret.alias.as_bytes(), out);
        out.extend(b": ");
        quote::quoted(value.as_bytes(), out);
        Ok(())
    })
}
