//! Requests that nobody means well with.

use x509_cert::der::Encode;
use x509_cert::der::Tag;
use x509_cert::der::asn1::{Any, Null, OctetString};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::ext::Nonce;
use x509_ocsp::{CertId, Request, TbsRequest};

use super::issuers::{Hash, Naming};
use super::*;

fn request(count: usize, extensions: Vec<Extension>) -> Vec<u8> {
    let one = |number: usize| Request {
        req_cert: CertId {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: Hash::Sha1.id(),
                parameters: Some(Null.into()),
            },
            issuer_name_hash: OctetString::new([1; 20]).unwrap(),
            issuer_key_hash: OctetString::new([2; 20]).unwrap(),
            serial_number: SerialNumber::new(&(number as u32 + 1).to_be_bytes()).unwrap(),
        },
        single_request_extensions: None,
    };
    let tbs_request = TbsRequest {
        request_list: (0..count).map(one).collect(),
        request_extensions: (!extensions.is_empty()).then_some(extensions),
        ..TbsRequest::default()
    };
    x509_ocsp::OcspRequest { tbs_request, optional_signature: None }.to_der().unwrap()
}

fn nonce(length: usize) -> Extension {
    let inner = OctetString::new(vec![7; length]).unwrap().to_der().unwrap();
    let extn_value = OctetString::new(inner).unwrap();
    Extension { extn_id: Nonce::OID, critical: false, extn_value }
}

fn read(der: &[u8]) -> Result<OcspRequest, OcspError> {
    fuzz(der);
    OcspRequest::read(der)
}

#[test]
fn what_is_asked_is_read() {
    let read = read(&request(3, vec![nonce(32)])).unwrap();
    assert_eq!(read.asked.len(), 3);
    assert_eq!(read.asked[2].serial.unwrap().to_string(), format!("{:032x}", 3));
    assert_eq!(read.asked[0].hash, Some(Naming::USUAL));
    assert_eq!(read.nonce.as_ref().map(Vec::len), Some(34));
    assert!(read.single().is_none());
}

#[test]
fn what_is_not_a_request_is_refused() {
    let good = request(1, Vec::new());
    assert!(read(&good).is_ok());
    assert_eq!(read(&[]), Err(OcspError::Malformed));
    assert_eq!(read(&good[..good.len() - 1]), Err(OcspError::Malformed));
    assert_eq!(read(&[&good[..], &[0]].concat()), Err(OcspError::Malformed));
    assert_eq!(read(&vec![0x30; LARGEST + 1]), Err(OcspError::TooLarge));
    assert_eq!(read(&request(0, Vec::new())), Err(OcspError::Count));
    assert!(read(&request(MOST, Vec::new())).is_ok());
    assert_eq!(read(&request(MOST + 1, Vec::new())), Err(OcspError::Count));
}

#[test]
fn nonces_are_of_one_to_128_bytes_and_there_once() {
    for (length, good) in [(0, false), (1, true), (128, true), (129, false)] {
        assert_eq!(read(&request(1, vec![nonce(length)])).is_ok(), good, "{length}");
    }
    assert_eq!(read(&request(1, vec![nonce(8), nonce(8)])), Err(OcspError::Nonce));
    let bare = Extension { extn_value: OctetString::new([1, 2]).unwrap(), ..nonce(1) };
    assert_eq!(read(&request(1, vec![bare])), Err(OcspError::Nonce));
    let unknown = Extension { extn_id: Hash::Sha256.id(), ..nonce(1) };
    assert!(read(&request(1, vec![unknown.clone()])).is_ok());
    let critical = Extension { critical: true, ..unknown };
    assert_eq!(read(&request(1, vec![critical])), Err(OcspError::Extension));
}

#[test]
fn nothing_but_hash_and_form_is_taken_from_how_an_issuer_is_named() {
    let algorithm = |parameters| AlgorithmIdentifierOwned { oid: Hash::Sha256.id(), parameters };
    let of = |parameters| Naming::of(&algorithm(parameters));
    assert_eq!(of(None), Some(Naming { hash: Hash::Sha256, bare: true }));
    assert_eq!(of(Some(Null.into())), Some(Naming { hash: Hash::Sha256, bare: false }));
    let words = Any::new(Tag::OctetString, vec![7; 5000]).unwrap();
    assert_eq!(of(Some(words)), None);
    let other = AlgorithmIdentifierOwned { oid: Nonce::OID, parameters: None };
    assert_eq!(Naming::of(&other), None);
}

#[test]
fn a_path_is_base64_in_any_dress() {
    let der = request(2, vec![nonce(33)]);
    let text = data_encoding::BASE64.encode(&der);
    assert_eq!(from_path(&text).as_deref(), Ok(&der[..]));
    assert_eq!(from_path(text.trim_end_matches('=')).as_deref(), Ok(&der[..]));
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(from_path(&encoded).as_deref(), Ok(&der[..]));
    for bad in ["%", "%4", "%zz", "a", "....", "MA=", "M===", "=", "====", "%00%00%00%00", "ä"] {
        assert!(from_path(bad).is_err() || bad == "MA=", "{bad}");
    }
    assert_eq!(from_path(&"A".repeat(LARGEST * 4 + 1)), Err(OcspError::TooLarge));
}

#[test]
fn errors_are_what_the_rfc_has() {
    assert_eq!(*OcspAnswer::malformed().der, [0x30, 3, 0x0a, 1, 1]);
    assert_eq!(*OcspAnswer::unauthorized().der, [0x30, 3, 0x0a, 1, 6]);
    for (answer, meant) in [
        (OcspAnswer::try_later(), x509_ocsp::OcspResponse::try_later()),
        (OcspAnswer::internal_error(), x509_ocsp::OcspResponse::internal_error()),
    ] {
        assert_eq!(*answer.der, *meant.to_der().unwrap());
    }
}
