//! The text of a `secrets.yml`, and what the YAML parser has to be spared.
//!
//! The files in use were written for a reader of YAML 1.1 (Summon's), and the parser here reads YAML 1.2. Where it
//! refuses or misreads what the other takes, something harmless of the same length is put in its place, and the
//! parser starts again; what was there is put back into what it yields. That touches only places where the parser
//! itself says that it has met a tag, a value or a tab behind a colon:
//!
//! - a tag with `,`, `[`, `]` or `!` in it, such as `!var:default='Welcome!'`, or with an escape beyond ASCII;
//! - a tab between a colon and a value;
//! - `\'` in double quotes (only as Summon reads).
//!
//! And a block text in the last line of a file, without an end of line, has none in its value.

use std::collections::{BTreeMap, HashSet};

use saphyr_parser::{ScalarStyle, Span, Tag};
use zeroize::Zeroizing;

use super::error::{ManifestError, Position};
use super::{Dialect, MAXIMUM_BYTES};

/// Characters that are read again because of repairs; a small file may have hundreds, a large one a few.
const MOST_WORK: usize = 32 << 20;

/// Stand in for `\'`: two characters that no text of a file has side by side.
const QUOTE: [char; 2] = ['\u{e000}', '\u{e001}'];
const QUOTE_TEXT: &str = "\u{e000}\u{e001}";

/// The text, as the parser gets it.
pub(super) struct Source {
    chars: Zeroizing<Vec<char>>,
    dialect: Dialect,
    /// By the place of their `!`: what follows the handle in tags that have a stand-in.
    tags: BTreeMap<usize, Zeroizing<String>>,
    quotes: bool,
    /// An end of line was added.
    unterminated: bool,
    work: usize,
}

impl Source {
    pub(super) fn new(bytes: &[u8], dialect: Dialect) -> Result<Self, ManifestError> {
        if bytes.len() > MAXIMUM_BYTES {
            return Err(ManifestError::TooLarge { limit: MAXIMUM_BYTES });
        }
        let mut chars = decode(bytes, dialect)?;
        if let Some(index) = chars.iter().position(|&c| !is_printable(c)) {
            let at = place(chars.iter().take(index).copied());
            return Err(ManifestError::ControlCharacter { at });
        }
        let unterminated = terminate(&mut chars);
        Ok(Self { chars, dialect, tags: BTreeMap::new(), quotes: false, unterminated, work: 0 })
    }

    pub(super) fn chars(&self) -> &[char] {
        &self.chars
    }

    /// Whether a list or map begins with a bracket, behind a tag or an anchor that it may have.
    pub(super) fn is_bracket(&self, span: Span) -> bool {
        let text = self.chars.get(span.start.index()..span.end.index()).unwrap_or_default();
        let last = text.iter().rfind(|c| !c.is_whitespace());
        [text.first(), last].into_iter().flatten().any(|c| matches!(c, '[' | '{'))
    }

    /// The blanks at the beginning of the line that this place is in.
    pub(super) fn indentation(&self, index: usize) -> &[char] {
        let before = self.chars.get(..index).unwrap_or_default();
        let line = before.iter().rposition(|c| matches!(c, '\n' | '\r')).map_or(0, |end| end + 1);
        let line = self.chars.get(line..).unwrap_or_default();
        let blanks = line.iter().take_while(|c| matches!(c, ' ' | '\t')).count();
        line.get(..blanks).unwrap_or_default()
    }

    /// The whole tag, with its handle; `None` where there has to be a stand-in first.
    pub(super) fn tag(&self, tag: &Tag, node: usize) -> Option<Zeroizing<String>> {
        let start = self.tag_start(node)?;
        let suffix = match self.tags.get(&start) {
            Some(suffix) => suffix,
            // The parser takes an escaped character of two bytes for another one.
            None if !tag.suffix.is_ascii() => return None,
            // In brackets, it ends a tag at a comma, where the other ends it at a blank.
            None if self.written_tag(start).iter().any(|c| matches!(c, ',' | '[' | ']')) => {
                return None;
            }
            None => &tag.suffix,
        };
        Some(Zeroizing::new(format!("{}{suffix}", tag.handle)))
    }

