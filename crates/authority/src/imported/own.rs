//! What is ours: how our issuers are called, and which roots of a bundle are above a chain of ours. A bundle has roots of
//! others too, and who speaks for an identity of ours, those must never say.

use sealock_core::TrustDomain;
use x509_parser::der_parser::asn1_rs::{Any, Tag};
use x509_parser::oid_registry as oids;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::assemble::Foreign;
use super::subject::Subject;

/// What the common name of every issuer of ours begins with, normalised.
const OURS: &str = "sealock ";
/// `ub-organization-name`: of a longer trust domain the name of an issuer has so much.
const LONGEST_ORGANIZATION: usize = 64;
/// No more of a common name is shown.
const LONGEST_SHOWN: usize = 200;

/// Whether a name (DER) is one that issuers of this trust domain have, whatever their number: `O=<trust domain>` and a `CN`
/// that begins with `Sealock `. Compared as text, as the most lenient verifier would: case, spaces and the kind of string
/// do not count.
pub(super) fn is_own_name(name: &[u8], trust_domain: &TrustDomain) -> bool {
    let Ok((_, name)) = X509Name::from_der(name) else { return false };
    let organization: String =
        trust_domain.as_str().chars().take(LONGEST_ORGANIZATION).collect::<String>();
    let organization = normalised(&organization);
    let texts = |oid| {
        let all = name.iter_attributes().filter(move |one| *one.attr_type() == oid);
        all.map(|one| normalised(&text(one.attr_value())))
    };
    let common = |text: String| format!("{text} ").starts_with(OURS);
    texts(oids::OID_X509_ORGANIZATION_NAME).any(|text| text == organization)
        && texts(oids::OID_X509_COMMON_NAME).any(common)
}

/// The common names of a name (DER), fit to be shown.
pub(super) fn common_names(name: &[u8]) -> Vec<String> {
    let Ok((_, name)) = X509Name::from_der(name) else { return Vec::new() };
    let all = name.iter_attributes().filter(|one| *one.attr_type() == oids::OID_X509_COMMON_NAME);
    let shown = |text: String| {
        let short = text.chars().take(LONGEST_SHOWN);
        short.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    };
    all.map(|one| shown(text(one.attr_value()))).collect()
}

/// A string of a name, whatever kind it is of.
fn text(value: &Any<'_>) -> String {
    let wide = |bytes: &[u8], of: usize| -> String {
        let units = bytes
            .chunks(of)
            .map(|unit| unit.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte)));
        units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match value.tag() {
        Tag::BmpString => wide(value.data, 2),
        Tag::UniversalString => wide(value.data, 4),
        Tag::T61String => value.data.iter().copied().map(char::from).collect(),
        _ => String::from_utf8_lossy(value.data).into_owned(),
    }
}

