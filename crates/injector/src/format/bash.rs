//! `export ALIAS=…` lines for `.` and `source`.
//!
//! Summon's double quotes are kept where a shell reads them as Go does. Everything else stands in single quotes,
//! where a shell takes every byte as it is: `$(…)` in a value is no command. There is no `$'…'`, which only some
//! shells know.

use super::quote::is_printable;
use super::{FormatError, Secret, lines, quote};
use crate::Format;
use crate::buffer::Buffer;

pub(super) fn write(secrets: &[Secret<'_>], out: &mut Buffer) -> Result<(), FormatError> {
    lines(secrets, out, |secret, out| {
        if secret.value.contains(&0) {
            let alias = secret.alias.to_owned();
            return Err(FormatError::Nul { alias, format: super::name(Format::Bash) });
        }
        out.extend(b"export ");
        out.extend(secret.alias.as_bytes());
        out.push(b'=');
        if is_ordinary(secret.value) {
            quote::quoted(secret.value, out);
        } else {
            single_quoted(secret.value, out);
        }
        Ok(())
    })
}

/// Whether a shell reads Go's quotes as Go does: with nothing but `\"` and `\\` to unescape, and nothing to expand.
/// `!` is special where history is expanded.
fn is_ordinary(value: &[u8]) -> bool {
    std::str::from_utf8(value)
        .is_ok_and(|text| text.chars().all(|c| is_printable(c) && !"$`!".contains(c)))
}

/// In single quotes; a single quote itself stands between two such runs, behind a backslash.
pub(crate) fn single_quoted(value: &[u8], out: &mut Buffer) {
    out.push(b'\'');
    for byte in value {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
}
