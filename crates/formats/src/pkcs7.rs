//! Certificates in a PKCS#7 file: a CMS `SignedData` that signs nothing (RFC 5652 §5, "certs-only").

use crate::asn1::{CONTEXT_0, INTEGER, OID, Reader, SEQUENCE, SET};
use crate::der;
use crate::error::ReadError;
use crate::oid;
use crate::pbe::unsupported;

/// Each certificate in a `ContentInfo`, as it stands there. Signatures over anything are not looked at: a certificate
/// proves itself.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<&[u8]>, ReadError> {
    let mut outer = Reader::new(bytes);
    let mut info = outer.inside(SEQUENCE)?;
    outer.end()?;
    let content = info.expect(OID)?.body;
    if content != oid::SIGNED_DATA {
        return Err(unsupported("PKCS#7 with content of", content));
    }
    let mut signed = info.inside(CONTEXT_0)?.inside(SEQUENCE)?;
    signed.expect(INTEGER)?;
    signed.expect(SET)?;
    signed.expect(SEQUENCE)?;
    let mut found = Vec::new();
    if let Some(set) = signed.optional(CONTEXT_0)? {
        let mut set = set.reader();
        while !set.is_empty() {
            let choice = set.any()?;
            // The others are attribute certificates, which name no key.
            if choice.tag == SEQUENCE {
                found.push(choice.whole);
            }
        }
    }
    Ok(found)
}

/// These certificates as a `ContentInfo`, in this order: a reader of chains wants the order of the chain more than that
/// of a set, and so does OpenSSL write it.
pub(crate) fn write(certificates: &[&[u8]]) -> Vec<u8> {
    let set = der::element(CONTEXT_0, certificates);
    let content = der::sequence(&[&der::oid(oid::DATA)]);
    let none = der::set(&[]);
    let signed = der::sequence(&[&der::number(1), &none, &content, &set, &none]);
    let signed = der::element(CONTEXT_0, &[&signed]);
    der::sequence(&[&der::oid(oid::SIGNED_DATA), &signed])
}