/// Small letters, one space between words, nothing that is not seen.
fn normalised(text: &str) -> String {
    let unseen = |c: char| {
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
            || (c.is_control() && !c.is_whitespace())
    };
    let seen: String = text.chars().filter(|c| !unseen(*c)).flat_map(char::to_lowercase).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Those of `roots` that are above `chain` (leaf first): none where the signatures of the chain do not hold up to one of
/// them. A root is above it that has signed its topmost certificate, or is that one. While a root is rotated there are
/// two of one subject, and without the old one's key nothing binds them but that: so of a root that is above, those with
/// the same subject are too, which no root of others can have ([`super::AnchorError::Own`]). Lives are not looked at.
pub fn roots_above<C: AsRef<[u8]>>(chain: &[C], roots: Vec<C>) -> Vec<C> {
    let Some(chain) = read_chain(chain) else { return Vec::new() };
    let Some(top) = chain.last() else { return Vec::new() };
    let read: Vec<(C, Foreign)> = roots
        .into_iter()
        .filter_map(|root| Foreign::read(root.as_ref()).ok().map(|read| (root, read)))
        .filter(|(_, read)| signs(read))
        .collect();
    let above = |root: &Foreign| top.is_same_authority(root) || is_below(top, root);
    let subjects: Vec<Vec<u8>> =
        read.iter().filter(|(_, it)| above(it)).map(|(_, it)| it.subject.clone()).collect();
    read.into_iter()
        .filter(|(_, it)| subjects.contains(&it.subject))
        .map(|(root, _)| root)
        .collect()
}

/// Whether a root (DER) has the name of one of this trust domain's own.
pub fn is_own_root(root: &[u8], trust_domain: &TrustDomain) -> bool {
    Foreign::read(root).is_ok_and(|root| is_own_name(&root.subject, trust_domain))
}

/// Whether a subject is one that issuers of this trust domain have.
pub(crate) fn is_own_subject(subject: &Subject, trust_domain: &TrustDomain) -> bool {
    is_own_name(&subject.to_der(), trust_domain)
}

/// A chain, where each certificate is signed by the next.
fn read_chain<C: AsRef<[u8]>>(chain: &[C]) -> Option<Vec<Foreign>> {
    if chain.len() > super::MOST_CERTIFICATES {
        return None;
    }
    let read = chain.iter().map(|der| Foreign::read(der.as_ref()).ok());
    let read = read.collect::<Option<Vec<_>>>()?;
    let mut pairs = read.iter().zip(read.iter().skip(1));
    pairs.all(|(one, issuer)| signs(issuer) && is_below(one, issuer)).then_some(read)
}

fn signs(issuer: &Foreign) -> bool {
    issuer.is_ca && issuer.signs_certificates != Some(false)
}

fn is_below(one: &Foreign, issuer: &Foreign) -> bool {
    one.may_be_issued_by(issuer) && one.is_signed_by(issuer)
}

#[cfg(test)]
mod tests {
    use rcgen::string::{BmpString, PrintableString};
    use rcgen::{DistinguishedName, DnType, DnValue};

    use super::*;
    use crate::imported::testing::{self, authority_parameters, key, leaf_parameters};

    fn named(organization: DnValue, name: DnValue) -> testing::Authority {
        let mut parameters = authority_parameters("x");
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, organization);
        parameters.distinguished_name.push(DnType::CommonName, name);
        testing::root_of(parameters, key())
    }

    #[test]
    fn issuers_of_ours_are_known_by_name_however_it_is_written() {
        let ours = |organization: DnValue, name: DnValue| {
            let trust_domain = "corp.example".parse().unwrap();
            is_own_root(&named(organization, name).der, &trust_domain)
        };
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        for name in [
            "Sealock Root CA",
            "Sealock Issuing CA 1",
            "Sealock Issuing CA 4711",
            "SEALOCK issuing ca 1",
            "  Sealock \u{200b}  Issuing CA 1 ",
            "Sealock",
        ] {
            assert!(ours(utf8("corp.example"), utf8(name)), "{name}");
        }
        assert!(ours(utf8(" CORP.example "), utf8("Sealock Issuing CA 1")));
        let printable = PrintableString::try_from("Sealock Issuing CA 1").unwrap();
        assert!(ours(utf8("corp.example"), DnValue::PrintableString(printable)));
        let wide = BmpString::try_from("Sealock Issuing CA 1").unwrap();
        assert!(ours(utf8("corp.example"), DnValue::BmpString(wide)));
        for (organization, name) in [
            ("corp.example", "Root CA"),
            ("corp.example", "Sealocker Root"),
            ("other.example", "Sealock Root CA"),
        ] {
            assert!(!ours(utf8(organization), utf8(name)), "{organization} {name}");
        }
    }

    #[test]
    fn of_a_bundle_only_roots_count_that_have_signed_what_is_topmost() {
        // Roots of one authority have one subject, whichever of them is the newest.
        let (old, new) = (testing::root("Ours"), testing::root("Ours"));
        let issuing = new.below("Issuing");
        let leaf = issuing.sign(&leaf_parameters(), &key());
        let chain = [leaf.clone(), issuing.der.clone()];
        // A root with the name of our intermediate, which stands in the leaf as its issuer.
        let (false_issuing, corporate) = (testing::root("Issuing"), testing::root("Corp Root"));
        let strangers = vec![false_issuing.der.clone(), corporate.der.clone()];
        let ours = vec![new.der.clone(), old.der.clone()];
        assert_eq!(roots_above(&chain, [ours.clone(), strangers.clone()].concat()), ours);
        assert_eq!(roots_above(&chain, strangers), Vec::<Vec<u8>>::new());
        // The subject alone does not make a root one of ours.
        assert_eq!(roots_above(&chain, vec![old.der.clone()]), Vec::<Vec<u8>>::new());
        // The new root certified by the old one, which is all that the old one has signed of it.
        let bridge = old.certify(authority_parameters("Ours"), testing::same(&new.key));
        let bridged = [leaf.clone(), issuing.der.clone(), bridge.der];
        assert_eq!(roots_above(&bridged, vec![old.der.clone()]), vec![old.der.clone()]);
        assert_eq!(roots_above(&bridged, ours.clone()), ours);
        // What is in between must have been signed, too.
        let forged = testing::root("Ours").below("Issuing");
        let broken = [leaf, forged.der];
        assert_eq!(roots_above(&broken, ours), Vec::<Vec<u8>>::new());
    }
}
