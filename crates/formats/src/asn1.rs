//! ASN.1 as files of certificates have it: DER, and the BER that NSS and others write (lengths that are not said
//! beforehand, octets in pieces).
//!
//! Nothing is copied but octets that come in pieces. How deep things are in each other is limited, and so the time that
//! finding an end can take.

use std::borrow::Cow;

use crate::error::ReadError;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0]`, with something in it.
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// `[1]`, with something in it.
pub(crate) const CONTEXT_1: u8 = 0xa1;
/// `[0]` in the place of a tag that has no parts, as `[0] IMPLICIT OCTET STRING`.
pub(crate) const CONTEXT_0_PLAIN: u8 = 0x80;

const CONSTRUCTED: u8 = 0x20;

/// How deep elements whose length is not said beforehand may be in each other, and pieces in pieces.
const DEEPEST: usize = 16;

const ENDS_EARLY: ReadError = ReadError::Damaged("a part is longer than what is there");

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// What is in it.
    pub(crate) body: &'a [u8],
    /// With its tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Reads what is in it.
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.body)
    }

    /// Its octets, in one piece or put together from pieces.
    pub(crate) fn octets(&self) -> Result<Cow<'a, [u8]>, ReadError> {
        if self.tag & CONSTRUCTED == 0 {
            return Ok(Cow::Borrowed(self.body));
        }
        let mut joined = Vec::new();
        join(self.body, &mut joined, DEEPEST)?;
        Ok(Cow::Owned(joined))
    }
}

fn join(pieces: &[u8], into: &mut Vec<u8>, deepest: usize) -> Result<(), ReadError> {
    const WRONG: ReadError = ReadError::Damaged("octets come in pieces that are none");
    let deepest = deepest.checked_sub(1).ok_or(WRONG)?;
    let mut reader = Reader::new(pieces);
    while !reader.is_empty() {
        let piece = reader.any()?;
        match piece.tag {
            OCTET_STRING => into.extend_from_slice(piece.body),
            tag if tag == OCTET_STRING | CONSTRUCTED => join(piece.body, into, deepest)?,
            _ => return Err(WRONG),
        }
    }
    Ok(())
}

/// Elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, ReadError> {
        let (element, rest) = split(self.rest, DEEPEST)?;
        self.rest = rest;
        Ok(element)
    }

    /// The next element, which has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, ReadError> {
        if self.peek() != Some(tag) {
            return Err(ReadError::Damaged("a part is missing, or another is in its place"));
        }
        self.any()
    }

    /// The next element, when it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, ReadError> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// What is in the next element, which has this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Result<Self, ReadError> {
        Ok(self.expect(tag)?.reader())
    }

    /// The octets of the next element, which is an OCTET STRING in one piece or more.
    pub(crate) fn octets(&mut self) -> Result<Cow<'a, [u8]>, ReadError> {
        if self.peek() == Some(OCTET_STRING | CONSTRUCTED) {
            return self.any()?.octets();
        }
        self.expect(OCTET_STRING)?.octets()
    }

    /// The next element, a number that is not negative.
    pub(crate) fn number(&mut self) -> Result<u32, ReadError> {
        const WRONG: ReadError = ReadError::Damaged("a number is out of range");
        let body = self.expect(INTEGER)?.body;
        let mut digits = body;
        while let [0, rest @ ..] = digits {
            digits = rest;
        }
        let negative = body.first().is_none_or(|first| first & 0x80 != 0);
        if negative || digits.len() > 4 {
            return Err(WRONG);
        }
        Ok(digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)))
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), ReadError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(ReadError::Damaged("something follows after its end"))
    }
}

/// One element, and what follows it.
fn split(bytes: &[u8], deepest: usize) -> Result<(Element<'_>, &[u8]), ReadError> {
    let (&tag, after_tag) = bytes.split_first().ok_or(ENDS_EARLY)?;
    if tag & 0x1f == 0x1f {
        return Err(ReadError::Damaged("a tag stands there that no such file has"));
    }
    let (&first, after_length) = after_tag.split_first().ok_or(ENDS_EARLY)?;
    if first == 0x80 {
        if tag & CONSTRUCTED == 0 {
            return Err(ReadError::Damaged("a length is missing"));
        }
        return split_open(bytes, tag, after_length, deepest);
    }
    let (length, content) = length(first, after_length)?;
    let (body, rest) = content.split_at_checked(length).ok_or(ENDS_EARLY)?;
    let (whole, _) = bytes.split_at_checked(bytes.len() - rest.len()).ok_or(ENDS_EARLY)?;
    Ok((Element { tag, body, whole }, rest))
}

fn length(first: u8, bytes: &[u8]) -> Result<(usize, &[u8]), ReadError> {
    if first < 0x80 {
        return Ok((usize::from(first), bytes));
    }
    let count = usize::from(first & 0x7f);
    let (digits, rest) = bytes.split_at_checked(count).ok_or(ENDS_EARLY)?;
    let mut length = 0_usize;
    for digit in digits {
        // What does not fit is longer than any file.
        length = length.checked_mul(256).ok_or(ENDS_EARLY)? | usize::from(*digit);
    }
    Ok((length, rest))
}

/// An element that ends with two zeros.
fn split_open<'a>(
    bytes: &'a [u8],
    tag: u8,
    content: &'a [u8],
    deepest: usize,
) -> Result<(Element<'a>, &'a [u8]), ReadError> {
    let deepest = deepest.checked_sub(1).ok_or(ReadError::Damaged("it is nested too deeply"))?;
    let mut rest = content;
    loop {
        if let [0, 0, after @ ..] = rest {
            let body = content.get(..content.len() - rest.len()).ok_or(ENDS_EARLY)?;
            let whole = bytes.get(..bytes.len() - after.len()).ok_or(ENDS_EARLY)?;
            return Ok((Element { tag, body, whole }, after));
        }
        rest = split(rest, deepest)?.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_kind() {
        for (bytes, body) in [
            (&b"\x04\x02ab"[..], &b"ab"[..]),
            (b"\x04\x81\x02ab", b"ab"),
            (b"\x04\x84\x00\x00\x00\x02ab", b"ab"),
        ] {
            let element = Reader::new(bytes).any().unwrap();
            assert_eq!((element.body, element.whole), (body, bytes));
        }
        for broken in [&b""[..], b"\x04", b"\x04\x03ab", b"\x04\x82\x01", b"\x04\x80ab\0\0"] {
            assert!(Reader::new(broken).any().is_err(), "{broken:x?}");
        }
        let huge = [&[0x04, 0x89][..], &[0xff; 9]].concat();
        assert_eq!(Reader::new(&huge).any().unwrap_err(), ENDS_EARLY);
        assert!(Reader::new(&[0x1f, 1, 0]).any().is_err());
    }

    #[test]
    fn pieces_are_put_together() {
        let pieces = b"\x24\x80\x04\x01a\x24\x03\x04\x01b\x04\x00\x00\x00";
        let mut reader = Reader::new(pieces);
        assert_eq!(&*reader.octets().unwrap(), b"ab");
        reader.end().unwrap();
        assert!(Reader::new(b"\x24\x03\x02\x01b").octets().is_err());
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let nested = |levels: usize| [[0x30, 0x80].repeat(levels), [0, 0].repeat(levels)].concat();
        assert!(Reader::new(&nested(DEEPEST)).any().is_ok());
        assert!(Reader::new(&nested(DEEPEST + 1)).any().is_err());
    }

    #[test]
    fn numbers() {
        let number = |bytes: &[u8]| Reader::new(bytes).number();
        assert_eq!(number(&[2, 1, 5]), Ok(5));
        assert_eq!(number(&[2, 3, 0, 0xff, 0xff]), Ok(0xffff));
        assert_eq!(number(&[2, 5, 0, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
        assert!(number(&[2, 1, 0x80]).is_err());
        assert!(number(&[2, 0]).is_err());
        assert!(number(&[2, 5, 1, 0, 0, 0, 0]).is_err());
    }
}
