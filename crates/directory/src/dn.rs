//! Distinguished names (RFC 4514), read strictly.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use thiserror::Error;

/// A name is not longer than this, in bytes.
const LONGEST: usize = 1024;
/// And has at most so many parts.
const MOST_PARTS: usize = 32;
/// What stands in a template for the certificate's name.
const NAME: &str = "{name}";

/// Why a text is no distinguished name that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DnError {
    /// Nothing.
    #[error("a distinguished name cannot be empty")]
    Empty,
    /// Too much.
    #[error("a distinguished name has at most {LONGEST} bytes and {MOST_PARTS} parts")]
    TooLong,
    /// What stands before `=`.
    #[error(
        "a part of a distinguished name is TYPE=VALUE, without spaces around it, and TYPE a word such as `cn`, or an OID"
    )]
    Type,
    /// A value that begins with `#`.
    #[error("a value in hex (`#…`) is not taken in a distinguished name: write it as text")]
    Hex,
    /// A character that has to be escaped, or an escape that is none.
    #[error(
        "a value of a distinguished name must have `\\` before , + \" \\ < > ; and before a space or # at its ends"
    )]
    Escape,
    /// A value of nothing, or of what nobody could read.
    #[error(
        "a value of a distinguished name must be text without control characters, and not empty"
    )]
    Value,
    /// Two of one type in one part.
    #[error("a part of a distinguished name has a type twice")]
    Twice,
    /// Braces in a template that are not `{{name}}`.
    #[error("a template may have {{name}} in its values, and no other braces")]
    Braces,
    /// A template for any name at all.
    #[error(
        "a template needs {{name}} in its first part: certificates of all names would share an entry"
    )]
    NoName,
}

/// One `TYPE=VALUE`; the value without escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// In lower case: types do not distinguish it.
    pub(crate) attribute: String,
    pub(crate) value: String,
}

/// A distinguished name that is not empty. [`Display`](fmt::Display) writes it as RFC 4514 wants it, with no more escapes
/// than needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dn(Vec<Vec<Pair>>);

impl Dn {
    /// What the entry is called within its parent.
    pub(crate) fn own(&self) -> &[Pair] {
        self.0.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// How many types and values each part has.
    pub(crate) fn parts(&self) -> Vec<usize> {
        self.0.iter().map(Vec::len).collect()
    }
}

impl FromStr for Dn {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(DnError::Empty);
        }
        if text.len() > LONGEST {
            return Err(DnError::TooLong);
        }
        let mut parts = Vec::new();
        let mut part: Vec<Pair> = Vec::new();
        let mut rest = text;
        loop {
            let (pair, after) = pair(rest)?;
            if part.iter().any(|other| other.attribute == pair.attribute) {
                return Err(DnError::Twice);
            }
            part.push(pair);
            let mut characters = after.chars();
            let next = characters.next();
            if next != Some('+') {
                parts.push(std::mem::take(&mut part));
            }
            if parts.len() > MOST_PARTS || part.len() > MOST_PARTS {
                return Err(DnError::TooLong);
            }
            if next.is_none() {
                return Ok(Self(parts));
            }
            rest = characters.as_str();
        }
    }
}

/// The next `TYPE=VALUE`, and what follows it: nothing, or something that begins with `,` or `+`.
fn pair(text: &str) -> Result<(Pair, &str), DnError> {
    let (attribute, rest) = text.split_once('=').ok_or(DnError::Type)?;
    if !is_type(attribute) {
        return Err(DnError::Type);
    }
    if rest.starts_with('#') {
        return Err(DnError::Hex);
    }
    let (value, rest) = value(rest)?;
    Ok((Pair { attribute: attribute.to_ascii_lowercase(), value }, rest))
}

