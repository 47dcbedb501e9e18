//! `ALIAS="value"` lines, which every library reads in its own way. What is written is always right for
//! python-dotenv, and never expanded or run by any other:
//!
//! - in double quotes the libraries unescape different things, and some expand `$NAME`; ruby's even runs `$(…)`;
//! - in single quotes all of them take everything as it is, but python-dotenv unescapes `\\` and `\'` and replaces
//!   `${NAME}`.
//!
//! So Summon's double quotes are kept for what is plain in them, values with `"`, `\` or `$` stand in single quotes,
//! and what fits into neither is an error if a `$` is in it. Else it is written as Summon does, which not every other
//! library reads. None knows Go's other escapes (`\x01`, `\u200b`), so those characters are bare.

use super::{FormatError, Secret, lines};
use crate::Format;
use crate::buffer::Buffer;

pub(super) fn write(secrets: &[Secret<'_>], out: &mut Buffer) -> Result<(), FormatError> {
    lines(secrets, out, |secret, out| {
        let value = secret.text(Format::Dotenv)?;
        let alias = || secret.alias.to_owned();
        if value.contains('\0') {
            return Err(FormatError::Nul { alias: alias(), format: super::name(Format::Dotenv) });
        }
        if value.split_once("${").is_some_and(|(_, rest)| rest.contains('}')) {
            return Err(FormatError::Expanded { alias: alias() });
        }
        out.extend(secret.alias.as_bytes());
        out.push(b'=');
        let dollar = has_live_dollar(value);
        if (dollar || value.contains(['"', '\\'])) && fits_single_quotes(value) {
            out.push(b'\'');
            out.extend(value.as_bytes());
            out.push(b'\'');
        } else if dollar {
            return Err(FormatError::Quotes { alias: alias() });
        } else {
            double_quoted(value, out);
        }
        Ok(())
    })
}

/// Whether some reader would put something else in the place of a `$` in double quotes.
fn has_live_dollar(value: &str) -> bool {
    let pairs = || value.chars().zip(value.chars().skip(1));
    pairs().any(|(one, next)| one == '$' && (next.is_alphanumeric() || "_{($".contains(next)))
}

/// A carriage return would be read as a line feed, and python-dotenv unescapes these.
fn fits_single_quotes(value: &str) -> bool {
    !value.contains(['\'', '\r']) && !value.contains("\\\\") && !value.ends_with('\\')
}

fn double_quoted(value: &str, out: &mut Buffer) {
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            other => out.push(other),
        }
    }
    out.push(b'"');
}
