//! Values as text: what an action writes, what `print` makes, and the escapes.

use std::fmt::Write as _;

use super::Dialect;
use super::value::Value;
use crate::buffer::Buffer;
use crate::format::quote;

/// Where a value is printed: Go shows pointers and what is not there in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// By an action.
    Action,
    /// By an escaping function: values as in an action, joined as by `print`.
    Escape,
    /// By `print`: spaces between two neither of which is a text.
    Print,
    /// By `println`: spaces between all, and a line end.
    Println,
}

/// Joins values.
///
/// # Errors
/// What cannot be printed.
pub(super) fn values(
    values: &[Value<'_>],
    place: Place,
    dialect: Dialect,
    out: &mut Buffer,
) -> Result<(), String> {
    // What `html` and its like show for nothing is a text to Go.
    let is_text = |one: &Value<'_>| match one {
        Value::Text(_) => true,
        Value::Nothing => place == Place::Escape,
        _ => false,
    };
    let mut before: Option<&Value<'_>> = None;
    for one in values {
        let space = before
            .is_some_and(|before| place == Place::Println || !is_text(before) && !is_text(one));
        if space {
            out.push(b' ');
        }
        value(one, place, dialect, out)?;
        before = Some(one);
    }
    if place == Place::Println {
        out.push(b'\n');
    }
    Ok(())
}

/// One value in its default form.
///
/// # Errors
/// What cannot be printed.
pub(super) fn value(
    value: &Value<'_>,
    place: Place,
    dialect: Dialect,
    out: &mut Buffer,
) -> Result<(), String> {
    let direct = matches!(place, Place::Action | Place::Escape);
    match value {
        Value::Nothing | Value::NoSecret => {
            let shown = match value {
                Value::Nothing if direct => "<no value>",
                _ => "<nil>",
            };
            nothing(shown, dialect, out)?;
        }
        // Writing to a buffer does not fail.
        Value::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Byte(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => out.extend(float(*value).as_bytes()),
        Value::Text(text) => out.extend(text.bytes()),
        Value::Secret(secret) => {
            out.extend(if direct { b"{" } else { b"&{" });
            out.extend(secret.alias.as_bytes());
            out.push(b' ');
            out.extend(secret.value);
            out.push(b'}');
        }
        Value::List(_) | Value::Map | Value::Data => {
            return Err(format!("{} cannot be printed", value.kind()));
        }
    }
    Ok(())
}

/// What Go shows for what is not there; an error in the strict dialect.
pub(super) fn nothing(shown: &str, dialect: Dialect, out: &mut Buffer) -> Result<(), String> {
    match dialect {
        Dialect::Summon => {
            out.extend(shown.as_bytes());
            Ok(())
        }
        Dialect::Strict => Err("there is no value to print here".into()),
    }
}

/// A float in as few digits as tell it from its neighbours, with an exponent from 1e+06 and below 0.0001.
pub(super) fn float(value: f64) -> String {
    layout(&format!("{value:e}"), 6)
}

/// From `d.ddde5` to Go's `%g`: plain from 0.0001 to below ten to the power of `most`.
pub(super) fn layout(scientific: &str, most: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => {
            let part = part.trim_end_matches('0');
            if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
        }
        None => mantissa.to_owned(),
    };
    if (-4..most).contains(&exponent) {
        // The digits are few enough that the detour is exact.
        let digits = mantissa.chars().filter(char::is_ascii_digit).count();
        let decimals = i32::try_from(digits).unwrap_or(0) - 1 - exponent;
        let value: f64 = format!("{mantissa}e{exponent}").parse().unwrap_or(0.0);
        return format!("{value:.*}", usize::try_from(decimals).unwrap_or(0));
    }
    exponential(&format!("{mantissa}e{exponent}"))
}

/// From `1.5e3` to `1.5e+03`.
pub(super) fn exponential(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Which characters are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// Go's `html`.
    Html,
    /// Summon's `htmlenc`: the same without NUL.
    HtmlEncode,
    Js,
    UrlQuery,
}

/// Writes text so that it can stand in another language.
pub(super) fn escaped(text: &[u8], escape: Escape, out: &mut Buffer) {
    match escape {
        Escape::Html | Escape::HtmlEncode => {
            for byte in text {
                match byte {
                    b'"' => out.extend(b"&#34;"),
                    b'\'' => out.extend(b"&#39;"),
                    b'&' => out.extend(b"&amp;"),
                    b'<' => out.extend(b"&lt;"),
                    b'>' => out.extend(b"&gt;"),
                    0 if escape == Escape::Html => out.push_char('\u{fffd}'),
                    other => out.push(*other),
                }
            }
        }
        Escape::Js => js(text, out),
        Escape::UrlQuery => {
            for byte in text {
                match byte {
                    b' ' => out.push(b'+'),
                    b'-' | b'_' | b'.' | b'~' => out.push(*byte),
                    byte if byte.is_ascii_alphanumeric() => out.push(*byte),
                    other => {
                        let _ = write!(out, "%{other:02X}");
                    }
                }
            }
        }
    }
}

fn js(text: &[u8], out: &mut Buffer) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.extend(b"\\\\"),
                '\'' => out.extend(b"\\'"),
                '"' => out.extend(b"\\\""),
                '<' | '>' | '&' | '=' | '\0'..='\x1f' => {
                    let _ = write!(out, "\\u{:04X}", u32::from(character));
                }
                // Go leaves this one, which ends no text.
                '\x7f' => out.push(0x7f),
                other if quote::is_printable(other) => out.push_char(other),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04X}");
                    }
                }
            }
        }
        out.extend(chunk.invalid());
    }
}
