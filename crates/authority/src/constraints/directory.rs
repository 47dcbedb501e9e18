//! Distinguished names, and whether one lies below another (RFC 5280 §4.2.1.10, §7.1).
//!
//! Who compares text compares it in their own way: OpenSSL folds the letters of ASCII and takes every kind of string for
//! the same, others go byte for byte, the RFC wants more than either. So there are three answers. What is the same for
//! everybody is *inside*, what is another name for everybody is *outside*, and about the rest nothing is said here: the
//! caller refuses it, on whichever side it stands.

use std::fmt;

use x509_parser::der_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::der::{OBJECT_IDENTIFIER, SEQUENCE, element};

const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
/// `id-at-commonName` and `id-at-organizationName`.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];

/// Kinds of string.
const TEXTS: [Tag; 9] = [
    Tag::Utf8String,
    Tag::PrintableString,
    Tag::Ia5String,
    Tag::VisibleString,
    Tag::NumericString,
    Tag::T61String,
    Tag::GeneralString,
    Tag::BmpString,
    Tag::UniversalString,
];

/// A distinguished name, the most general part first, as certificates have it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DirectoryName {
    der: Vec<u8>,
    text: String,
    parts: Vec<Vec<Attribute>>,
}

/// One attribute, with what it is compared by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Attribute {
    kind: Vec<u8>,
    tag: u32,
    value: Vec<u8>,
    /// The text with one space between words, where it is a text.
    text: Option<String>,
}

/// Whether a name lies below another, or a value is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lies {
    Inside,
    Outside,
    /// It depends on who looks.
    Unclear,
}

impl Lies {
    /// As bad as the worst of two: everything has to be inside.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Outside, _) | (_, Self::Outside) => Self::Outside,
            (Self::Unclear, _) | (_, Self::Unclear) => Self::Unclear,
            (Self::Inside, Self::Inside) => Self::Inside,
        }
    }
}

impl DirectoryName {
    /// Reads the DER of a `Name`.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let ([], name) = X509Name::from_der(der).ok()? else { return None };
        let parts = name.iter_rdn().map(|part| part.iter().map(Attribute::of).collect());
        Some(Self { der: der.to_vec(), text: name.to_string(), parts: parts.collect() })
    }

    /// What a leaf has whose subject is a common name.
    pub(crate) fn common_name(name: &str) -> Option<Self> {
        Self::of(&[(COMMON_NAME, name)])
    }

    /// What our own certificates have.
    pub(crate) fn organization(organization: &str, name: &str) -> Option<Self> {
        Self::of(&[(ORGANIZATION, organization), (COMMON_NAME, name)])
    }

    fn of(parts: &[(&[u8], &str)]) -> Option<Self> {
        let part = |(kind, value): &(&[u8], &str)| {
            let value = element(UTF8_STRING, value.as_bytes());
            let both = [element(OBJECT_IDENTIFIER, kind), value].concat();
            element(SET, &element(SEQUENCE, &both))
        };
        Self::read(&element(SEQUENCE, &parts.iter().flat_map(part).collect::<Vec<u8>>()))
    }

    /// The DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether there is nothing in it: then it is no name, and no constraint is about it.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether this name begins as `base` does.
    pub(super) fn lies_below(&self, base: &Self) -> Lies {
        if self.parts.len() < base.parts.len() {
            return Lies::Outside;
        }
        let mut lies = Lies::Inside;
        for (part, base) in self.parts.iter().zip(&base.parts) {
            lies = lies.and(same_part(part, base));
            if lies == Lies::Outside {
                break;
            }
        }
        lies
    }
}

impl fmt::Display for DirectoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for DirectoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DirectoryName({:?})", self.text)
    }
}

/// Relative distinguished names: as many attributes, and each of them in the other.
fn same_part(one: &[Attribute], other: &[Attribute]) -> Lies {
    let kinds = |part: &[Attribute]| {
        let mut kinds: Vec<Vec<u8>> = part.iter().map(|attribute| attribute.kind.clone()).collect();
        kinds.sort();
        kinds
    };
    if let ([one], [other]) = (one, other) {
        return if one.kind == other.kind { one.same(other) } else { Lies::Outside };
    }
    let kinds_of_one = kinds(one);
    if kinds_of_one != kinds(other) {
        return Lies::Outside;
    }
    if kinds_of_one.windows(2).any(|pair| pair.first() == pair.last()) {
        // The same kind twice is no part of a name (X.501 §9.3).
        return Lies::Unclear;
    }
    one.iter().fold(Lies::Inside, |lies, attribute| {
        let found = other.iter().find(|other| other.kind == attribute.kind);
        lies.and(found.map_or(Lies::Outside, |other| attribute.same(other)))
    })
}

impl Attribute {
    fn of(found: &x509_parser::x509::AttributeTypeAndValue<'_>) -> Self {
        let value = found.attr_value();
        Self {
            kind: found.attr_type().as_bytes().to_vec(),
            tag: value.tag().0,
            value: value.data.to_vec(),
            text: text(value).map(|text| one_space(&text)),
        }
    }

