//! Piles, and what becomes of them.

use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use sealock_core::{Clock, SubjectName, SystemClock, Timestamp};

use super::*;
use crate::imported::testing::{
    Authority, authority_parameters, issuer_url, key, leaf_parameters, permitted, root, root_of,
    same,
};

/// 2027-01-01.
const NOW: Timestamp = Timestamp::from_secs(1_798_761_600);

struct World {
    root: Authority,
    intermediate: Authority,
    key: KeyPair,
}

impl World {
    fn new() -> Self {
        let root = root("Root");
        Self { intermediate: root.below("Issuing"), root, key: key() }
    }

    fn leaf(&self) -> Vec<u8> {
        self.intermediate.sign(&leaf_parameters(), &self.key)
    }

    fn leaf_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut parameters = leaf_parameters();
        change(&mut parameters);
        self.intermediate.sign(&parameters, &self.key)
    }

    fn try_pile(&self, pile: &[Vec<u8>]) -> Result<Assembled, ImportError> {
        self.try_with(pile, std::slice::from_ref(&self.root.der), |_| {})
    }

    fn try_with(
        &self,
        pile: &[Vec<u8>],
        anchors: &[Vec<u8>],
        change: impl FnOnce(&mut Expected<'_>),
    ) -> Result<Assembled, ImportError> {
        self.try_at(NOW, pile, anchors, change)
    }

    fn try_at(
        &self,
        now: Timestamp,
        pile: &[Vec<u8>],
        anchors: &[Vec<u8>],
        change: impl FnOnce(&mut Expected<'_>),
    ) -> Result<Assembled, ImportError> {
        let spki = self.key.subject_public_key_info();
        let names = [SubjectName::dns("www.corp.example").unwrap()];
        let mut expected = Expected {
            key: &spki,
            names: Some(&names),
            also: &[],
            any_names: false,
            usages: Usages::BOTH,
        };
        change(&mut expected);
        assemble(pile, anchors, &expected, now)
    }
}

fn subjects(found: &Assembled) -> Vec<&str> {
    let between = found.intermediates.iter().map(|one| one.subject_text.as_str());
    let all = std::iter::once(found.leaf.subject_text.as_str()).chain(between);
    all.chain([found.root.subject_text.as_str()]).collect()
}

#[test]
fn any_order_and_any_mix_makes_the_same_chain() {
    let world = World::new();
    let stranger = root("Other");
    let old = world.root.sign(&leaf_parameters(), &key());
    let pile =
        [world.leaf(), world.intermediate.der.clone(), world.root.der.clone(), stranger.der, old];
    for turn in 0..pile.len() {
        let mut turned = pile.to_vec();
        turned.rotate_left(turn);
        turned.push(pile[0].clone());
        let found = world.try_pile(&turned).unwrap();
        assert_eq!(
            subjects(&found),
            ["O=Corp, CN=www.corp.example", "O=Corp, CN=Issuing", "O=Corp, CN=Root"]
        );
        assert_eq!(found.ders(), [&pile[0][..], &pile[1][..], &pile[2][..]]);
    }
    // The root need not be sent, and need not be above an intermediate.
    assert!(world.try_pile(&pile[..2]).is_ok());
    let direct = world.root.sign(&leaf_parameters(), &world.key);
    assert!(world.try_pile(&[direct]).unwrap().intermediates.is_empty());
    // An intermediate that somebody trusts by itself ends the chain.
    let found = world.try_with(&pile[..1], &[pile[1].clone()], |_| {}).unwrap();
    assert_eq!(subjects(&found)[1], "O=Corp, CN=Issuing");
}

#[test]
fn of_several_leaves_for_the_key_the_one_that_ends_last_is_taken_in_any_order() {
    let world = World::new();
    let (long, short) =
        (world.leaf(), world.leaf_with(|it| it.not_after = date_time_ymd(2027, 1, 5)));
    // Made later, and nevertheless the worse one.
    let newer = world.leaf_with(|it| {
        it.not_before = date_time_ymd(2026, 12, 31);
        it.not_after = date_time_ymd(2027, 1, 5);
    });
    for (first, second) in [(&long, &short), (&short, &long), (&newer, &long), (&long, &newer)] {
        let pile = [first.clone(), second.clone(), world.intermediate.der.clone()];
        assert_eq!(world.try_pile(&pile).unwrap().leaf.der, long);
    }
    // What ends last and does not hold is in nobody's way.
    let other = world.leaf_with(|it| {
        it.not_after = date_time_ymd(2030, 1, 1);
        it.subject_alt_names.clear();
    });
    let pile = [other, short.clone(), world.intermediate.der.clone()];
    assert_eq!(world.try_pile(&pile).unwrap().leaf.der, short);
}

#[test]
fn of_several_leaves_for_the_key_one_that_is_valid_is_taken() {
    let world = World::new();
    let (now, next_year) =
        (world.leaf(), world.leaf_with(|it| it.not_before = date_time_ymd(2027, 6, 1)));
    let old = world.leaf_with(|it| it.not_before = date_time_ymd(2025, 1, 1));
    let pile = [old, now.clone(), next_year, world.intermediate.der.clone()];
    assert_eq!(world.try_pile(&pile).unwrap().leaf.der, now);
}

#[test]
fn of_cross_signed_cas_the_shortest_way_to_a_known_root_is_taken() {
    let world = World::new();
    let other = root("New Root");
    // Root certified by another root: the way through it is longer.
    let bridge = other.certify(authority_parameters("Root"), same(&world.root.key));
    let pile = [world.leaf(), bridge.der.clone(), world.intermediate.der.clone()];
    let both = [other.der.clone(), world.root.der.clone()];
    let found = world.try_with(&pile, &both, |_| {}).unwrap();
    assert_eq!(found.intermediates.len(), 1);
    // What was added counts, not the other certificate for the same name and key that came along.
    assert_eq!(found.root.der, world.root.der);
    // Where only the other root is known, it is the way there is.
    let found = world.try_with(&pile, std::slice::from_ref(&other.der), |_| {}).unwrap();
    assert_eq!(
        subjects(&found)[1..],
        ["O=Corp, CN=Issuing", "O=Corp, CN=Root", "O=Corp, CN=New Root"]
    );
    // A shorter way that does not hold is passed over.
    let mut expired = authority_parameters("Issuing");
    expired.not_after = date_time_ymd(2026, 6, 1);
    let expired = other.certify(expired, same(&world.intermediate.key));
    let pile = [world.leaf(), expired.der, world.intermediate.der.clone(), bridge.der];
    let found = world.try_with(&pile, std::slice::from_ref(&other.der), |_| {}).unwrap();
    assert_eq!(found.intermediates.len(), 2);
}

#[test]
fn the_leaf_must_be_for_the_key_and_as_asked_for() {
    let world = World::new();
    let intermediate = world.intermediate.der.clone();
    let tried = |leaf: Vec<u8>| world.try_pile(&[leaf, intermediate.clone()]).unwrap_err();
    let other = world.intermediate.sign(&leaf_parameters(), &key());
    let error = tried(other);
    assert!(
        matches!(&error, ImportError::OtherKey { found } if found[0] == "O=Corp, CN=www.corp.example")
    );
    let add = |name: &str| rcgen::SanType::DnsName(name.try_into().unwrap());
    let more = world.leaf_with(|it| it.subject_alt_names.push(add("evil.example")));
    assert_eq!(tried(more.clone()), ImportError::NamesAdded { extra: vec!["evil.example".into()] });
    let pile = [more, intermediate.clone()];
    let anchors = [world.root.der.clone()];
    let also: &'static [SubjectName] = vec![SubjectName::dns("evil.example").unwrap()].leak();
    assert!(world.try_with(&pile, &anchors, |it| it.any_names = true).is_ok());
    assert!(world.try_with(&pile, &anchors, |it| it.also = also).is_ok());
    let none = world.leaf_with(|it| it.subject_alt_names = vec![add("*.corp.example")]);
    let missing = vec!["www.corp.example".to_owned()];
    assert_eq!(tried(none), ImportError::NamesMissing { missing });
    let early = world.leaf_with(|it| it.not_before = date_time_ymd(2027, 6, 1));
    assert!(
        matches!(tried(early), ImportError::NotYetValid { subject, .. } if subject.contains("www"))
    );
    let late = world.leaf_with(|it| it.not_after = date_time_ymd(2026, 6, 1));
    assert!(matches!(tried(late), ImportError::Expired { subject, .. } if subject.contains("www")));
    let server = world.leaf_with(|it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(matches!(tried(server.clone()), ImportError::Usage { usage: "client", .. }));
    let pile = [server, intermediate.clone()];
    assert!(world.try_with(&pile, &anchors, |it| it.usages = Usages::SERVER).is_ok());
    let any = world.leaf_with(|it| it.extended_key_usages.clear());
    assert!(world.try_pile(&[any, intermediate.clone()]).is_ok());
    let ca = world.leaf_with(|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(matches!(tried(ca), ImportError::LeafIsAuthority { .. }));
}

#[test]
fn issuers_must_be_cas_in_time_and_within_what_those_above_permit() {
    let world = World::new();
    let through = |change: &dyn Fn(&mut CertificateParams)| {
        let mut parameters = authority_parameters("Issuing");
        change(&mut parameters);
        let below = world.root.below_with(parameters);
        let leaf = below.sign(&leaf_parameters(), &world.key);
        world.try_pile(&[leaf, below.der]).unwrap_err()
    };
    let issuing = "O=Corp, CN=Issuing".to_owned();
    let subject = || issuing.clone();
    assert_eq!(
        through(&|it| it.is_ca = IsCa::ExplicitNoCa),
        ImportError::NotAuthority { subject: subject() }
    );
    assert_eq!(
        through(&|it| it.is_ca = IsCa::NoCa),
        ImportError::NotAuthority { subject: subject() }
    );
    assert_eq!(
        through(&|it| it.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        ImportError::NoCertSign { subject: subject() }
    );
    assert!(matches!(
        through(&|it| it.not_before = date_time_ymd(2028, 1, 1)),
        ImportError::NotYetValid { subject, .. } if subject == issuing
    ));
    assert!(matches!(
        through(&|it| it.not_after = date_time_ymd(2026, 6, 1)),
        ImportError::Expired { subject, .. } if subject == issuing
    ));
    assert!(matches!(
        through(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ImportError::Usage { subject, usage: "client" } if subject == issuing
    ));
    let error = through(&|it| it.name_constraints = Some(permitted(&["other.example"])));
    let text = error.to_string();
    assert!(text.contains("www.corp.example") && text.contains("CN=Issuing"), "{text}");
    let url = "http://pki.corp.example/issuing.crt";
    let leaf = world.leaf_with(|it| it.custom_extensions.push(issuer_url(url)));
    let error = world.try_pile(&[leaf]).unwrap_err();
    assert_eq!(
        error,
        ImportError::Missing {
            issuer: issuing.clone(),
            subject: "O=Corp, CN=www.corp.example".into(),
            url: Some(url.into()),
        }
    );
    assert!(error.hint().unwrap().contains(url));
}

#[test]
fn path_lengths_hold_and_self_issued_cas_do_not_count() {
    let world = World::new();
    let mut parameters = authority_parameters("Root");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let short = root_of(parameters.clone(), key());
    let (below, key) = (short.below("Issuing"), &world.key);
    let pile = [below.sign(&leaf_parameters(), key), below.der.clone()];
    let error = world.try_with(&pile, std::slice::from_ref(&short.der), |_| {}).unwrap_err();
    let subject = "O=Corp, CN=Root".to_owned();
    assert_eq!(error, ImportError::PathLength { subject, permitted: 0, found: 1 });
    // A new key of the same CA, certified by its old one.
    let renewed = short.certify(authority_parameters("Root"), self::key());
    let pile = [renewed.sign(&leaf_parameters(), key), renewed.der.clone()];
    assert!(!matches!(
        world.try_with(&pile, std::slice::from_ref(&short.der), |_| {}),
        Err(ImportError::PathLength { .. })
    ));
}

#[test]
fn signatures_are_checked_and_not_only_names() {
    let world = World::new();
    let mut forged = world.leaf();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let error = world.try_pile(&[forged, world.intermediate.der.clone()]).unwrap_err();
    assert_eq!(
        error,
        ImportError::Signature {
            subject: "O=Corp, CN=www.corp.example".into(),
            issuer: "O=Corp, CN=Issuing".into(),
        }
    );
    // The same name with another key: by the key identifier it is another CA.
    let twin = world.root.below("Issuing");
    let error = world.try_pile(&[world.leaf(), twin.der]).unwrap_err();
    assert!(
        matches!(&error, ImportError::OtherIssuerKey { what: "CA", .. } if error.may_be_completed()),
        "{error}"
    );
    // The name of the known root, and somebody else's key: nothing is missing, and nothing is to be trusted.
    let rogue = root("Root").sign(&leaf_parameters(), &world.key);
    let error = world.try_pile(&[rogue]).unwrap_err();
    assert!(matches!(&error, ImportError::OtherIssuerKey { what: "root", .. }), "{error}");
    assert!(error.to_string().contains("another key than that of the root O=Corp, CN=Root"));
}

#[test]
fn an_unknown_root_is_named_with_its_fingerprint() {
    let world = World::new();
    let pile = [world.leaf(), world.intermediate.der.clone(), world.root.der.clone()];
    let error = world.try_with(&pile, &[root("Root").der], |_| {}).unwrap_err();
    let fingerprint = fingerprint(&world.root.der);
    assert_eq!(error, ImportError::UnknownRoot { subject: "O=Corp, CN=Root".into(), fingerprint });
    assert!(error.hint().unwrap().contains("sealock trust add"));
}

#[test]
fn a_loop_is_found_and_ends() {
    let world = World::new();
    let (one, two) = (key(), key());
    let a = root_of(authority_parameters("A"), same(&one));
    let b = root_of(authority_parameters("B"), same(&two));
    let a_by_b = b.certify(authority_parameters("A"), one);
    let b_by_a = a.certify(authority_parameters("B"), two);
    let leaf = a.sign(&leaf_parameters(), &world.key);
    let pile = [leaf, a_by_b.der, b_by_a.der];
    let error = world.try_pile(&pile).unwrap_err();
    assert!(matches!(error, ImportError::Loop { .. }), "{error}");
    // One that certifies itself under another serial, many times: so many ways, and an end.
    let mut pile = pile.to_vec();
    for _ in 0..50 {
        let again = a.certify(authority_parameters("A"), same(&a.key));
        pile.push(again.der);
    }
    let error = world.try_pile(&pile).unwrap_err();
    let ended = matches!(error, ImportError::TooManyWays | ImportError::UnknownRoot { .. });
    assert!(ended, "{error}");
}

#[test]
fn chains_have_an_end_and_piles_too() {
    let world = World::new();
    let mut chain = vec![world.root.below("0")];
    for depth in 1..7 {
        chain.push(chain.last().unwrap().below(&depth.to_string()));
    }
    let ders = |upto: usize| chain[..upto].iter().map(|one| one.der.clone());
    let tried = |upto: usize| {
        let leaf = chain[upto - 1].sign(&leaf_parameters(), &world.key);
        world.try_pile(&ders(upto).chain([leaf]).collect::<Vec<_>>())
    };
    assert_eq!(tried(6).unwrap().ders().len(), 8);
    assert_eq!(tried(7).unwrap_err(), ImportError::TooDeep(8));
    assert_eq!(world.try_pile(&[]).unwrap_err(), ImportError::Empty);
    let error = world.try_pile(&vec![world.leaf(); 65]).unwrap_err();
    assert_eq!(error, ImportError::TooMany(65));
    let error = world.try_pile(&[world.leaf(), b"no certificate".to_vec()]).unwrap_err();
    assert!(matches!(error, ImportError::Unreadable { number: 2, .. }));
}

#[test]
fn weak_algorithms_and_keys_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let output =
            Command::new("openssl").args(arguments).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let world = World::new();
    let (key_file, leaf, ca, ca_key) = (at("key.pem"), at("leaf.der"), at("ca.der"), at("ca.pem"));
    std::fs::write(&key_file, world.key.serialize_pem()).unwrap();
    let make = |bits: &str, digest: &str| {
        openssl(&["genrsa", "-out", &ca_key, bits]);
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &ca_key,
            "-subj",
            "/CN=Old",
            "-days",
            "3650",
            "-outform",
            "DER",
            "-out",
            &ca,
            "-sha256",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ]);
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &key_file,
            "-subj",
            "/CN=www",
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-outform",
            "DER",
            "-out",
            &leaf,
            digest,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=DNS:www.corp.example",
            "-days",
            "365",
        ]);
        let (leaf, ca) = (std::fs::read(&leaf).unwrap(), std::fs::read(&ca).unwrap());
        // openssl's certificates begin now.
        world.try_at(SystemClock.now(), &[leaf], &[ca], |_| {})
    };
    assert!(make("2048", "-sha256").is_ok());
    for digest in ["-sha1", "-md5"] {
        let name = digest.trim_start_matches('-').to_uppercase().replace("SHA1", "SHA-1");
        let error = make("2048", digest).unwrap_err();
        assert!(matches!(&error, ImportError::Weak { why, .. } if why.contains(&name)), "{error}");
    }
    let error = make("1024", "-sha256").unwrap_err();
    let small = "its RSA key has 1024 bits";
    assert!(
        matches!(&error, ImportError::Weak { subject, why } if subject == "CN=Old" && why == small),
        "{error}"
    );
}

