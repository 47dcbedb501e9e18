//! Files as openssl, keytool and NSS have written them. They are what fuzzing begins with, too.

use sealock_core::SecretBytes;

use crate::{Format, ReadError, belongs, read};

/// The fuzz target's corpus.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/formats_read/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

pub(crate) fn changeit() -> SecretBytes {
    SecretBytes::new(b"changeit".to_vec())
}

/// Name, format, how many certificates and keys.
const READABLE: &[(&str, Format, usize, usize)] = &[
    ("p12-openssl", Format::Pkcs12, 2, 1),
    ("p12-openssl-ed25519", Format::Pkcs12, 2, 1),
    ("p12-openssl-rsa", Format::Pkcs12, 2, 1),
    ("p12-openssl-legacy", Format::Pkcs12, 2, 1),
    ("p12-openssl-older", Format::Pkcs12, 1, 1),
    ("p12-openssl-mixed", Format::Pkcs12, 1, 1),
    ("p12-openssl-open-certificates", Format::Pkcs12, 1, 0),
    ("p12-keytool", Format::Pkcs12, 1, 1),
    ("p12-keytool-trust", Format::Pkcs12, 1, 0),
    ("p12-keytool-open", Format::Pkcs12, 1, 0),
    ("p12-nss", Format::Pkcs12, 2, 1),
    ("p7b-der", Format::Pkcs7, 2, 0),
    ("p7b-pem", Format::Pem, 2, 0),
    ("certificate-der", Format::Der, 1, 0),
    ("base64-der", Format::Der, 1, 0),
    ("key-pkcs8-der", Format::Der, 0, 1),
    ("key-pkcs1-der", Format::Der, 0, 1),
    ("key-sec1-der", Format::Der, 0, 1),
    ("pem-sec1", Format::Pem, 2, 1),
    ("pem-pkcs1", Format::Pem, 1, 1),
    ("pem-all", Format::Pem, 4, 1),
    ("pem-encrypted", Format::Pem, 1, 1),
    ("pem-encrypted-3des", Format::Pem, 0, 1),
    ("pem-encrypted-sha1", Format::Pem, 0, 1),
    ("pem-windows", Format::Pem, 1, 0),
    ("pem-utf16", Format::Pem, 1, 0),
];

#[test]
fn files_of_every_kind_are_read() {
    let password = changeit();
    for (name, format, certificates, keys) in READABLE {
        let contents = read(&sample(name), Some(&password)).unwrap_or_else(|error| {
            panic!("{name}: {error}");
        });
        let found = (contents.format, contents.certificates.len(), contents.keys.len());
        assert_eq!(found, (*format, *certificates, *keys), "{name}");
    }
}

#[test]
fn a_key_is_the_same_however_it_is_written() {
    let password = changeit();
    let leaf = sample("certificate-der");
    let key = |name: &str| read(&sample(name), Some(&password)).unwrap().keys.remove(0);
    for name in [
        "key-pkcs8-der",
        "key-sec1-der",
        "pem-sec1",
        "pem-all",
        "pem-encrypted",
        "p12-openssl",
        "p12-openssl-legacy",
        "p12-openssl-older",
        "p12-nss",
    ] {
        assert!(belongs(&key(name), &leaf), "{name}");
    }
    for name in ["key-pkcs1-der", "p12-openssl-ed25519", "p12-keytool"] {
        assert!(!belongs(&key(name), &leaf), "{name}");
    }
}

#[test]
fn the_order_of_a_file_is_kept() {
    let contents = read(&sample("p7b-der"), None).unwrap();
    assert_eq!(contents.certificates[0], sample("certificate-der"));
    assert_eq!(contents.certificates, read(&sample("p7b-pem"), None).unwrap().certificates);
    let password = changeit();
    let bundle = read(&sample("p12-openssl"), Some(&password)).unwrap();
    assert_eq!(bundle.certificates, contents.certificates);
}

