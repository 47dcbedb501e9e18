//! The certificate of a tls-alpn-01 challenge (RFC 8737 §3): for the one name, and with the key authorization's digest in a
//! critical extension, so that it can pass for no other.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Subject;
use super::failure::Failure;

/// id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31, as it is encoded.
const ACME_IDENTIFIER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 31];
/// Before the digest in the extension: an OCTET STRING of 32 bytes.
const OCTETS: &[u8] = &[0x04, 32];

/// Whether it is the certificate of this challenge.
pub(super) fn check(leaf: &[u8], subject: &Subject, digest: &[u8; 32]) -> Result<(), Failure> {
    let incorrect = |what: &str| {
        Failure::IncorrectResponse(format!("the certificate that {subject} shows {what}"))
    };
    let unauthorized =
        |what: &str| Failure::Unauthorized(format!("the certificate that {subject} shows {what}"));
    let (rest, certificate) =
        X509Certificate::from_der(leaf).map_err(|_| incorrect("cannot be read"))?;
    if !rest.is_empty() {
        return Err(incorrect("cannot be read"));
    }
    let names = only(&certificate, &OID_X509_EXT_SUBJECT_ALT_NAME)
        .ok_or_else(|| incorrect("has not one list of names"))?;
    match names.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => match names.general_names.as_slice() {
            [name] if is(name, subject) => {}
            [_] => return Err(unauthorized("is for another name")),
            _ => return Err(incorrect("is not for one name only")),
        },
        _ => return Err(incorrect("has names that cannot be read")),
    }
    let identifier = only(&certificate, &Oid::new(ACME_IDENTIFIER.into()))
        .ok_or_else(|| incorrect("has no acmeIdentifier extension"))?;
    if !identifier.critical {
        return Err(incorrect("has an acmeIdentifier extension that is not critical"));
    }
    let wanted = [OCTETS, digest.as_slice()].concat();
    verify_slices_are_equal(identifier.value, &wanted)
        .map_err(|_| unauthorized("has not the key authorization's digest"))
}

/// The extension of this kind, if there is just one.
fn only<'a, 'b>(
    certificate: &'b X509Certificate<'a>,
    kind: &Oid<'_>,
) -> Option<&'b X509Extension<'a>> {
    let mut found = certificate.extensions().iter().filter(|extension| extension.oid == *kind);
    let only = found.next()?;
    if found.next().is_some() { None } else { Some(only) }
}

fn is(name: &GeneralName<'_>, subject: &Subject) -> bool {
    match (name, subject) {
        (GeneralName::DNSName(name), Subject::Dns(wanted)) => {
            name.eq_ignore_ascii_case(wanted.as_str())
        }
        (GeneralName::IPAddress(octets), Subject::Ip(IpAddr::V4(wanted))) => {
            **octets == wanted.octets()
        }
        (GeneralName::IPAddress(octets), Subject::Ip(IpAddr::V6(wanted))) => {
            **octets == wanted.octets()
        }
        _ => false,
    }
}
