//! Percent-encoding, and text between quotes.

use std::fmt::Write as _;

use super::Forms;
use crate::buffer::Buffer;
use crate::format::quote;

/// What is left as it is beside letters and digits: by RFC 3986, by Python, by JavaScript's `encodeURIComponent` and
/// `encodeURI`, and by HTML forms.
const LEFT: [&[u8]; 5] = [b"-_.~", b"-_.~/", b"-_.~!*'()", b"-_.~!*'();,/?:@&=+$#", b"-_.*"];

pub(super) fn percent(value: &[u8], forms: &mut Forms) {
    for left in LEFT {
        for (upper, plus) in [(true, false), (true, true), (false, false), (false, true)] {
            forms.add_encoded(|out| {
                for byte in value {
                    match byte {
                        byte if byte.is_ascii_alphanumeric() || left.contains(byte) => {
                            out.push(*byte)
                        }
                        b' ' if plus => out.push(b'+'),
                        // Writing to a buffer does not fail.
                        byte if upper => {
                            let _ = write!(out, "%{byte:02X}");
                        }
                        byte => {
                            let _ = write!(out, "%{byte:02x}");
                        }
                    }
                }
            });
        }
    }
}

/// How writers of JSON differ.
#[derive(Clone, Copy)]
struct Json {
    /// Python: nothing but ASCII.
    ascii: bool,
    /// Go: safe within HTML.
    html: bool,
    /// PHP: no bare slashes.
    slashes: bool,
}

pub(super) fn json(value: &[u8], forms: &mut Forms) {
    let Ok(text) = std::str::from_utf8(value) else { return };
    for (ascii, html) in [(false, false), (true, false), (false, true), (true, true)] {
        for slashes in [false, true] {
            let style = Json { ascii, html, slashes };
            forms.add_encoded(|out| text.chars().for_each(|one| json_character(one, style, out)));
        }
    }
}

fn json_character(character: char, style: Json, out: &mut Buffer) {
    match character {
        '"' => out.extend(b"\\\""),
        '\\' => out.extend(b"\\\\"),
        '\x08' => out.extend(b"\\b"),
        '\x0c' => out.extend(b"\\f"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        '/' if style.slashes => out.extend(b"\\/"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if style.html => {
            quote::unicode_escapes(character, out);
        }
        '\0'..='\x1f' => quote::unicode_escapes(character, out),
        '\x7f'.. if style.ascii => quote::unicode_escapes(character, out),
        other => out.push_char(other),
    }
}

/// Between the double quotes of Go, and the single quotes of Python and JavaScript.
pub(super) fn quoted(value: &[u8], forms: &mut Forms) {
    for (quote, ascii) in [('"', false), ('"', true), ('\'', false), ('\'', true)] {
        forms.add_encoded(|out| quote::escaped(value, quote, ascii, out));
    }
}

/// As shells print what they would read: in single quotes (two ways), in double quotes, behind backslashes (`%q` of
/// bash), and in `$'…'`.
pub(super) fn shell(value: &[u8], forms: &mut Forms) {
    let behind = |special: &'static [u8], escape: &'static [u8]| {
        move |out: &mut Buffer| {
            for byte in value {
                if special.contains(byte) {
                    out.extend(escape);
                }
                out.push(*byte);
            }
        }
    };
    forms.add_encoded(|out| replaced(value, b'\'', b"'\\''", out));
    forms.add_encoded(|out| replaced(value, b'\'', b"'\"'\"'", out));
    forms.add_encoded(behind(b"\\\"$`", b"\\"));
    forms.add_encoded(behind(b" \t'\"\\|&;()<>!{}*[]?^$`", b"\\"));
    forms.add_encoded(behind(b" \t'\"\\|&;()<>!{}*[]?^$`,", b"\\"));
    forms.add_encoded(|out| value.iter().for_each(|byte| ansi(*byte, out)));
}

fn replaced(value: &[u8], what: u8, by: &[u8], out: &mut Buffer) {
    for byte in value {
        if *byte == what { out.extend(by) } else { out.push(*byte) }
    }
}

fn ansi(byte: u8, out: &mut Buffer) {
    match byte {
        b'\\' => out.extend(b"\\\\"),
        b'\'' => out.extend(b"\\'"),
        b'\n' => out.extend(b"\\n"),
        b'\t' => out.extend(b"\\t"),
        b'\r' => out.extend(b"\\r"),
        0x07 => out.extend(b"\\a"),
        0x08 => out.extend(b"\\b"),
        0x0b => out.extend(b"\\v"),
        0x0c => out.extend(b"\\f"),
        0x1b => out.extend(b"\\E"),
        0..0x20 | 0x7f => {
            let _ = write!(out, "\\{byte:03o}");
        }
        other => out.push(other),
    }
}
