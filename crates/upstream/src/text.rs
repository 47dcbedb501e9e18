//! What a server says for people.

use sealock_core::policy::plain;

/// No longer text of a server is shown.
const LONGEST: usize = 300;

/// A server's text as it can be shown: one line of printable characters, cut.
pub fn said(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().take(LONGEST).collect();
    let line = line.join(" ");
    let cut: String = line.chars().take(LONGEST).collect();
    let more = if cut.len() < line.len() { "…" } else { "" };
    format!("{}{more}", plain(&cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_printable_line() {
        assert_eq!(said("no\r\n such  name"), "no such name");
        assert!(!said("\u{1b}[2J\u{202e}x").contains(['\u{1b}', '\u{202e}']));
        assert!(said(&"é".repeat(9000)).chars().count() < 3000);
        assert!(said(&"a".repeat(9000)).ends_with('…'));
    }
}
