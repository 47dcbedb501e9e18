//! The last look at a certificate before it is signed: what RFC 5280 asks of it, read from the very bytes that the
//! signature will be over. It does not matter who made them: an order of ours, a builder with a fault, a library
//! with another idea.
//!
//! Each rule names its section. What depends on the issuer's certificate (its life, its constraints) is checked
//! where that is known; what depends on its key is checked here.

mod purpose;

use std::cell::Cell;
use std::collections::HashSet;

use sealock_core::DnsName;
use thiserror::Error;
use x509_parser::certificate::TbsCertificate;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::extensions::{
    ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension, X509Extension,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{X509Name, X509Version};

use crate::csr;
use crate::key::PublicKeyKind;

pub(crate) use purpose::{Intended, Purpose, announced, meant};

/// The first year that is written with four digits (RFC 5280 §4.1.2.5).
const FOUR_DIGITS: i32 = 2050;
/// `ub-common-name`, `ub-organization-name` and their like (RFC 5280 appendix A.1).
const LONGEST_ATTRIBUTE: usize = 64;

/// Why a certificate was not signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{rule} ({section})")]
pub struct LintError {
    /// What is wrong.
    pub rule: String,
    /// Where that is written, such as `RFC 5280 §4.1.2.2`.
    pub section: &'static str,
}

thread_local! {
    /// rcgen asks for a signature in the middle of its work and has no room for an error of ours.
    static FOUND: Cell<Option<LintError>> = const { Cell::new(None) };
}

/// Keeps what was found for whoever asked rcgen for a certificate, and makes rcgen stop.
pub(crate) fn refuse(found: Result<(), LintError>) -> Result<(), rcgen::Error> {
    found.map_err(|error| {
        FOUND.set(Some(error));
        rcgen::Error::RemoteKeyError
    })
}

/// What was found on this thread since it was asked last.
pub(crate) fn taken() -> Option<LintError> {
    FOUND.take()
}

fn against(section: &'static str, rule: impl Into<String>) -> LintError {
    LintError { rule: rule.into(), section }
}

fn must(holds: bool, section: &'static str, rule: &str) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(against(section, rule)) }
}

/// Looks at what is about to be signed by the key with this identifier, and holds it against what was announced.
pub(crate) fn before_signing(
    tbs: &[u8],
    signer: &[u8; 20],
    intended: Option<&Intended>,
) -> Result<(), LintError> {
    before_signing_below(tbs, signer, signer, intended)
}

/// The same below a CA whose certificate somebody else has made, with another identifier of the same key.
pub(crate) fn before_signing_below(
    tbs: &[u8],
    signer: &[u8; 20],
    named: &[u8],
    intended: Option<&Intended>,
) -> Result<(), LintError> {
    let unreadable = || against("RFC 5280 §4.1", "the certificate cannot be read");
    let (rest, certificate) = TbsCertificate::from_der(tbs).map_err(|_| unreadable())?;
    must(rest.is_empty(), "RFC 5280 §4.1", "something follows the certificate")?;
    basics(&certificate)?;
    names(&certificate)?;
    once_each(certificate.extensions())?;
    let found = Found::of(&certificate)?;
    keys(&certificate, &found, signer, named)?;
    usages(&certificate, &found)?;
    alternative_names(&certificate, &found)?;
    let nobody = || against("RFC 5280 §1", "nobody has said what it is for");
    purpose::as_meant(&certificate, &found, intended.ok_or_else(nobody)?)
}

fn basics(certificate: &TbsCertificate<'_>) -> Result<(), LintError> {
    must(certificate.version == X509Version::V3, "RFC 5280 §4.1.2.1", "the version is not 3")?;
    let serial = certificate.raw_serial();
    let negative = serial.first().is_none_or(|first| first & 0x80 != 0);
    let zero = serial.iter().all(|byte| *byte == 0);
    must(!negative && !zero, "RFC 5280 §4.1.2.2", "the serial number is not positive")?;
    must(serial.len() <= 20, "RFC 5280 §4.1.2.2", "the serial number has more than 20 octets")?;
    let unique = certificate.issuer_uid.is_none() && certificate.subject_uid.is_none();
    must(unique, "RFC 5280 §4.1.2.8", "there are unique identifiers")?;
    let validity = certificate.validity();
    let (from, until) = (&validity.not_before, &validity.not_after);
    must(from < until, "RFC 5280 §4.1.2.5", "it ends before it begins")?;
    for time in [from, until] {
        let two_digits = time.to_datetime().year() < FOUR_DIGITS;
        must(time.is_utctime() == two_digits, "RFC 5280 §4.1.2.5", "a time is of the wrong form")?;
    }
    Ok(())
}

fn names(certificate: &TbsCertificate<'_>) -> Result<(), LintError> {
    let empty = |name: &X509Name<'_>| name.iter_attributes().next().is_none();
    must(!empty(certificate.issuer()), "RFC 5280 §4.1.2.4", "the issuer has no name")?;
    for attribute in certificate.subject().iter_attributes() {
        let tag = attribute.attr_value().tag();
        let known = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String].contains(&tag);
        must(known, "RFC 5280 §4.1.2.4", "a part of the subject is in an old encoding")?;
        let text = attribute.as_str().map_err(|_| {
            against("RFC 5280 §4.1.2.4", "a part of the subject is not UTF-8 or printable text")
        })?;
        let length = text.chars().count();
        let fits = (1..=LONGEST_ATTRIBUTE).contains(&length);
        must(fits, "RFC 5280 appendix A.1", "a part of the subject is empty or too long")?;
        must(
            !text.contains(char::is_control),
            "RFC 5280 §4.1.2.6",
            "the subject has control characters",
        )?;
    }
    Ok(())
}

