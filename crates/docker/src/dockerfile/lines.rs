//! From bytes to logical lines: without comments, and with continued lines joined.

use super::error::{DockerfileError, Fault};
use super::{LONGEST, MOST_BYTES};

/// One instruction on one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logical {
    /// Where it began, from 1.
    pub(super) number: usize,
    pub(super) text: String,
    /// Whether an engine could take something in it for the start of a here-document.
    pub(super) has_heredoc: bool,
}

/// All of them.
pub(super) fn logical(bytes: &[u8]) -> Result<Vec<Logical>, DockerfileError> {
    if bytes.len() > MOST_BYTES {
        return Err(Fault::TooLarge { limit: MOST_BYTES }.at(0));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Fault::NotText.at(before.split(|byte| *byte == b'\n').count())
    })?;
    let mut found = Vec::new();
    let mut begun: Option<Logical> = None;
    let mut in_directives = true;
    for (place, line) in text.split('\n').enumerate() {
        let number = place + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        // Also those that some readers take for the end of a line.
        let ends = |c: char| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
        if line.chars().any(|c| c.is_control() && c != '\t' || ends(c)) {
            return Err(Fault::Control.at(number));
        }
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix('#') {
            in_directives = in_directives && begun.is_none() && directive(comment, number)?;
            continue;
        }
        in_directives = false;
        // Empty lines within an instruction are passed over, as engines do.
        if trimmed.is_empty() {
            continue;
        }
        let (piece, goes_on) = continuation(line, number)?;
        let logical = begun.get_or_insert_with(|| Logical {
            number,
            text: String::new(),
            has_heredoc: false,
        });
        logical.text.push_str(piece);
        if logical.text.len() > LONGEST {
            return Err(Fault::TooLong { limit: LONGEST }.at(logical.number));
        }
        if !goes_on {
            found.extend(begun.take());
        }
    }
    if let Some(open) = begun {
        return Err(Fault::Trailing.at(open.number));
    }
    if found.is_empty() {
        return Err(Fault::Empty.at(0));
    }
    for logical in &mut found {
        logical.text = logical.text.trim().to_owned();
        // What was joined can end in a backslash that stood before the last line.
        if logical.text.ends_with('\\') {
            return Err(Fault::Trailing.at(logical.number));
        }
        logical.has_heredoc = has_heredoc(&logical.text);
    }
    Ok(found)
}

/// Whether this comment is a directive, after which others may come.
fn directive(comment: &str, number: usize) -> Result<bool, DockerfileError> {
    let Some((name, value)) = comment.split_once('=') else { return Ok(false) };
    let name = name.trim();
    if name.eq_ignore_ascii_case("escape") && value.trim() != "\\" {
        return Err(Fault::Escape.at(number));
    }
    Ok(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The line without the backslash by which it goes on. After two of them engines do not agree whether it does.
fn continuation(line: &str, number: usize) -> Result<(&str, bool), DockerfileError> {
    let Some(piece) = line.trim_end().strip_suffix('\\') else { return Ok((line, false)) };
    if piece.ends_with('\\') {
        return Err(Fault::Trailing.at(number));
    }
    Ok((piece, true))
}

/// Engines look at words that begin with `<<`, with a number before it or without, and take quotes and escapes out
/// before they look; `<<<` is not one.
fn has_heredoc(text: &str) -> bool {
    text.match_indices("<<").any(|(place, _)| {
        let before = text.get(..place).unwrap_or_default();
        let after = text.get(place..).unwrap_or_default();
        // The second half of `<<<`, or the first.
        if before.ends_with('<') || after.starts_with("<<<") {
            return false;
        }
        // Without a word after it, it begins nothing.
        let word = after.trim_start_matches('<').trim_start_matches('-');
        if word.is_empty() || word.starts_with(char::is_whitespace) {
            return false;
        }
        let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
        before
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))
    })
}