    /// Whether the values are the same; the kinds are.
    fn same(&self, other: &Self) -> Lies {
        if self.tag == other.tag && self.value == other.value {
            return Lies::Inside;
        }
        let (Some(one), Some(two)) = (&self.text, &other.text) else {
            // Numbers, bits and the like have one spelling each.
            let plain = self.tag == other.tag && !TEXTS.iter().any(|tag| tag.0 == self.tag);
            return if plain { Lies::Outside } else { Lies::Unclear };
        };
        if one.eq_ignore_ascii_case(two) {
            // The two kinds of string that the RFC has compared without regard to case and spaces.
            let both = [self, other].into_iter().all(Self::is_compared_as_text);
            return if both { Lies::Inside } else { Lies::Unclear };
        }
        let differ = is_plain(one) && is_plain(two) && one.to_lowercase() != two.to_lowercase();
        if differ { Lies::Outside } else { Lies::Unclear }
    }

    fn is_compared_as_text(&self) -> bool {
        [Tag::Utf8String, Tag::PrintableString].iter().any(|tag| tag.0 == self.tag)
            && self.text.as_deref().is_some_and(|text| !text.contains(char::is_control))
    }
}

/// The text of a string; none of what is no string, or not one of its kind.
fn text(value: &Any<'_>) -> Option<String> {
    let wide = |of: usize| -> Option<String> {
        let units = value.data.chunks(of).map(|unit| {
            let whole = unit.len() == of;
            let code = unit.iter().fold(0_u32, |code, byte| (code << 8) | u32::from(*byte));
            char::from_u32(code).filter(|_| whole)
        });
        units.collect()
    };
    match value.tag() {
        Tag::Utf8String => std::str::from_utf8(value.data).ok().map(ToOwned::to_owned),
        Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().filter(|it| it.is_ascii()).map(ToOwned::to_owned)
        }
        // Nobody knows which letters these are beyond ASCII.
        Tag::T61String | Tag::GeneralString => {
            let known = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' };
            Some(value.data.iter().map(known).collect())
        }
        Tag::BmpString => wide(2),
        Tag::UniversalString => wide(4),
        _ => None,
    }
}

