//! A CSR, written (PKCS#10, RFC 2986). By hand: rcgen's names cannot hold a type twice, which every subject of a
//! directory does (`DC=corp,DC=example`).

use rcgen::PublicKeyData as _;
use sealock_core::SubjectName;

use super::subject::Subject;
use crate::der::{BIT_STRING, NULL, OBJECT_IDENTIFIER, SEQUENCE, element};
use crate::error::AuthorityError;
use crate::key::{AuthorityKey, KeyType, SignError};
use crate::order::Usages;

const BOOLEAN_TRUE: [u8; 3] = [1, 1, 0xff];
const VERSION_1: [u8; 3] = [2, 1, 0];
const OCTET_STRING: u8 = 0x04;
const SET: u8 = 0x31;
const ATTRIBUTES: u8 = 0xa0;
/// `id-ExtensionReq` (RFC 2985 §5.4.2).
const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const SUBJECT_KEY: [u8; 3] = [0x55, 0x1d, 14];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 19];
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 15];
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 17];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 37];
const SERVER_AUTH: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 2];
/// digitalSignature, and with it keyEncipherment.
const SIGNS: [u8; 2] = [7, 0x80];
const SIGNS_AND_ENCIPHERS: [u8; 2] = [5, 0xa0];

/// keyCertSign and cRLSign.
const SIGNS_CERTIFICATES_AND_LISTS: [u8; 2] = [1, 0x06];
/// cA TRUE, pathLenConstraint 0.
const CA_PATH_LENGTH_0: [u8; 6] = [1, 1, 0xff, 2, 1, 0];

/// What a CSR asks for.
pub(super) struct Asked<'a> {
    pub(super) subject: &'a Subject,
    pub(super) names: &'a [SubjectName],
    pub(super) usages: Usages,
    pub(super) key_type: KeyType,
}

/// The CSR as DER, signed by the key that it is for.
pub(super) fn write(
    asked: &Asked<'_>,
    key: &AuthorityKey,
) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    signed(&asked.subject.to_der(), &extensions(asked), asked.key_type, key)
        // A leaf's key is never in a device.
        .map_err(|_| aws_lc_rs::error::Unspecified)
}

/// The CSR of an issuing CA with this subject (DER): one that signs leaves and lists, and has no CA below it.
pub(crate) fn authority_csr(
    subject: &[u8],
    key_type: KeyType,
    key: &AuthorityKey,
) -> Result<Vec<u8>, AuthorityError> {
    let extensions = [
        extension(&BASIC_CONSTRAINTS, true, &element(SEQUENCE, &CA_PATH_LENGTH_0)),
        extension(&KEY_USAGE, true, &element(BIT_STRING, &SIGNS_CERTIFICATES_AND_LISTS)),
        extension(&SUBJECT_KEY, false, &element(OCTET_STRING, &key.identifier())),
    ];
    Ok(signed(subject, &extensions.concat(), key_type, key)?)
}

fn signed(
    subject: &[u8],
    extensions: &[u8],
    key_type: KeyType,
    key: &AuthorityKey,
) -> Result<Vec<u8>, SignError> {
    let attribute = [
        element(OBJECT_IDENTIFIER, &EXTENSION_REQUEST),
        element(SET, &element(SEQUENCE, extensions)),
    ];
    let info = [
        VERSION_1.to_vec(),
        subject.to_vec(),
        key.subject_public_key_info(),
        element(ATTRIBUTES, &element(SEQUENCE, &attribute.concat())),
    ];
    let info = element(SEQUENCE, &info.concat());
    let signature = key.signature(&info)?;
    let signed = element(BIT_STRING, &[&[0], &signature[..]].concat());
    Ok(element(SEQUENCE, &[info, algorithm(key_type), signed].concat()))
}

fn extensions(asked: &Asked<'_>) -> Vec<u8> {
    let enciphers = asked.usages.server && asked.key_type == KeyType::Rsa3072;
    let usage = if enciphers { SIGNS_AND_ENCIPHERS } else { SIGNS };
    let mut purposes = Vec::new();
    for (is, purpose) in [(asked.usages.server, SERVER_AUTH), (asked.usages.client, CLIENT_AUTH)] {
        if is {
            purposes.extend(element(OBJECT_IDENTIFIER, &purpose));
        }
    }
    let names: Vec<u8> = asked.names.iter().flat_map(general_name).collect();
    [
        extension(&KEY_USAGE, true, &element(BIT_STRING, &usage)),
        extension(&EXTENDED_KEY_USAGE, false, &element(SEQUENCE, &purposes)),
        // RFC 5280 §4.2.1.6: critical where it alone says who it is.
        extension(&ALTERNATIVE_NAMES, asked.subject.is_empty(), &element(SEQUENCE, &names)),
    ]
    .concat()
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let oid = element(OBJECT_IDENTIFIER, oid);
    let critical = if critical { &BOOLEAN_TRUE[..] } else { &[] };
    element(SEQUENCE, &[&oid, critical, &element(OCTET_STRING, value)].concat())
}

fn general_name(name: &SubjectName) -> Vec<u8> {
    match name {
        SubjectName::Email(address) => element(0x81, address.as_bytes()),
        SubjectName::Dns(name) => element(0x82, name.as_str().as_bytes()),
        SubjectName::Uri(uri) => element(0x86, uri.as_bytes()),
        SubjectName::Ip(std::net::IpAddr::V4(four)) => element(0x87, &four.octets()),
        SubjectName::Ip(std::net::IpAddr::V6(six)) => element(0x87, &six.octets()),
    }
}

/// The signature's algorithm, as [`AuthorityKey::signature`] has it.
fn algorithm(kind: KeyType) -> Vec<u8> {
    let (oid, parameters): (&[u8], &[u8]) = match kind {
        KeyType::P256 => (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[]),
        KeyType::P384 => (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], &[]),
        KeyType::Ed25519 => (&[0x2b, 0x65, 0x70], &[]),
        KeyType::Rsa3072 => (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], &NULL),
    };
    element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, oid), parameters].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::parse_csr;
    use crate::key::NewKey;

    #[test]
    fn what_is_written_our_own_strict_reader_reads() {
        let names = vec![
            SubjectName::dns("www.corp.example").unwrap(),
            SubjectName::ip("10.0.0.1").unwrap(),
            SubjectName::ip("fd00::1").unwrap(),
            SubjectName::email("jo@corp.example").unwrap(),
            SubjectName::uri("https://corp.example/x").unwrap(),
        ];
        for key_type in KeyType::ALL {
            let made = NewKey::generate(key_type).unwrap();
            let key = AuthorityKey::from_pkcs8(&made.pkcs8).unwrap();
            for subject in ["CN=www.corp.example,O=Corp", ""] {
                let subject: Subject = subject.parse().unwrap();
                let usages = Usages::BOTH;
                let asked = Asked { subject: &subject, names: &names, usages, key_type };
                let read = parse_csr(&write(&asked, &key).unwrap()).unwrap();
                assert_eq!(read.public_key, made.public);
                assert_eq!(read.names, names);
                let expected = (!subject.is_empty()).then(|| "www.corp.example".to_owned());
                assert_eq!(read.common_name, expected);
            }
        }
    }
}
