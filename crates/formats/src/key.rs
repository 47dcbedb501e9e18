//! Private keys in each of the ways in which files have them; PKCS#8 version 1 comes out.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use sealock_core::SecretBytes;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::asn1::{CONTEXT_0, CONTEXT_1, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE};
use crate::der;
use crate::error::ReadError;
use crate::oid;

/// No private key that is known here is larger; an RSA key of 8192 bits has less than 5 KiB.
const MAXIMUM_KEY: usize = 16 * 1024;

const WRONG: ReadError = ReadError::Damaged("a private key is none");

/// PKCS#8 of version 1 or 2 (RFC 5958), made version 1: what is more in version 2 follows from the key.
pub(crate) fn from_pkcs8(bytes: &[u8]) -> Result<SecretBytes, ReadError> {
    let mut outer = Reader::new(bytes);
    let mut inner = outer.inside(SEQUENCE)?;
    outer.end()?;
    if inner.number()? > 1 {
        return Err(WRONG);
    }
    let algorithm = inner.expect(SEQUENCE)?;
    let key = Zeroizing::new(inner.octets()?.into_owned());
    let octets = Zeroizing::new(der::octets(&key));
    checked(der::sequence(&[&der::number(0), algorithm.whole, &octets]))
}

/// An RSA key by itself (RFC 8017 §A.1.2).
pub(crate) fn from_pkcs1(bytes: &[u8]) -> Result<SecretBytes, ReadError> {
    let algorithm = der::sequence(&[&der::oid(oid::RSA), &der::null()]);
    let octets = Zeroizing::new(der::octets(bytes));
    checked(der::sequence(&[&der::number(0), &algorithm, &octets]))
}

/// A key on an elliptic curve by itself (RFC 5915), which names its curve. In PKCS#8 the name stands outside.
pub(crate) fn from_sec1(bytes: &[u8]) -> Result<SecretBytes, ReadError> {
    let mut key = Reader::new(bytes).inside(SEQUENCE)?;
    let version = key.expect(INTEGER)?.whole;
    let secret = key.expect(OCTET_STRING)?.whole;
    let curve = key.inside(CONTEXT_0)?.expect(OID)?.whole;
    let public = key.optional(CONTEXT_1)?.map_or(&[][..], |public| public.whole);
    key.end()?;
    let inner = Zeroizing::new(der::sequence(&[version, secret, public]));
    let algorithm = der::sequence(&[&der::oid(oid::EC), curve]);
    let octets = Zeroizing::new(der::octets(&inner));
    checked(der::sequence(&[&der::number(0), &algorithm, &octets]))
}

/// The key, when it is one.
fn checked(pkcs8: Vec<u8>) -> Result<SecretBytes, ReadError> {
    let pkcs8 = SecretBytes::new(pkcs8);
    if public_key(&pkcs8).is_none() {
        return Err(WRONG);
    }
    Ok(pkcs8)
}

/// The public half, as the BIT STRING of a certificate has it. `None` for what is no key, or of an unknown kind.
pub(crate) fn public_key(pkcs8: &SecretBytes) -> Option<Vec<u8>> {
    let bytes = pkcs8.expose();
    if bytes.len() > MAXIMUM_KEY {
        return None;
    }
    let mut inner = Reader::new(bytes).inside(SEQUENCE).ok()?;
    inner.expect(INTEGER).ok()?;
    let mut algorithm = inner.inside(SEQUENCE).ok()?;
    let name = algorithm.expect(OID).ok()?.body;
    if name == oid::ED25519 {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok()?;
        return Some(pair.public_key().as_ref().to_vec());
    }
    if name == oid::RSA {
        return Some(RsaKeyPair::from_pkcs8(bytes).ok()?.public_key().as_ref().to_vec());
    }
    if name != oid::EC {
        return None;
    }
    let curve = match algorithm.expect(OID).ok()?.body {
        oid::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        oid::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        oid::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
        _ => return None,
    };
    Some(EcdsaKeyPair::from_pkcs8(curve, bytes).ok()?.public_key().as_ref().to_vec())
}

/// Whether a private key (PKCS#8) is that of a certificate (DER).
pub fn belongs(key: &SecretBytes, certificate: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let public = &certificate.public_key().subject_public_key.data;
    public_key(key).is_some_and(|own| own == public.as_ref())
}