    /// Where the tag of the node that begins here has its `!`; an anchor and comments may stand before it.
    pub(super) fn tag_start(&self, node: usize) -> Option<usize> {
        let mut index = node;
        if self.chars.get(index) == Some(&'&') {
            index += self.count(index, |c| !c.is_whitespace());
        }
        loop {
            index += self.count(index, char::is_whitespace);
            match self.chars.get(index)? {
                '#' => index += self.count(index, |c| !matches!(c, '\n' | '\r')),
                '!' => return Some(index),
                _ => return None,
            }
        }
    }

    /// What stands behind the `!` of a tag, up to a blank.
    fn written_tag(&self, start: usize) -> &[char] {
        let length = self.count(start + 1, |c| !c.is_whitespace());
        self.chars.get(start + 1..start + 1 + length).unwrap_or_default()
    }

    fn count(&self, from: usize, which: fn(char) -> bool) -> usize {
        self.chars.iter().skip(from).take_while(|c| which(**c)).count()
    }

    /// A tag with a stand-in that no node has: it was none.
    pub(super) fn unclaimed(&self, claimed: &HashSet<usize>) -> Option<Position> {
        let index = self.tags.keys().find(|start| !claimed.contains(start))?;
        Some(place(self.chars.iter().take(*index).copied()))
    }

    /// The value of a scalar.
    pub(super) fn scalar(&self, text: &str, style: ScalarStyle, span: Span) -> Zeroizing<String> {
        let mut text = match self.quotes && style == ScalarStyle::DoubleQuoted {
            true => Zeroizing::new(text.replace(QUOTE_TEXT, "'")),
            false => Zeroizing::new(text.to_owned()),
        };
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if block
            && self.unterminated
            && span.end.index() >= self.chars.len()
            && text.ends_with('\n')
        {
            text.pop();
        }
        text
    }

    /// Puts something else where the parser stopped, if that is one of the known places. `Ok(true)`: again.
    pub(super) fn repair(&mut self, at: usize) -> Result<bool, ManifestError> {
        self.more_work()?;
        Ok(self.repair_tag(at) || self.repair_quotes(at) || self.repair_tab(at))
    }

    /// Puts something else for the nearest thing before this place that looks like a tag which the parser misreads.
    /// In brackets it reads on behind a comma or a bracket in such a tag, and stops much later, if at all.
    pub(super) fn repair_before(&mut self, at: usize) -> Result<bool, ManifestError> {
        self.more_work()?;
        let begins =
            |c: Option<&char>| c.is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '{' | ','));
        for start in (0..at.min(self.chars.len())).rev() {
            let before = start.checked_sub(1).and_then(|index| self.chars.get(index));
            if begins(before) && self.repair_tag(start) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn more_work(&mut self) -> Result<(), ManifestError> {
        self.work += self.chars.len();
        match self.work > MOST_WORK {
            true => Err(ManifestError::TooManyRepairs),
            false => Ok(()),
        }
    }

    fn repair_tag(&mut self, start: usize) -> bool {
        if self.chars.get(start) != Some(&'!') || self.tags.contains_key(&start) {
            return false;
        }
        let tag = self.written_tag(start);
        if !tag.iter().all(|&c| is_uri(c)) {
            return false;
        }
        let word = tag.iter().take_while(|c| is_word(**c)).count();
        let handle = if tag.get(word) == Some(&'!') { word + 1 } else { 0 };
        let Some((suffix, stand_in)) = decode_suffix(tag.get(handle..).unwrap_or_default()) else {
            return false;
        };
        let from = start + 1 + handle;
        for (place, c) in self.chars.iter_mut().skip(from).zip(stand_in) {
            *place = c;
        }
        self.tags.insert(start, suffix);
        true
    }

    fn repair_quotes(&mut self, start: usize) -> bool {
        let known = self.quotes || !(self.chars.contains(&QUOTE[0]) || self.may_escape_stand_ins());
        if self.dialect != Dialect::Summon || self.chars.get(start) != Some(&'"') || !known {
            return false;
        }
        let mut found = false;
        let mut index = start + 1;
        while let Some(&c) = self.chars.get(index) {
            if c == '"' {
                break;
            }
            if c == '\\' {
                if let Some([first, second]) = self.chars.get_mut(index..index + 2)
                    && *second == '\''
                {
                    [*first, *second] = QUOTE;
                    found = true;
                }
                index += 1;
            }
            index += 1;
        }
        self.quotes |= found;
        found
    }

    /// Whether the stand-ins could come out of an escape.
    fn may_escape_stand_ins(&self) -> bool {
        self.chars
            .windows(4)
            .any(|four| four.iter().map(char::to_ascii_lowercase).eq("e000".chars()))
    }

    fn repair_tab(&mut self, at: usize) -> bool {
        let before = self.chars.get(..at).unwrap_or_default();
        let blanks = before.iter().rev().take_while(|c| matches!(c, ' ' | '\t')).count();
        let first = at - blanks;
        let after_colon = before.get(..first).is_some_and(|before| before.ends_with(&[':']));
        match self.chars.get_mut(first) {
            Some(tab) if after_colon && *tab == '\t' => {
                *tab = ' ';
                true
            }
            _ => false,
        }
    }
}

