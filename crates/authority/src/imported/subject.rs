//! A subject as people write it (RFC 4514), read strictly, and as certificates have it (X.501).
//!
//! The text begins with the most specific part, the certificate ends with it, as the RFC has it: what goes in as
//! `CN=web,O=Corp` is what `openssl … -nameopt RFC2253` shows of the CSR.

use std::fmt;
use std::str::FromStr;

use sealock_core::SubjectName;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::der::{OBJECT_IDENTIFIER, SEQUENCE, element};
use crate::order::Usages;

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SET: u8 = 0x31;
const LONGEST: usize = 1024;
const MOST_PARTS: usize = 32;

/// Why a subject was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// As a whole.
    #[error("the subject has more than {LONGEST} bytes or {MOST_PARTS} parts")]
    TooLong,
    /// A part without `=`.
    #[error("`{0}` in the subject is not TYPE=VALUE")]
    NoType(String),
    /// A type that is not known here.
    #[error("`{0}` is not a type of a subject's parts")]
    UnknownType(String),
    /// A character that must be escaped, or an escape that is none.
    #[error("the value of {kind} in the subject cannot be read: {why}")]
    Value {
        /// The type.
        kind: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl SubjectError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooLong => None,
            Self::UnknownType(_) => {
                let known: Vec<&str> = TYPES.iter().map(|kind| kind.name).collect();
                Some(format!("the types are {}, without spaces around them", known.join(", ")))
            }
            Self::NoType(_) | Self::Value { .. } => Some(
                "such as CN=www.corp.example,OU=Shop,O=Corp\\, Inc.,C=DE: no spaces before commas, and , + \" \\ < > ; \
                 have a backslash before them"
                    .to_owned(),
            ),
        }
    }
}

/// A type of a subject's parts.
struct Kind {
    name: &'static str,
    oid: &'static [u8],
    tag: u8,
    /// In characters (RFC 5280 appendix A.1, RFC 4519).
    longest: usize,
}

const fn kind(name: &'static str, oid: &'static [u8], tag: u8, longest: usize) -> Kind {
    Kind { name, oid, tag, longest }
}

/// Those of RFC 4514 §3, and two that certificates have besides.
static TYPES: [Kind; 11] = [
    kind("CN", &[0x55, 4, 3], UTF8_STRING, 64),
    kind("O", &[0x55, 4, 10], UTF8_STRING, 64),
    kind("OU", &[0x55, 4, 11], UTF8_STRING, 64),
    kind("C", &[0x55, 4, 6], PRINTABLE_STRING, 2),
    kind("ST", &[0x55, 4, 8], UTF8_STRING, 128),
    kind("L", &[0x55, 4, 7], UTF8_STRING, 128),
    kind("STREET", &[0x55, 4, 9], UTF8_STRING, 128),
    kind("DC", &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], IA5_STRING, 63),
    kind("UID", &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], UTF8_STRING, 256),
    kind("serialNumber", &[0x55, 4, 5], PRINTABLE_STRING, 64),
    kind("emailAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], IA5_STRING, 255),
];

/// A subject: its text, known to be good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

impl Subject {
    /// A subject with this common name only; none where it does not fit.
    pub fn common_name(name: &str) -> Self {
        let mut text = "CN=".to_owned();
        for (index, c) in name.chars().enumerate() {
            if ",+\"\\<>;=".contains(c) || (index == 0 && "# ".contains(c)) {
                text.push('\\');
            }
            text.push(c);
        }
        text.parse().unwrap_or_default()
    }

