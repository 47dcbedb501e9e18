//! What no program at hand writes yet, or nobody should.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use sealock_core::SecretBytes;

use crate::asn1::{CONTEXT_0, INTEGER, Reader, SEQUENCE};
use crate::tests::{changeit, sample};
use crate::{ReadError, der, oid, read};

/// A file of the corpus with a PBMAC1 (RFC 9879) in the place of its MAC.
fn with_pbmac1(length: u32, tag_length: usize) -> Vec<u8> {
    let file = sample("p12-openssl");
    let mut parts = Reader::new(&file).inside(SEQUENCE).unwrap();
    let version = parts.expect(INTEGER).unwrap().whole;
    let info = parts.expect(SEQUENCE).unwrap();
    let mut content = info.reader();
    content.any().unwrap();
    let content = content.inside(CONTEXT_0).unwrap().octets().unwrap();

    let (salt, rounds) = (b"a salt of its own", 2000);
    let mut key = vec![0; length as usize];
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, NonZeroU32::new(rounds).unwrap(), salt, b"changeit", &mut key);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &content);

    let function = der::sequence(&[&der::oid(oid::HMAC_SHA256), &der::null()]);
    let derivation =
        der::sequence(&[&der::octets(salt), &der::number(rounds), &der::number(length), &function]);
    let derivation = der::sequence(&[&der::oid(oid::PBKDF2), &derivation]);
    let parameters = der::sequence(&[&derivation, &function]);
    let algorithm = der::sequence(&[&der::oid(oid::PBMAC1), &parameters]);
    let digest = der::sequence(&[&algorithm, &der::octets(&tag.as_ref()[..tag_length])]);
    let mac = der::sequence(&[&digest, &der::octets(b"not used"), &der::number(1)]);
    der::sequence(&[version, info.whole, &mac])
}

#[test]
fn a_mac_by_pbmac1_is_looked_at() {
    let wanted = read(&sample("p12-openssl"), Some(&changeit())).unwrap();
    assert_eq!(read(&with_pbmac1(32, 32), Some(&changeit())).unwrap(), wanted);
    let wrong = SecretBytes::new(b"changed".to_vec());
    let of = |file: &[u8], password: &SecretBytes| read(file, Some(password)).unwrap_err();
    assert_eq!(of(&with_pbmac1(32, 32), &wrong), ReadError::WrongPassword);
    // A tag that is cut short, and a key that can be tried out.
    assert_eq!(of(&with_pbmac1(32, 4), &changeit()), ReadError::WrongPassword);
    assert!(matches!(of(&with_pbmac1(2, 32), &changeit()), ReadError::Damaged(_)));
}

#[test]
fn a_mac_over_other_content_is_none() {
    let mut file = sample("p12-openssl");
    // In what is encrypted.
    let place = file.len() / 2;
    file[place] ^= 1;
    assert_eq!(read(&file, Some(&changeit())).unwrap_err(), ReadError::WrongPassword);
}

#[test]
fn bags_in_bags_end_somewhere() {
    let nested = |depth: usize| {
        let mut bags = der::sequence(&[]);
        for _ in 0..depth {
            let kind = [oid::BAG, &[6]].concat();
            let value = der::element(CONTEXT_0, &[&bags]);
            bags = der::sequence(&[&der::sequence(&[&der::oid(&kind), &value])]);
        }
        let data = |content: &[u8]| {
            let content = der::element(CONTEXT_0, &[&der::octets(content)]);
            der::sequence(&[&der::oid(oid::DATA), &content])
        };
        let content = der::sequence(&[&data(&bags)]);
        der::sequence(&[&der::number(3), &data(&content)])
    };
    let of = |depth| read(&nested(depth), None).unwrap_err();
    assert_eq!(of(3), ReadError::Nothing(crate::Format::Pkcs12));
    assert_eq!(of(4), ReadError::Damaged("it is nested too deeply"));
}