/// UTF-8 with or without a mark; Summon also takes UTF-16 with one.
fn decode(bytes: &[u8], dialect: Dialect) -> Result<Zeroizing<Vec<char>>, ManifestError> {
    if dialect == Dialect::Summon {
        if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
            return utf16(rest, u16::from_le_bytes);
        }
        if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
            return utf16(rest, u16::from_be_bytes);
        }
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut chars = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    for chunk in bytes.utf8_chunks() {
        chars.extend(chunk.valid().chars());
        if !chunk.invalid().is_empty() {
            return Err(ManifestError::NotUnicode { at: place(chars.iter().copied()) });
        }
    }
    Ok(chars)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Zeroizing<Vec<char>>, ManifestError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut chars = Zeroizing::new(Vec::with_capacity(units.len() + 1));
    for decoded in char::decode_utf16(units.iter().map(|pair| unit(*pair))) {
        match decoded {
            Ok(c) => chars.push(c),
            Err(_) => return Err(ManifestError::NotUnicode { at: place(chars.iter().copied()) }),
        }
    }
    if !rest.is_empty() {
        return Err(ManifestError::NotUnicode { at: place(chars.iter().copied()) });
    }
    Ok(chars)
}

/// Where the text goes on after these characters.
fn place(before: impl Iterator<Item = char>) -> Position {
    let (mut line, mut column, mut last) = (1, 1, ' ');
    for c in before {
        match c {
            '\n' if last == '\r' => {}
            '\n' | '\r' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        last = c;
    }
    Position::new(line, column)
}

/// The characters of a YAML text, as libyaml and its descendants hold it.
fn is_printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The characters of a tag in YAML 1.1.
fn is_uri(c: char) -> bool {
    is_word(c) || ";/?:@&=+$,.!~*'()[]%".contains(c)
}

/// Ends the last line. What it has of blanks alone goes; the answer is whether it had more.
fn terminate(chars: &mut Vec<char>) -> bool {
    let end = chars.iter().rposition(|c| matches!(c, '\n' | '\r')).map_or(0, |index| index + 1);
    let last = chars.get(end..).unwrap_or_default();
    if last.iter().all(|c| matches!(c, ' ' | '\t')) {
        chars.truncate(end);
        return false;
    }
    chars.push('\n');
    true
}

/// What a tag says with its escapes undone, and what can stand in its place. `None` where that needs no stand-in, or
/// is no text.
fn decode_suffix(suffix: &[char]) -> Option<(Zeroizing<String>, Vec<char>)> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(suffix.len()));
    let mut stand_in = Vec::with_capacity(suffix.len());
    let mut special = false;
    let mut rest = suffix;
    while let Some((&c, after)) = rest.split_first() {
        rest = after;
        if c == '%' {
            let digits = [after.first()?.to_digit(16)?, after.get(1)?.to_digit(16)?];
            let byte = u8::try_from(digits[0] * 16 + digits[1]).ok()?;
            special |= !byte.is_ascii();
            bytes.push(byte);
            stand_in.extend(['x'; 3]);
            rest = after.get(2..)?;
        } else {
            let apart = matches!(c, ',' | '[' | ']' | '!');
            special |= apart;
            bytes.push(u8::try_from(c).ok()?);
            stand_in.push(if apart { 'x' } else { c });
        }
    }
    let text = std::str::from_utf8(&bytes).ok()?.to_owned();
    special.then_some((Zeroizing::new(text), stand_in))
}
