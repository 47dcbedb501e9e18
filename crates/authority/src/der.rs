//! As much of writing DER (X.690) as is needed beside rcgen.

pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// The whole element.
pub(crate) const NULL: [u8; 2] = [5, 0];

/// Tag, length and content; DER's shortest length.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len().to_be_bytes();
    if let [0, 0, 0, 0, 0, 0, 0, short @ 0..=0x7f] = length {
        der.push(short);
    } else {
        let significant: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
        der.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
        der.extend(significant);
    }
    der.extend(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_shortest() {
        assert_eq!(element(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(element(SEQUENCE, &[7; 127])[..2], [0x30, 0x7f]);
        assert_eq!(element(SEQUENCE, &[7; 128])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(element(SEQUENCE, &[7; 256])[..4], [0x30, 0x82, 1, 0]);
    }
}
