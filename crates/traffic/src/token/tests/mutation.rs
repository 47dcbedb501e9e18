//! A good token that was changed at one place is good no longer, wherever and however.

use super::*;

/// What stands in the place of each byte: all that base64url has, and what may be around it.
const OTHERS: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \0\n\x7f";

#[test]
fn no_byte_can_be_another() {
    let keys = Keys::new();
    for key in keys.both() {
        let token = good(key);
        let mut tried = 0;
        for place in 0..token.len() {
            let is = token.as_bytes()[place];
            // In the middle of the signature's text one of four is enough; at the ends of parts all are tried.
            let is_edge =
                token[place..].len() < 4 || token[place..].find('.').is_some_and(|it| it < 4);
            let step = if is_edge { 1 } else { 4 };
            let others = OTHERS.iter().skip(place % step).step_by(step);
            for other in others.filter(|other| **other != is) {
                let mut changed = token.clone().into_bytes();
                changed[place] = *other;
                let changed = String::from_utf8(changed).unwrap();
                assert!(keys.verify(&changed).is_err(), "byte {place} as {other:#x}: {changed}");
                tried += 1;
            }
        }
        assert!(tried > token.len() * 15, "{tried} of {}", token.len());
        assert_eq!(keys.verify(&token), Ok(()));
    }
}

#[test]
fn no_byte_can_be_left_out_or_put_in() {
    let keys = Keys::new();
    for key in keys.both() {
        let token = good(key);
        for place in 0..token.len() {
            let mut without = token.clone();
            without.remove(place);
            assert!(keys.verify(&without).is_err(), "without byte {place}: {token}");
            assert!(keys.verify(&token[..place]).is_err(), "up to byte {place}: {token}");
            let with = format!("{}A{}", &token[..place], &token[place..]);
            assert!(keys.verify(&with).is_err(), "more at byte {place}: {token}");
        }
        assert!(keys.verify(&(token.clone() + "A")).is_err());
        assert_eq!(keys.verify(&token), Ok(()));
    }
}

/// The same under the encoding: each bit of what was signed, and of the signature.
#[test]
fn no_bit_can_be_another() {
    let keys = Keys::new();
    for key in keys.both() {
        let token = good(key);
        let decoded = parts(&token).map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap());
        for (part, bytes) in decoded.iter().enumerate() {
            for bit in 0..bytes.len() * 8 {
                let mut changed = decoded.clone();
                changed[part][bit / 8] ^= 1 << (bit % 8);
                let changed = changed.map(|bytes| BASE64URL_NOPAD.encode(&bytes)).join(".");
                assert!(keys.verify(&changed).is_err(), "bit {bit} of part {part}: {changed}");
            }
        }
        let again = decoded.map(|bytes| BASE64URL_NOPAD.encode(&bytes)).join(".");
        assert_eq!(again, token);
    }
}