/// A short name, or an OID (RFC 4512 §1.4). Options (`;binary`) do not belong into names.
fn is_type(text: &str) -> bool {
    let number = |arc: &str| {
        arc.bytes().all(|byte| byte.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
    };
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let oid = text.contains('.') && text.split('.').all(|arc| !arc.is_empty() && number(arc));
    text.len() <= 64 && (word || oid)
}

/// A value up to what ends it, without its escapes. They may stand for single bytes of UTF-8.
fn value(text: &str) -> Result<(String, &str), DnError> {
    let mut bytes = Vec::new();
    let mut rest = text;
    let mut trailing_space = false;
    if rest.starts_with(' ') {
        return Err(DnError::Escape);
    }
    loop {
        let mut characters = rest.chars();
        match characters.next() {
            None | Some(',' | '+') => break,
            Some('\\') => {
                let (byte, after) = escaped(characters.as_str())?;
                bytes.push(byte);
                rest = after;
                trailing_space = false;
            }
            Some('"' | '<' | '>' | ';') => return Err(DnError::Escape),
            Some(c) => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = characters.as_str();
                trailing_space = c == ' ';
            }
        }
    }
    if trailing_space {
        return Err(DnError::Escape);
    }
    let value = String::from_utf8(bytes).map_err(|_| DnError::Value)?;
    is_value(&value).then_some((value, rest)).ok_or(DnError::Value)
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// What stands after a `\`: a character that has a meaning, or two hex digits.
fn escaped(text: &str) -> Result<(u8, &str), DnError> {
    let (first, rest) = text.split_at_checked(1).ok_or(DnError::Escape)?;
    if let [special @ (b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\')] =
        first.as_bytes()
    {
        return Ok((*special, rest));
    }
    let (pair, rest) = text.split_at_checked(2).ok_or(DnError::Escape)?;
    let hex = pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = u8::from_str_radix(pair, 16).ok().filter(|_| hex).ok_or(DnError::Escape)?;
    Ok((byte, rest))
}

impl fmt::Display for Dn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            for (nth, pair) in part.iter().enumerate() {
                match (place, nth) {
                    (0, 0) => {}
                    (_, 0) => formatter.write_char(',')?,
                    _ => formatter.write_char('+')?,
                }
                write!(formatter, "{}=", pair.attribute)?;
                escape(&pair.value, formatter)?;
            }
        }
        Ok(())
    }
}

fn escape(value: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (place, c) in value.chars().enumerate() {
        let at_ends = place == 0 && matches!(c, ' ' | '#') || place == last && c == ' ';
        if at_ends || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            formatter.write_char('\\')?;
        }
        formatter.write_char(c)?;
    }
    Ok(())
}

/// A distinguished name with `{name}` in it: the place of a certificate's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnTemplate(Dn);

impl DnTemplate {
    /// The name of the entry for a certificate of this name, which is a value there whatever is in it.
    ///
    /// # Errors
    /// [`DnError::Value`] and [`DnError::TooLong`].
    pub fn fill(&self, name: &str) -> Result<Dn, DnError> {
        if !is_value(name) {
            return Err(DnError::Value);
        }
        let mut dn = self.0.clone();
        for pair in dn.0.iter_mut().flatten() {
            pair.value = pair.value.replace(NAME, name);
        }
        if dn.to_string().len() > LONGEST { Err(DnError::TooLong) } else { Ok(dn) }
    }
}

impl FromStr for DnTemplate {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let dn: Dn = text.parse()?;
        let others = |pair: &Pair| pair.value.replace(NAME, "").contains(['{', '}']);
        if dn.0.iter().flatten().any(others) {
            return Err(DnError::Braces);
        }
        if !dn.own().iter().any(|pair| pair.value.contains(NAME)) {
            return Err(DnError::NoName);
        }
        Ok(Self(dn))
    }
}

