//! `alias=value` lines as `java.util.Properties` reads them.
//!
//! Summon puts Go's quotes around each value. Java knows no quotes, so they become a part of it; programs that were
//! made for Summon's files take them off themselves, so in its dialect they stay. All else is written so that Java
//! reads it as it is, also through a stream, which it takes for ISO 8859-1: Go's `\a`, `\xNN` and bare UTF-8 are
//! read as something else.

use super::quote::unicode_escapes;
use super::{Dialect, FormatError, Secret, lines};
use crate::Format;
use crate::buffer::Buffer;

pub(super) fn write(
    secrets: &[Secret<'_>],
    dialect: Dialect,
    out: &mut Buffer,
) -> Result<(), FormatError> {
    lines(secrets, out, |secret, out| {
        let value = secret.text(Format::Properties)?;
        out.extend(secret.alias.as_bytes());
        out.push(b'=');
        match dialect {
            Dialect::Summon => {
                out.push(b'"');
                value.chars().for_each(|character| escaped(character, dialect, out));
                out.push(b'"');
            }
            Dialect::Strict => bare(value, out),
        }
        Ok(())
    })
}

/// Java passes over white space before a value; some of its imitations do so after it too.
fn bare(value: &str, out: &mut Buffer) {
    let inner = value.trim_matches(' ');
    let before = value.len() - value.trim_start_matches(' ').len();
    let after = value.len() - before - inner.len();
    (0..before).for_each(|_| out.extend(b"\\u0020"));
    inner.chars().for_each(|character| escaped(character, Dialect::Strict, out));
    (0..after).for_each(|_| out.extend(b"\\u0020"));
}

fn escaped(character: char, dialect: Dialect, out: &mut Buffer) {
    match character {
        '\\' => out.extend(b"\\\\"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        '\x0c' => out.extend(b"\\f"),
        '"' if dialect == Dialect::Summon => out.extend(b"\\\""),
        ' '..='~' => out.push_char(character),
        other => unicode_escapes(other, out),
    }
}
