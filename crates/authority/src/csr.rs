//! Certificate signing requests (PKCS#10, RFC 2986), read strictly.
//!
//! A CSR is a key plus hints. Taken are the public key, once the proof of possession has held, and the
//! names that it asks for, as wishes that policy then decides on, addresses included. Everything else
//! that a CSR can ask for (CA bit, usages, validity, constraints) is not even looked at; certificates are
//! built from scratch.
//!
//! Every byte comes from an attacker. Refused: more than 64 KiB, anything after the structure,
//! more than one PEM block, weak or unknown keys and signatures, names that are not of their kind's form.

use std::net::IpAddr;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sealock_core::SubjectName;
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::der_parser::asn1_rs::{Any, BitString};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry as oids;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Version};

use crate::der::{BIT_STRING, NULL, OBJECT_IDENTIFIER, SEQUENCE, element};
use crate::key::{PublicKey, PublicKeyKind};
use crate::order::MOST_NAMES;
use crate::pem;

/// The most bytes that a CSR may have, PEM or DER.
pub(crate) const LARGEST: usize = 64 * 1024;
const SMALLEST_RSA: u32 = 2048;
const LARGEST_RSA: u32 = 8192;
/// Older programs, Java's keytool among them, say `NEW`.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// Why a CSR was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CsrError {
    /// Too long to be one.
    #[error("the certificate request has {0} bytes; at most {LARGEST} are read")]
    TooLarge(usize),
    /// Neither DER nor exactly one PEM block.
    #[error("the certificate request is neither DER nor one PEM block of CERTIFICATE REQUEST")]
    NotPem,
    /// Not PKCS#10.
    #[error("the certificate request cannot be read: {0}")]
    Malformed(&'static str),
    /// RSA below 2,048 bits, above 8,192, or with an unusable exponent.
    #[error("the RSA key in the certificate request is not acceptable: {0}")]
    WeakRsa(String),
    /// A key of another kind.
    #[error("the key in the certificate request is of an unknown kind ({0})")]
    UnknownKey(String),
    /// A signature of another kind, such as one with SHA-1.
    #[error("the certificate request is signed with an unknown or weak algorithm ({0})")]
    UnknownSignature(String),
    /// Whoever made it does not have the private key, or it was changed.
    #[error("the certificate request's signature does not hold: no proof of possession of the key")]
    Signature,
    /// A name that is not of its kind's form.
    #[error("the certificate request asks for a name that cannot be in a certificate: {0}")]
    Name(String),
    /// Too many.
    #[error("the certificate request asks for {0} names; at most {MOST_NAMES} are taken")]
    TooManyNames(usize),
}

impl CsrError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::WeakRsa(_) | Self::UnknownKey(_) => Some(
                "make the request with a P-256, P-384, Ed25519 or RSA key of 2048 to 8192 bits"
                    .into(),
            ),
            Self::UnknownSignature(_) => Some("sign the request with SHA-256 or better".into()),
            Self::NotPem => {
                Some("give one request at a time, as `openssl req -new` writes it".into())
            }
            _ => None,
        }
    }
}

/// A CSR whose proof of possession held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// The key to certify.
    pub public_key: PublicKey,
    /// The names it asks for: the SAN's, in its order, and the common name if it is a DNS name or an
    /// address and not among them. Wishes, not grants.
    pub names: Vec<SubjectName>,
    /// The common name as it stands there, without control characters. A hint.
    pub common_name: Option<String>,
    /// Kinds of names in the SAN that are never certified (`otherName`, `directoryName` and such).
    pub ignored: Vec<String>,
}

/// Reads a CSR, PEM or DER, and checks its proof of possession.
pub fn parse_csr(bytes: &[u8]) -> Result<Csr, CsrError> {
    if bytes.len() > LARGEST {
        return Err(CsrError::TooLarge(bytes.len()));
    }
    if bytes.first() == Some(&0x30) {
        return parse_der(bytes);
    }
    let (_, der) = pem::decode_one(bytes, &LABELS).ok_or(CsrError::NotPem)?;
    parse_der(&der)
}

fn parse_der(der: &[u8]) -> Result<Csr, CsrError> {
    let (rest, request) = X509CertificationRequest::from_der(der)
        .map_err(|_| CsrError::Malformed("not a PKCS#10 structure"))?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed("there is something after its end"));
    }
    let info = &request.certification_request_info;
    if info.version != X509Version::V1 {
        return Err(CsrError::Malformed("its version is not 1"));
    }
    let public_key = public_key(&info.subject_pki)?;
    let algorithm = verification(public_key.kind(), &request.signature_algorithm)?;
    let signed = whole_bytes(&request.signature_value).ok_or(CsrError::Signature)?;
    if !is_canonical(der, &request, signed) {
        return Err(CsrError::Malformed("it is not DER"));
    }
    let key_bytes = whole_bytes(&info.subject_pki.subject_public_key).ok_or(CsrError::Signature)?;
    UnparsedPublicKey::new(algorithm, key_bytes)
        .verify(info.raw, signed)
        .map_err(|_| CsrError::Signature)?;
    let (names, common_name, ignored) = hints(&request)?;
    Ok(Csr { public_key, names, common_name, ignored })
}

