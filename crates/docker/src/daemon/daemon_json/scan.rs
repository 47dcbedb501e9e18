//! Where in a JSON text its outermost members stand. Only for texts that `serde_json` has read: what is
//! not JSON gives some answer or none.

use std::ops::Range;

#[derive(Debug)]
pub(super) struct Object {
    pub(super) members: Vec<Member>,
    /// Behind the last member's value; in an empty object, behind its brace.
    pub(super) end_of_last: usize,
    /// What stands between the brace and the first member.
    pub(super) indent: Option<String>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) value: Range<usize>,
}

pub(super) fn scan(text: &str) -> Option<Object> {
    let start = text.find('{')? + 1;
    let first = skip_space(text, start);
    let mut object = Object { members: Vec::new(), end_of_last: start, indent: None };
    if text.get(first..)?.starts_with('}') {
        return Some(object);
    }
    object.indent = text.get(start..first).map(str::to_owned);
    let mut at = first;
    loop {
        let key_end = end_of_value(text, at)?;
        let key = serde_json::from_str(text.get(at..key_end)?).ok()?;
        let colon = skip_space(text, key_end);
        let value = skip_space(text, colon + 1);
        let end = end_of_value(text, value)?;
        object.members.push(Member { key, value: value..end });
        object.end_of_last = end;
        let next = skip_space(text, end);
        if !text.get(next..)?.starts_with(',') {
            return Some(object);
        }
        at = skip_space(text, next + 1);
    }
}

fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len()
}

/// Behind the value that begins at `at`.
fn end_of_value(text: &str, at: usize) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (offset, byte) in text.get(at..)?.bytes().enumerate() {
        let ended_behind = match byte {
            _ if escaped => {
                escaped = false;
                false
            }
            b'\\' if in_text => {
                escaped = true;
                false
            }
            b'"' => {
                in_text = !in_text;
                !in_text && depth == 0
            }
            _ if in_text => false,
            b'{' | b'[' => {
                depth += 1;
                false
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                depth == 0
            }
            // A number or a word ends before what follows it.
            b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                return Some(at + offset);
            }
            _ => false,
        };
        if ended_behind {
            return Some(at + offset + 1);
        }
    }
    None
}