fn once_each(extensions: &[X509Extension<'_>]) -> Result<(), LintError> {
    let mut seen = HashSet::new();
    for extension in extensions {
        let first = seen.insert(extension.oid.as_bytes().to_vec());
        must(first, "RFC 5280 §4.2", "an extension is there twice")?;
        if let ParsedExtension::ParseError { .. } = extension.parsed_extension() {
            return Err(against(
                "RFC 5280 §4.2",
                format!("the extension {} cannot be read", extension.oid),
            ));
        }
    }
    Ok(())
}

/// What the rules are about.
#[derive(Default)]
struct Found<'a> {
    ca: Option<(bool, Option<u32>, bool)>,
    usage: Option<(&'a KeyUsage, bool)>,
    extended: Option<&'a ExtendedKeyUsage<'a>>,
    names: Option<(&'a [GeneralName<'a>], bool)>,
    own: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    constraints: Option<bool>,
}

impl<'a> Found<'a> {
    fn of(certificate: &'a TbsCertificate<'_>) -> Result<Self, LintError> {
        let mut found = Self::default();
        for extension in certificate.extensions() {
            let critical = extension.critical;
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(it) => {
                    found.ca = Some((it.ca, it.path_len_constraint, critical));
                }
                ParsedExtension::KeyUsage(it) => found.usage = Some((it, critical)),
                ParsedExtension::ExtendedKeyUsage(it) => found.extended = Some(it),
                ParsedExtension::SubjectAlternativeName(it) => {
                    found.names = Some((&it.general_names, critical));
                }
                ParsedExtension::SubjectKeyIdentifier(it) => found.own = Some(it.0),
                ParsedExtension::AuthorityKeyIdentifier(it) => {
                    found.authority = it.key_identifier.as_ref().map(|key| key.0);
                    must(
                        !critical,
                        "RFC 5280 §4.2.1.1",
                        "the authority's key identifier is critical",
                    )?;
                }
                ParsedExtension::NameConstraints(_) => found.constraints = Some(critical),
                ParsedExtension::AuthorityInfoAccess(_) => {
                    must(!critical, "RFC 5280 §4.2.2.1", "the information access is critical")?;
                }
                ParsedExtension::UnsupportedExtension { .. } => {
                    must(!critical, "RFC 5280 §4.2", "an unknown extension is critical")?;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn is_ca(&self) -> bool {
        self.ca.is_some_and(|(ca, _, _)| ca)
    }
}

fn keys(
    certificate: &TbsCertificate<'_>,
    found: &Found<'_>,
    signer: &[u8; 20],
    named: &[u8],
) -> Result<(), LintError> {
    let key = csr::public_key(certificate.public_key())
        .map_err(|error| against("RFC 5280 §4.1.2.7", error.to_string()))?;
    let own = key.identifier();
    must(
        found.own == Some(&own),
        "RFC 5280 §4.2.1.2",
        "the subject's key identifier is not that of its key",
    )?;
    let self_signed = own == *signer;
    match found.authority {
        Some(authority) => must(
            authority == named,
            "RFC 5280 §4.2.1.1",
            "the authority's key identifier is not that of the key that signs",
        ),
        None => must(self_signed, "RFC 5280 §4.2.1.1", "the authority's key identifier is missing"),
    }?;
    // Who signs with its own key certifies a CA, or somebody else's certificate could be made from ours.
    must(!self_signed || found.is_ca(), "RFC 5280 §4.2.1.9", "a leaf has the key of its issuer")?;
    let Some((usage, _)) = found.usage else { return Ok(()) };
    let enciphers = usage.key_encipherment() || usage.data_encipherment();
    let rsa = matches!(key.kind(), PublicKeyKind::Rsa(_));
    must(rsa || !enciphers, "RFC 8813 §3", "a key on a curve cannot encipher")
}

fn usages(certificate: &TbsCertificate<'_>, found: &Found<'_>) -> Result<(), LintError> {
    let Some((usage, critical)) = found.usage else {
        return Err(against("RFC 5280 §4.2.1.3", "it does not say what its key is for"));
    };
    must(critical, "RFC 5280 §4.2.1.3", "the key usage is not critical")?;
    let Some((ca, path_length, constraint_critical)) = found.ca else {
        return Err(against("RFC 5280 §4.2.1.9", "it does not say whether it is a CA's"));
    };
    let signs = usage.key_cert_sign();
    if ca {
        must(
            constraint_critical,
            "RFC 5280 §4.2.1.9",
            "the basic constraints of a CA are not critical",
        )?;
        must(
            signs && usage.crl_sign(),
            "RFC 5280 §4.2.1.3",
            "a CA may not sign certificates and lists",
        )?;
        let named = certificate.subject().iter_attributes().next().is_some();
        must(named, "RFC 5280 §4.1.2.6", "a CA has no name")?;
        return match found.constraints {
            Some(critical) => {
                must(critical, "RFC 5280 §4.2.1.10", "the name constraints are not critical")
            }
            None => Ok(()),
        };
    }
    must(path_length.is_none(), "RFC 5280 §4.2.1.9", "a leaf has a path length")?;
    must(
        !signs && !usage.crl_sign(),
        "RFC 5280 §4.2.1.3",
        "a leaf may sign certificates or lists",
    )?;
    must(found.constraints.is_none(), "RFC 5280 §4.2.1.10", "a leaf has name constraints")?;
    let Some(purposes) = found.extended else {
        return Err(against("RFC 5280 §4.2.1.12", "it has no purpose"));
    };
    must(!purposes.any, "RFC 5280 §4.2.1.12", "it is for any purpose")
}

fn alternative_names(certificate: &TbsCertificate<'_>, found: &Found<'_>) -> Result<(), LintError> {
    let nameless = certificate.subject().iter_attributes().next().is_none();
    let Some((names, critical)) = found.names else {
        return must(!nameless, "RFC 5280 §4.1.2.6", "it has no name at all");
    };
    must(!names.is_empty(), "RFC 5280 §4.2.1.6", "the list of names is empty")?;
    must(
        critical == nameless,
        "RFC 5280 §4.2.1.6",
        "the names are critical without need, or not although the subject is empty",
    )?;
    for name in names {
        let fine = match name {
            GeneralName::DNSName(name) => name.parse::<DnsName>().is_ok(),
            GeneralName::IPAddress(bytes) => matches!(bytes.len(), 4 | 16),
            GeneralName::RFC822Name(name) => name.is_ascii() && name.contains('@'),
            GeneralName::URI(uri) => uri.is_ascii() && uri.contains(':'),
            _ => false,
        };
        must(fine, "RFC 5280 §4.2.1.6", "a name is not of its kind's form")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
