//! Rules that no builder can be made to break: the bytes are changed after it.

use rcgen::CustomExtension;
use x509_cert::TbsCertificate as Tbs;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, BitString, GeneralizedTime, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode, Tag as DerTag};
use x509_cert::ext::Extension;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::time::Time;

use super::*;

const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const ALTERNATIVE_NAMES: &str = "2.5.29.17";
const AUTHORITY_KEY: &str = "2.5.29.35";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const EXTENDED_USAGE: &str = "2.5.29.37";
const INFORMATION_ACCESS: &str = "1.3.6.1.5.5.7.1.1";

/// Permits `corp.exa` and what is below it.
const CONSTRAINTS: &[u8] = b"\x30\x0e\xa0\x0c\x30\x0a\x82\x08corp.exa";
/// OCSP at `http://a`.
const ACCESS: &[u8] = b"\x30\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x08http://a";

/// What a certificate is before its bytes are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Leaf,
    Authority,
    Probe,
    Responder,
}

/// A certificate of this kind that is as it should be, changed afterwards, and what is found in it.
fn edited(kind: Kind, change: fn(&mut Tbs)) -> Result<(), LintError> {
    let public = NewKey::generate(KeyType::P256).unwrap().public;
    let mut parameters = good(&public);
    let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let purpose = match kind {
        Kind::Leaf => Purpose::Leaf(Usages::SERVER),
        Kind::Authority => {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            parameters.extended_key_usages = Vec::new();
            parameters.subject_alt_names = Vec::new();
            Purpose::Authority
        }
        Kind::Probe => {
            parameters.extended_key_usages = both;
            parameters.subject_alt_names = Vec::new();
            Purpose::Probe(Usages::BOTH)
        }
        Kind::Responder => {
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            let oid = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
            let no_check = CustomExtension::from_oid_content(&oid, vec![5, 0]);
            parameters.custom_extensions.push(no_check);
            Purpose::Responder
        }
    };
    let issuer = issuer();
    let intended = Intended { purpose, ..intended(&parameters) };
    let signed = meant(intended.clone(), || parameters.signed_by(&public, &issuer)).unwrap();
    let mut tbs = x509_cert::Certificate::from_der(signed.der()).unwrap().tbs_certificate;
    change(&mut tbs);
    // A change of its names is meant, where there is one: here it is the bytes that are looked at.
    let names = if kind == Kind::Probe && has(&tbs, ALTERNATIVE_NAMES) {
        vec![SubjectName::dns("web").unwrap()]
    } else {
        intended.names.clone()
    };
    let intended = Intended { names, ..intended };
    before_signing(&tbs.to_der().unwrap(), &issuer.key().identifier(), Some(&intended))
}

fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

fn has(tbs: &Tbs, id: &str) -> bool {
    tbs.extensions.iter().flatten().any(|one| one.extn_id == oid(id))
}

fn extension<'a>(tbs: &'a mut Tbs, id: &str) -> &'a mut Extension {
    let mut all = tbs.extensions.iter_mut().flatten();
    all.find(|one| one.extn_id == oid(id)).unwrap()
}

fn content(tbs: &mut Tbs, id: &str, content: &[u8]) {
    extension(tbs, id).extn_value = OctetString::new(content).unwrap();
}

fn add(tbs: &mut Tbs, id: &str, critical: bool, content: &[u8]) {
    let extn_value = OctetString::new(content).unwrap();
    let extension = Extension { extn_id: oid(id), critical, extn_value };
    tbs.extensions.as_mut().unwrap().push(extension);
}

#[test]
fn what_is_not_changed_is_good() {
    for kind in [Kind::Leaf, Kind::Authority, Kind::Probe, Kind::Responder] {
        assert_eq!(edited(kind, |_| {}), Ok(()));
    }
    assert_eq!(edited(Kind::Leaf, |it| add(it, INFORMATION_ACCESS, false, ACCESS)), Ok(()));
    assert_eq!(edited(Kind::Authority, |it| add(it, NAME_CONSTRAINTS, true, CONSTRAINTS)), Ok(()));
}

