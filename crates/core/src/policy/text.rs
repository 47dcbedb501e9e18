//! Text that is safe to show, and text that is safe to put into Cedar.

use std::fmt::Write as _;

/// `text` with control, formatting and other invisible characters escaped, so that it cannot break a
/// line, move a cursor or reorder what is shown.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_visible(character) {
            shown.push(character);
        } else {
            let _ = write!(shown, "{}", character.escape_unicode());
        }
    }
    shown
}

/// `text` as a Cedar string literal, quotes included. Everything but printable ASCII is escaped.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            ' '..='~' => quoted.push(character),
            other => {
                let _ = write!(quoted, "{}", other.escape_unicode());
            }
        }
    }
    quoted.push('"');
    quoted
}

fn is_visible(character: char) -> bool {
    let invisible = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !character.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_steer_a_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(plain("Größe `x`"), "Größe `x`");
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(r#"a"); permit(principal"#), r#""a\"); permit(principal""#);
        assert_eq!(literal("a\\"), r#""a\\""#);
        assert_eq!(literal("\n*é"), r#""\u{a}*\u{e9}""#);
    }
}
