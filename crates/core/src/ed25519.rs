//! Points of Ed25519 that are no keys, for whoever takes keys of others.
//!
//! For a point whose order divides 8 everybody can sign: the neutral point and zero are a signature of every eighth
//! text, or of more. The library takes them all the same (RFC 8032 does not forbid it), and one of them is a buffer of
//! zeros.

/// The length of a public key (RFC 8032 §5.1.5), in bytes.
pub const POINT: usize = 32;

/// The y of all such points, the lowest byte first: 0, 1, the two of order 8, and -1; then the field's prime and the
/// number after it, other spellings of 0 and 1, which this version of the library does not read.
pub const SMALL_ORDER: [[u8; POINT]; 7] = [
    [0; POINT],
    bytes(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    bytes(0xec, 0xff, 0x7f),
    bytes(0xed, 0xff, 0x7f),
    bytes(0xee, 0xff, 0x7f),
];

const fn bytes(first: u8, between: u8, last: u8) -> [u8; POINT] {
    let mut bytes = [between; POINT];
    bytes[0] = first;
    bytes[POINT - 1] = last;
    bytes
}

/// Whether this is one of [`SMALL_ORDER`]. The highest bit is the sign of x, which makes no difference.
pub fn is_small_order(point: &[u8]) -> bool {
    let Some((last, others)) = point.split_last() else { return false };
    SMALL_ORDER
        .iter()
        .filter_map(|weak| weak.split_last())
        .any(|(weak_last, weak_others)| last & 0x7f == *weak_last && others == weak_others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_signs_are_found_and_others_are_not() {
        for mut weak in SMALL_ORDER {
            assert!(is_small_order(&weak), "{weak:?}");
            weak[POINT - 1] ^= 0x80;
            assert!(is_small_order(&weak), "{weak:?}");
            weak[1] ^= 1;
            assert!(!is_small_order(&weak), "{weak:?}");
        }
        assert!(!is_small_order(&[]) && !is_small_order(&[0; POINT - 1]));
    }
}
