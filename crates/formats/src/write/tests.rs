//! What is written, read again. That others read it too is tested with their programs (`it/formats`).

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::tests::{changeit, sample};
use crate::{Format, read};

const WITH_ROOT: bool = true;

/// Key, leaf and root of the corpus.
fn material() -> Material {
    let mut contents = read(&sample("p12-openssl"), Some(&changeit())).unwrap();
    Material {
        key: contents.keys.pop(),
        roots: contents.certificates.split_off(1),
        leaf: contents.certificates.pop(),
        intermediates: Vec::new(),
        alias: "shop".to_owned(),
    }
}

fn pem(key: KeyPlace, order: ChainOrder) -> Target {
    Target::Pem { key, order, with_root: WITH_ROOT }
}

fn pkcs12(protection: Protection) -> Target {
    Target::Pkcs12 { protection, with_root: WITH_ROOT }
}

#[test]
fn what_is_written_is_read_again() {
    let (material, password) = (material(), changeit());
    let (leaf, root) = (material.leaf.clone().unwrap(), material.roots[0].clone());
    let key = material.key.clone().unwrap();
    let both = vec![leaf.clone(), root.clone()];
    for (target, format, certificates, keys) in [
        (pem(KeyPlace::Last, ChainOrder::LeafFirst), Format::Pem, both.clone(), 1),
        (pem(KeyPlace::Absent, ChainOrder::LeafFirst), Format::Pem, both.clone(), 0),
        (
            pem(KeyPlace::First, ChainOrder::RootFirst),
            Format::Pem,
            vec![root.clone(), leaf.clone()],
            1,
        ),
        (Target::Der, Format::Der, vec![leaf.clone()], 0),
        (Target::Pkcs7 { with_root: WITH_ROOT }, Format::Pem, both.clone(), 0),
        (pkcs12(Protection::Modern), Format::Pkcs12, both.clone(), 1),
        (pkcs12(Protection::Legacy), Format::Pkcs12, both, 1),
        (Target::TrustStorePkcs12, Format::Pkcs12, vec![root], 0),
    ] {
        let file = write(&material, target, Some(&password)).unwrap();
        let contents = read(file.expose(), Some(&password)).unwrap();
        assert_eq!(contents.format, format, "{target:?}");
        assert_eq!(contents.certificates, certificates, "{target:?}");
        assert_eq!(contents.keys, vec![key.clone(); keys], "{target:?}");
        assert_eq!(target.has_key(), keys == 1, "{target:?}");
    }
}

