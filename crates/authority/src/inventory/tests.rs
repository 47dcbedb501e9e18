use std::time::Duration;

use sealock_core::{SubjectName, Timestamp};

use super::keys::{self, Expiring, Part, Place};
use super::*;
use crate::certificate::{self, LeafPlan};
use crate::key::{KeyType, NewKey, PublicKeyKind};
use crate::make;
use crate::order::Usages;
use crate::serial::Serial;

fn note() -> Note {
    Note {
        name: "web".into(),
        by: "uid:0".into(),
        issuer_number: 7,
        under: None,
        replaces: Some("1".parse().unwrap()),
        replaced_by: None,
        revoked: Some(Revocation {
            at: Timestamp::from_millis(1_700_000_000_123),
            reason: Reason::KeyCompromise,
        }),
        profile: Some("vpn".into()),
    }
}

/// An entry as issuing makes it, and its certificate.
fn entry() -> (Entry, Vec<u8>) {
    let domain = "corp.example".parse().unwrap();
    let issued = Timestamp::from_millis(1_700_000_000_123);
    let root = make::root(&domain, (KeyType::P256, &make::Home::Store), 1, issued, None).unwrap();
    let public = NewKey::generate(KeyType::Ed25519).unwrap().public;
    let identity = "spiffe://corp.example/service/web".to_owned();
    let names = vec![
        SubjectName::Uri(identity.clone()),
        SubjectName::dns("*.web.example").unwrap(),
        SubjectName::ip("::1").unwrap(),
        SubjectName::email("a@b.example").unwrap(),
    ];
    let plan = LeafPlan {
        serial: "00ff".parse().unwrap(),
        validity: make::validity(issued, Duration::from_secs(3600), None),
        common_name: Some("web"),
        names: &names,
        usages: Usages::CLIENT,
        public: &public,
        urls: &crate::publication::Urls::default(),
    };
    let der = certificate::leaf(&plan, &root.issuer().unwrap()).unwrap();
    let serial = plan.serial;
    let entry = Entry {
        serial,
        issuer: root.record.id,
        issued,
        not_before: Timestamp::from_secs(1_699_999_940),
        not_after: Timestamp::from_secs(1_700_003_600),
        identity: Some(identity.parse().unwrap()),
        names,
        common_name: Some("web".to_owned()),
        usages: Usages::CLIENT,
        key: PublicKeyKind::Ed25519,
        note: note(),
    };
    (entry, der)
}

#[test]
fn entries_read_back() {
    let (entry, der) = entry();
    let written = entry.note.to_bytes(&der).unwrap();
    assert_eq!(Entry::read(entry.place(), &written), Some((entry.clone(), &der[..])));
    for end in 0..written.len() {
        assert_eq!(Entry::read(entry.place(), &written[..end]), None, "cut at {end}");
    }
    let elsewhere = Place { serial: "0100".parse().unwrap(), ..entry.place() };
    assert_eq!(Entry::read(elsewhere, &written), None);
}

#[test]
fn what_was_written_before_there_were_profiles_is_read() {
    let (entry, der) = entry();
    let old = br#"{"name":"web","by":"uid:0","issuer":7}"#;
    let written = [&u32::try_from(old.len()).unwrap().to_be_bytes(), &old[..], &der].concat();
    let (read, rest) = Entry::read(entry.place(), &written).unwrap();
    assert_eq!(rest, der);
    assert_eq!((read.note.name.as_str(), read.note.profile.as_deref()), ("web", None));
    // What it was ordered for its certificate says.
    assert_eq!(super::list::summarise(read.clone(), entry.issued).profile, "client");
    // Whoever named no profile writes the same as ever.
    let again = read.note.to_bytes(&der).unwrap();
    assert_eq!(again, written);
}

#[test]
fn the_life_ordered_survives_rounding() {
    assert_eq!(entry().0.ttl().as_secs(), 3600);
}

#[test]
fn keys_sort_by_time_and_read_back() {
    let serial: Serial = "ff".parse().unwrap();
    let early = Timestamp::from_millis(255);
    let late = Timestamp::from_millis(256);
    let expiry = |moment| keys::expiry(Part::Current, moment, serial);
    assert!(expiry(early) < expiry(late));
    assert!(!keys::expiry(Part::Superseded, late, serial).starts_with(&Part::Current.prefix()));
    let place = Place { issued: late, serial };
    assert!(keys::main(Place { issued: early, serial }) < keys::main(place));
    for key in [keys::main(place), expiry(late), keys::name("a", place)] {
        assert_eq!(keys::tail(&key), Some((late, serial)));
    }
    assert_eq!(keys::tail(b"short"), None);
    // A name is not the beginning of another.
    assert!(!keys::name("ab", place).starts_with(&keys::names("a")));
    assert!(keys::name("a/web", place).starts_with(&keys::names_in("a")));
    for elsewhere in ["a", "ab/web", "b/a/web"] {
        assert!(!keys::name(elsewhere, place).starts_with(&keys::names_in("a")), "{elsewhere}");
    }
}

#[test]
fn index_values_read_back() {
    let index = Expiring { issuer: 515, issued: Timestamp::from_millis(77) };
    assert_eq!(Expiring::from_bytes(&index.to_bytes()), Some(index));
    assert_eq!(Expiring::from_bytes(b""), None);
    for reason in Reason::ALL {
        let moment = Timestamp::from_millis(1234);
        let value = keys::revocation(moment, reason);
        assert_eq!(keys::read_revocation(&value), Some((moment, reason)));
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
    assert_eq!("keyCompromise".parse(), Ok(Reason::KeyCompromise));
    assert!("certificateHold".parse::<Reason>().is_err());
    assert_eq!(keys::read_revocation(&[0, 0, 0, 0, 0, 0, 0, 1, 6]), None);
}