impl fmt::Display for DnTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let dn: Dn = text.parse().unwrap();
        dn.0.into_iter().flatten().map(|pair| (pair.attribute, pair.value)).collect()
    }

    /// The examples of RFC 4514 §4 that have no value in hex, and some more.
    #[test]
    fn names_are_read() {
        let table: [(&str, &[(&str, &str)]); 8] = [
            (
                "UID=jsmith,DC=example,DC=net",
                &[("uid", "jsmith"), ("dc", "example"), ("dc", "net")],
            ),
            (
                "OU=Sales+CN=J.  Smith,DC=example",
                &[("ou", "Sales"), ("cn", "J.  Smith"), ("dc", "example")],
            ),
            (
                r#"CN=James \"Jim\" Smith\, III,DC=net"#,
                &[("cn", r#"James "Jim" Smith, III"#), ("dc", "net")],
            ),
            (r"CN=Lu\C4\8Di\C4\87", &[("cn", "Lučić")]),
            ("1.3.6.1.4.1.1466.0=x", &[("1.3.6.1.4.1.1466.0", "x")]),
            (r"cn=\ a\ ", &[("cn", " a ")]),
            (r"cn=\#1=2", &[("cn", "#1=2")]),
            ("cn=a#b=c", &[("cn", "a#b=c")]),
        ];
        for (text, wanted) in table {
            let wanted: Vec<(String, String)> =
                wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(values(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_has_two_readings_or_none_is_refused() {
        let table = [
            ("", DnError::Empty),
            ("cn", DnError::Type),
            ("=x", DnError::Type),
            ("cn=a,", DnError::Type),
            ("cn=a,,dc=b", DnError::Type),
            (" cn=a", DnError::Type),
            ("cn=a, dc=b", DnError::Type),
            ("cn;binary=a", DnError::Type),
            ("c_n=a", DnError::Type),
            ("2.05=a", DnError::Type),
            ("2.=a", DnError::Type),
            ("cn=", DnError::Value),
            ("cn=,dc=x", DnError::Value),
            ("cn= a", DnError::Escape),
            ("cn=a ", DnError::Escape),
            ("cn=a ,dc=x", DnError::Escape),
            ("cn=#04024869", DnError::Hex),
            ("cn=a;dc=b", DnError::Escape),
            ("cn=\"a\"", DnError::Escape),
            ("cn=a<b", DnError::Escape),
            (r"cn=a\", DnError::Escape),
            (r"cn=a\z1", DnError::Escape),
            (r"cn=a\4", DnError::Escape),
            (r"cn=a\+4x\ä", DnError::Escape),
            (r"cn=a\00", DnError::Value),
            ("cn=a\nb", DnError::Value),
            (r"cn=\C4", DnError::Value),
            ("cn=a+CN=b", DnError::Twice),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Dn>(), Err(error), "{text:?}");
        }
        let long = format!("cn={}", "a".repeat(LONGEST));
        assert_eq!(long.parse::<Dn>(), Err(DnError::TooLong));
        assert_eq!(vec!["cn=a"; 33].join(",").parse::<Dn>(), Err(DnError::TooLong));
        assert!(vec!["cn=a"; 32].join(",").parse::<Dn>().is_ok());
    }

    #[test]
    fn a_name_in_a_template_stays_one_value() {
        let template: DnTemplate = "cn={name},ou=devices,dc=corp,dc=example".parse().unwrap();
        let filled = |name| template.fill(name).map(|dn| dn.to_string());
        assert_eq!(filled("web"), Ok("cn=web,ou=devices,dc=corp,dc=example".to_owned()));
        assert_eq!(filled("shop/web"), Ok("cn=shop/web,ou=devices,dc=corp,dc=example".to_owned()));
        let evil = "a,ou=admins+x=y";
        assert_eq!(
            filled(evil),
            Ok(r"cn=a\,ou=admins\+x=y,ou=devices,dc=corp,dc=example".to_owned())
        );
        assert_eq!(values(&filled(evil).unwrap())[0].1, evil);
        assert_eq!(filled(""), Err(DnError::Value));
        assert_eq!(filled("a\0b"), Err(DnError::Value));
        let long = "a".repeat(LONGEST);
        assert_eq!(filled(&long), Err(DnError::TooLong));
        // Put in once: a name is not a template.
        assert_eq!(filled("{name}"), Ok("cn={name},ou=devices,dc=corp,dc=example".to_owned()));
    }

    #[test]
    fn templates_are_for_names() {
        assert_eq!("cn=x,ou={name}".parse::<DnTemplate>(), Err(DnError::NoName));
        assert_eq!("cn={nam}".parse::<DnTemplate>(), Err(DnError::Braces));
        assert_eq!("cn={name}}".parse::<DnTemplate>(), Err(DnError::Braces));
        assert_eq!("{name}=x".parse::<DnTemplate>(), Err(DnError::Type));
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in "[^\\p{Cc}]{1,20}", other in "[^\\p{Cc}]{1,20}") {
            let template: DnTemplate = "cn={name},dc=x".parse().unwrap();
            let dn = template.fill(&value).unwrap();
            let again: Dn = dn.to_string().parse().unwrap();
            prop_assert_eq!(&again, &dn);
            prop_assert_eq!(&again.own()[0].value, &value);
            prop_assert_eq!(again.0.len(), 2);
            prop_assert_eq!(dn == template.fill(&other).unwrap(), value == other);
        }
    }
}
