//! Signatures of other forms, values, keys and texts.

use super::*;
use Refusal::{BadSignature, UnknownKey};

/// The order of P-256.
const N: &[u8] = b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
/// The order of Ed25519's group, the lowest byte first.
const L: &[u8] =
    b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
/// The prime of P-256's field: the largest x is below it.
const P: &[u8] = b"\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";

/// A good token's signed part, and r and s.
fn taken_apart(key: &SigningKey) -> (String, Vec<u8>, Vec<u8>) {
    let token = good(key);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let (r, s) = signature.split_at(32);
    (signed.to_owned(), r.to_vec(), s.to_vec())
}

fn put_together(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", BASE64URL_NOPAD.encode(signature))
}

/// `a - b`, the highest byte first; `a` is the larger one.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits: Vec<u8> = (0..a.len())
        .rev()
        .map(|place| {
            let digit = i32::from(a[place]) - i32::from(b[place]) - borrow;
            borrow = i32::from(digit < 0);
            u8::try_from(digit.rem_euclid(256)).unwrap()
        })
        .collect();
    digits.reverse();
    digits
}

/// An integer as DER has it.
fn integer(digits: &[u8]) -> Vec<u8> {
    let start = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len() - 1);
    let digits = &digits[start..];
    let sign: &[u8] = if digits[0] < 0x80 { b"" } else { b"\0" };
    let length = u8::try_from(sign.len() + digits.len()).unwrap();
    [&[2, length][..], sign, digits].concat()
}

#[test]
fn a_signature_has_one_form() {
    let keys = Keys::new();
    let (signed, r, s) = taken_apart(&keys.es256);
    let content = [integer(&r), integer(&s)].concat();
    let der = [&[0x30, u8::try_from(content.len()).unwrap()][..], &content].concat();
    let raw = [&r[..], &s].concat();
    let rows = [
        ("as it is", raw.clone(), Ok(())),
        ("DER", der, Err(BadSignature)),
        ("r alone", r.clone(), Err(BadSignature)),
        ("s before r", [&s[..], &r].concat(), Err(BadSignature)),
        ("twice", [&raw[..], &raw].concat(), Err(BadSignature)),
        ("a byte less", raw[..63].to_vec(), Err(BadSignature)),
        ("a byte less in front", raw[1..].to_vec(), Err(BadSignature)),
        ("a byte more", [&raw[..], b"\0"].concat(), Err(BadSignature)),
        ("a byte more in front", [&b"\0"[..], &raw].concat(), Err(BadSignature)),
        ("zeros in front of both", [&b"\0"[..], &r, b"\0", &s].concat(), Err(BadSignature)),
        ("zeros behind both", [&r[..], b"\0", &s, b"\0"].concat(), Err(BadSignature)),
        ("r beyond its 32 bytes", [&b"\x01"[..], &r, b"\0", &s].concat(), Err(BadSignature)),
        ("s beyond its 32 bytes", [&b"\0"[..], &r, b"\x01", &s].concat(), Err(BadSignature)),
        ("512 bytes", [&raw[..], &[0; 448]].concat(), Err(BadSignature)),
        ("nothing", Vec::new(), Err(BadSignature)),
        ("one byte", vec![0], Err(BadSignature)),
        (
            "hexadecimal",
            raw.iter().flat_map(|it| format!("{it:02x}").into_bytes()).collect(),
            Err(BadSignature),
        ),
    ];
    for (what, signature, outcome) in rows {
        assert_eq!(keys.verify(&put_together(&signed, &signature)), outcome, "{what}");
    }
}

