//! Certificates that break one rule each: none is signed. And what is signed has been looked at.

use sealock_core::Timestamp;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};

use super::*;
use crate::key::{AuthorityKey, KeyType, NewKey, PublicKey};
use crate::make;

const DOMAIN: &str = "corp.example";

fn issuer() -> Issuer<'static, AuthorityKey> {
    let now = Timestamp::from_secs(1_800_000_000);
    let key = (KeyType::P256, &make::Home::Store);
    make::root(&DOMAIN.parse().unwrap(), key, 1, now, None).unwrap().issuer().unwrap()
}

fn day(seconds: i64) -> time::OffsetDateTime {
    Timestamp::from_secs(seconds).to_offset()
}

fn good(public: &PublicKey) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.serial_number = Some(SerialNumber::from_slice(&[1, 2, 3]));
    parameters.not_before = day(1_799_971_200);
    parameters.not_after = day(1_802_649_600);
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "web.corp.example");
    parameters.subject_alt_names = vec![SanType::DnsName("web.corp.example".try_into().unwrap())];
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_identifier_method = KeyIdMethod::PreSpecified(public.identifier().to_vec());
    parameters
}

fn signed(change: impl FnOnce(&mut CertificateParams)) -> Result<(), LintError> {
    let public = NewKey::generate(KeyType::P256).unwrap().public;
    let mut parameters = good(&public);
    change(&mut parameters);
    let outcome = parameters.signed_by(&public, &issuer());
    match (outcome, taken()) {
        (Ok(_), None) => Ok(()),
        (Err(_), Some(found)) => Err(found),
        (outcome, found) => panic!("{:?}, but {found:?}", outcome.map(|_| ())),
    }
}

#[test]
fn what_is_good_is_signed() {
    assert_eq!(signed(|_| {}), Ok(()));
    // In 2050 times change their form.
    let far = day(2_556_144_000);
    assert_eq!(signed(|it| it.not_after = far), Ok(()));
    // Without a subject the names are critical.
    assert_eq!(signed(|it| it.distinguished_name = DistinguishedName::new()), Ok(()));
}

#[test]
fn each_rule_keeps_one_from_being_signed() {
    type Change = fn(&mut CertificateParams);
    let cases: [(&str, Change); 20] = [
        ("not positive", |it| it.serial_number = Some(SerialNumber::from_slice(&[0]))),
        ("more than 20 octets", |it| it.serial_number = Some(SerialNumber::from_slice(&[1; 21]))),
        ("ends before it begins", |it| it.not_after = it.not_before),
        ("empty or too long", |it| it.distinguished_name.push(DnType::CommonName, "a".repeat(65))),
        ("empty or too long", |it| it.distinguished_name.push(DnType::CommonName, "")),
        ("control characters", |it| it.distinguished_name.push(DnType::CommonName, "a\nb")),
        ("an old encoding", |it| {
            let value = DnValue::TeletexString("web".try_into().unwrap());
            it.distinguished_name.push(DnType::CommonName, value);
        }),
        ("not that of its key", |it| {
            it.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20])
        }),
        ("identifier is missing", |it| it.use_authority_key_identifier_extension = false),
        ("cannot encipher", |it| it.key_usages.push(KeyUsagePurpose::KeyEncipherment)),
        ("does not say what its key is for", |it| it.key_usages = Vec::new()),
        ("does not say whether it is a CA's", |it| {
            it.is_ca = IsCa::NoCa;
            // rcgen leaves this out as well then.
            let KeyIdMethod::PreSpecified(own) = &it.key_identifier_method else { panic!() };
            let content = [&[4, 20], own.as_slice()].concat();
            it.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 14], content));
        }),
        ("a CA may not sign", |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ("a leaf may sign", |it| it.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        ("no purpose", |it| it.extended_key_usages = Vec::new()),
        ("any purpose", |it| it.extended_key_usages.push(ExtendedKeyUsagePurpose::Any)),
        ("no name at all", |it| {
            it.distinguished_name = DistinguishedName::new();
            it.subject_alt_names = Vec::new();
        }),
        ("not of its kind's form", |it| {
            it.subject_alt_names.push(SanType::DnsName("no name".try_into().unwrap()));
        }),
        ("not of its kind's form", |it| {
            it.subject_alt_names.push(SanType::OtherName((vec![1, 2, 3], "x".into())));
        }),
        ("unknown extension is critical", |it| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(true);
            it.custom_extensions.push(extension);
        }),
    ];
    for (number, (wanted, change)) in cases.into_iter().enumerate() {
        let found = signed(change).unwrap_err();
        assert!(found.rule.contains(wanted), "case {number}: {found}, not {wanted}");
    }
}

#[test]
fn an_extension_is_there_once_and_readable() {
    let twice = signed(|it| {
        let content = vec![0x30, 0];
        it.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], content.clone()));
        it.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], content));
    });
    assert!(twice.unwrap_err().rule.contains("twice"));
    let damaged = signed(|it| {
        let garbage = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], vec![1, 2]);
        it.custom_extensions.push(garbage);
    });
    assert!(damaged.unwrap_err().rule.contains("cannot be read"));
}

#[test]
fn no_leaf_has_the_key_of_its_issuer() {
    let key = NewKey::generate(KeyType::P256).unwrap();
    let own = AuthorityKey::from_pkcs8(&key.pkcs8).unwrap();
    assert!(good(&key.public).self_signed(&own).is_err());
    assert!(taken().unwrap().rule.contains("key of its issuer"));
}

#[test]
fn rubbish_is_not_signed() {
    for bytes in [&b""[..], b"\x30\x00", b"rubbish"] {
        assert!(before_signing(bytes, &[0; 20]).is_err());
    }
}
