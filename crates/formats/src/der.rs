//! Writing DER.

use crate::asn1::{INTEGER, OCTET_STRING, OID, SEQUENCE, SET};

const NULL: u8 = 0x05;
const BMP_STRING: u8 = 0x1e;

/// One element with these parts in it.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut made = Vec::with_capacity(length + 6);
    made.push(tag);
    if let (true, Ok(short)) = (length < 0x80, u8::try_from(length)) {
        made.push(short);
    } else {
        let digits = length.to_be_bytes();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.get(zeros..).unwrap_or_default();
        // There are at most eight.
        made.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        made.extend_from_slice(digits);
    }
    for part in parts {
        made.extend_from_slice(part);
    }
    made
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// A set, in the order that DER wants (X.690 §11.6).
pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    element(SET, &parts)
}

pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, &[bytes])
}

pub(crate) fn oid(identifier: &[u8]) -> Vec<u8> {
    element(OID, &[identifier])
}

pub(crate) fn null() -> Vec<u8> {
    element(NULL, &[])
}

pub(crate) fn number(number: u32) -> Vec<u8> {
    let digits = number.to_be_bytes();
    let zeros = digits.iter().take_while(|digit| **digit == 0).count().min(3);
    let digits = digits.get(zeros..).unwrap_or_default();
    // The highest bit says that a number is negative.
    let sign: &[u8] =
        if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[sign, digits])
}

/// A text as PKCS#12 has names: UTF-16, the high byte first.
pub(crate) fn bmp_string(text: &str) -> Vec<u8> {
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    element(BMP_STRING, &[&bytes])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::Reader;

    #[test]
    fn what_is_written_is_read() {
        for wanted in [0, 1, 127, 128, 255, 256, 100_000, u32::MAX] {
            assert_eq!(Reader::new(&number(wanted)).number().unwrap(), wanted);
        }
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let body = vec![7; length];
            let made = octets(&body);
            assert_eq!(&*Reader::new(&made).octets().unwrap(), &body);
        }
        assert_eq!(octets(&[0; 128]).get(..3).unwrap(), [4, 0x81, 0x80]);
        assert_eq!(bmp_string("é"), [0x1e, 2, 0, 0xe9]);
    }
}
