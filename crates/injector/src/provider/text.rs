//! What others have printed, made fit for printing; and Go's idea of white space.

use std::fmt::Write as _;
use std::time::Duration;

/// What a provider printed for a person: trimmed, and without anything that a terminal obeys.
///
/// Line ends and tabs stay. Other control characters, and those that turn the direction of writing, become
/// escapes, so that no message can be made to look like another.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(trimmed(bytes)).replace("\r\n", "\n");
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}');
        if (character.is_control() && !matches!(character, '\n' | '\t')) || turns {
            // Writing into a string cannot fail.
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Without white space at both ends, as Go's `strings.TrimSpace` has it: Unicode's white space where the bytes
/// are UTF-8; bytes that are not stay.
pub(super) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = without_first_space(bytes) {
        bytes = rest;
    }
    while let Some(rest) = without_last_space(bytes) {
        bytes = rest;
    }
    bytes
}

fn without_first_space(bytes: &[u8]) -> Option<&[u8]> {
    (1..=bytes.len().min(4)).find_map(|length| {
        let (first, rest) = bytes.split_at_checked(length)?;
        is_space(first).then_some(rest)
    })
}

fn without_last_space(bytes: &[u8]) -> Option<&[u8]> {
    (1..=bytes.len().min(4)).find_map(|length| {
        let (rest, last) = bytes.split_at_checked(bytes.len() - length)?;
        is_space(last).then_some(rest)
    })
}

/// Whether the bytes are one character, and that one is white space.
fn is_space(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut characters = text.chars();
    matches!((characters.next(), characters.next()), (Some(one), None) if one.is_whitespace())
}

/// `60 s`, `1.5 s`.
pub(super) fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_as_in_go() {
        let cases: [(&[u8], &[u8]); 12] = [
            (b"value\n", b"value"),
            (b" \t\r\n\x0b\x0cvalue \n\n", b"value"),
            (b"two words\r\n", b"two words"),
            (b"", b""),
            (b" \n", b""),
            ("\u{a0}\u{3000}é\u{2028}\u{85}".as_bytes(), "é".as_bytes()),
            // The same numbers as bytes are not white space, and neither is a zero-width space.
            (b"\xa0value\x85", b"\xa0value\x85"),
            ("\u{200b}v".as_bytes(), "\u{200b}v".as_bytes()),
            (b"\xff \xff", b"\xff \xff"),
            (b" \xff ", b"\xff"),
            (b"\0 ", b"\0"),
            (b"\xe3\x80", b"\xe3\x80"),
        ];
        for (given, kept) in cases {
            assert_eq!(trimmed(given), kept, "{given:?}");
        }
    }

    #[test]
    fn a_terminal_is_told_nothing() {
        let cases: [(&[u8], &str); 6] = [
            (b"no such secret\n", "no such secret"),
            (b"two\r\n\tlines\r\n", "two\n\tlines"),
            (b"\x1b[2Jgone\x07\rhi", "\\u{1b}[2Jgone\\u{7}\\rhi"),
            (b"\xff", "\u{fffd}"),
            ("a\u{202e}b\u{9b}".as_bytes(), "a\\u{202e}b\\u{9b}"),
            (b"\0", "\\u{0}"),
        ];
        for (given, shown) in cases {
            assert_eq!(printable(given), shown, "{given:?}");
        }
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(seconds(Duration::from_secs(60)), "60 s");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
    }
}