#[test]
fn a_weak_signature_is_followed_nowhere() {
    let world = World::new();
    // ECDSA with SHA-256, and with an algorithm that nobody knows.
    let weak = |der: &[u8]| {
        let (strong, weak) = (
            b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
            b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x09",
        );
        let mut changed = der.to_vec();
        for at in 0..changed.len() - strong.len() {
            if changed[at..].starts_with(strong) {
                changed[at..at + weak.len()].copy_from_slice(weak);
            }
        }
        assert_ne!(changed, der);
        changed
    };
    let above = world.root.below("Issuing");
    let pile = [world.leaf(), weak(&world.intermediate.der), world.root.der.clone(), above.der];
    let error = world.try_pile(&pile).unwrap_err();
    assert!(
        matches!(&error, ImportError::Weak { subject, .. } if subject.contains("Issuing")),
        "{error}"
    );
    // An old root that nobody has added is an unknown root first of all.
    let old = weak(&world.root.der);
    let other = root("Other").der;
    let pile = [world.leaf(), world.intermediate.der.clone(), old.clone()];
    let error = world.try_with(&pile, &[other], |_| {}).unwrap_err();
    assert!(matches!(&error, ImportError::UnknownRoot { .. }), "{error}");
    // And one that somebody has added is known by itself.
    assert!(world.try_with(&pile, &[old], |_| {}).is_ok());
}