#[test]
fn the_key_stands_where_it_was_asked_for() {
    let text = |place| {
        let file = write(&material(), pem(place, ChainOrder::LeafFirst), None).unwrap();
        String::from_utf8(file.expose().to_vec()).unwrap()
    };
    let (first, last) = (text(KeyPlace::First), text(KeyPlace::Last));
    assert!(first.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(last.ends_with("-----END PRIVATE KEY-----\n"));
    assert!(last.starts_with("-----BEGIN CERTIFICATE-----\n") && first.len() == last.len());
    assert!(!text(KeyPlace::Absent).contains("KEY"));
    assert!(first.lines().all(|line| line.len() <= 64));
}

/// These hold over versions of this crate and of those it is made of. Whoever has to change one makes every file that
/// is exported anew a new one, and what reads it starts anew.
#[test]
fn the_same_content_is_the_same_file_always() {
    let (material, password) = (material(), changeit());
    let modern = pkcs12(Protection::Modern);
    let targets = [
        pem(KeyPlace::Last, ChainOrder::LeafFirst),
        Target::Pkcs7 { with_root: WITH_ROOT },
        modern,
        pkcs12(Protection::Legacy),
        Target::Jks { with_root: WITH_ROOT },
        Target::TrustStorePkcs12,
        Target::TrustStoreJks,
    ];
    let found = targets.map(|target| {
        let file = write(&material, target, Some(&password)).unwrap();
        HEXLOWER.encode(&digest(&SHA256, file.expose()).as_ref()[..8])
    });
    let wanted = [
        "6afd379d5344d21e",
        "9657302c6b581d90",
        "1723c61d5c234bfd",
        "9aa0dbc98b9c1d0a",
        "bb55e87979daec5c",
        "52d6d753f8a246e0",
        "d5755942704edeba",
    ];
    assert_eq!(found, wanted);
    let of = |material: &Material| write(material, modern, Some(&password)).unwrap();
    let other = Material { alias: "shop2".to_owned(), ..material.clone() };
    assert_ne!(of(&material), of(&other));
    assert_ne!(
        of(&material),
        write(&material, modern, Some(&SecretBytes::new(b"other password".to_vec()))).unwrap()
    );
}

/// Under another password the salts are the same: a hash of the password in them would be a quick way to guess it.
#[test]
fn salts_tell_nothing_of_the_password() {
    let seed = Seed::new("pkcs12", [&b"content"[..]]);
    let salt: [u8; 16] = seed.bytes("mac salt");
    let material = material();
    let checked = Checked::new(&material).unwrap();
    let chain = checked.chain(WITH_ROOT).unwrap();
    let salt_of_file: [u8; 16] = checked.seed("pkcs12", &chain).bytes("mac salt");
    assert_ne!(salt, salt_of_file);
    for password in ["changeit", "another password"] {
        let password = SecretBytes::new(password.into());
        let file = write(&material, pkcs12(Protection::Modern), Some(&password)).unwrap();
        assert!(file.expose().windows(16).any(|window| window == salt_of_file));
    }
}

#[test]
fn what_cannot_be_written_says_why() {
    let (material, password) = (material(), changeit());
    let modern = pkcs12(Protection::Modern);
    let fault = |material: &Material, target, password: &str| {
        write(material, target, Some(&SecretBytes::new(password.into()))).unwrap_err()
    };
    assert_eq!(write(&material, modern, None).unwrap_err(), WriteError::PasswordMissing);
    for password in ["short", "with\0nul", &"x".repeat(257)] {
        assert_eq!(fault(&material, modern, password), WriteError::Password, "{password:?}");
    }
    for alias in ["", "two\nlines", &"x".repeat(129)] {
        let material = Material { alias: alias.to_owned(), ..material.clone() };
        assert_eq!(fault(&material, modern, "changeit"), WriteError::Alias, "{alias:?}");
    }
    let without = Material { key: None, ..material.clone() };
    for target in [modern, pem(KeyPlace::First, ChainOrder::LeafFirst)] {
        assert_eq!(fault(&without, target, "changeit"), WriteError::NoKey);
    }
    let mut other = read(&sample("p12-openssl-ed25519"), Some(&password)).unwrap();
    let other = Material { key: other.keys.pop(), ..material.clone() };
    assert_eq!(fault(&other, Target::Der, "changeit"), WriteError::OtherKey);
    let no_root = Material { roots: Vec::new(), ..material.clone() };
    for target in [modern, Target::TrustStoreJks, Target::TrustStorePkcs12] {
        assert_eq!(fault(&no_root, target, "changeit"), WriteError::NoRoot, "{target:?}");
    }
    let broken = Material { roots: vec![vec![0x30, 0]], ..material.clone() };
    assert_eq!(fault(&broken, Target::Der, "changeit"), WriteError::Certificate(2));
    let no_leaf = Material { key: None, leaf: None, ..material };
    assert_eq!(fault(&no_leaf, Target::Der, "changeit"), WriteError::NoCertificate);
}

fn authority(key: &KeyPair) -> (CertificateParams, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "one name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let der = params.self_signed(key).unwrap().der().to_vec();
    (params, der)
}

/// Roots share one name while one is replaced by another (ADR 0009).
#[test]
fn of_roots_with_one_name_the_issuer_is_taken() {
    let keys = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
    let (params, old) = authority(&keys[0]);
    let (_, new) = authority(&keys[1]);
    let own = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["shop.test".to_owned()]).unwrap();
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&own, &Issuer::from_params(&params, &keys[0])).unwrap();
    for roots in [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()]] {
        let roots_given = roots.clone();
        let material = Material { leaf: Some(leaf.der().to_vec()), roots, ..Material::default() };
        let target = pem(KeyPlace::Absent, ChainOrder::LeafFirst);
        let file = write(&material, target, None).unwrap();
        assert_eq!(read(file.expose(), None).unwrap().certificates[1], old);
        let material = Material { alias: "ca".to_owned(), ..material };
        let store = write(&material, Target::TrustStorePkcs12, Some(&changeit())).unwrap();
        let contents = read(store.expose(), Some(&changeit())).unwrap();
        assert_eq!(contents.certificates, roots_given, "a trust store has all");
    }
    let material =
        Material { leaf: Some(leaf.der().to_vec()), roots: vec![new], ..Material::default() };
    let target = pem(KeyPlace::Absent, ChainOrder::LeafFirst);
    assert_eq!(write(&material, target, None).unwrap_err(), WriteError::NoRoot);
}
