//! Certificates that break one rule each: none is signed. And what is signed has been looked at.

use sealock_core::{SubjectName, Timestamp};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};

use super::*;
use crate::certificate::Validity;
use crate::key::{AuthorityKey, KeyType, NewKey, PublicKey};
use crate::make;
use crate::order::Usages;
use crate::serial::Serial;

mod edited;

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

fn intended(parameters: &CertificateParams) -> Intended {
    let moment = |it: time::OffsetDateTime| Timestamp::from_secs(it.unix_timestamp());
    let names = parameters.subject_alt_names.iter().filter_map(|name| match name {
        SanType::DnsName(name) => SubjectName::dns(name.as_str()).ok(),
        SanType::Rfc822Name(name) => SubjectName::email(name.as_str()).ok(),
        _ => None,
    });
    let serial = parameters.serial_number.as_ref().unwrap();
    Intended {
        purpose: Purpose::Leaf(Usages::SERVER),
        serial: Serial::from_integer(&serial.to_bytes()).unwrap_or_else(|| "0a".parse().unwrap()),
        validity: Validity {
            not_before: moment(parameters.not_before),
            not_after: moment(parameters.not_after),
        },
        names: names.collect(),
    }
}

fn signed(change: impl FnOnce(&mut CertificateParams)) -> Result<(), LintError> {
    meant_and_signed(KeyType::P256, |parameters| {
        change(parameters);
        intended(parameters)
    })
}

fn meant_and_signed(
    key_type: KeyType,
    change: impl FnOnce(&mut CertificateParams) -> Intended,
) -> Result<(), LintError> {
    let public = NewKey::generate(key_type).unwrap().public;
    let mut parameters = good(&public);
    let intended = change(&mut parameters);
    // Its own certificate is signed before this one is announced.
    let issuer = issuer();
    let outcome = meant(intended, || parameters.signed_by(&public, &issuer));
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
    let parameters = good(&key.public);
    assert!(meant(intended(&parameters), || parameters.self_signed(&own)).is_err());
    assert!(taken().unwrap().rule.contains("key of its issuer"));
}

#[test]
fn rubbish_is_not_signed() {
    for bytes in [&b""[..], b"\x30\x00", b"rubbish"] {
        assert!(before_signing(bytes, &[0; 20], None).is_err());
    }
}