/// Whether the request is written in the one way that DER has. The parser forgives some of BER; what is
/// signed the signature holds fast, and the rest is compared with how it must be written.
fn is_canonical(der: &[u8], request: &X509CertificationRequest<'_>, signed: &[u8]) -> bool {
    let oid = element(OBJECT_IDENTIFIER, request.signature_algorithm.algorithm.as_bytes());
    let algorithm = match &request.signature_algorithm.parameters {
        None => element(SEQUENCE, &oid),
        Some(_) => element(SEQUENCE, &[&oid[..], &NULL].concat()),
    };
    let bits = element(BIT_STRING, &[&[0], signed].concat());
    let info = request.certification_request_info.raw;
    info.first() == Some(&SEQUENCE) && der == element(SEQUENCE, &[info, &algorithm, &bits].concat())
}

/// The bytes of a bit string that has no unused bits.
pub(crate) fn whole_bytes<'a>(bits: &'a BitString<'_>) -> Option<&'a [u8]> {
    (bits.unused_bits == 0).then_some(&*bits.data)
}

pub(crate) fn public_key(info: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, CsrError> {
    let algorithm = &info.algorithm;
    let bytes = whole_bytes(&info.subject_public_key)
        .ok_or(CsrError::Malformed("its key is not whole bytes"))?;
    let unknown = |what: String| Err(CsrError::UnknownKey(what));
    let kind = if algorithm.algorithm == oids::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        let Some(curve) = curve else { return unknown("a curve without a name".into()) };
        // Uncompressed points only, as TLS has them; that they lie on the curve, verifying checks.
        match (bytes.first(), bytes.len()) {
            (Some(4), 65) if curve == oids::OID_EC_P256 => PublicKeyKind::P256,
            (Some(4), 97) if curve == oids::OID_NIST_EC_P384 => PublicKeyKind::P384,
            _ => return unknown(format!("curve {curve}")),
        }
    } else if algorithm.algorithm == oids::OID_SIG_ED25519 {
        if bytes.len() != 32 || algorithm.parameters.is_some() {
            return Err(CsrError::Malformed("its Ed25519 key is not 32 bytes"));
        }
        PublicKeyKind::Ed25519
    } else if algorithm.algorithm == oids::OID_PKCS1_RSAENCRYPTION {
        if !is_null(algorithm.parameters.as_ref()) {
            return Err(CsrError::Malformed("its RSA key has parameters"));
        }
        PublicKeyKind::Rsa(rsa_bits(bytes)?)
    } else {
        return unknown(algorithm.algorithm.to_id_string());
    };
    Ok(PublicKey::new(kind, bytes.to_vec()))
}

fn is_null(parameters: Option<&Any<'_>>) -> bool {
    parameters.is_some_and(|any| any.as_null().is_ok())
}

fn rsa_bits(bytes: &[u8]) -> Result<u32, CsrError> {
    let (rest, key) =
        RSAPublicKey::from_der(bytes).map_err(|_| CsrError::Malformed("its RSA key is not DER"))?;
    let weak = |why: &str| Err(CsrError::WeakRsa(why.to_owned()));
    let significant =
        |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let (modulus, exponent) = (significant(key.modulus), significant(key.exponent));
    if !rest.is_empty() {
        return Err(CsrError::Malformed("its RSA key has something after its end"));
    }
    let (Some(first), Some(last)) = (modulus.first(), modulus.last()) else {
        return weak("its modulus is zero");
    };
    let bits = u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX) - first.leading_zeros();
    if !(SMALLEST_RSA..=LARGEST_RSA).contains(&bits) {
        return Err(CsrError::WeakRsa(format!("it has {bits} bits")));
    }
    let odd = |byte: &u8| byte % 2 == 1;
    let good_exponent = exponent.len() <= 4 && exponent.last().is_some_and(odd) && exponent != [1];
    if !odd(last) || !good_exponent {
        return weak("its exponent or modulus is not one that RSA can use");
    }
    Ok(bits)
}

