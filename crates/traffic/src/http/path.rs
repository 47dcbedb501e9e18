//! The target of a request: one spelling for each path.
//!
//! Policy is asked about the path that is written here, and the same bytes go to the app. A path that two servers
//! could take for two different ones is refused, not repaired:
//!
//! | in the path | what becomes of it |
//! |---|---|
//! | `.` and `..`, however encoded | resolved (RFC 3986 §5.2.4); above the root: refused |
//! | `%7E`, `%61` (unreserved) | decoded (§6.2.2.2) |
//! | `%c3` | `%C3` (§6.2.2.1) |
//! | `%2F`, `%5C`, `\`, `%00`, control characters | refused: some servers split or end the path there |
//! | `%25` before two hex digits | refused: a server that decodes twice sees something else |
//! | `//` | refused: some servers merge it, so that a rule about `/admin` does not see `//admin` |
//! | `;` and `%3B` | refused: some servers cut a segment there (`/..;/`, `/admin;x`) |
//! | escapes that are no UTF-8 | refused: an overlong `.` or `/` is one |
//! | anything that is no `pchar` | refused |
//!
//! Other reserved characters and their escapes (`:` and `%3A`) are two paths, as §2.2 has it: a `forbid` about one says
//! nothing about the other. The query is no part of the path, is not shown to policy, and goes on as it is.
//!
//! Only targets in the origin form are taken, and `*` of OPTIONS.

use std::borrow::Cow;

use hyper::{Method, Uri};
use thiserror::Error;

/// Why a target is refused: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathFault {
    /// A URL, a host with a port, or `*` of another method than OPTIONS.
    #[error("the target is not a path")]
    Form,
    /// What is behind a `#` is never sent.
    #[error("the target has a fragment")]
    Fragment,
    /// A character that a path or query cannot have.
    #[error("the target has a character that must be percent-encoded")]
    Character,
    /// A percent sign without two hex digits.
    #[error("the path has a percent sign without two hex digits")]
    Escape,
    /// A backslash, or an encoded separator or control character.
    #[error("the path has a backslash, or an encoded slash, backslash or control character")]
    Separator,
    /// An encoded percent sign that begins an escape.
    #[error("the path is percent-encoded twice")]
    Double,
    /// A semicolon, plain or encoded.
    #[error("the path has a semicolon")]
    Parameter,
    /// Escapes that are no UTF-8.
    #[error("the path is not UTF-8")]
    Utf8,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    Empty,
    /// More `..` than there are segments before them.
    #[error("the path leads above the root")]
    AboveRoot,
}

/// A target with its path in the one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: Cow<'a, str>,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// The target of a parsed request.
    pub fn of(method: &Method, uri: &'a Uri) -> Result<Self, PathFault> {
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(PathFault::Form);
        }
        let text = uri.path_and_query().ok_or(PathFault::Form)?;
        Self::read(method, text.as_str())
    }

    /// Reads a target as it stands in a request line.
    pub fn read(method: &Method, target: &'a str) -> Result<Self, PathFault> {
        if target == "*" && *method == Method::OPTIONS {
            return Ok(Self { path: Cow::Borrowed(target), query: None });
        }
        if !target.starts_with('/') {
            return Err(PathFault::Form);
        }
        if target.contains('#') {
            return Err(PathFault::Fragment);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(PathFault::Character);
        }
        let path = if is_plain(path) {
            Cow::Borrowed(path)
        } else {
            let decoded = decoded(path)?;
            Cow::Owned(resolved(&decoded)?)
        };
        Ok(Self { path, query })
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is behind the question mark, as it came.
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether the path came in this spelling.
    pub const fn is_as_it_came(&self) -> bool {
        matches!(self.path, Cow::Borrowed(_))
    }
}

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.path)?;
        match self.query {
            Some(query) => write!(formatter, "?{query}"),
            None => Ok(()),
        }
    }
}

/// Whether there is nothing in a path that would have to be looked at more closely.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    for byte in path.bytes() {
        let is_suspect = before == b'/' && matches!(byte, b'/' | b'.');
        if is_suspect || !(byte == b'/' || is_pchar(byte)) {
            return false;
        }
        before = byte;
    }
    true
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3, without the percent sign and the semicolon.
const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

/// Unreserved characters as themselves, and every other escape in upper case.
fn decoded(path: &str) -> Result<String, PathFault> {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut text = String::with_capacity(path.len());
    // What a server has when it has decoded all.
    let mut meant = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                let value = high * 16 + low;
                meant.push(value);
                match value {
                    b'/' | b'\\' | 0..0x20 | 0x7f => return Err(PathFault::Separator),
                    b';' => return Err(PathFault::Parameter),
                    value if is_unreserved(value) => text.push(char::from(value)),
                    _ => {
                        text.push('%');
                        text.extend(HEX.get(usize::from(high)));
                        text.extend(HEX.get(usize::from(low)));
                    }
                }
            }
            b'\\' => return Err(PathFault::Separator),
            b';' => return Err(PathFault::Parameter),
            byte if byte == b'/' || is_pchar(byte) => {
                meant.push(byte);
                text.push(char::from(byte));
            }
            _ => return Err(PathFault::Character),
        }
    }
    if std::str::from_utf8(&meant).is_err() {
        return Err(PathFault::Utf8);
    }
    let is_escape = |window: &[u8]| matches!(window, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if meant.windows(3).any(is_escape) {
        return Err(PathFault::Double);
    }
    Ok(text)
}

