//! Stores that keytool and openssl have written. They are what fuzzing begins with, too.

use sealock_core::SecretBytes;

use super::{MAXIMUM_STORE_ENTRIES, TrustStore};
use crate::error::{ReadError, WriteError};
use crate::fuzz_trust_store;
use crate::tests::{changeit, sample};

/// The fuzz target's corpus.
const STORES: &[&str] = &["jks-trust", "jks-mixed", "p12-trust", "p12-open", "p12-mixed"];

fn store(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/formats_trust_store/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

fn read(bytes: &[u8]) -> TrustStore {
    TrustStore::read(bytes, &changeit()).unwrap()
}

fn refused(bytes: &[u8], password: &SecretBytes) -> ReadError {
    TrustStore::read(bytes, password).err().unwrap()
}

fn aliases(store: &TrustStore) -> Vec<String> {
    store.trusted().into_iter().map(|(alias, _)| alias.to_owned()).collect()
}

#[test]
fn what_was_added_and_taken_out_again_leaves_the_bytes_that_were_there() {
    for name in ["jks-trust", "jks-mixed", "p12-open"] {
        let before = store(name);
        let mut changed = read(&before);
        assert_eq!(changed.write(&changeit()).unwrap().expose(), before, "{name}");
        changed.add("sealock-1", &sample("certificate-der")).unwrap();
        let written = changed.write(&changeit()).unwrap();
        assert_ne!(written.expose(), before);
        let mut again = read(written.expose());
        assert_eq!(again.trusted().last(), Some(&("sealock-1", &*sample("certificate-der"))));
        again.remove("sealock-1");
        assert_eq!(again.write(&changeit()).unwrap().expose(), before, "{name}");
    }
}

#[test]
fn what_was_not_asked_for_stays_byte_for_byte() {
    for name in STORES {
        let before = read(&store(name));
        let mut changed = read(&store(name));
        changed.add("sealock-1", &sample("certificate-der")).unwrap();
        changed.add("sealock-2", &sample("certificate-der")).unwrap();
        let first = aliases(&before).first().cloned().unwrap();
        changed.remove(&first);
        let after = read(changed.write(&changeit()).unwrap().expose());
        assert_eq!(after.entries(), before.entries() + 1, "{name}");
        let mut wanted = aliases(&before);
        wanted.remove(0);
        wanted.extend(["sealock-1", "sealock-2"].map(str::to_owned));
        assert_eq!(aliases(&after), wanted, "{name}");
        for entry in before.trusted().iter().skip(1) {
            assert!(after.trusted().contains(entry), "{name}");
        }
    }
    // The private key of a mixed store, in its own encryption.
    let changed = |name: &str| {
        let mut changed = read(&store(name));
        changed.add("sealock-1", &sample("certificate-der")).unwrap();
        changed.write(&changeit()).unwrap().expose().to_vec()
    };
    let before = store("jks-mixed");
    let entries = &before[12..before.len() - 20];
    assert!(changed("jks-mixed").windows(entries.len()).any(|window| window == entries));
    let keys = crate::read(&changed("p12-mixed"), Some(&changeit())).unwrap().keys;
    assert_eq!(keys, crate::read(&store("p12-mixed"), Some(&changeit())).unwrap().keys);
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_certificate_of_a_private_key_is_not_one_to_trust() {
    for name in ["jks-mixed", "p12-mixed"] {
        let mut mixed = read(&store(name));
        assert_eq!(aliases(&mixed), ["corp"], "{name}");
        let entries = mixed.entries();
        mixed.remove("shop");
        assert_eq!(mixed.entries(), entries, "{name}");
        assert_eq!(mixed.add("shop", &sample("certificate-der")), Err(WriteError::AliasTaken));
    }
}

#[test]
fn only_the_password_opens_a_store_that_has_one() {
    let wrong = SecretBytes::new(b"changed".to_vec());
    for name in ["jks-trust", "p12-trust"] {
        assert_eq!(refused(&store(name), &wrong), ReadError::WrongPassword, "{name}");
        let mut changed = store(name);
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        assert_eq!(refused(&changed, &changeit()), ReadError::WrongPassword, "{name}");
    }
    assert!(TrustStore::read(&store("p12-open"), &wrong).is_ok());
}

#[test]
fn what_is_no_store_or_too_much_is_refused() {
    let of = |bytes: &[u8]| TrustStore::read_content(bytes).err().unwrap();
    let begin =
        |count: u32| [&[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2][..], &count.to_be_bytes()].concat();
    assert_eq!(of(&begin(MAXIMUM_STORE_ENTRIES as u32 + 1)), ReadError::TooManyEntries);
    assert!(matches!(of(&begin(1)), ReadError::Damaged(_)));
    assert!(matches!(of(&[&begin(0)[..], b"more"].concat()), ReadError::Damaged(_)));
    // An entry of 4 GiB, of no kind, and of an alias that is no text.
    let entry = |kind: u8, alias: &[u8], length: u32| {
        let head = [&begin(1)[..], &[0, 0, 0, kind, 0, alias.len() as u8], alias, &[0; 8]].concat();
        [&head[..], b"\0\x05X.509", &length.to_be_bytes()].concat()
    };
    assert!(matches!(of(&entry(2, b"a", u32::MAX)), ReadError::Damaged(_)));
    assert!(TrustStore::read_content(&entry(2, b"a", 0)).is_ok());
    for broken in [entry(3, b"a", 0), entry(2, b"\xff", 0), entry(2, b"\xc3", 0)] {
        assert!(matches!(of(&broken), ReadError::Damaged(_)));
    }
    let kind = |bytes: &[u8]| refused(bytes, &changeit());
    assert!(matches!(kind(&[0xce; 40]), ReadError::Unsupported(_)));
    assert!(matches!(kind(b"not a store"), ReadError::Damaged(_)));
    assert_eq!(kind(&vec![0; super::MAXIMUM_STORE_BYTES + 1]), ReadError::StoreTooLarge);
}

#[test]
fn what_is_added_is_a_certificate_under_a_name_of_its_own() {
    let mut open = read(&store("p12-open"));
    let der = sample("certificate-der");
    for alias in ["", "Upper", "new\nline", &"a".repeat(129)] {
        assert_eq!(open.add(alias, &der), Err(WriteError::Alias), "{alias}");
    }
    assert_eq!(open.add("sealock-1", b"none"), Err(WriteError::Certificate(1)));
    open.add("sealock-1", &der).unwrap();
    assert_eq!(open.add("sealock-1", &der), Err(WriteError::AliasTaken));
}

#[test]
fn a_store_cut_short_or_changed_anywhere_is_no_harm() {
    for name in STORES {
        let whole = store(name);
        fuzz_trust_store(&whole);
        for place in (0..whole.len()).step_by(13) {
            fuzz_trust_store(&whole[..place]);
            let mut changed = whole.clone();
            changed[place] ^= 0x55;
            fuzz_trust_store(&changed);
            // Under a hash that is right.
            if name.starts_with("jks") {
                fuzz_trust_store(&changed[..changed.len() - 20]);
            }
        }
    }
}