/// Which algorithm checks a signature of this kind by a key of this kind.
pub(crate) fn verification(
    kind: PublicKeyKind,
    algorithm: &AlgorithmIdentifier<'_>,
) -> Result<&'static dyn VerificationAlgorithm, CsrError> {
    let known: [(_, Option<&'static dyn VerificationAlgorithm>); 7] = [
        (
            oids::OID_SIG_ECDSA_WITH_SHA256,
            match kind {
                PublicKeyKind::P256 => Some(&signature::ECDSA_P256_SHA256_ASN1),
                PublicKeyKind::P384 => Some(&signature::ECDSA_P384_SHA256_ASN1),
                _ => None,
            },
        ),
        (
            oids::OID_SIG_ECDSA_WITH_SHA384,
            match kind {
                PublicKeyKind::P256 => Some(&signature::ECDSA_P256_SHA384_ASN1),
                PublicKeyKind::P384 => Some(&signature::ECDSA_P384_SHA384_ASN1),
                _ => None,
            },
        ),
        (
            oids::OID_SIG_ECDSA_WITH_SHA512,
            match kind {
                PublicKeyKind::P256 => Some(&signature::ECDSA_P256_SHA512_ASN1),
                PublicKeyKind::P384 => Some(&signature::ECDSA_P384_SHA512_ASN1),
                _ => None,
            },
        ),
        (oids::OID_SIG_ED25519, (kind == PublicKeyKind::Ed25519).then_some(&signature::ED25519)),
        (oids::OID_PKCS1_SHA256WITHRSA, rsa(kind, &signature::RSA_PKCS1_2048_8192_SHA256)),
        (oids::OID_PKCS1_SHA384WITHRSA, rsa(kind, &signature::RSA_PKCS1_2048_8192_SHA384)),
        (oids::OID_PKCS1_SHA512WITHRSA, rsa(kind, &signature::RSA_PKCS1_2048_8192_SHA512)),
    ];
    known
        .into_iter()
        .find(|(oid, _)| *oid == algorithm.algorithm)
        .and_then(|(_, verification)| verification)
        .ok_or_else(|| CsrError::UnknownSignature(algorithm.algorithm.to_id_string()))
}

fn rsa(
    kind: PublicKeyKind,
    algorithm: &'static signature::RsaParameters,
) -> Option<&'static dyn VerificationAlgorithm> {
    matches!(kind, PublicKeyKind::Rsa(_)).then_some(algorithm)
}

type Hints = (Vec<SubjectName>, Option<String>, Vec<String>);

fn hints(request: &X509CertificationRequest<'_>) -> Result<Hints, CsrError> {
    let mut names = Vec::new();
    let mut ignored = Vec::new();
    for asked in alternative_names(request)? {
        if names.len() == MOST_NAMES {
            return Err(CsrError::TooManyNames(names.len() + 1));
        }
        match subject_name(asked)? {
            Ok(name) if !names.contains(&name) => names.push(name),
            Ok(_) => {}
            Err(kind) if ignored.len() < MOST_NAMES => ignored.push(kind),
            Err(_) => {}
        }
    }
    let subject = &request.certification_request_info.subject;
    let common_name = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
    if let Some(text) = common_name {
        let wish = SubjectName::ip(text).or_else(|_| SubjectName::dns(text));
        if let Ok(name) = wish
            && !names.contains(&name)
            && names.len() < MOST_NAMES
        {
            names.push(name);
        }
    }
    let shown = common_name
        .map(|text| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>());
    Ok((names, shown, ignored))
}

/// The names of the only SAN that the request may ask for.
fn alternative_names<'a>(
    request: &'a X509CertificationRequest<'_>,
) -> Result<Vec<&'a GeneralName<'a>>, CsrError> {
    let mut requests = request
        .certification_request_info
        .iter_attributes()
        .filter(|attribute| attribute.oid == oids::OID_PKCS9_EXTENSION_REQUEST);
    let Some(first) = requests.next() else { return Ok(Vec::new()) };
    if requests.next().is_some() {
        return Err(CsrError::Malformed("it asks for extensions more than once"));
    }
    let ParsedCriAttribute::ExtensionRequest(extensions) = first.parsed_attribute() else {
        return Err(CsrError::Malformed("the extensions that it asks for cannot be read"));
    };
    let mut wanted = extensions
        .extensions
        .iter()
        .filter(|extension| extension.oid == oids::OID_X509_EXT_SUBJECT_ALT_NAME);
    let Some(extension) = wanted.next() else { return Ok(Vec::new()) };
    if wanted.next().is_some() {
        return Err(CsrError::Malformed("it asks for alternative names more than once"));
    }
    match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Ok(names.general_names.iter().collect()),
        _ => Err(CsrError::Malformed("the alternative names that it asks for cannot be read")),
    }
}

/// The name, or the kind of what is never certified.
pub(crate) fn subject_name(
    asked: &GeneralName<'_>,
) -> Result<Result<SubjectName, String>, CsrError> {
    let bad = |text: &str| CsrError::Name(text.escape_default().take(80).collect());
    Ok(match asked {
        GeneralName::DNSName(text) => Ok(SubjectName::dns(text).map_err(|_| bad(text))?),
        GeneralName::RFC822Name(text) => Ok(SubjectName::email(text).map_err(|_| bad(text))?),
        GeneralName::URI(text) => Ok(SubjectName::uri(text).map_err(|_| bad(text))?),
        GeneralName::IPAddress(bytes) => Ok(SubjectName::Ip(
            address(bytes).ok_or_else(|| bad("an address of neither 4 nor 16 bytes"))?,
        )),
        GeneralName::DirectoryName(_) => Err("directoryName".into()),
        GeneralName::OtherName(..) => Err("otherName".into()),
        GeneralName::RegisteredID(_) => Err("registeredID".into()),
        GeneralName::X400Address(_) => Err("x400Address".into()),
        GeneralName::EDIPartyName(_) => Err("ediPartyName".into()),
        GeneralName::Invalid(..) => return Err(bad("a name that cannot be read")),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