#[test]
fn a_password_is_asked_for_where_one_is_needed_and_no_other_opens() {
    let wrong = SecretBytes::new(b"changed".to_vec());
    for name in [
        "p12-openssl",
        "p12-openssl-legacy",
        "p12-keytool",
        "p12-nss",
        "pem-encrypted",
        "pem-encrypted-3des",
    ] {
        let bytes = sample(name);
        assert_eq!(read(&bytes, None).unwrap_err(), ReadError::PasswordMissing, "{name}");
        assert_eq!(read(&bytes, Some(&wrong)).unwrap_err(), ReadError::WrongPassword, "{name}");
    }
    let empty = SecretBytes::default();
    let bytes = sample("p12-openssl-empty-password");
    assert_eq!(read(&bytes, None).unwrap(), read(&bytes, Some(&empty)).unwrap());
    let binary = SecretBytes::new(vec![0xff]);
    assert_eq!(read(&bytes, Some(&binary)).unwrap_err(), ReadError::PasswordNotText);
}

#[test]
fn what_is_not_read_says_why() {
    let password = changeit();
    let fault = |name: &str| read(&sample(name), Some(&password)).unwrap_err();
    assert_eq!(fault("p12-openssl-no-mac"), ReadError::NotAuthenticated);
    assert_eq!(fault("jks"), ReadError::JavaKeyStore);
    assert_eq!(fault("pem-certificate-of-another-tag"), ReadError::Certificate(1));
    assert_eq!(fault("pem-request"), ReadError::Request);
    assert!(matches!(fault("pem-encrypted-scrypt"), ReadError::Unsupported(_)));
    assert!(matches!(fault("pem-encrypted-old"), ReadError::Unsupported(_)));
    let of = |bytes: &[u8]| read(bytes, None).unwrap_err();
    for text in [&b""[..], b"hello", b"# nothing\n", b"MIIB", &[0x30], &[0x30, 0]] {
        let found = of(text);
        let nothing = matches!(found, ReadError::Unrecognised | ReadError::Damaged(_));
        assert!(nothing, "{text:?}: {found}");
    }
    assert_eq!(of(b"hello"), ReadError::Unrecognised);
    let openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    assert_eq!(of(openssh), ReadError::Key(1));
    let broken = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert_eq!(of(broken), ReadError::Certificate(1));
    let no_base64 = b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
    assert!(matches!(of(no_base64), ReadError::Damaged(_)));
}

#[test]
fn limits_hold() {
    let of = |bytes: &[u8]| read(bytes, None).unwrap_err();
    assert_eq!(of(&vec![b' '; crate::MAXIMUM_BYTES + 1]), ReadError::TooLarge);
    let one = sample("pem-windows");
    assert_eq!(read(&one.repeat(100), None).unwrap().certificates.len(), 100);
    assert_eq!(of(&one.repeat(101)), ReadError::TooManyCertificates);
    let keys = sample("pem-encrypted-sha1");
    let eleven = read(&keys.repeat(11), Some(&changeit())).unwrap_err();
    assert_eq!(eleven, ReadError::TooManyKeys);
    // 5,000,000 rounds and a few.
    let mut bytes = sample("key-encrypted-rounds");
    assert_eq!(read(&bytes, Some(&changeit())).unwrap_err(), ReadError::TooManyRounds);
    bytes.truncate(40);
    assert!(matches!(of(&bytes), ReadError::Damaged(_)));
}

#[test]
fn a_file_cut_short_or_changed_anywhere_is_no_harm() {
    let password = changeit();
    for (name, _, _, _) in READABLE.iter().filter(|(name, ..)| !name.contains("nss")) {
        let whole = sample(name);
        for length in (0..whole.len()).step_by(7) {
            let _ = read(&whole[..length], None);
            let mut changed = whole.clone();
            changed[length] ^= 0x41;
            crate::fuzz(&changed);
        }
    }
    assert!(read(&sample("p12-openssl")[..100], Some(&password)).is_err());
}