/// CVE-2022-21449: zeros fit every key and text where nobody looks.
#[test]
fn no_signature_fits_everything() {
    let keys = Keys::new();
    let one = [&[0; 31][..], &[1]].concat();
    let zero = vec![0; 32];
    let high = vec![0xff; 32];
    let (signed, r, s) = taken_apart(&keys.es256);
    let odd = [&zero, &one, &high, &N.to_vec(), &P.to_vec(), &minus(N, &one), &minus(P, &one)];
    let mut pairs: Vec<(&[u8], &[u8])> = odd.iter().map(|odd| (&r[..], &odd[..])).collect();
    pairs.extend(odd.iter().map(|odd| (&odd[..], &s[..])));
    pairs.extend(odd.iter().flat_map(|r| odd.iter().map(|s| (&r[..], &s[..]))));
    assert_eq!(pairs.len(), 63);
    for (r, s) in pairs {
        let token = put_together(&signed, &[r, s].concat());
        assert_eq!(keys.verify(&token), Err(BadSignature), "{r:x?} {s:x?}");
    }

    let (signed, r, s) = taken_apart(&keys.eddsa);
    // The neutral point, and others of small order.
    let neutral = [&[1][..], &[0; 31]].concat();
    let minus_one = [&[0xec][..], &[0xff; 30], &[0x7f]].concat();
    let odd = [&zero, &neutral, &minus_one, &L.to_vec(), &high];
    let mut pairs: Vec<Vec<u8>> = odd.iter().map(|odd| [&r[..], odd].concat()).collect();
    pairs.extend(odd.iter().map(|odd| [&odd[..], &s].concat()));
    pairs.extend(odd.iter().flat_map(|r| odd.iter().map(|s| [&r[..], s].concat())));
    assert_eq!(pairs.len(), 35);
    for pair in pairs {
        let token = put_together(&signed, &pair);
        assert_eq!(keys.verify(&token), Err(BadSignature), "{pair:x?}");
    }
}

/// s + L would be a second signature of Ed25519 (RFC 8032 §5.1.7).
#[test]
fn ed25519_has_no_second_signature() {
    let keys = Keys::new();
    let (signed, r, mut s) = taken_apart(&keys.eddsa);
    assert_eq!(keys.verify(&put_together(&signed, &[&r[..], &s].concat())), Ok(()));
    for _ in 0..8 {
        let mut carry = 0;
        for (digit, other) in s.iter_mut().zip(L) {
            let sum = u16::from(*digit) + u16::from(*other) + carry;
            (*digit, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        let token = put_together(&signed, &[&r[..], &s].concat());
        assert_eq!(keys.verify(&token), Err(BadSignature));
    }
}

/// ECDSA has one: n - s in the place of s. It is another text for the same claims, so what is refused is a `jti`.
#[test]
fn the_mirrored_s_changes_no_claim() {
    let keys = Keys::new();
    let (signed, r, s) = taken_apart(&keys.es256);
    let token = put_together(&signed, &[&r[..], &s].concat());
    let mirrored = put_together(&signed, &[r, minus(N, &s)].concat());
    assert_ne!(token, mirrored);
    for token in [token, mirrored] {
        assert_eq!(verify(&token, &keys.set, &expected()), Ok(claims()));
    }
}

#[test]
fn a_signature_is_for_one_text_and_one_key() {
    let keys = Keys::new();
    let token = good(&keys.es256);
    let [h, c, s] = parts(&token);
    let admin = body().with("sub", r#""spiffe://example.org/service/admin""#).json();
    let admin = BASE64URL_NOPAD.encode(admin.as_bytes());
    assert_eq!(keys.verify(&format!("{h}.{admin}.{s}")), Err(BadSignature), "other claims");
    let svid = BASE64URL_NOPAD.encode(head(&keys.es256).with("typ", r#""JWT""#).json().as_bytes());
    assert_eq!(keys.verify(&format!("{svid}.{c}.{s}")), Err(BadSignature), "another type");
    let spaced = BASE64URL_NOPAD.encode((head(&keys.es256).json() + " ").as_bytes());
    assert_eq!(keys.verify(&format!("{spaced}.{c}.{s}")), Err(BadSignature), "a blank more");

    // Of another broker: under its own name, and under that of one of ours.
    assert_eq!(keys.verify(&good(&keys.stranger)), Err(UnknownKey));
    let forged = sign(&keys.stranger, &head(&keys.es256).json(), &body().json());
    assert_eq!(keys.verify(&forged), Err(BadSignature));

    // Two keys of the broker: what one has signed is not the other's.
    let newer = SigningKey::generate(Algorithm::Es256).unwrap();
    let set = KeySet::from_iter([keys.es256.public(), newer.public()]);
    let swapped = sign(&keys.es256, &head(&newer).json(), &body().json());
    assert_eq!(verify(&swapped, &set, &expected()), Err(BadSignature));
    assert_eq!(verify(&token, &set, &expected()), Ok(claims()));
    // Once a key has gone, so have its tokens.
    let set = KeySet::from_iter([newer.public()]);
    assert_eq!(verify(&token, &set, &expected()), Err(UnknownKey));
    assert_eq!(verify(&token, &KeySet::default(), &expected()), Err(UnknownKey));
}
