//! Text in double quotes as Go's `strconv.Quote` writes it: what Summon's formats are made of.

use crate::buffer::Buffer;

const LOWER: &[u8; 16] = b"0123456789abcdef";

/// `"…"` with Go's escapes. Bytes that are not UTF-8 become `\xNN`, which only Go reads back.
pub(crate) fn quoted(bytes: &[u8], out: &mut Buffer) {
    within(bytes, '"', false, out);
}

/// As [`quoted`], with everything outside of ASCII escaped too.
pub(crate) fn quoted_ascii(bytes: &[u8], out: &mut Buffer) {
    within(bytes, '"', true, out);
}

/// `'c'`, as Go writes a character.
pub(crate) fn quoted_char(character: char, ascii: bool, out: &mut Buffer) {
    within(character.encode_utf8(&mut [0; 4]).as_bytes(), '\'', ascii, out);
}

fn within(bytes: &[u8], quote: char, ascii: bool, out: &mut Buffer) {
    out.push_char(quote);
    escaped(bytes, quote, ascii, out);
    out.push_char(quote);
}

/// What stands between such quotes.
pub(crate) fn escaped(bytes: &[u8], quote: char, ascii: bool, out: &mut Buffer) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(character, quote, ascii, out);
        }
        for byte in chunk.invalid() {
            out.extend(b"\\x");
            hex(u32::from(*byte), 2, out);
        }
    }
}

fn push(character: char, quote: char, ascii: bool, out: &mut Buffer) {
    match character {
        '\\' => out.extend(b"\\\\"),
        _ if character == quote => {
            out.push(b'\\');
            out.push_char(quote);
        }
        _ if (!ascii || character.is_ascii()) && is_printable(character) => {
            out.push_char(character);
        }
        '\x07' => out.extend(b"\\a"),
        '\x08' => out.extend(b"\\b"),
        '\x0c' => out.extend(b"\\f"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        '\x0b' => out.extend(b"\\v"),
        '\0'..='\x1f' | '\x7f' => {
            out.extend(b"\\x");
            hex(u32::from(character), 2, out);
        }
        '\x20'..='\u{ffff}' => unicode_escape(u32::from(character), out),
        _ => {
            out.extend(b"\\U");
            hex(u32::from(character), 8, out);
        }
    }
}

/// `\uNNNN`; beyond the basic plane two of them, a surrogate pair, as JSON, Java and JavaScript have it.
pub(crate) fn unicode_escapes(character: char, out: &mut Buffer) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        unicode_escape(u32::from(*unit), out);
    }
}

fn unicode_escape(unit: u32, out: &mut Buffer) {
    out.extend(b"\\u");
    hex(unit, 4, out);
}

/// The last `digits` hexadecimal digits of a number.
pub(crate) fn hex(number: u32, digits: u32, out: &mut Buffer) {
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place) & 0xf) as usize;
        out.extend(LOWER.get(digit..=digit).unwrap_or_default());
    }
}

/// As Go has it: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(crate) fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    // The library keeps its table to itself, and escapes by it what follows the first character of a text.
    let mut text = *b"a\0\0\0\0";
    let [_, rest @ ..] = &mut text;
    let length = character.encode_utf8(rest).len();
    let text = text.get(..=length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        let mut out = Buffer::default();
        quoted(bytes, &mut out);
        String::from_utf8(out.as_slice().to_vec()).unwrap()
    }

    #[test]
    fn as_go_writes_it() {
        assert_eq!(shown(b"plain 'text' #!$"), "\"plain 'text' #!$\"");
        assert_eq!(
            shown(b"\"\\\n\r\t\x07\x08\x0b\x0c\0\x1b\x7f"),
            r#""\"\\\n\r\t\a\b\v\f\x00\x1b\x7f""#
        );
        assert_eq!(shown("é日\u{301}😀".as_bytes()), "\"é日\u{301}😀\"");
        assert_eq!(
            shown("\u{85}\u{ad}\u{200b}\u{2028}\u{feff}".as_bytes()),
            r#""\u0085\u00ad\u200b\u2028\ufeff""#
        );
        assert_eq!(shown("\u{e0001}\u{1fffe}".as_bytes()), r#""\U000e0001\U0001fffe""#);
        assert_eq!(shown(b"\xff\xe2\x82A\xed\xa0\x80"), r#""\xff\xe2\x82A\xed\xa0\x80""#);
    }

    #[test]
    fn characters() {
        let shown = |character, ascii| {
            let mut out = Buffer::default();
            quoted_char(character, ascii, &mut out);
            String::from_utf8(out.as_slice().to_vec()).unwrap()
        };
        assert_eq!(shown('\'', false), r"'\''");
        assert_eq!(shown('"', false), "'\"'");
        assert_eq!(shown('é', true), r"'\u00e9'");
    }
}