/// A leaf of this kind that is as it should be, but for what `change` does to it.
fn of_profile(
    key_type: KeyType,
    usages: Usages,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<(), LintError> {
    meant_and_signed(key_type, |it| {
        let purposes = [
            (usages.server, ExtendedKeyUsagePurpose::ServerAuth),
            (usages.client, ExtendedKeyUsagePurpose::ClientAuth),
            (usages.code, ExtendedKeyUsagePurpose::CodeSigning),
            (usages.email, ExtendedKeyUsagePurpose::EmailProtection),
        ];
        let purposes = purposes.into_iter().filter(|(is, _)| *is).map(|(_, it)| it);
        it.extended_key_usages = purposes.collect();
        if usages.email {
            let address = SanType::Rfc822Name("jo@corp.example".try_into().unwrap());
            it.subject_alt_names = vec![address];
        }
        change(it);
        Intended { purpose: Purpose::Leaf(usages), ..intended(it) }
    })
}

fn refused(
    key_type: KeyType,
    usages: Usages,
    wanted: &str,
    change: impl FnOnce(&mut CertificateParams),
) {
    let found = of_profile(key_type, usages, change).unwrap_err();
    assert!(found.rule.contains(wanted), "{usages:?}: {found}, not {wanted}");
}

#[test]
fn each_profile_has_just_its_purposes() {
    use ExtendedKeyUsagePurpose as E;
    let all = [Usages::SERVER, Usages::CLIENT, Usages::BOTH, Usages::CODE, Usages::EMAIL];
    for usages in all {
        assert_eq!(of_profile(KeyType::P256, usages, |_| {}), Ok(()), "{usages:?}");
        for more in [E::ServerAuth, E::ClientAuth, E::CodeSigning, E::EmailProtection] {
            let of_it = [usages.server, usages.client, usages.code, usages.email];
            let kinds = [E::ServerAuth, E::ClientAuth, E::CodeSigning, E::EmailProtection];
            if kinds.iter().zip(of_it).any(|(kind, is)| is && *kind == more) {
                continue;
            }
            refused(KeyType::P256, usages, "just those", |it| it.extended_key_usages.push(more));
        }
        for more in [E::OcspSigning, E::TimeStamping, E::Other(vec![1, 2, 3])] {
            refused(KeyType::P256, usages, "just those", |it| it.extended_key_usages.push(more));
        }
        refused(KeyType::P256, usages, "just those", |it| {
            it.extended_key_usages = vec![E::OcspSigning];
        });
        refused(KeyType::P256, usages, "CA bit", |it| {
            it.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            it.key_usages.extend([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
        });
    }
    for mixed in [
        Usages { code: true, ..Usages::SERVER },
        Usages { email: true, ..Usages::SERVER },
        Usages { email: true, ..Usages::CODE },
    ] {
        refused(KeyType::P256, mixed, "no certificate is for", |_| {});
    }
}

#[test]
fn key_usage_fits_the_key_and_what_it_is_for() {
    use KeyUsagePurpose as K;
    let wrong = "does not fit";
    for (kind, usages, more, fits) in [
        (KeyType::Rsa3072, Usages::SERVER, K::KeyEncipherment, true),
        (KeyType::Rsa3072, Usages::EMAIL, K::KeyEncipherment, true),
        (KeyType::Rsa3072, Usages::CODE, K::KeyEncipherment, false),
        (KeyType::Rsa3072, Usages::CLIENT, K::KeyEncipherment, false),
        (KeyType::Rsa3072, Usages::EMAIL, K::KeyAgreement, false),
        (KeyType::P256, Usages::EMAIL, K::KeyAgreement, true),
        (KeyType::P384, Usages::SERVER, K::KeyAgreement, false),
        (KeyType::P256, Usages::CODE, K::KeyAgreement, false),
        (KeyType::Ed25519, Usages::EMAIL, K::KeyAgreement, false),
    ] {
        match fits {
            true => assert_eq!(of_profile(kind, usages, |it| it.key_usages.push(more)), Ok(())),
            false => refused(kind, usages, wrong, |it| it.key_usages.push(more)),
        }
    }
    for more in [K::ContentCommitment, K::DataEncipherment] {
        let all = [KeyType::P256, KeyType::Rsa3072];
        let more = |it: &mut CertificateParams| it.key_usages.push(more);
        assert!(all.into_iter().all(|kind| of_profile(kind, Usages::EMAIL, more).is_err()));
    }
    refused(KeyType::Rsa3072, Usages::SERVER, "may not sign", |it| {
        it.key_usages = vec![K::KeyEncipherment];
    });
}

#[test]
fn each_profile_has_the_names_that_it_needs() {
    let address = || vec![SanType::Rfc822Name("jo@corp.example".try_into().unwrap())];
    refused(KeyType::P256, Usages::SERVER, "can be reached", |it| it.subject_alt_names = address());
    refused(KeyType::P256, Usages::EMAIL, "has no address", |it| {
        it.subject_alt_names = vec![SanType::DnsName("corp.example".try_into().unwrap())];
    });
    refused(KeyType::P256, Usages::CODE, "has no subject", |it| {
        it.distinguished_name = DistinguishedName::new();
    });
}

#[test]
fn nothing_is_signed_but_what_was_announced() {
    let public = NewKey::generate(KeyType::P256).unwrap().public;
    let issuer = issuer();
    assert!(good(&public).signed_by(&public, &issuer).is_err());
    assert!(taken().unwrap().rule.contains("nobody has said"));

    // One announcement is good for one signature.
    let parameters = good(&public);
    let twice = meant(intended(&parameters), || {
        let first = parameters.signed_by(&public, &issuer).is_ok();
        (first, parameters.signed_by(&public, &issuer).is_ok())
    });
    assert_eq!(twice, (true, false));
    assert!(taken().is_some());

    let otherwise = |change: fn(&mut Intended)| {
        let outcome = meant_and_signed(KeyType::P256, |it| {
            let mut intended = intended(it);
            change(&mut intended);
            intended
        });
        outcome.unwrap_err().rule
    };
    assert!(otherwise(|it| it.serial = "0b".parse().unwrap()).contains("that was drawn"));
    let later = |it: &mut Intended| {
        it.validity.not_after = Timestamp::from_secs(it.validity.not_after.as_secs() - 1);
    };
    assert!(otherwise(later).contains("as long as was ordered"));
    let other = |it: &mut Intended| it.names.push(SubjectName::dns("db.corp.example").unwrap());
    assert!(otherwise(other).contains("not those that were ordered"));
    assert!(otherwise(|it| it.names.clear()).contains("not those that were ordered"));
    for purpose in [Purpose::Authority, Purpose::Signer, Purpose::Responder] {
        let outcome = meant_and_signed(KeyType::P256, |it| Intended { purpose, ..intended(it) });
        assert!(outcome.is_err(), "{purpose:?}");
    }
}

#[test]
fn a_responder_says_how_its_revocation_is_told() {
    let responder = |no_check: bool, usage: KeyUsagePurpose| {
        meant_and_signed(KeyType::P256, |it| {
            it.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
            it.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
            if no_check {
                let oid = [1, 3, 6, 1, 5, 5, 7, 48, 1, 5];
                it.custom_extensions.push(CustomExtension::from_oid_content(&oid, vec![5, 0]));
            }
            Intended { purpose: Purpose::Responder, ..intended(it) }
        })
    };
    let signs = || KeyUsagePurpose::DigitalSignature;
    assert_eq!(responder(true, signs()), Ok(()));
    assert!(responder(false, signs()).unwrap_err().rule.contains("revocation is told"));
    let agrees = responder(true, KeyUsagePurpose::KeyAgreement).unwrap_err();
    assert!(agrees.rule.contains("something else than signatures"));
}