fn digit(byte: Option<u8>) -> Result<u8, PathFault> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(PathFault::Escape)?;
    u8::try_from(digit).map_err(|_| PathFault::Escape)
}

/// RFC 3986 §5.2.4, but that nothing leads above the root and no segment is empty.
fn resolved(path: &str) -> Result<String, PathFault> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    // Whether the last segment that was there names a folder.
    let mut is_folder = false;
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        is_folder = false;
        match segment {
            "" if is_last => is_folder = true,
            "" => return Err(PathFault::Empty),
            "." => is_folder = true,
            ".." => {
                kept.pop().ok_or(PathFault::AboveRoot)?;
                is_folder = true;
            }
            segment => kept.push(segment),
        }
    }
    let mut text = String::with_capacity(path.len());
    for segment in &kept {
        text.push('/');
        text.push_str(segment);
    }
    if is_folder || kept.is_empty() {
        text.push('/');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<String, PathFault> {
        Target::read(&Method::GET, target).map(|target| target.to_string())
    }

    #[test]
    fn one_spelling_for_each_path() {
        for (target, same) in [
            ("/", "/"),
            ("/v1/orders", "/v1/orders"),
            ("/v1/orders/", "/v1/orders/"),
            ("/%76%31/%6frders", "/v1/orders"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/%7ejo/~jo", "/~jo/~jo"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2E/b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/..", "/"),
            ("/.", "/"),
            ("/.hidden/...", "/.hidden/..."),
            ("/100%25", "/100%25"),
            ("/a%3Ab:c@d!$&'()*+,=", "/a%3Ab:c@d!$&'()*+,="),
            ("/a?b=/../%2f;c//d?e", "/a?b=/../%2f;c//d?e"),
            ("/a/../b?", "/b?"),
        ] {
            assert_eq!(get(target).as_deref(), Ok(same), "{target}");
            assert_eq!(get(same).as_deref(), Ok(same), "{same}");
        }
    }

    #[test]
    fn what_two_servers_take_for_two_paths_is_refused() {
        use PathFault::{
            AboveRoot, Character, Double, Empty, Escape, Form, Fragment, Parameter, Separator, Utf8,
        };
        for (target, fault) in [
            ("", Form),
            ("*", Form),
            ("admin", Form),
            ("orders:80", Form),
            ("http://orders/admin", Form),
            ("/a#b", Fragment),
            ("/a?b#c", Fragment),
            ("/a b", Character),
            ("/a?b c", Character),
            ("/caf\u{e9}", Character),
            ("/a?\u{e9}", Character),
            ("/<a>", Character),
            ("/a|b", Character),
            ("/a%", Escape),
            ("/a%2", Escape),
            ("/a%zz", Escape),
            ("/a%+1", Escape),
            ("/v1%2f..%2fadmin", Separator),
            ("/v1%5Cadmin", Separator),
            ("/v1\\..\\admin", Separator),
            ("/v1%00/admin", Separator),
            ("/v1%0d%0a", Separator),
            ("/v1%7f", Separator),
            ("/v1/%252e%252e/admin", Double),
            ("/v1%252fadmin", Double),
            ("/v1%25252e", Double),
            ("/%25%32%65", Double),
            ("/v1/..;/admin", Parameter),
            ("/admin;x/", Parameter),
            ("/admin%3bx", Parameter),
            ("/%c0%ae%c0%ae/admin", Utf8),
            ("/%ff", Utf8),
            ("//admin", Empty),
            ("/v1//admin", Empty),
            ("/v1/.//admin", Empty),
            ("/admin//", Empty),
            ("/..", AboveRoot),
            ("/a/../../admin", AboveRoot),
            ("/%2e%2e/admin", AboveRoot),
        ] {
            assert_eq!(get(target), Err(fault), "{target}");
        }
    }

    #[test]
    fn the_asterisk_is_for_options_and_only_paths_are_parsed() {
        let of = |method: &Method, text: &str| {
            let uri: Uri = text.parse().unwrap();
            Target::of(method, &uri).map(|target| target.to_string())
        };
        assert_eq!(of(&Method::OPTIONS, "*").as_deref(), Ok("*"));
        assert_eq!(of(&Method::GET, "*"), Err(PathFault::Form));
        assert_eq!(of(&Method::GET, "http://orders/admin"), Err(PathFault::Form));
        assert_eq!(of(&Method::GET, "orders:80"), Err(PathFault::Form));
        assert_eq!(of(&Method::GET, "/a?b").as_deref(), Ok("/a?b"));
    }
}