/// One space between words and none around them (RFC 4518 §2.6.1).
fn one_space(text: &str) -> String {
    let is_space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether two such texts that differ beyond the case of their letters differ for everybody: nothing in them has another
/// spelling (RFC 4518 §2.2 to §2.4), and nothing in them is not seen.
fn is_plain(text: &str) -> bool {
    let accented = |c: char| matches!(c, 'À'..='ÿ') && !matches!(c, '×' | '÷' | 'ß');
    text.chars().all(|c| (c.is_ascii() && !c.is_control()) || accented(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: &[u8] = &[0x55, 4, 6];
    const DC: &[u8] = &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
    const UTF8: u8 = UTF8_STRING;
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    const T61: u8 = 0x14;
    const BMP: u8 = 0x1e;
    const BITS: u8 = 0x03;

    type Value<'a> = (&'a [u8], u8, &'a [u8]);

    fn name(parts: &[&[Value<'_>]]) -> DirectoryName {
        let part = |part: &&[Value<'_>]| {
            let value = |(kind, tag, value): &Value<'_>| {
                let both = [element(OBJECT_IDENTIFIER, kind), element(*tag, value)].concat();
                element(SEQUENCE, &both)
            };
            element(SET, &part.iter().flat_map(value).collect::<Vec<u8>>())
        };
        let parts: Vec<u8> = parts.iter().flat_map(part).collect();
        DirectoryName::read(&element(SEQUENCE, &parts)).unwrap()
    }

    #[test]
    fn values_by_table() {
        use Lies::{Inside, Outside, Unclear};
        let latin = "Müller".as_bytes();
        type Tagged = (u8, &'static [u8]);
        let table: &[(Tagged, Tagged, Lies)] = &[
            ((UTF8, b"Corp"), (UTF8, b"Corp"), Inside),
            ((UTF8, b"Corp"), (PRINTABLE, b"Corp"), Inside),
            ((UTF8, b"CORP"), (PRINTABLE, b"corp"), Inside),
            ((UTF8, b"  Big   Corp "), (PRINTABLE, b"big corp"), Inside),
            ((UTF8, b"BigCorp"), (UTF8, b"Big Corp"), Outside),
            ((UTF8, b"Corp"), (UTF8, b"Corps"), Outside),
            ((UTF8, b""), (UTF8, b"Corp"), Outside),
            ((UTF8, latin), (UTF8, latin), Inside),
            ((UTF8, latin), (UTF8, "mÜLLER".as_bytes()), Unclear),
            ((UTF8, latin), (UTF8, b"Muller"), Outside),
            ((UTF8, latin), (UTF8, "Mu\u{308}ller".as_bytes()), Unclear),
            ((UTF8, "Straße".as_bytes()), (UTF8, b"Strasse"), Unclear),
            ((UTF8, "Ｃorp".as_bytes()), (UTF8, b"Corp"), Unclear),
            ((UTF8, "Co\u{ad}rp".as_bytes()), (UTF8, b"Corp"), Unclear),
            ((UTF8, b"Co\0rp"), (UTF8, b"Corp"), Unclear),
            ((UTF8, b"Corp\0"), (UTF8, b"corp\0"), Unclear),
            ((UTF8, b"Corp\xff"), (UTF8, b"Corp"), Unclear),
            ((UTF8, b"Corp\xff"), (PRINTABLE, b"Corp"), Unclear),
            ((IA5, b"corp"), (IA5, b"corp"), Inside),
            ((IA5, b"Corp"), (IA5, b"corp"), Unclear),
            ((IA5, b"corp"), (UTF8, b"corp"), Unclear),
            ((IA5, b"corp"), (IA5, b"other"), Outside),
            ((T61, b"Corp"), (UTF8, b"Corp"), Unclear),
            ((T61, b"Corp"), (UTF8, b"Other"), Outside),
            ((T61, b"M\xfcller"), (UTF8, latin), Unclear),
            ((T61, b"M\xc8uller"), (UTF8, latin), Unclear),
            ((BMP, b"\0C\0o\0r\0p"), (UTF8, b"Corp"), Unclear),
            ((BMP, b"\0C\0o\0r\0p"), (BMP, b"\0C\0o\0r\0p"), Inside),
            ((BMP, b"\0C\0o\0r"), (UTF8, b"Corp"), Outside),
            ((BMP, b"\0C\0"), (UTF8, b"C"), Unclear),
            ((BITS, b"\0\x01"), (BITS, b"\0\x01"), Inside),
            ((BITS, b"\0\x01"), (BITS, b"\0\x02"), Outside),
            ((BITS, b"\0\x01"), (UTF8, b"\0\x01"), Unclear),
        ];
        for ((one_tag, one), (other_tag, other), lies) in table {
            let (one, other) = (
                name(&[&[(ORGANIZATION, *one_tag, one)]]),
                name(&[&[(ORGANIZATION, *other_tag, other)]]),
            );
            assert_eq!(one.lies_below(&other), *lies, "{one} {other}");
            assert_eq!(other.lies_below(&one), *lies, "{other} {one}");
        }
    }

    #[test]
    fn names_by_table() {
        use Lies::{Inside, Outside, Unclear};
        let de: &[Value<'_>] = &[(C, PRINTABLE, b"DE")];
        let corp: &[Value<'_>] = &[(ORGANIZATION, UTF8, b"Corp")];
        let web: &[Value<'_>] = &[(COMMON_NAME, UTF8, b"web")];
        let both: &[Value<'_>] = &[(ORGANIZATION, UTF8, b"Corp"), (COMMON_NAME, UTF8, b"web")];
        let turned: &[Value<'_>] = &[(COMMON_NAME, UTF8, b"WEB"), (ORGANIZATION, UTF8, b"Corp")];
        let other: &[Value<'_>] = &[(ORGANIZATION, UTF8, b"Corp"), (COMMON_NAME, UTF8, b"x")];
        let twice: &[Value<'_>] = &[(ORGANIZATION, UTF8, b"Corp"), (ORGANIZATION, UTF8, b"B")];
        let dc: &[Value<'_>] = &[(DC, IA5, b"example")];
        type Rdns<'a> = &'a [&'a [Value<'a>]];
        let table: &[(Rdns<'_>, Rdns<'_>, Lies)] = &[
            (&[de, corp, web], &[], Inside),
            (&[de, corp, web], &[de], Inside),
            (&[de, corp, web], &[de, corp], Inside),
            (&[de, corp, web], &[de, corp, web], Inside),
            (&[de, corp], &[de, corp, web], Outside),
            (&[de, corp, web], &[corp], Outside),
            (&[de, corp, web], &[de, web], Outside),
            (&[corp, de], &[de, corp], Outside),
            (&[web], &[corp], Outside),
            (&[dc, corp], &[dc], Inside),
            (&[both], &[both], Inside),
            (&[both], &[turned], Inside),
            (&[both], &[other], Outside),
            (&[both], &[corp], Outside),
            (&[corp, web], &[both], Outside),
            (&[twice, web], &[twice], Unclear),
            (&[twice, web], &[corp], Outside),
        ];
        for (one, base, lies) in table {
            let (one, base) = (name(one), name(base));
            assert_eq!(one.lies_below(&base), *lies, "{one} below {base}");
        }
        assert!(name(&[]).is_empty() && !name(&[de]).is_empty());
        assert!(DirectoryName::read(b"").is_none());
        assert!(DirectoryName::read(&[0x30, 0, 0]).is_none());
        let made = DirectoryName::common_name("web").unwrap();
        assert_eq!(made.lies_below(&name(&[web])), Inside);
        assert_eq!(DirectoryName::organization("Corp", "web").unwrap(), name(&[corp, web]));
    }
}