#[test]
fn each_rule_holds_for_the_bytes() {
    type Edit = fn(&mut Tbs);
    let cases: [(Kind, &str, Edit); 23] = [
        (Kind::Leaf, "version is not 3", |it| it.version = x509_cert::Version::V2),
        (Kind::Leaf, "unique identifiers", |it| {
            it.issuer_unique_id = Some(BitString::from_bytes(&[1]).unwrap());
        }),
        (Kind::Leaf, "unique identifiers", |it| {
            it.subject_unique_id = Some(BitString::from_bytes(&[1]).unwrap());
        }),
        (Kind::Leaf, "time is of the wrong form", |it| {
            let end = it.validity.not_after.to_unix_duration();
            it.validity.not_after =
                Time::GeneralTime(GeneralizedTime::from_unix_duration(end).unwrap());
        }),
        (Kind::Leaf, "issuer has no name", |it| it.issuer = RdnSequence::default()),
        (Kind::Leaf, "not UTF-8", |it| {
            let value = Any::new(DerTag::Utf8String, [0xff]).unwrap();
            let one = AttributeTypeAndValue { oid: oid("2.5.4.3"), value };
            let one = RelativeDistinguishedName(vec![one].try_into().unwrap());
            it.subject = RdnSequence(vec![one]);
        }),
        (Kind::Leaf, "authority's key identifier is critical", |it| {
            extension(it, AUTHORITY_KEY).critical = true;
        }),
        (Kind::Leaf, "information access is critical", |it| {
            add(it, INFORMATION_ACCESS, true, ACCESS);
        }),
        (Kind::Leaf, "not that of the key that signs", |it| {
            content(it, AUTHORITY_KEY, &[&[0x30, 0x16, 0x80, 0x14][..], &[9; 20]].concat());
        }),
        (Kind::Leaf, "key usage is not critical", |it| extension(it, KEY_USAGE).critical = false),
        (Kind::Leaf, "a leaf has a path length", |it| {
            content(it, BASIC_CONSTRAINTS, &[0x30, 3, 2, 1, 0]);
        }),
        (Kind::Leaf, "a leaf has name constraints", |it| {
            add(it, NAME_CONSTRAINTS, true, CONSTRAINTS);
        }),
        (Kind::Leaf, "critical without need", |it| {
            extension(it, ALTERNATIVE_NAMES).critical = true;
        }),
        (Kind::Leaf, "not although the subject is empty", |it| {
            it.subject = RdnSequence::default();
        }),
        (Kind::Leaf, "list of names is empty", |it| content(it, ALTERNATIVE_NAMES, &[0x30, 0])),
        (Kind::Leaf, "for more than signatures", |it| {
            // digitalSignature, nonRepudiation
            content(it, KEY_USAGE, &[3, 2, 6, 0xc0]);
        }),
        (Kind::Responder, "for more than signatures", |it| {
            content(it, KEY_USAGE, &[3, 2, 6, 0xc0]);
        }),
        (Kind::Authority, "constraints of a CA are not critical", |it| {
            extension(it, BASIC_CONSTRAINTS).critical = false;
        }),
        (Kind::Authority, "a CA has no name", |it| it.subject = RdnSequence::default()),
        (Kind::Authority, "name constraints are not critical", |it| {
            add(it, NAME_CONSTRAINTS, false, CONSTRAINTS);
        }),
        (Kind::Authority, "path length has no bound", |it| {
            content(it, BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0xff]);
        }),
        (Kind::Authority, "has extended purposes", |it| {
            // serverAuth
            let purpose = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
            add(it, EXTENDED_USAGE, false, purpose);
        }),
        (Kind::Probe, "shown to a verifier has a name", |it| {
            add(it, ALTERNATIVE_NAMES, false, b"\x30\x05\x82\x03web");
        }),
    ];
    for (number, (kind, wanted, change)) in cases.into_iter().enumerate() {
        let found = edited(kind, change).unwrap_err();
        assert!(found.rule.contains(wanted), "case {number}: {found}, not {wanted}");
    }
}