#[test]
fn of_a_heap_only_what_may_be_in_the_chain_is_taken() {
    let world = World::new();
    let key = world.key.subject_public_key_info();
    let related = [world.leaf(), world.intermediate.der.clone(), world.root.der.clone()];
    let mut heap = vec![b"no certificate".to_vec()];
    heap.extend((0..100).map(|number| root(&format!("Other {number}")).der));
    heap.extend(related.iter().chain(&related).cloned());
    let found = Heap::read(&heap, usize::MAX);
    assert!(found.has_key(&key));
    assert_eq!(found.related(&key), related);
    assert!(!Heap::read(&heap, 50).has_key(&key));
    assert!(world.try_pile(&found.related(&key)).is_ok());
}

#[test]
fn so_many_constraints_are_read_and_few_are_told() {
    let world = World::new();
    let constrained = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("n{number}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut parameters = authority_parameters("Issuing");
        parameters.name_constraints = Some(permitted(&names));
        let issuing = world.root.below_with(parameters);
        let leaf = issuing.sign(&leaf_parameters(), &world.key);
        world.try_pile(&[leaf, issuing.der]).unwrap_err()
    };
    let error = constrained(256).to_string();
    assert!(error.contains("n4.example and 251 more is permitted"), "{error}");
    assert!(error.len() < 500);
    let error = constrained(257);
    assert!(
        matches!(&error, ImportError::Constraints { what, .. } if what.contains("257")),
        "{error}"
    );
}
