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
const CODE_SIGNING: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 3];
const EMAIL_PROTECTION: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 4];
/// digitalSignature, and with it keyEncipherment or keyAgreement.
const SIGNS: [u8; 2] = [7, 0x80];
const SIGNS_AND_ENCIPHERS: [u8; 2] = [5, 0xa0];
const SIGNS_AND_AGREES: [u8; 2] = [3, 0x88];

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
    let usages = asked.usages;
    let purposes = [
        (usages.server, SERVER_AUTH),
        (usages.client, CLIENT_AUTH),
        (usages.code, CODE_SIGNING),
        (usages.email, EMAIL_PROTECTION),
    ];
    let purposes = purposes.into_iter().filter(|(is, _)| *is);
    let purposes: Vec<u8> =
        purposes.flat_map(|(_, purpose)| element(OBJECT_IDENTIFIER, &purpose)).collect();
    let purposes = match purposes.is_empty() {
        // Of what came along with its key it is not always known what it is for.
        true => Vec::new(),
        false => extension(&EXTENDED_KEY_USAGE, false, &element(SEQUENCE, &purposes)),
    };
    let names: Vec<u8> = asked.names.iter().flat_map(general_name).collect();
    [
        extension(&KEY_USAGE, true, &element(BIT_STRING, &key_usage(asked))),
        purposes,
        // RFC 5280 §4.2.1.6: critical where it alone says who it is.
        extension(&ALTERNATIVE_NAMES, asked.subject.is_empty(), &element(SEQUENCE, &names)),
    ]
    .concat()
}

/// As our own certificates have it: signatures, and what a kind of key does with keys of others where that is of use (TLS 1.2,
/// e-mail that is sent to its holder).
fn key_usage(asked: &Asked<'_>) -> [u8; 2] {
    match asked.key_type {
        KeyType::Rsa3072 if asked.usages.server || asked.usages.email => SIGNS_AND_ENCIPHERS,
        KeyType::P256 | KeyType::P384 if asked.usages.email => SIGNS_AND_AGREES,
        _ => SIGNS,
    }
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

    /// What a CSR asks for: purposes and key usage, in the words of x509-parser.
    fn asked_for(usages: Usages, key_type: KeyType) -> (Option<Usages>, [bool; 3]) {
        use x509_parser::certification_request::X509CertificationRequest;
        use x509_parser::extensions::ParsedExtension;
        use x509_parser::prelude::FromDer;
        let made = NewKey::generate(key_type).unwrap();
        let key = AuthorityKey::from_pkcs8(&made.pkcs8).unwrap();
        let names = [SubjectName::email("jo@corp.example").unwrap()];
        let subject: Subject = "CN=jo".parse().unwrap();
        let asked = Asked { subject: &subject, names: &names, usages, key_type };
        let der = write(&asked, &key).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&der).unwrap();
        let (mut purposes, mut key_usage) = (None, None);
        for extension in csr.requested_extensions().unwrap() {
            match extension {
                ParsedExtension::ExtendedKeyUsage(it) => {
                    assert!(it.other.is_empty() && !it.any && !it.time_stamping);
                    purposes = Some(Usages {
                        server: it.server_auth,
                        client: it.client_auth,
                        code: it.code_signing,
                        email: it.email_protection,
                    });
                }
                ParsedExtension::KeyUsage(it) => {
                    let all = [it.digital_signature(), it.key_encipherment(), it.key_agreement()];
                    let count = it.flags.count_ones() as usize;
                    assert_eq!(all.iter().filter(|is| **is).count(), count, "and nothing else");
                    key_usage = Some(all);
                }
                _ => {}
            }
        }
        (purposes, key_usage.unwrap())
    }

    #[test]
    fn purposes_and_key_usages_go_together() {
        let card = Usages { client: true, ..Usages::EMAIL };
        let (signs, enciphers, agrees) =
            ([true, false, false], [true, true, false], [true, false, true]);
        for (usages, key_type, key_usage) in [
            (Usages::EMAIL, KeyType::P256, agrees),
            (Usages::EMAIL, KeyType::P384, agrees),
            (Usages::EMAIL, KeyType::Ed25519, signs),
            (Usages::EMAIL, KeyType::Rsa3072, enciphers),
            (card, KeyType::P256, agrees),
            (Usages::CODE, KeyType::P256, signs),
            (Usages::CODE, KeyType::Rsa3072, signs),
            (Usages::CLIENT, KeyType::Rsa3072, signs),
            (Usages::SERVER, KeyType::Rsa3072, enciphers),
            (Usages::SERVER, KeyType::P256, signs),
        ] {
            assert_eq!(asked_for(usages, key_type), (Some(usages), key_usage), "{usages:?}");
        }
        // Nothing at all is asked for by leaving it out.
        assert_eq!(asked_for(Usages::NONE, KeyType::P256), (None, signs));
    }
}