    /// What is asked for where nobody says: the first DNS name as common name, and for code or e-mail otherwise the first
    /// address; nothing where there is none.
    pub fn usual(names: &[SubjectName], usages: Usages) -> Self {
        let dns = names.iter().find(|name| matches!(name, SubjectName::Dns(_)));
        let email = names.iter().find(|name| matches!(name, SubjectName::Email(_)));
        let name = dns.or_else(|| email.filter(|_| usages.beyond_tls()));
        name.map(|name| Self::common_name(&name.to_string())).unwrap_or_default()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The DER of the `Name`.
    pub(crate) fn to_der(&self) -> Vec<u8> {
        // It was read when it was made.
        let mut sets = parse(&self.0).unwrap_or_default();
        sets.reverse();
        let sets: Vec<u8> = sets.into_iter().flat_map(relative_name).collect();
        element(SEQUENCE, &sets)
    }
}

fn relative_name(parts: Vec<(&'static Kind, String)>) -> Vec<u8> {
    let encoded = parts.into_iter().map(|(kind, value)| {
        let oid = element(OBJECT_IDENTIFIER, kind.oid);
        element(SEQUENCE, &[oid, element(kind.tag, value.as_bytes())].concat())
    });
    let mut encoded: Vec<Vec<u8>> = encoded.collect();
    // DER: the members of a SET OF are sorted.
    encoded.sort();
    element(SET, &encoded.concat())
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // As it is written in lists, too; without the spaces it is the same subject.
        let text = tight(text);
        parse(&text).map(|_| Self(text))
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse(&text).map(|_| Self(text))
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

/// Without the spaces after commas that are not escaped, where people and lists put them.
fn tight(text: &str) -> String {
    let mut tight = String::with_capacity(text.len());
    let (mut escaped, mut after_comma) = (false, false);
    for c in text.chars() {
        if after_comma && c == ' ' {
            continue;
        }
        after_comma = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        tight.push(c);
    }
    tight
}

type Parts = Vec<(&'static Kind, String)>;

fn parse(text: &str) -> Result<Vec<Parts>, SubjectError> {
    if text.len() > LONGEST {
        return Err(SubjectError::TooLong);
    }
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut sets = vec![Vec::new()];
    let mut rest = text;
    let mut count = 0;
    loop {
        count += 1;
        if count > MOST_PARTS {
            return Err(SubjectError::TooLong);
        }
        let (part, after) = part(rest)?;
        if let Some(set) = sets.last_mut() {
            set.push(part);
        }
        match after.chars().next() {
            None => return Ok(sets),
            Some(',') => sets.push(Vec::new()),
            Some(_) => {}
        }
        rest = after.get(1..).unwrap_or_default();
    }
}

/// The first `TYPE=VALUE`, and what comes after it: nothing, or a `,` or `+` and more.
fn part(text: &str) -> Result<((&'static Kind, String), &str), SubjectError> {
    let shown = |text: &str| text.chars().take(40).flat_map(char::escape_default).collect();
    let (name, rest) = text.split_once('=').ok_or_else(|| SubjectError::NoType(shown(text)))?;
    let kind = TYPES
        .iter()
        .find(|kind| kind.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| SubjectError::UnknownType(shown(name)))?;
    let wrong = |why| SubjectError::Value { kind: kind.name, why };
    let (value, after) = value(rest).map_err(wrong)?;
    check(kind, &value).map_err(wrong)?;
    Ok(((kind, value), after))
}

/// The value up to an unescaped `,` or `+`.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let mut bytes = Vec::new();
    let mut ends_in_space = false;
    let mut rest = text;
    loop {
        let mut chars = rest.chars();
        let next = chars.next();
        match next {
            None | Some(',' | '+') => break,
            Some('\\') => {
                let (byte, after) = escaped(chars.as_str())?;
                bytes.push(byte);
                ends_in_space = false;
                rest = after;
                continue;
            }
            Some('"' | ';' | '<' | '>') => return Err("a character that must be escaped"),
            Some(' ' | '#') if bytes.is_empty() => {
                return Err("a space or # at its beginning must be escaped");
            }
            Some(c) => {
                let mut buffer = [0; 4];
                bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                ends_in_space = c == ' ';
            }
        }
        rest = chars.as_str();
    }
    if ends_in_space {
        return Err("a space at its end must be escaped");
    }
    let value = String::from_utf8(bytes).map_err(|_| "escapes that are not UTF-8")?;
    Ok((value, rest))
}

/// What follows a backslash: one of the special characters, or two hex digits.
fn escaped(text: &str) -> Result<(u8, &str), &'static str> {
    let bad = "a backslash that escapes nothing";
    let first = text.bytes().next().ok_or(bad)?;
    if b" \"#+,;<=>\\".contains(&first) {
        return Ok((first, text.get(1..).ok_or(bad)?));
    }
    let digits = text.get(..2).ok_or(bad)?;
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| bad)?;
    Ok((*decoded.first().ok_or(bad)?, text.get(2..).ok_or(bad)?))
}

fn check(kind: &Kind, value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    if value.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if value.chars().count() > kind.longest {
        return Err("it is longer than certificates may have it");
    }
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    match kind.tag {
        PRINTABLE_STRING if !value.bytes().all(printable) => {
            Err("it has other characters than letters, digits and '()+,-./:=?")
        }
        IA5_STRING if !value.is_ascii() => Err("it has other characters than ASCII"),
        _ if kind.name == "C" && !value.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Err("it is not a country of two letters")
        }
        _ if kind.name == "C" && value.len() != 2 => Err("it is not a country of two letters"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::X509Name;

    use super::*;

    fn shown(text: &str) -> String {
        let der = text.parse::<Subject>().unwrap().to_der();
        let (rest, name) = X509Name::from_der(&der).unwrap();
        assert!(rest.is_empty());
        name.to_string()
    }

    #[test]
    fn the_most_specific_part_comes_first_in_the_text_and_last_in_the_certificate() {
        assert_eq!(shown("CN=www.corp.example,OU=Shop,O=Corp,C=DE"), {
            "C=DE, O=Corp, OU=Shop, CN=www.corp.example"
        });
        assert_eq!(shown("CN=a,OU=x,OU=y,DC=corp,DC=example"), {
            "DC=example, DC=corp, OU=y, OU=x, CN=a"
        });
        assert_eq!(shown("cn=Müller\\, Söhne"), "CN=Müller, Söhne");
        assert_eq!(shown(r"CN=\23\C3\A4 b\ "), "CN=#ä b ");
        assert_eq!(shown(""), "");
        assert_eq!(shown("OU=b+CN=a,O=c"), "O=c, CN=a + OU=b");
        let spaced: Subject = r"CN=a\, b, OU=x\\,  O=c".parse().unwrap();
        assert_eq!(spaced.as_str(), r"CN=a\, b,OU=x\\,O=c", "an escaped comma is part of a value");
    }

    #[test]
    fn what_is_not_in_the_grammar_is_refused() {
        for bad in [
            "CN",
            "=x",
            "XY=x",
            "CN=",
            "CN=a,",
            "CN=a ,O=b",
            "CN= a",
            "CN=a ",
            "CN=#04024869",
            "CN=a;O=b",
            "CN=\"a\"",
            "CN=a<b",
            "CN=a\\",
            "CN=a\\zz",
            "CN=\\C3",
            "CN=\\00",
            "C=Germany",
            "C=1a",
            "C=D",
            "DC=ä",
            "2.5.4.3=a",
            "CN=a++O=b",
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
        }
        assert!(format!("CN={}", "x".repeat(65)).parse::<Subject>().is_err());
        assert!("OU=a,".repeat(33).trim_end_matches(',').parse::<Subject>().is_err());
    }

    #[test]
    fn a_common_name_is_escaped() {
        assert_eq!(Subject::common_name("a,b").as_str(), "CN=a\\,b");
        assert_eq!(Subject::common_name("#1").as_str(), "CN=\\#1");
        assert!(Subject::common_name(&"x".repeat(65)).is_empty());
    }
}
