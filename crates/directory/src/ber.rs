//! The little of BER that LDAP needs (RFC 4511 §5.1): tags of one byte, lengths of the definite form.

use zeroize::Zeroizing;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Writes elements one after the other. What was written is wiped, for it may be a password.
#[derive(Default)]
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(crate) fn bytes(&mut self, tag: u8, content: &[u8]) -> &mut Self {
        self.head(tag, content.len());
        self.0.extend_from_slice(content);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(OCTETS, text.as_bytes())
    }

    pub(crate) fn number(&mut self, tag: u8, number: u32) -> &mut Self {
        let all = number.to_be_bytes();
        let zeros = all.iter().take(3).take_while(|byte| **byte == 0).count();
        let digits = all.get(zeros..).unwrap_or_default();
        // A number whose first bit is set would be a negative one.
        let negative = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        self.head(tag, digits.len() + usize::from(negative));
        if negative {
            self.0.push(0);
        }
        self.0.extend_from_slice(digits);
        self
    }

    pub(crate) fn within(&mut self, tag: u8, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(tag, &inner.0)
    }

    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    fn head(&mut self, tag: u8, length: usize) {
        // So that growing leaves no copy behind.
        let mut grown = Zeroizing::new(Vec::with_capacity(self.0.len() + length + 8));
        grown.extend_from_slice(&self.0);
        self.0 = grown;
        self.0.push(tag);
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => self.0.push(short),
            _ => {
                let digits = bytes.get(zeros..).unwrap_or_default();
                self.0.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
                self.0.extend_from_slice(digits);
            }
        }
    }
}

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (tag, rest) = self.0.split_first().ok_or(Malformed)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (first, rest) = rest.split_first().ok_or(Malformed)?;
        let (digits, rest) = rest.split_at_checked(length_digits(*first)?).ok_or(Malformed)?;
        let (content, rest) = rest.split_at_checked(length(*first, digits)).ok_or(Malformed)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    pub(crate) fn expect(&mut self, wanted: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (tag, content) if tag == wanted => Ok(content),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn inside(&mut self, wanted: u8) -> Result<Self, Malformed> {
        self.expect(wanted).map(Self)
    }

    /// A number that is not negative and has at most 31 bits, as all of LDAP's.
    pub(crate) fn number(&mut self, wanted: u8) -> Result<u32, Malformed> {
        let digits = self.expect(wanted)?;
        if digits.is_empty() || digits.len() > 4 {
            return Err(Malformed);
        }
        let number = digits.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let negative = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        if negative { Err(Malformed) } else { Ok(number) }
    }
}

/// How many more bytes the length has, by its first. Some servers always write four, so a length needs not be as short as
/// it could be.
pub(crate) fn length_digits(first: u8) -> Result<usize, Malformed> {
    match first {
        0..=0x7f => Ok(0),
        0x81..=0x84 => Ok(usize::from(first & 0x7f)),
        _ => Err(Malformed),
    }
}

/// The length, by its first byte and those after it.
pub(crate) fn length(first: u8, digits: &[u8]) -> usize {
    if digits.is_empty() {
        return usize::from(first);
    }
    digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        fill(&mut writer);
        writer.into_bytes().to_vec()
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be_and_never_negative() {
        let of = |number| {
            written(|writer| {
                writer.number(INTEGER, number);
            })
        };
        assert_eq!(of(0), [2, 1, 0]);
        assert_eq!(of(127), [2, 1, 127]);
        assert_eq!(of(128), [2, 2, 0, 128]);
        assert_eq!(of(65_536), [2, 3, 1, 0, 0]);
        for number in [0, 1, 127, 128, 255, 256, 0x7fff_ffff] {
            assert_eq!(Reader::new(&of(number)).number(INTEGER), Ok(number));
        }
        assert_eq!(Reader::new(&[2, 1, 0x80]).number(INTEGER), Err(Malformed));
        assert_eq!(Reader::new(&[2, 5, 0, 0, 0, 0, 1]).number(INTEGER), Err(Malformed));
        assert_eq!(Reader::new(&[2, 0]).number(INTEGER), Err(Malformed));
    }

    #[test]
    fn lengths_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let bytes = written(|writer| {
                writer.bytes(OCTETS, &content);
            });
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.expect(OCTETS), Ok(content.as_slice()));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_is_not_ber_as_ldap_has_it_is_refused() {
        let refused: [&[u8]; 6] = [
            &[],
            &[0x30],
            // longer than what is there
            &[0x04, 0x02, 0x00],
            // the indefinite form
            &[0x30, 0x80, 0x00, 0x00],
            // a length of five bytes
            &[0x04, 0x85, 0, 0, 0, 0, 0],
            // a tag of more than one byte
            &[0x1f, 0x21, 0x00],
        ];
        for bytes in refused {
            assert_eq!(Reader::new(bytes).next(), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_length_may_be_longer_than_it_must() {
        assert_eq!(Reader::new(&[4, 0x84, 0, 0, 0, 1, 9]).expect(OCTETS), Ok(&[9_u8][..]));
    }
}
